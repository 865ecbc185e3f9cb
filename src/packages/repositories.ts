import type { Transaction } from 'sequelize'
import type { Owner } from '../auth/owner.ts'
import type { Page, Window } from '../auth/page.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Conflict, Forbidden, Invalid, NotFound, Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { Repository } from '../models/repository.ts'
import { lockPackage } from './locks.ts'
import type { PackageRow } from './package-info.ts'
import type { PackageLookup } from './package-lookup.ts'
import { checkRepositoryName, isPossibleRepositoryName, type RepositoryRow, toRepositoryRow } from './repository.ts'

/** What may be said of a repository; what is left out stays, or is empty and public in a new one. */
export interface RepositoryChanges {
  readonly name?: string | undefined
  /** Checked by the caller. */
  readonly url?: string | undefined
  readonly description?: string | undefined
  readonly isPrivate?: boolean | undefined
}

/** What Repositories needs. */
export interface RepositoriesParts {
  readonly db: Database
  readonly models: Models
  readonly clock: Clock
  readonly lookup: PackageLookup
}

/** Repositories of users and organizations, and the packages that are linked to them (gitea-model.md §6). */
export class Repositories {
  readonly #parts: RepositoriesParts

  constructor(parts: RepositoriesParts) {
    this.#parts = parts
  }

  /** Case-insensitive; always from the database. */
  async find(owner: { id: number }, name: string): Promise<RepositoryRow | null> {
    if (!isPossibleRepositoryName(name)) return null
    const where = { ownerId: owner.id, lowerName: name.toLowerCase() }
    const row = await this.#parts.models.repository.findOne({ where })
    return row === null ? null : toRepositoryRow(row)
  }

  /** One owner's, by name. */
  async list(owner: Owner, showsPrivate: boolean, { offset, limit }: Window): Promise<Page<RepositoryRow>> {
    const where = { ownerId: owner.id, ...(showsPrivate ? {} : { isPrivate: false }) }
    const order: [string, string][] = [['lowerName', 'ASC']]
    const { rows, count } = await this.#parts.models.repository.findAndCountAll({ where, order, offset, limit })
    return { rows: rows.map(toRepositoryRow), total: count }
  }

  /** Conflict when the owner has one of that name, Unprocessable for a bad name, NotFound when the owner is gone. */
  async create(owner: Owner, input: RepositoryChanges & { readonly name: string }): Promise<RepositoryRow> {
    const { db, models, clock } = this.#parts
    const { name, url = '', description = '', isPrivate = false } = input
    checkRepositoryName(name)
    const row = await db.inTransaction(async (transaction) => {
      // The owner cannot be deleted meanwhile.
      const held = await models.user.findByPk(owner.id, { lock: transaction.LOCK.UPDATE, transaction })
      if (held === null) throw new NotFound('owner', owner.name)
      if (await this.#isTaken(owner.id, name, transaction)) {
        throw new Conflict('repository', 'the repository with the same name already exists')
      }
      const now = clock.now()
      const columns = { ownerId: owner.id, name, lowerName: name.toLowerCase(), url, description, isPrivate }
      return models.repository.create({ ...columns, createdAt: now, updatedAt: now }, { transaction })
    })
    return toRepositoryRow(row)
  }

  /** Unprocessable for a name that is bad or taken, NotFound when the repository is gone. Links are by id and stay. */
  async update({ id }: RepositoryRow, changes: RepositoryChanges): Promise<RepositoryRow> {
    const { db, clock } = this.#parts
    const { name, ...others } = changes
    if (name !== undefined) checkRepositoryName(name)
    const row = await db.inTransaction(async (transaction) => {
      const found = await this.#lock(id, transaction)
      const lowerName = (name ?? found.name).toLowerCase()
      if (lowerName !== found.lowerName && (await this.#isTaken(found.ownerId, lowerName, transaction))) {
        throw new Unprocessable(`repo name is already taken [name: ${name}]`)
      }
      const given = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== undefined))
      return found.update({ name: name ?? found.name, lowerName, ...given, updatedAt: clock.now() }, { transaction })
    })
    return toRepositoryRow(row)
  }

  /** Its packages stay, linked to nothing. */
  async remove({ id }: RepositoryRow): Promise<void> {
    const { db, models, lookup } = this.#parts
    const packages = await db.inTransaction(async (transaction) => {
      await this.#lock(id, transaction)
      const linked = await models.package.findAll({ where: { repoId: id }, raw: true, transaction })
      await models.package.update({ repoId: 0 }, { where: { repoId: id }, transaction })
      await models.teamRepository.destroy({ where: { repoId: id }, transaction })
      await models.repository.destroy({ where: { id }, transaction })
      return linked
    })
    for (const row of packages) lookup.forget(row)
  }

  /** Deletes all repositories of an owner who is about to be deleted. */
  async removeAll(owner: Owner): Promise<void> {
    const rows = await this.#parts.models.repository.findAll({ where: { ownerId: owner.id } })
    for (const row of rows) {
      await this.remove(toRepositoryRow(row)).catch((error: unknown) => {
        if (!(error instanceof NotFound)) throw error
      })
    }
  }

  /** Links a package to a repository of its owner. Invalid when it is linked, to this one or another; NotFound. */
  async link(row: PackageRow, { id, ownerId }: RepositoryRow): Promise<void> {
    if (row.ownerId !== ownerId) throw new Forbidden('the repository has another owner', 'repository')
    await this.#relink(row, async (repoId, transaction) => {
      if (repoId !== 0) throw new Invalid('the package is linked to a repository already', 'package')
      await this.#lock(id, transaction)
      return id
    })
  }

  /** Invalid when the package is not linked; then Forbidden unless `mayUnlink`. */
  async unlink(row: PackageRow, mayUnlink: boolean): Promise<void> {
    await this.#relink(row, async (repoId) => {
      if (repoId === 0) throw new Invalid('the package is not linked to a repository', 'package')
      if (!mayUnlink) throw new Forbidden('unlinking needs admin access to the packages of the owner', 'user')
      return 0
    })
  }

  /** `choose` gets what the package is linked to, as nobody can change it any more, and tells what it shall be. */
  async #relink(row: PackageRow, choose: (repoId: number, transaction: Transaction) => Promise<number>): Promise<void> {
    const { db, models, lookup } = this.#parts
    await db.inTransaction(async (transaction) => {
      if (!(await lockPackage(db, row, transaction))) throw new NotFound('package', row.name)
      const found = await models.package.findByPk(row.id, { attributes: ['id', 'repoId'], transaction })
      const repoId = await choose(Number(found!.repoId), transaction)
      await models.package.update({ repoId }, { where: { id: row.id }, transaction })
    })
    lookup.forget(row)
  }

  async #lock(id: number, transaction: Transaction): Promise<Repository> {
    const row = await this.#parts.models.repository.findByPk(id, { lock: transaction.LOCK.UPDATE, transaction })
    if (row === null) throw new NotFound('repository')
    return row
  }

  async #isTaken(ownerId: number, name: string, transaction: Transaction): Promise<boolean> {
    const where = { ownerId, lowerName: name.toLowerCase() }
    return (await this.#parts.models.repository.count({ where, transaction })) > 0
  }
}
