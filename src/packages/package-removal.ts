import { QueryTypes, type Transaction } from 'sequelize'
import type { Owner } from '../auth/owner.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import type { PackageEvents } from './events.ts'
import { toKey } from './keys.ts'
import { forUpdate, lockPackage, lockVersion } from './locks.ts'
import { refType } from './package-descriptor.ts'
import type { FileRow, PackageRow, VersionRow } from './package-info.ts'
import type { PackageLookup } from './package-lookup.ts'
import type { RulesByType } from './package-rules.ts'
import { type Raw, versionTable } from './rows.ts'

/** A package with its owner; a descriptor is one. */
export interface PackageTarget {
  readonly owner: Owner
  readonly package: PackageRow
}

/** A version; a descriptor is one. */
export interface VersionTarget extends PackageTarget {
  readonly version: VersionRow
}

/** A file; `{ owner, ...fileRecord }` is one. */
export interface FileTarget extends VersionTarget {
  readonly file: FileRow
}

/** Ids per statement: SQLite takes a million characters at most. */
const BATCH = 1_000

/**
 * Deletes packages, versions and files (gitea-model.md §6). Blobs, their contents and packages without versions stay
 * for garbage collection; the binding of the name stays for good. What is gone already is no error: the result says
 * whether this call deleted it, and only then there are events.
 */
export class PackageRemoval {
  readonly #db: Database
  readonly #models: Models
  readonly #lookup: PackageLookup
  readonly #events: PackageEvents
  readonly #rules: RulesByType

  constructor(db: Database, models: Models, lookup: PackageLookup, events: PackageEvents, rules: RulesByType) {
    this.#db = db
    this.#models = models
    this.#lookup = lookup
    this.#events = events
    this.#rules = rules
  }

