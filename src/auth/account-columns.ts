import type { Attributes } from 'sequelize'
import type { User } from '../models/user.ts'
import { checkEmail, checkWebsite } from './account-rules.ts'
import type { Visibility } from './owner.ts'

/** A new user; what is left out has the column's default. */
export interface NewUser {
  readonly username: string
  readonly email: string
  readonly password: string
  readonly fullName?: string | undefined
  readonly isAdmin?: boolean | undefined
  /** Default false; a user with true can do nothing over REST before an administrator changes the password. */
  readonly mustChangePassword?: boolean | undefined
  readonly visibility?: Visibility | undefined
  readonly isRestricted?: boolean | undefined
  /** Ms since the epoch; now by default. */
  readonly createdAt?: number | undefined
}

/** What may change of a user or an organization; undefined: as it is. */
export interface AccountChanges {
  readonly fullName?: string | undefined
  readonly email?: string | undefined
  readonly description?: string | undefined
  readonly website?: string | undefined
  readonly location?: string | undefined
  readonly visibility?: Visibility | undefined
}

/** What only an administrator may change of a user; undefined: as it is. */
export interface UserChanges extends AccountChanges {
  /** Empty: as it is. */
  readonly password?: string | undefined
  readonly isAdmin?: boolean | undefined
  readonly isActive?: boolean | undefined
  readonly isRestricted?: boolean | undefined
  readonly prohibitLogin?: boolean | undefined
  readonly mustChangePassword?: boolean | undefined
  readonly allowCreateOrganization?: boolean | undefined
}

/** A new organization. */
export interface NewOrganization extends AccountChanges {
  readonly username: string
}

/** Columns of a row and their new values. */
export type Columns = Partial<Attributes<User>>

/** The columns that a caller may set; everything else in the input is ignored here, and refused by the REST schemas. */
export function userColumns(input: UserChanges): Columns {
  const { isAdmin, isActive, isRestricted, prohibitLogin, mustChangePassword, allowCreateOrganization } = input
  return definedOnly({
    ...accountColumns(input),
    isAdmin,
    isActive,
    isRestricted,
    prohibitLogin,
    mustChangePassword,
    allowCreateOrganization,
  })
}

/** The columns of what users and organizations may both change. */
export function accountColumns({
  fullName,
  email,
  description,
  website,
  location,
  visibility,
}: AccountChanges): Columns {
  return definedOnly({ fullName, email, description, website, location, visibility })
}

/** Without the fields that are undefined. */
export function definedOnly<T extends object>(columns: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(columns).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> }
}

/** Unprocessable for a malformed e-mail address or website. */
export function checkTexts(input: AccountChanges): void {
  if (input.email !== undefined && input.email !== '') checkEmail(input.email)
  if (input.website !== undefined) checkWebsite(input.website)
}
