import { createHash } from 'node:crypto'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import { Unauthenticated } from '../errors.ts'
import type { AccessTokens } from './access-tokens.ts'
import type { Accounts } from './accounts.ts'
import { anonymous, type Doer } from './doer.ts'
import { Grants } from './grants.ts'
import { actingWith } from './owner.ts'
import type { RegistryClaims, RegistryJwts } from './registry-jwt.ts'
import { rightsOf } from './token-limits.ts'
import type { TwoFactor } from './two-factor.ts'

/** Seconds that a registry token is valid. */
const ACCESS_LIFE = 15 * 60
/** Seconds that a refresh token is valid: how long `docker login` lasts. */
const REFRESH_LIFE = 30 * 24 * 60 * 60

/** Ms. */
export const longestTokenLife = REFRESH_LIFE * 1_000

/** A registry token and when it is good; in seconds since the epoch. */
export interface IssuedToken {
  readonly token: string
  readonly issuedAt: number
  readonly expiresAt: number
}

/**
 * Registry tokens: what `docker login` and every pull and push get for their credentials (container.md §10). A token
 * has no rights of its own. It leads back to the password or access token it was made for: what these lose, it loses
 * at the next request, and when they end, it ends (security.md S8).
 */
export class RegistryTokens {
  readonly #parts: {
    jwts: RegistryJwts
    accounts: Accounts
    accessTokens: AccessTokens
    twoFactor: TwoFactor
    clock: Clock
  }
  /** SHA-256 of tokens whose signature was good; everything else about them is looked at each time. */
  readonly #verified: Cache<RegistryClaims>

  constructor(parts: {
    jwts: RegistryJwts
    accounts: Accounts
    accessTokens: AccessTokens
    twoFactor: TwoFactor
    clock: Clock
    notices: Notices
  }) {
    this.#parts = parts
    this.#verified = new Cache({ name: 'registry-tokens', max: 5_000, ttl: ACCESS_LIFE * 1_000 }, parts.notices)
  }

  /** A token for what the doer's credentials may do, within the grants; not valid after these end, nor after `notAfter`. */
  async issue(doer: Doer, grants: Grants, notAfter: number = Number.POSITIVE_INFINITY): Promise<IssuedToken> {
    const issuedAt = this.#now()
    const expiresAt = Math.min(issuedAt + ACCESS_LIFE, notAfter, endOf(doer))
    const token = await this.#parts.jwts.sign('access', { ...toClaims(doer), grants, expiresAt })
    return { token, issuedAt, expiresAt }
  }

  /**
   * A token that only gets others, in place of the doer's credentials. It stays the same, and ends, however often it is
   * used: nothing is stored of it, and clients that ask in parallel do not lock each other out.
   */
  async issueRefresh(doer: Doer): Promise<string> {
    const expiresAt = Math.min(this.#now() + REFRESH_LIFE, endOf(doer))
    return this.#parts.jwts.sign('refresh', { ...toClaims(doer), grants: noGrants, expiresAt })
  }

  /** Who bears a registry token. Throws Unauthenticated('token'). No SQL when warm. */
  async redeem(token: string): Promise<Doer> {
    const key = createHash('sha256').update(token).digest('base64')
    const claims = await this.#verified.get(key, () => this.#parts.jwts.verify('access', token))
    if (claims.expiresAt <= this.#now()) throw new Unauthenticated('the token has expired', 'token')
    return { ...(await this.#bearer(claims)), via: 'bearer', grants: claims.grants }
  }

  /** Whose refresh token it is, and until when (seconds since the epoch). Throws Unauthenticated('token'). */
  async redeemRefresh(token: string): Promise<{ doer: Doer; expiresAt: number }> {
    const claims = await this.#parts.jwts.verify('refresh', token)
    return { doer: await this.#bearer(claims), expiresAt: claims.expiresAt }
  }

  async #bearer({ userId, tokenId, passwordMark }: RegistryClaims): Promise<Doer> {
    if (userId === null) return anonymous
    const { accounts, accessTokens, twoFactor } = this.#parts
    const record = await accounts.findRecordById(userId)
    if (record === null) throw ended()
    if (tokenId === null) {
      const mark = markOfPassword(record.passwordHash, await twoFactor.confirmedAt(userId))
      if (record.owner.kind !== 'user' || passwordMark === null || passwordMark !== mark) throw ended()
      return { ...anonymous, user: record.owner, via: 'bearer', passwordMark }
    }
    const token = await accessTokens.recall(tokenId)
    const user = token?.userId === userId ? actingWith(token, record.owner) : null
    if (token === null || user === null) throw ended()
    accessTokens.touch(token)
    return { ...anonymous, ...rightsOf(token), user, via: 'bearer', tokenId, isJob: token.isJob }
  }

  #now(): number {
    return Math.floor(this.#parts.clock.now() / 1_000)
  }
}

/**
 * Tells one stored password, and since when it needs a one-time code (null: it does not), from the next without telling
 * anything about either; 22 characters. What was made with the password alone ends when a code is needed too.
 */
export function markOfPassword(passwordHash: string, codesSince: number | null): string {
  const parts = ['registry token', passwordHash, ...(codesSince === null ? [] : [codesSince])]
  return createHash('sha256').update(parts.join('\0')).digest('base64url').slice(0, 22)
}

const noGrants = new Grants({ repositories: [], catalog: false })

function toClaims({ user, tokenId, passwordMark }: Doer) {
  return { userId: user?.id ?? null, tokenId, passwordMark }
}

/** Seconds since the epoch. */
function endOf({ expiresAt }: Doer): number {
  return expiresAt === null ? Number.POSITIVE_INFINITY : Math.floor(expiresAt / 1_000)
}

function ended(): Unauthenticated {
  return new Unauthenticated('the credentials behind the token are no longer valid', 'token')
}
