import { createHmac, randomBytes } from 'node:crypto'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import { Unauthenticated } from '../errors.ts'
import type { AccessTokenRow, AccessTokens } from './access-tokens.ts'
import type { Accounts } from './accounts.ts'
import { parseAuthorization, tokenCandidate } from './credentials.ts'
import { anonymous, type Doer } from './doer.ts'
import type { Passwords } from './passwords.ts'
import { markOfPassword, type RegistryTokens } from './registry-tokens.ts'
import { Scopes } from './scopes.ts'

export { anonymous, type Doer } from './doer.ts'

/** Longer ones are no passwords; hashing them is work for an attacker. */
const MAX_PASSWORD = 255

/**
 * Authorization header → Doer. No SQL and no password hashing when warm. What is remembered of a password is that it
 * matched one stored hash: a changed password, user or token counts at once. Failures are never remembered.
 */
export class Authenticator {
  readonly #accounts: Accounts
  readonly #accessTokens: AccessTokens
  readonly #passwords: Passwords
  readonly #registryTokens: RegistryTokens
  /** Keyed hashes of stored hash, name and password that matched; parallel checks of one share the work. */
  readonly #matches: Cache<true>
  /** Of this process alone: what the cache holds is worth nothing elsewhere. */
  readonly #key = randomBytes(32)

  constructor(parts: {
    accounts: Accounts
    accessTokens: AccessTokens
    passwords: Passwords
    registryTokens: RegistryTokens
    notices: Notices
  }) {
    this.#accounts = parts.accounts
    this.#accessTokens = parts.accessTokens
    this.#passwords = parts.passwords
    this.#registryTokens = parts.registryTokens
    this.#matches = new Cache({ name: 'password-matches', max: 10_000, ttl: 3_600_000 }, parts.notices)
  }

  /**
   * Anonymous without a header; Unauthenticated for credentials that cannot be used, even where none are needed.
   * Accounts that may not sign in are returned all the same: what they may do is decided by what they ask for. Registry
   * tokens are as good as any invented secret unless `acceptsRegistryTokens`.
   */
  async authenticate(
    authorization: string | undefined,
    { acceptsRegistryTokens = false }: { acceptsRegistryTokens?: boolean } = {},
  ): Promise<Doer> {
    const credentials = parseAuthorization(authorization)
    if (credentials.kind === 'none') return anonymous
    if (credentials.kind === 'basic') return this.signIn(credentials)
    // A dot is in every JWT and in no access token.
    if (acceptsRegistryTokens && credentials.secret.includes('.')) {
      return this.#registryTokens.redeem(credentials.secret)
    }
    return this.#byToken(credentials.secret)
  }

  /**
   * Basic credentials, wherever they stood: a token goes first, and then the user name beside it does not matter
   * (rest-api.md §1). Throws Unauthenticated.
   */
  async signIn(credentials: { username: string; password: string }): Promise<Doer> {
    const token = await this.#accessTokens.findBySecret(tokenCandidate(credentials))
    if (token !== null) return this.#withToken(token, 'basic')
    return this.#byPassword(credentials.username, credentials.password)
  }

  async #byToken(secret: string): Promise<Doer> {
    const token = await this.#accessTokens.findBySecret(secret)
    if (token === null) throw new Unauthenticated('the access token is not valid', 'token')
    return this.#withToken(token, 'bearer')
  }

  async #withToken(token: AccessTokenRow, via: 'basic' | 'bearer'): Promise<Doer> {
    const user = await this.#accounts.findById(token.userId)
    if (user?.kind !== 'user') throw new Unauthenticated('the access token is not valid', 'token')
    this.#accessTokens.touch(token)
    const scopes = Scopes.fromStored(token.scopes)
    return { user, scopes, via, tokenId: token.id, passwordMark: null, grants: null }
  }

  async #byPassword(username: string, password: string): Promise<Doer> {
    const record = await this.#accounts.findRecord(username)
    const stored = record?.owner.kind === 'user' ? record.passwordHash : ''
    if (!(await this.#isPassword(username.toLowerCase(), password, stored)) || record === null) {
      throw new Unauthenticated('the user name or password is wrong', 'user')
    }
    const passwordMark = markOfPassword(stored)
    return { user: record.owner, scopes: null, via: 'basic', tokenId: null, passwordMark, grants: null }
  }

  async #isPassword(username: string, password: string, stored: string): Promise<boolean> {
    if (password.length > MAX_PASSWORD || username.length > MAX_PASSWORD) return false
    const key = createHmac('sha256', this.#key).update(`${stored}\0${username}\0${password}`).digest('hex')
    try {
      return await this.#matches.get(key, async () => {
        if (await this.#passwords.verify(stored, password)) return true as const
        // Thrown, because a failure must not be remembered.
        throw new Mismatch()
      })
    } catch (error) {
      if (error instanceof Mismatch) return false
      throw error
    }
  }
}

class Mismatch extends Error {}
