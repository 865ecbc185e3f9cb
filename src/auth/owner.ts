import type { User, Visibility } from '../models/user.ts'

export type { Visibility } from '../models/user.ts'

/** A user, an organization or a mirror as everything above the database sees it: frozen, without the password. */
export interface Owner {
  readonly id: number
  readonly kind: 'user' | 'organization' | 'mirror'
  readonly name: string
  readonly lowerName: string
  readonly fullName: string
  readonly email: string
  readonly visibility: Visibility
  readonly isAdmin: boolean
  readonly isActive: boolean
  readonly isRestricted: boolean
  readonly prohibitLogin: boolean
  readonly mustChangePassword: boolean
  readonly allowCreateOrganization: boolean
  readonly description: string
  readonly website: string
  readonly location: string
  /** Ms since the epoch. */
  readonly createdAt: number
  readonly updatedAt: number
  /** 0: never. */
  readonly lastLoginAt: number
}

/** The public part of a row. */
export function toOwner(row: User): Owner {
  return Object.freeze({
    id: row.id,
    kind: row.kind,
    name: row.name,
    lowerName: row.lowerName,
    fullName: row.fullName,
    email: row.email,
    visibility: row.visibility,
    isAdmin: row.isAdmin,
    isActive: row.isActive,
    isRestricted: row.isRestricted,
    prohibitLogin: row.prohibitLogin,
    mustChangePassword: row.mustChangePassword,
    allowCreateOrganization: row.allowCreateOrganization,
    description: row.description,
    website: row.website,
    location: row.location,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    lastLoginAt: row.lastLoginAt,
  })
}

/**
 * Whether an account may not act now, whatever the credentials (rest-api.md §1). Organizations act through their jobs
 * alone: see `actingWith`.
 */
export function isBlocked(account: Owner): boolean {
  return account.kind === 'mirror' || !account.isActive || account.prohibitLogin
}

/**
 * Who acts with an access token of the account; null: nobody may. A CI job acts for the owner who trusts it, user or
 * organization, and has no rights but to what is his.
 */
export function actingWith(token: { readonly isJob: boolean }, account: Owner | null): Owner | null {
  if (account === null || account.kind === 'mirror') return null
  if (!token.isJob) return account.kind === 'user' ? account : null
  return Object.freeze({ ...account, isAdmin: false, isRestricted: true, allowCreateOrganization: false })
}
