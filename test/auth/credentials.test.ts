import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAuthorization, tokenCandidate } from '../../src/auth/credentials.ts'
import { Unauthenticated } from '../../src/errors.ts'
import { basic } from './auth-parts.ts'

describe('the Authorization header', () => {
  test.each([undefined, '', '   '])('%j is no credentials', (header) => {
    expect(parseAuthorization(header)).toEqual({ kind: 'none' })
  })

  test.each(['Bearer s3cret', 'bearer s3cret', 'TOKEN s3cret', 'token  s3cret', ' Token\ts3cret '])(
    '%j carries a token',
    (header) => {
      expect(parseAuthorization(header)).toEqual({ kind: 'token', secret: 's3cret' })
    },
  )

  test.each([
    ...['Bearer', 'Bearer ', 'Bearer a b', 's3cret', 'Digest username="x"', 'Negotiate abc', 'Bearer: x'],
    ...['Basic', 'Basic !!!!', 'Basic YWJj', 'Basic YTpi YTpi', 'Basic YTpi,YTpi', 'Basic =', 'Basic YT=pi'],
  ])('%j is unusable', (header) => {
    expect(() => parseAuthorization(header)).toThrow(Unauthenticated)
  })

  test('any user name without a colon and any password come back as they were', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (name, password) => {
        const username = name.replaceAll(':', '')
        expect(parseAuthorization(basic(username, password))).toEqual({ kind: 'basic', username, password })
      }),
    )
  })

  test('any header is parsed or Unauthenticated, and is never echoed', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String().map((text) => `Basic ${text}`),
        ),
        (header) => {
          try {
            expect(['none', 'basic', 'token']).toContain(parseAuthorization(header).kind)
          } catch (error) {
            expect(error).toBeInstanceOf(Unauthenticated)
            expect((error as Error).message).toBe('the Authorization header is not usable')
          }
        },
      ),
    )
  })
})

test('the token of Basic credentials is the password, or the user name without one', () => {
  expect(tokenCandidate({ username: 'ann', password: 'tok' })).toBe('tok')
  expect(tokenCandidate({ username: 'tok', password: '' })).toBe('tok')
  expect(tokenCandidate({ username: 'tok', password: 'x-oauth-basic' })).toBe('tok')
})