  /**
   * Deletes a version with its files, and the versions that its type says go with it. `isNeeded` is asked when nobody
   * can change the version any more, and may keep it.
   */
  async removePackageVersion(
    target: VersionTarget,
    doer: Owner | null,
    isNeeded: (transaction: Transaction) => Promise<boolean> = async () => false,
  ): Promise<boolean> {
    const { version } = target
    const removed = await this.#db.inTransaction(async (transaction) => {
      const { versionsRemovedWith } = this.#rules.get(target.package.type) ?? {}
      // Which versions go along an upload may be changing just now.
      if (versionsRemovedWith !== undefined && !(await lockPackage(this.#db, target.package, transaction))) return null
      if (!(await lockVersion(this.#db, version, transaction)) || (await isNeeded(transaction))) return null
      const others = (await versionsRemovedWith?.(this.#db, version, transaction)) ?? []
      const versions: VersionRow[] = []
      const fileIds: number[] = []
      for (const one of [version, ...others]) {
        const ids = await this.#deleteVersion(one, transaction)
        if (ids === null) continue
        versions.push(one)
        fileIds.push(...ids)
      }
      return { versions, fileIds }
    })
    if (removed === null) return false
    this.#announce(target, removed.versions, removed.fileIds, doer)
    return true
  }

  /** Deletes a package with all versions, internal ones included. */
  async removePackage(target: PackageTarget, doer: Owner | null): Promise<boolean> {
    const packageId = target.package.id
    const removed = await this.#db.inTransaction(async (transaction) => {
      if (!(await lockPackage(this.#db, target.package, transaction))) return null
      const rows = await this.#db.sequelize.query<Raw>(
        `SELECT ${versionTable.columns} FROM package_version v WHERE v.package_id = $1 ORDER BY v.id${forUpdate(this.#db)}`,
        { type: QueryTypes.SELECT, bind: [packageId], transaction },
      )
      const versions = rows.map((raw) => versionTable.read(raw)!)
      const versionIds = versions.map(({ id }) => id)
      const fileIds = await this.#deleteFiles(versionIds, transaction)
      await this.#deleteProperties(refType.version, versionIds, transaction)
      await this.#deleteProperties(refType.package, [packageId], transaction)
      await this.#models.packageVersion.destroy({ where: { packageId }, transaction })
      await this.#models.package.destroy({ where: { id: packageId }, transaction })
      return { versions, fileIds }
    })
    if (removed === null) return false
    this.#announce(target, removed.versions, removed.fileIds, doer)
    return true
  }

  /** Deletes a file, and its version when that has no other. */
  async removePackageFileAndVersionIfUnreferenced(target: FileTarget, doer: Owner | null): Promise<boolean> {
    const { version, file } = target
    const removed = await this.#db.inTransaction(async (transaction) => {
      if (!(await lockVersion(this.#db, version, transaction))) return null
      const count = await this.#models.packageFile.destroy({ where: { id: file.id }, transaction })
      if (count === 0) return null
      await this.#deleteProperties(refType.file, [file.id], transaction)
      const left = await this.#models.packageFile.count({ where: { versionId: version.id }, transaction })
      if (left === 0) await this.#deleteVersion(version, transaction)
      return { versionIsGone: left === 0 }
    })
    if (removed === null) return false
    this.#announce(target, removed.versionIsGone ? [version] : [], [file.id], doer)
    return true
  }

  /** Deletes everything that an owner has, package by package. */
  async removeAllPackages(owner: Owner, doer: Owner | null): Promise<void> {
    await this.#removeEach(owner, {}, doer)
  }

  /** Deletes what a mirror holds of one type, or of one package, whose name is taken exactly. */
  async removeAll(mirror: Owner, type: string, name?: string): Promise<void> {
    await this.#removeEach(mirror, name === undefined ? { type } : { type, lowerName: toKey(mirror, name) }, null)
  }

  async #removeEach(owner: Owner, where: { type?: string; lowerName?: string }, doer: Owner | null): Promise<void> {
    const rows = await this.#models.package.findAll({
      where: { ...where, ownerId: owner.id },
      order: ['id'],
      raw: true,
    })
    for (const row of rows) await this.removePackage({ owner, package: row }, doer)
  }

  /** The ids of the files that went with it; null when the version is not there. */
  async #deleteVersion(version: VersionRow, transaction: Transaction): Promise<number[] | null> {
    if (!(await lockVersion(this.#db, version, transaction))) return null
    const versionId = version.id
    const fileIds = await this.#deleteFiles([versionId], transaction)
    await this.#deleteProperties(refType.version, [versionId], transaction)
    await this.#models.packageVersion.destroy({ where: { id: versionId }, transaction })
    return fileIds
  }

  /** Ids first: MariaDB would run a subquery of DELETE once for each property of the table. */
  async #deleteFiles(versionIds: number[], transaction: Transaction): Promise<number[]> {
    const fileIds: number[] = []
    for (const versionId of batches(versionIds)) {
      const rows = await this.#models.packageFile.findAll({
        where: { versionId },
        attributes: ['id'],
        raw: true,
        transaction,
      })
      fileIds.push(...rows.map(({ id }) => Number(id)))
      await this.#models.packageFile.destroy({ where: { versionId }, transaction })
    }
    await this.#deleteProperties(refType.file, fileIds, transaction)
    return fileIds
  }

  async #deleteProperties(type: 0 | 1 | 2, ids: number[], transaction: Transaction): Promise<void> {
    for (const refId of batches(ids)) {
      await this.#models.packageProperty.destroy({ where: { refType: type, refId }, transaction })
    }
  }

  #announce({ owner, package: row }: PackageTarget, versions: VersionRow[], fileIds: number[], doer: Owner | null) {
    const { ownerId, type, name, lowerName } = row
    this.#lookup.forget(row)
    for (const fileId of fileIds) this.#events.emit({ action: 'file-removed', fileId })
    this.#events.emit({ action: 'changed', ownerId, type, lowerName })
    if (owner.kind === 'mirror') return
    for (const version of versions) {
      if (version.isInternal) continue
      const rows = { package: row, version }
      this.#events.emit({ action: 'deleted', owner, type, name, version: version.version, doer, rows })
    }
  }
}

function batches(ids: number[]): number[][] {
  const result: number[][] = []
  for (let start = 0; start < ids.length; start += BATCH) result.push(ids.slice(start, start + BATCH))
  return result
}
