import { randomBytes } from 'node:crypto'
import { theServer } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { AccessTokens } from '../auth/access-tokens.ts'
import type { Owner } from '../auth/owner.ts'
import type { Scopes } from '../auth/scopes.ts'
import type { Clock } from '../clock.ts'

/** Access tokens for people who have signed in elsewhere: the only thing that a sign-in gives. */
export class IssuedTokens {
  readonly #parts: { accessTokens: AccessTokens; audit: Audit; clock: Clock }

  constructor(parts: { accessTokens: AccessTokens; audit: Audit; clock: Clock }) {
    this.#parts = parts
  }

  /** A name that the user has not given yet: `<prefix> 2026-01-31 1f3a5b7c`. */
  drawName(prefix: string): string {
    const day = new Date(this.#parts.clock.now()).toISOString().slice(0, 10)
    return `${prefix} ${day} ${randomBytes(4).toString('hex')}`
  }

  /**
   * The secret of a new token; `expiresAt` ms since the epoch, null: as late as the site permits. Invalid when the user
   * has one of that name.
   */
  async create(
    user: Owner,
    { name, scopes, expiresAt }: { name: string; scopes: Scopes; expiresAt: number | null },
    address: string,
  ): Promise<string> {
    const { row, secret } = await this.#parts.accessTokens.create(user, name, scopes, { expiresAt })
    const actor = { ...theServer, user: { id: user.id, name: user.name }, address }
    const details = { id: row.id, to: { scopes: scopes.toList() } }
    this.#parts.audit.record(actor, 'token.created', { owner: user, name }, details)
    return secret
  }
}
