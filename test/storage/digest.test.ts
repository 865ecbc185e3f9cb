import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestsOf, formatIntegrity, parseDigest, parseIntegrity } from '../../src/storage/digest.ts'

const sha = (algorithm: string, text: string, encoding: 'hex' | 'base64' = 'base64') =>
  createHash(algorithm).update(text).digest(encoding)

describe('parseDigest', () => {
  it('takes sha256 and sha512 in lower-case hex', () => {
    const hex = sha('sha256', 'a', 'hex')
    expect(parseDigest(`sha256:${hex}`)).toEqual({ algorithm: 'sha256', hex })
    const long = sha('sha512', 'a', 'hex')
    expect(parseDigest(`sha512:${long}`)).toEqual({ algorithm: 'sha512', hex: long })
  })

  it.each([
    '',
    ':',
    'sha256',
    'sha256:',
    `sha256:${'A'.repeat(64)}`,
    `sha256:${'a'.repeat(63)}`,
    `sha256:${'a'.repeat(65)}`,
    `sha256:${'a'.repeat(64)}\n`,
    `SHA256:${'a'.repeat(64)}`,
    `sha512:${'a'.repeat(64)}`,
    `sha1:${'a'.repeat(40)}`,
    `md5:${'a'.repeat(32)}`,
    `sha256:../../${'a'.repeat(58)}`,
    `constructor:${'a'.repeat(64)}`,
  ])('refuses %j', (text) => {
    expect(parseDigest(text)).toBeNull()
  })
})

describe('parseIntegrity', () => {
  it('prefers the strongest algorithm, wherever it stands', () => {
    const strong = { algorithm: 'sha512', hex: sha('sha512', 'x', 'hex') }
    expect(parseIntegrity(`sha1-${sha('sha1', 'x')} sha512-${sha('sha512', 'x')}`)).toEqual(strong)
    expect(parseIntegrity(`sha512-${sha('sha512', 'x')} sha256-${sha('sha256', 'x')}`)).toEqual(strong)
  })

  it('ignores options, unknown algorithms and damaged entries', () => {
    const text = `sha384-${sha('sha384', 'x')} sha512-AAAA sha256-${sha('sha256', 'x')}?a?b junk -`
    expect(parseIntegrity(text)).toEqual({ algorithm: 'sha256', hex: sha('sha256', 'x', 'hex') })
  })

  it.each(['', '   ', 'sha512', 'sha512-', '-', 'md5-1B2M2Y8AsgTpgAmY7PhCfg==', `sha512-${'!'.repeat(88)}`])(
    'finds nothing usable in %j',
    (text) => {
      expect(parseIntegrity(text)).toBeNull()
    },
  )

  it('reads back what formatIntegrity writes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const digests = digestsOf(Buffer.from(bytes))
        expect(parseIntegrity(formatIntegrity(digests))).toEqual({ algorithm: 'sha512', hex: digests.sha512 })
      }),
    )
  })

  it('never throws and never returns a digest of the wrong length', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('', 'sha1-', 'sha256-', 'sha512-'), (text, prefix) => {
        const digest = parseIntegrity(prefix + text)
        if (digest !== null)
          expect(digest.hex.length).toBe({ md5: 32, sha1: 40, sha256: 64, sha512: 128 }[digest.algorithm])
      }),
    )
  })
})
