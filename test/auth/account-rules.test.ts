import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkEmail, checkName, checkPassword, checkWebsite, isPossibleName } from '../../src/auth/account-rules.ts'
import { Unprocessable } from '../../src/errors.ts'

describe('names', () => {
  test.each(['a', 'Ann', 'a.b-c_d', '0x', 'npmjs', 'docker.io', 'npm', 'cargo', 'x'.repeat(40)])(
    '%s is fine',
    (name) => {
      expect(() => checkName(name)).not.toThrow()
    },
  )

  test.each([
    ...['', '.', '..', '-', '_a', '.a', 'a.', 'a-', 'a_', 'a--b', 'a.-b', 'a__b', 'a b', 'a/b', 'ä', 'a\0', 'a\n'],
    ...['x'.repeat(41), 'api', 'API', 'v2', 'V2', 'metrics', 'healthz', 'readyz', 'mirror', 'packages', 'ghost'],
    ...['ann.keys', 'Ann.PNG', '\u212a'],
  ])('%j is refused', (name) => {
    expect(() => checkName(name)).toThrow(Unprocessable)
  })

  test('a name that passes holds nothing that a path, a header or SQL could misread', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 45 }), (name) => {
        expect(isPossibleName(name)).toBe(/^[a-z0-9][a-z0-9._-]{0,39}$/i.test(name))
      }),
    )
  })
})

test.each(['ann@example.com', 'a.b+c@sub.example.com', 'root@localhost'])('e-mail %s is fine', (email) => {
  expect(() => checkEmail(email)).not.toThrow()
})

test.each([
  ...['', 'ann', '@b.c', 'a@', '-a@b.c', 'a@b@c', 'a b@c.d', 'a@b c', 'a@b.c\r\nBcc: x@y.z', 'a@-b', 'a@b.'],
  `${'x'.repeat(250)}@b.cd`,
])('e-mail %j is refused', (email) => {
  expect(() => checkEmail(email)).toThrow(Unprocessable)
})

test.each(['javascript:alert(1)', 'data:text/html,x', 'JAVASCRIPT:alert(1)', 'ftp://x', '//x', 'example.com'])(
  'website %s is refused',
  (website) => {
    expect(() => checkWebsite(website)).toThrow(Unprocessable)
  },
)

test('a password is long enough and not trivial', () => {
  expect(() => checkPassword('', 'ann', 8)).toThrow('PasswordIsRequired')
  expect(() => checkPassword('1234567', 'ann', 8)).toThrow('PasswordIsRequired')
  expect(() => checkPassword('Administrator', 'administrator', 8)).toThrow('PasswordComplexity')
  expect(() => checkPassword('aaaaaaaaaa', 'ann', 8)).toThrow('PasswordComplexity')
  expect(() => checkPassword('12345678', 'ann', 8)).not.toThrow()
})
