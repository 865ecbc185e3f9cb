import type { Transaction } from 'sequelize'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Conflict, Forbidden, Invalid, NotFound, Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { User } from '../models/user.ts'
import {
  type AccountChanges,
  accountColumns,
  type Columns,
  checkTexts,
  definedOnly,
  type NewOrganization,
  type NewUser,
  type UserChanges,
  userColumns,
} from './account-columns.ts'
import { AccountListing } from './account-listing.ts'
import { type AlsoRenamed, isEmailUsable, moveName, requireEmailFree } from './account-names.ts'
import { type AccountRecord, AccountRecords } from './account-records.ts'
import {
  canAdminister,
  deleteRows,
  requireAnotherAdmin,
  requireNoOrganizations,
  requireNoPackages,
  requireNoRepositories,
  requireOtherOwners,
} from './account-removal.ts'
import { checkEmail, checkName, checkPassword } from './account-rules.ts'
import { createFirstAdmin, type FirstAdminConfig } from './first-admin.ts'
import type { Memberships } from './memberships.ts'
import { type Owner, toOwner, type Visibility } from './owner.ts'
import type { Passwords } from './passwords.ts'

export type { AccountChanges, NewOrganization, NewUser, UserChanges } from './account-columns.ts'
export { reservedNames } from './account-rules.ts'
export type { Owner, Visibility } from './owner.ts'

/** Whether a name, in lower case, is kept from users and organizations. */
export type IsReserved = (lowerName: string, transaction: Transaction) => Promise<boolean>

/** What Accounts needs. */
export interface AccountsParts {
  readonly db: Database
  readonly models: Models
  readonly notices: Notices
  readonly clock: Clock
  readonly memberships: Memberships
  readonly passwords: Passwords
  readonly minPasswordLength: number
}

/** Users, organizations and mirrors: who exists. They share one namespace, whatever the case (rest-api.md §6, §7). */
export class Accounts {
  readonly listing: AccountListing
  readonly #parts: AccountsParts
  readonly #records: AccountRecords
  readonly #reserved = new Set<string>()
  #isReserved: IsReserved = async () => false

  constructor(parts: AccountsParts) {
    this.#parts = parts
    this.#records = new AccountRecords(parts.models, parts.notices)
    this.listing = new AccountListing(parts.models)
  }

  /** Keeps these names, in any case, from users and organizations: mirrors are found by them (pull-through.md §1.4). */
  reserve(names: readonly string[]): void {
    for (const name of names) this.#reserved.add(name.toLowerCase())
  }

  /** The same for names that are asked for when somebody wants one: another replica may have taken it since. */
  reserveBy(isReserved: IsReserved): void {
    this.#isReserved = isReserved
  }

  /** The account of that name, in any case; no SQL when warm. */
  async find(name: string): Promise<Owner | null> {
    return (await this.#records.find(name))?.owner ?? null
  }

  /** No SQL when warm. */
  async findById(id: number): Promise<Owner | null> {
    return (await this.#records.findById(id))?.owner ?? null
  }

  /** Who had the name, in any case, before he got another, and nobody has taken it since; no SQL when warm. */
  async findRenamed(name: string): Promise<Owner | null> {
    return (await this.#records.findRenamed(name))?.owner ?? null
  }

  /** For sign-in alone: the account with its password hash. */
  async findRecord(name: string): Promise<AccountRecord | null> {
    return this.#records.find(name)
  }

  /** As `findRecord`; no SQL when warm. */
  async findRecordById(id: number): Promise<AccountRecord | null> {
    return this.#records.findById(id)
  }

  /** Unprocessable for a name or e-mail address that is malformed, reserved or taken; Invalid for a bad password. */
  async createUser(input: NewUser): Promise<Owner> {
    checkName(input.username)
    checkEmail(input.email)
    checkPassword(input.password, input.username, this.#parts.minPasswordLength)
    const passwordHash = await this.#parts.passwords.hash(input.password)
    const columns = { ...userColumns(input), ...definedOnly({ createdAt: input.createdAt }) }
    const user = await this.#parts.db.inTransaction(async (transaction) => {
      await requireEmailFree(this.#parts.models, input.email, transaction)
      await this.#requireNameFree(input.username, transaction)
      return this.#insert('user', input.username, { ...columns, passwordHash }, transaction)
    })
    return this.#changed(user)
  }

  /**
   * Makes a user without a password, who signs in elsewhere; `also` writes in the same transaction who he is there. An
   * e-mail address that is malformed or another's is left out. Unprocessable for a name that is malformed, reserved or
   * taken.
   */
  async createExternalUser(
    { username, email, fullName }: { username: string; email: string; fullName: string },
    also: (user: { readonly id: number }, transaction: Transaction) => Promise<void>,
  ): Promise<Owner> {
    checkName(username)
    const user = await this.#parts.db.inTransaction(async (transaction) => {
      await this.#requireNameFree(username, transaction)
      const isUsable = await isEmailUsable(this.#parts.models, email, transaction)
      const row = await this.#insert('user', username, { email: isUsable ? email : '', fullName }, transaction)
      await also(row, transaction)
      return row
    })
    return this.#changed(user)
  }

  /**
   * Makes the organization with its team "Owners" and the creator in it. Forbidden for a creator who may not;
   * Unprocessable for a bad name, e-mail address or website.
   */
  async createOrganization(creator: Owner, input: NewOrganization): Promise<Owner> {
    if (!creator.isAdmin && !creator.allowCreateOrganization) {
      throw new Forbidden('you are not allowed to create organizations', 'organization')
    }
    checkName(input.username)
    checkTexts(input)
    const organization = await this.#parts.db.inTransaction(async (transaction) => {
      await this.#requireNameFree(input.username, transaction)
      const org = await this.#insert('organization', input.username, accountColumns(input), transaction)
      const team = { orgId: org.id, name: 'Owners', lowerName: 'owners', permission: 'owner' as const }
      const { id } = await this.#parts.models.team.create(team, { transaction })
      await this.#parts.models.teamUser.create({ teamId: id, orgId: org.id, userId: creator.id }, { transaction })
      return org
    })
    this.#parts.memberships.changed(creator.id)
    return this.#changed(organization)
  }

