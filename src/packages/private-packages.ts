import { QueryTypes, type Transaction } from 'sequelize'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Database } from '../db/connect.ts'
import { NotFound } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { PackageEvents } from './events.ts'
import { lockPackage } from './locks.ts'
import type { PackageRow } from './package-info.ts'
import type { PackageLookup } from './package-lookup.ts'

/** A notice that is lost hides a change for this long, ms. */
const TTL = 60_000
/** Bytes of names kept, roughly. */
const NAMES_SIZE = 32 * 1024 * 1024

/** What PrivatePackages needs. */
export interface PrivatePackagesParts {
  readonly db: Database
  readonly models: Models
  readonly notices: Notices
  readonly lookup: PackageLookup
  readonly events: PackageEvents
}

/**
 * Which packages are private whatever their owner is. Every request asks, so that the names are kept by owner, most of
 * whom have none: a warm answer runs no SQL.
 */
export class PrivatePackages {
  readonly #parts: PrivatePackagesParts
  readonly #names: Cache<ReadonlySet<string>>

  constructor(parts: PrivatePackagesParts) {
    this.#parts = parts
    const sizeOf = (names: ReadonlySet<string>) => [...names].reduce((size, name) => size + 2 * name.length + 50, 100)
    this.#names = new Cache({ name: 'private-packages', maxSize: NAMES_SIZE, sizeOf, ttl: TTL }, parts.notices)
    parts.events.on((event) => {
      // It may be gone, and somebody make another one of its name.
      if (
        event.action === 'changed' &&
        this.#names.peek(String(event.ownerId))?.has(toKey(event.type, event.lowerName))
      )
        this.changed(event.ownerId)
    })
  }

  /** Whether the owner has a private package of that type and name, in whatever case. */
  async has(ownerId: number, type: string, name: string): Promise<boolean> {
    const names = await this.#names.get(String(ownerId), () => this.#load(ownerId))
    return names.has(toKey(type, name.toLowerCase()))
  }

  /** Makes a package private, or as visible as its owner. NotFound when it is gone. */
  async set(row: PackageRow, isPrivate: boolean): Promise<void> {
    const { db, models, lookup, events } = this.#parts
    await db.inTransaction(async (transaction: Transaction) => {
      if (!(await lockPackage(db, row, transaction))) throw new NotFound('package', row.name)
      await models.package.update({ isPrivate }, { where: { id: row.id }, transaction })
    })
    const { ownerId, type, lowerName } = row
    this.changed(ownerId)
    lookup.forget(row)
    events.emit({ action: 'changed', ownerId, type, lowerName })
  }

  /** To be called after the commit that made a package of the owner private, or private no more. */
  changed(ownerId: number): void {
    this.#names.invalidate(String(ownerId))
  }

  async #load(ownerId: number): Promise<ReadonlySet<string>> {
    const rows = await this.#parts.db.sequelize.query<{ type: string; name: string }>(
      'SELECT type, lower_name AS name FROM package WHERE owner_id = $1 AND is_private = 1',
      { type: QueryTypes.SELECT, bind: [ownerId] },
    )
    return new Set(rows.map(({ type, name }) => toKey(type, name)))
  }
}

function toKey(type: string, lowerName: string): string {
  return `${type}/${lowerName}`
}
