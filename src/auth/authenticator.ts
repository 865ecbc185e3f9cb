import { createHmac, randomBytes } from 'node:crypto'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import { Unauthenticated } from '../errors.ts'
import type { AccessTokenRow, AccessTokens } from './access-tokens.ts'
import type { Accounts } from './accounts.ts'
import { parseAuthorization, tokenCandidate } from './credentials.ts'
import { anonymous, type Doer } from './doer.ts'
import { networkOf } from './network.ts'
import { actingWith, type Owner } from './owner.ts'
import type { Passwords } from './passwords.ts'
import { markOfPassword, type RegistryTokens } from './registry-tokens.ts'
import type { SignInGuard } from './sign-in-guard.ts'
import { rightsOf } from './token-limits.ts'
import type { Proof, TwoFactorCheck } from './two-factor-check.ts'

export { anonymous, type Doer } from './doer.ts'

/** Whoever does not say where an attempt comes from shares this place with all who do not. */
const NOWHERE = 'nowhere'
/** Longer ones are no passwords; hashing them is work for an attacker. */
const MAX_PASSWORD = 255

/**
 * Authorization header → Doer. No SQL and no password hashing when warm. What is remembered of a password is that it
 * matched, or did not match, one stored hash: a changed password, user or token counts at once. One-time codes are asked
 * for each time, after the password and only then: who has not found it learns nothing of them. Whoever guesses has to
 * wait (sign-in-guard.ts); what is known already never does.
 */
export class Authenticator {
  readonly #accounts: Accounts
  readonly #accessTokens: AccessTokens
  readonly #passwords: Passwords
  readonly #registryTokens: RegistryTokens
  readonly #guard: SignInGuard
  readonly #twoFactorCheck: TwoFactorCheck
  /** Keyed hashes of stored hash, name and password that matched; parallel checks of one share the work. */
  readonly #matches: Cache<true>
  /** Of this process alone: what the cache holds is worth nothing elsewhere. */
  readonly #key = randomBytes(32)

  constructor(parts: {
    accounts: Accounts
    accessTokens: AccessTokens
    passwords: Passwords
    registryTokens: RegistryTokens
    guard: SignInGuard
    twoFactorCheck: TwoFactorCheck
    notices: Notices
  }) {
    this.#accounts = parts.accounts
    this.#accessTokens = parts.accessTokens
    this.#passwords = parts.passwords
    this.#registryTokens = parts.registryTokens
    this.#guard = parts.guard
    this.#twoFactorCheck = parts.twoFactorCheck
    this.#matches = new Cache({ name: 'password-matches', max: 20_000, ttl: 3_600_000 }, parts.notices)
  }

  /**
   * Anonymous without a header; Unauthenticated for credentials that cannot be used, even where none are needed;
   * TooManyRequests for those who have failed too often at their `address`.
   * Accounts that may not sign in are returned all the same: what they may do is decided by what they ask for. Registry
   * tokens are as good as any invented secret unless `acceptsRegistryTokens`.
   */
  async authenticate(
    authorization: string | undefined,
    {
      address = NOWHERE,
      code = null,
      hasCode = false,
      acceptsRegistryTokens = false,
    }: Partial<Proof> & { acceptsRegistryTokens?: boolean } = {},
  ): Promise<Doer> {
    const credentials = parseAuthorization(authorization)
    if (credentials.kind === 'none') return anonymous
    if (credentials.kind === 'basic') return this.signIn(credentials, { address, code, hasCode })
    // A dot is in every JWT and in no access token.
    if (acceptsRegistryTokens && credentials.secret.includes('.')) {
      return this.#registryTokens.redeem(credentials.secret)
    }
    return this.#byToken(credentials.secret, address)
  }

  /**
   * Basic credentials, wherever they stood: a token goes first, and then the user name beside it does not matter
   * (rest-api.md §1). Throws Unauthenticated, with the subject `one-time-code` when only that is missing or wrong, and
   * TooManyRequests.
   */
  async signIn(credentials: { username: string; password: string }, proof: Proof): Promise<Doer> {
    const token = await this.#accessTokens.findBySecret(tokenCandidate(credentials))
    if (token !== null) return this.#withToken(token, 'basic')
    return this.#byPassword(credentials.username, credentials.password, proof)
  }

  async #byToken(secret: string, address: string): Promise<Doer> {
    const token = await this.#accessTokens.findBySecret(secret)
    if (token === null) {
      await this.#guard.wrongToken(secret, address)
      throw new Unauthenticated('the access token is not valid', 'token')
    }
    return this.#withToken(token, 'bearer')
  }

  async #withToken(token: AccessTokenRow, via: 'basic' | 'bearer'): Promise<Doer> {
    const user = actingWith(token, await this.#accounts.findById(token.userId))
    if (user === null) throw new Unauthenticated('the access token is not valid', 'token')
    this.#accessTokens.touch(token)
    return { ...anonymous, ...rightsOf(token), user, via, tokenId: token.id, isJob: token.isJob }
  }

  async #byPassword(username: string, password: string, proof: Proof): Promise<Doer> {
    const { address } = proof
    const record = await this.#accounts.findRecord(username)
    const account = record?.owner ?? null
    const stored = account?.kind === 'user' ? record!.passwordHash : ''
    if (
      !(await this.#isPassword({ username: username.toLowerCase(), account, password, stored, address })) ||
      record === null
    ) {
      throw new Unauthenticated('the user name or password is wrong', 'user')
    }
    const codesSince = await this.#twoFactorCheck.check(record.owner, proof)
    const passwordMark = markOfPassword(stored, codesSince)
    return { ...anonymous, user: record.owner, via: 'basic', passwordMark, hasCode: codesSince !== null }
  }

  async #isPassword(asked: {
    username: string
    account: Owner | null
    password: string
    stored: string
    address: string
  }): Promise<boolean> {
    const { username, account, password, stored, address } = asked
    if (password.length > MAX_PASSWORD || username.length > MAX_PASSWORD) return false
    const credential = createHmac('sha256', this.#key).update(`${stored}\0${username}\0${password}`).digest('hex')
    // Only where it was shown: from elsewhere the answer would tell whoever guesses that he was right.
    const here = `${credential}/${networkOf(address)}`
    if (this.#matches.peek(here) !== undefined) return true
    if (this.#guard.isKnownWrong(credential)) return false
    const attempt = await this.#guard.admit({ username, account, address, credential })
    try {
      await this.#matches.get(credential, async () => {
        if (await this.#passwords.verify(stored, password)) return true as const
        throw new Mismatch()
      })
    } catch (error) {
      if (!(error instanceof Mismatch)) {
        attempt.dropped()
        throw error
      }
      await attempt.failed()
      return false
    }
    await attempt.succeeded()
    this.#matches.set(here, true)
    return true
  }
}

class Mismatch extends Error {}
