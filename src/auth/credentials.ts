import { Unauthenticated } from '../errors.ts'

/** What an Authorization header carries. A Basic secret may be a password or a token; the authenticator finds out. */
export type Credentials =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | { readonly kind: 'token'; readonly secret: string }

const none: Credentials = Object.freeze({ kind: 'none' })

/**
 * Reads an Authorization header: `Basic`, `Bearer` and `token`, in any case, with exactly one value (rest-api.md §1).
 * A missing or empty header is no credentials; anything else is Unauthenticated, so that a typo is noticed.
 */
export function parseAuthorization(header: string | undefined): Credentials {
  if (header === undefined || header.trim() === '') return none
  const fields = header.trim().split(/[ \t]+/)
  const [scheme = '', value = ''] = fields
  if (fields.length === 2) {
    switch (scheme.toLowerCase()) {
      case 'basic':
        return parseBasic(value)
      case 'bearer':
      case 'token':
        return { kind: 'token', secret: value }
    }
  }
  throw new Unauthenticated('the Authorization header is not usable', 'token')
}

/** `user:password` in base64 of UTF-8; the first colon divides (RFC 7617). */
function parseBasic(value: string): Credentials {
  const text = /^[A-Za-z0-9+/]+={0,2}$/.test(value) ? Buffer.from(value, 'base64').toString('utf8') : ''
  const colon = text.indexOf(':')
  if (colon === -1) throw new Unauthenticated('the Authorization header is not usable', 'token')
  return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) }
}

/**
 * The part of Basic credentials that may be an access token: the password, or the user name when the password is
 * empty or `x-oauth-basic`.
 */
export function tokenCandidate({ username, password }: { username: string; password: string }): string {
  return password === '' || password === 'x-oauth-basic' ? username : password
}
