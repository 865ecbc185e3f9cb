import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DigestMismatch, Invalid } from '../../../src/errors.ts'
import { checkDigests, promisedDigests, reprDigest } from '../../../src/package-types/generic/content-digest.ts'
import { digestsOf } from '../../../src/storage/digest.ts'

const body = Buffer.from('hello')
const base64 = (algorithm: string) => createHash(algorithm).update(body).digest('base64')
const digests = digestsOf(body)

describe('a promised digest', () => {
  it.each([
    [`sha-256=:${base64('sha256')}:`, undefined, ['sha256']],
    [`sha-512=:${base64('sha512')}:, sha-256=:${base64('sha256')}:`, undefined, ['sha512', 'sha256']],
    [`SHA-256=:${base64('sha256')}:`, undefined, ['sha256']],
    [undefined, `SHA-256=${base64('sha256')}`, ['sha256']],
    [undefined, `md5=${base64('md5')},sha=${base64('sha1')},unixsum=30637`, ['md5', 'sha1']],
    [`sha-256=:${base64('sha256')}:`, `SHA-512=${base64('sha512')}`, ['sha256', 'sha512']],
    ['crc32c=:AAAA:', undefined, []],
    ['', '', []],
    [undefined, undefined, []],
  ])('of %j, %j is read and kept', (contentDigest, digest, algorithms) => {
    const promised = promisedDigests(contentDigest, digest)
    expect(promised.map(({ algorithm }) => algorithm)).toEqual(algorithms)
    checkDigests(promised, digests)
    if (promised.length > 0)
      expect(() => checkDigests(promised, digestsOf(Buffer.from('other')))).toThrow(DigestMismatch)
  })

  it.each([
    'sha-256',
    'sha-256=',
    'sha-256=::',
    `sha-256=${base64('sha256')}`,
    `sha-256=:${base64('sha256')}`,
    `sha-256=:${base64('sha512')}:`,
    'sha-256=:%%%%:',
    `sha-256=:${'A'.repeat(100_000)}:`,
  ])('in Content-Digest %j is refused or none, never taken as kept', (header) => {
    if (header === 'sha-256') expect(promisedDigests(header, undefined)).toEqual([])
    else expect(() => promisedDigests(header, undefined)).toThrow(Invalid)
  })

  it('fails only as Invalid, whatever the header says', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('', 'sha-256=', 'sha-256=:'), (text, prefix) => {
        try {
          promisedDigests(prefix + text, text)
        } catch (error) {
          expect(error).toBeInstanceOf(Invalid)
        }
      }),
    )
  })
})

it('Repr-Digest is what Content-Digest reads', () => {
  expect(promisedDigests(reprDigest(digests.sha256), undefined)).toEqual([{ algorithm: 'sha256', hex: digests.sha256 }])
})
