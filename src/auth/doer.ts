import type { Grants } from './grants.ts'
import type { Owner } from './owner.ts'
import type { Restriction } from './restriction.ts'
import type { Scopes } from './scopes.ts'

/** Who asks, and what the credentials allow. */
export interface Doer {
  /** Null: anonymous. */
  readonly user: Owner | null
  /** Null: a password sign-in, unrestricted, or anonymous. */
  readonly scopes: Scopes | null
  /** Packages that the token is limited to; null: none in particular. */
  readonly restriction: Restriction | null
  /** When the credentials end, ms since the epoch; null: not by themselves. */
  readonly expiresAt: number | null
  /** How the credentials came; Bearer and `token` are one. A registry token of nobody in particular is `bearer` too. */
  readonly via: 'anonymous' | 'basic' | 'bearer'
  /** The access token used, wherever it stood. */
  readonly tokenId: number | null
  /** Of the stored password that matched; null: none did. See `markOfPassword`. */
  readonly passwordMark: string | null
  /** A one-time code came with the password, and was good. */
  readonly hasCode: boolean
  /** What a registry token is limited to; null: not limited to named repositories. */
  readonly grants: Grants | null
  /** Whether it is a CI job that a trusted publisher lets act for `user`, who may be an organization. */
  readonly isJob: boolean
  /** The administrator who acts as `user`; null: nobody does (rest-api.md §1). */
  readonly sudoer: Owner | null
}

/** Nobody in particular. */
export const anonymous: Doer = Object.freeze({
  user: null,
  scopes: null,
  restriction: null,
  expiresAt: null,
  via: 'anonymous',
  tokenId: null,
  passwordMark: null,
  hasCode: false,
  grants: null,
  isJob: false,
  sudoer: null,
})