  /**
   * The mirror of that name, made or given the description and visibility as needed. Conflict when a user or an
   * organization has the name, Unprocessable when nobody may have it.
   */
  async ensureMirror(name: string, description: string, visibility: Visibility = 'public'): Promise<Owner> {
    checkName(name)
    const wanted = { description, visibility }
    const mirror = await this.#parts.db.inTransaction(async (transaction) => {
      const lowerName = name.toLowerCase()
      const row = await this.#parts.models.user.findOne({ where: { lowerName }, transaction })
      if (row === null) return this.#insert('mirror', name, wanted, transaction)
      if (row.kind !== 'mirror')
        throw new Conflict('owner', `the name ${name} belongs to a ${row.kind}, not to a mirror`)
      if (row.description !== description || row.visibility !== visibility) {
        await row.update({ ...wanted, updatedAt: this.#parts.clock.now() }, { transaction })
      }
      return row
    })
    return this.#changed(mirror)
  }

  /** Invalid for a bad password or the last administrator; Unprocessable for a bad e-mail address or website. */
  async updateUser(user: Owner, changes: UserChanges): Promise<Owner> {
    checkTexts(changes)
    const { models, passwords, minPasswordLength, clock } = this.#parts
    const password = changes.password ?? ''
    if (password !== '') checkPassword(password, user.name, minPasswordLength)
    const hashed = password === '' ? {} : { passwordHash: await passwords.hash(password) }
    const row = await this.#parts.db.inTransaction(async (transaction) => {
      const found = await models.user.findByPk(user.id, { transaction })
      if (found === null) throw new NotFound('user', user.name)
      if (changes.email !== undefined) await requireEmailFree(models, changes.email, transaction, user.id)
      const before = canAdminister(found)
      found.set({ ...userColumns(changes), ...hashed, updatedAt: clock.now() })
      if (before && !canAdminister(found)) {
        await requireAnotherAdmin(models, user, transaction).catch((error: unknown) => {
          // Gitea answers 400 to this change, 422 to the deletion.
          throw error instanceof Unprocessable ? new Invalid(error.message, 'user') : error
        })
      }
      return found.save({ transaction })
    })
    return this.#changed(row)
  }

  /** Unprocessable for a bad e-mail address or website. */
  async updateOrganization(organization: Owner, changes: AccountChanges): Promise<Owner> {
    checkTexts(changes)
    const { models, clock } = this.#parts
    const row = await this.#parts.db.inTransaction(async (transaction) => {
      const found = await models.user.findByPk(organization.id, { transaction })
      if (found === null) throw new NotFound('organization', organization.name)
      return found.update({ ...accountColumns(changes), updatedAt: clock.now() }, { transaction })
    })
    return this.#changed(row)
  }

  /** Another name for a user or an organization. Unprocessable for one that is malformed, reserved or taken. */
  async rename(account: Owner, name: string, also: AlsoRenamed): Promise<Owner> {
    checkName(name)
    const { db, models, clock } = this.#parts
    const { row, lowerName } = await db.inTransaction(async (transaction) => {
      const found = await models.user.findByPk(account.id, { lock: transaction.LOCK.UPDATE, transaction })
      if (found === null) throw new NotFound(account.kind === 'user' ? 'user' : 'organization', account.name)
      const before = found.lowerName
      if (name.toLowerCase() !== before) await this.#requireNameFree(name, transaction)
      await moveName(models, found, name, clock.now(), transaction)
      await also(before, found.lowerName, transaction)
      return { row: found, lowerName: before }
    })
    this.#records.changed({ id: account.id, lowerName })
    return this.#changed(row)
  }

  /**
   * Deletes a user with his tokens. Unprocessable while he owns packages or repositories, is in an organization, or is the
   * last administrator. With `purgePackages`, which must delete both, he leaves his organizations too; it is not
   * called when he is the last owner of one, or the last administrator.
   */
  async deleteUser(user: Owner, purgePackages?: () => Promise<void>): Promise<void> {
    const { db, models, memberships } = this.#parts
    const check = async (transaction: Transaction) => {
      if (purgePackages === undefined) await requireNoOrganizations(models, user, transaction)
      else await requireOtherOwners(models, user, transaction)
      const row = await models.user.findByPk(user.id, { transaction })
      if (row !== null && canAdminister(row)) await requireAnotherAdmin(models, user, transaction)
    }
    if (purgePackages !== undefined) {
      await db.inTransaction(check)
      await purgePackages()
    }
    await db.inTransaction(async (transaction) => {
      await requireNoPackages(models, user, transaction)
      await requireNoRepositories(models, user, transaction)
      await check(transaction)
      await deleteRows(models, user, transaction)
    })
    memberships.changed(user.id)
    this.#records.changed(user)
  }

  /** Deletes an organization with its teams and attachments. Unprocessable while it owns packages or repositories. */
  async deleteOrganization(organization: Owner): Promise<void> {
    const { db, models, memberships } = this.#parts
    await db.inTransaction(async (transaction) => {
      await requireNoPackages(models, organization, transaction)
      await requireNoRepositories(models, organization, transaction)
      await deleteRows(models, organization, transaction)
    })
    memberships.changed(null)
    this.#records.changed(organization)
  }

  /**
   * Makes the first administrator when there is none; `announce` gets one line if so. See `createFirstAdmin` for what
   * the settings do.
   */
  async ensureFirstAdmin(
    config: { readonly admin: FirstAdminConfig },
    dataDir: string,
    announce: (line: string) => void,
  ): Promise<void> {
    const { models, passwords, minPasswordLength } = this.#parts
    const hasAdmin = async () => (await models.user.count({ where: { kind: 'user', isAdmin: true } })) > 0
    const insert = (name: string, passwordHash: string) => this.#insertFirstAdmin(name, passwordHash)
    await createFirstAdmin(config.admin, { dataDir, announce, passwords, minPasswordLength, hasAdmin, insert })
  }

  async #insertFirstAdmin(name: string, passwordHash: string): Promise<boolean> {
    const { db, models } = this.#parts
    const admin = await db.inTransaction(async (transaction) => {
      // In this order: the name may be taken because another server has just made this very administrator.
      const refusal = await this.#requireNameFree(name, transaction).then(
        () => null,
        (error: unknown) => error,
      )
      if ((await models.user.count({ where: { kind: 'user', isAdmin: true }, transaction })) > 0) return null
      if (refusal !== null) throw refusal
      const columns = { email: `${name}@localhost`, isAdmin: true, passwordHash }
      return this.#insert('user', name, columns, transaction)
    })
    if (admin !== null) this.#changed(admin)
    return admin !== null
  }

  /** Who loses a race for the name is repeated by inTransaction, and then finds what the winner made. */
  async #insert(kind: User['kind'], name: string, columns: Columns, transaction: Transaction): Promise<User> {
    const { models, clock } = this.#parts
    const lowerName = name.toLowerCase()
    const now = clock.now()
    await models.accountRedirect.destroy({ where: { lowerName }, transaction })
    return models.user.create({ createdAt: now, updatedAt: now, ...columns, kind, name, lowerName }, { transaction })
  }

  async #requireNameFree(name: string, transaction: Transaction): Promise<void> {
    const lowerName = name.toLowerCase()
    const isReserved = this.#reserved.has(lowerName) || (await this.#isReserved(lowerName, transaction))
    if (isReserved) throw new Unprocessable(`name is reserved [name: ${name}]`)
    const taken = await this.#parts.models.user.count({ where: { lowerName }, transaction })
    if (taken > 0) throw new Unprocessable(`user already exists [name: ${name}]`)
  }

  #changed(row: User): Owner {
    const owner = toOwner(row)
    this.#records.changed(owner)
    return owner
  }
}
