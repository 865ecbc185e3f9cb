import { Forbidden } from '../errors.ts'
import type { AccessToken } from '../models/access-token.ts'
import type { Doer } from './doer.ts'
import { Restriction, type RestrictionLists } from './restriction.ts'
import { Scopes } from './scopes.ts'

/** What limits a token besides its scopes. */
export interface TokenLimits {
  /** Null: it reaches whatever its user may. */
  readonly restriction: Restriction | null
  /** Ms since the epoch; null: never. */
  readonly expiresAt: number | null
}

/** All that a token may, and how long. */
export interface TokenRights extends TokenLimits {
  readonly scopes: Scopes
}

/** The columns that hold the rights. */
type Columns = Pick<AccessToken, 'scopes' | 'expiresAt' | 'limits'>

/** What `limits` holds. */
interface Limits {
  readonly scopes: string
  readonly restriction: RestrictionLists | null
}

/**
 * The rights of a token that the doer makes. What is not asked for is as in the token he uses; what is more than that is
 * Forbidden: a token never makes a stronger one (security.md S8), and one for public owners others for public owners.
 */
export function grantRights(doer: Pick<Doer, keyof TokenRights>, asked: TokenRights): TokenRights {
  const scopes = doer.scopes?.publicOnly === true ? asked.scopes.restrictToPublic() : asked.scopes
  if (doer.scopes !== null && !scopes.isSubsetOf(doer.scopes)) {
    throw new Forbidden('the token in use has not all of these scopes', 'token')
  }
  const restriction = asked.restriction ?? doer.restriction
  if (doer.restriction !== null && !restriction!.isWithin(doer.restriction)) {
    throw new Forbidden('the token in use is restricted to other packages', 'token')
  }
  const expiresAt = asked.expiresAt ?? doer.expiresAt
  if (doer.expiresAt !== null && expiresAt! > doer.expiresAt) {
    throw new Forbidden('the token in use expires before', 'token')
  }
  return { scopes, restriction, expiresAt }
}

/** Rights as columns. To a release that knows of no limits a token with some has no rights at all. */
export function packLimits(scopes: Scopes, { restriction, expiresAt }: TokenLimits): Columns {
  if (restriction === null && expiresAt === null) return { scopes: scopes.toStored(), expiresAt, limits: null }
  const limits: Limits = { scopes: scopes.toStored(), restriction: restriction?.toLists() ?? null }
  return { scopes: 'public-only', expiresAt, limits: JSON.stringify(limits) }
}

/** The reverse of `packLimits`. */
export function unpackLimits({ scopes, expiresAt, limits }: Columns): TokenLimits & { readonly scopes: string } {
  if (limits === null) return { scopes, expiresAt: expiresAt ?? null, restriction: null }
  const held = JSON.parse(limits) as Limits
  return {
    scopes: held.scopes,
    expiresAt: expiresAt ?? null,
    restriction: held.restriction === null ? null : new Restriction(held.restriction),
  }
}

/** The rights of a token that is used. */
export function rightsOf(token: TokenLimits & { readonly scopes: string }): TokenRights {
  const { restriction, expiresAt } = token
  return { scopes: Scopes.fromStored(token.scopes), restriction, expiresAt }
}
