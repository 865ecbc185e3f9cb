import fc from 'fast-check'
import { URI } from 'otpauth'
import { describe, expect, test } from 'vitest'
import {
  drawRecoveryCodes,
  drawSecret,
  findStep,
  hashRecoveryCode,
  parseCode,
  stepAt,
  toEnrolmentUrl,
} from '../../src/auth/two-factor-codes.ts'

/** `12345678901234567890` in base32: the key of RFC 6238, appendix B. */
const SECRET = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'
const STEP = 30_000

describe('one-time codes', () => {
  // The last six of the RFC's eight digits.
  test.each([
    [59, '287082'],
    [1_111_111_109, '081804'],
    [1_111_111_111, '050471'],
    [1_234_567_890, '005924'],
    [2_000_000_000, '279037'],
    [20_000_000_000, '353130'],
  ])('RFC 6238: %i s have the code %s', (seconds, code) => {
    expect(findStep(SECRET, code, seconds * 1_000)).toBe(Math.floor(seconds / 30))
  })

  test('a code counts one step before and after its own, and is of its own step all the time', () => {
    const now = 1_111_111_111_000
    const step = stepAt(now)
    const found = [-2, -1, 0, 1, 2].map((steps) => findStep(SECRET, '050471', now + steps * STEP))
    expect(found).toEqual([null, step, step, step, null])
  })

  test('with another secret it is no code', () => {
    const now = 1_111_111_111_000
    expect(findStep(drawSecret(), '050471', now)).toBeNull()
  })

  test.each([
    ['287082', { kind: 'totp', text: '287082' }],
    [' 287 082 ', { kind: 'totp', text: '287082' }],
    ['287-082', { kind: 'totp', text: '287082' }],
    ['01234 56789 01234 56789', { kind: 'recovery', text: '01234567890123456789' }],
    ['0123-4567890123456789 ', { kind: 'recovery', text: '01234567890123456789' }],
    ['', null],
    ['28708', null],
    ['2870822', null],
    ['+28708', null],
    ['2.8e10', null],
    ['٢٨٧٠٨٢', null],
    ['２８７０８２', null],
    ['01234 56789 01234 5678', null],
    ['01234 56789 01234 56789 0', null],
    ['01234 56789 01234 5678x', null],
    ['287082, 287082', null],
    ['287082\0', null],
    [`287082${' '.repeat(100_000)}1`, { kind: 'totp', text: '287082' }],
  ])('%j is read as %j', (typed, code) => {
    expect(parseCode(typed)).toEqual(code)
  })

  test('whatever is typed, a code has one of two forms, and no other makes the check fail', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (typed) => {
        const code = parseCode(typed)
        if (code !== null) expect(code.text).toMatch(code.kind === 'totp' ? /^[0-9]{6}$/ : /^[0-9]{20}$/)
      }),
    )
  })

  test('the secret has 160 bits, and an app that reads the URL makes codes that count', () => {
    const secret = drawSecret()
    expect(secret).toMatch(/^[A-Z2-7]{32}$/)
    expect(drawSecret()).not.toBe(secret)
    const url = toEnrolmentUrl(secret, 'ann.b-c', 'Entrepot (packages.example.org)')
    expect(url.split('?')[0]).toBe('otpauth://totp/Entrepot%20(packages.example.org):ann.b-c')
    const app = URI.parse(url)
    expect([app.issuer, app.label, app.secret.base32]).toEqual(['Entrepot (packages.example.org)', 'ann.b-c', secret])
    const now = Date.UTC(2030, 0, 1)
    expect(findStep(secret, app.generate({ timestamp: now } as never), now)).toBe(stepAt(now))
  })

  test('recovery codes are ten, different, and as they are read; their hash is of one user', () => {
    const codes = drawRecoveryCodes()
    expect(new Set(codes).size).toBe(10)
    for (const code of codes) {
      expect(code).toMatch(/^\d{5} \d{5} \d{5} \d{5}$/)
      expect(parseCode(code)).toEqual({ kind: 'recovery', text: code.replaceAll(' ', '') })
    }
    expect(hashRecoveryCode(1, '01234567890123456789')).toMatch(/^[0-9a-f]{64}$/)
    expect(hashRecoveryCode(1, '01234567890123456789')).not.toBe(hashRecoveryCode(2, '01234567890123456789'))
  })
})
