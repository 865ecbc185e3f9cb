import { col, fn, Op, type Transaction, type WhereOptions, where as whereOf } from 'sequelize'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Conflict } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { NameBinding } from '../models/name-binding.ts'
import type { PackageEvents } from '../packages/events.ts'
import type { NameMatcher } from './name-patterns.ts'

/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000
const PAGE = 10_000

/** What NameBindings is built from. */
export interface NameBindingsParts {
  db: Database
  models: Models
  notices: Notices
  clock: Clock
  events: PackageEvents
}

/** Where a name comes from. Upstream id 0: hosted. */
export interface Binding {
  readonly upstreamId: number
  /** All sources of the name make one package. */
  readonly merge: boolean
}

/** A name of an owner. */
export interface BoundName {
  readonly ownerId: number
  readonly type: string
  readonly lowerName: string
}

/** Which bindings of an owner are listed; what is left out does not matter. */
export interface BindingQuery {
  readonly ownerId: number
  readonly type?: string | undefined
  readonly upstreamId?: number | undefined
  readonly merge?: boolean | undefined
  /** Part of the name, in lower case. */
  readonly part?: string | undefined
}

/** Where names of owners come from, as it was decided once (pull-through.md §7). */
export class NameBindings {
  readonly #parts: NameBindingsParts
  readonly #cache: Cache<{ binding: Binding | null }>

  constructor(parts: NameBindingsParts) {
    this.#parts = parts
    this.#cache = new Cache({ name: 'bindings', max: 100_000, ttl: NOTICE_LOST }, parts.notices)
    // The first version of a name binds it to its owner for ever, in the transaction that created it.
    parts.events.on((event) => {
      if (event.action === 'changed') this.#cache.invalidate(keyOf(event))
    })
  }

  /** What a name is bound to; null: unbound. */
  async find(name: BoundName): Promise<Binding | null> {
    const { binding } = await this.#cache.get(keyOf(name), async () => {
      const row = await this.#parts.models.nameBinding.findOne({ where: { ...name } })
      return { binding: row === null ? null : { upstreamId: row.upstreamId, merge: row.merge } }
    })
    return binding
  }

  /** Binds a name to an upstream unless it is bound already. */
  async bind(name: BoundName, upstreamId: number): Promise<void> {
    const { db, models, clock } = this.#parts
    await db.inTransaction(async (transaction) => {
      if ((await models.nameBinding.count({ where: { ...name }, transaction })) > 0) return
      await models.nameBinding.create({ ...name, upstreamId, createdAt: clock.now() }, { transaction })
    })
    this.#cache.invalidate(keyOf(name))
  }

  /** One page of an owner's bindings, by type and name, past the cache. */
  async list(
    { ownerId, type, upstreamId, merge, part }: BindingQuery,
    { limit, offset }: { limit: number; offset: number },
  ): Promise<{ rows: NameBinding[]; total: number }> {
    const equal = {
      ...{ ownerId },
      ...(type === undefined ? {} : { type }),
      ...(upstreamId === undefined ? {} : { upstreamId }),
      ...(merge === undefined ? {} : { merge }),
    }
    // INSTR, because LIKE has wildcards.
    const within = part === undefined ? [] : [whereOf(fn('instr', col('lower_name'), part), { [Op.gt]: 0 })]
    const where: WhereOptions<NameBinding> = { [Op.and]: [equal, ...within] }
    const order: [string, string][] = [
      ['type', 'ASC'],
      ['lowerName', 'ASC'],
    ]
    const { rows, count } = await this.#parts.models.nameBinding.findAndCountAll({ where, order, limit, offset })
    return { rows, total: count }
  }

  /** As it is in the database; null: unbound. */
  read(name: BoundName): Promise<NameBinding | null> {
    return this.#parts.models.nameBinding.findOne({ where: { ...name } })
  }

  /**
   * Binds a name, whatever it was bound to. Conflict when the owner hosts packages of that name and it would be an
   * upstream's: they would be hidden.
   */
  async set(name: BoundName, binding: Binding, author: string): Promise<void> {
    const { db, models, clock } = this.#parts
    await db.inTransaction(async (transaction) => {
      const row = await models.nameBinding.findOne({ where: { ...name }, lock: true, transaction })
      // After the lock, which a publisher of the name waits for, or has held until his rows were committed.
      if (binding.upstreamId !== 0 && (await this.#hosts(name, transaction))) {
        throw new Conflict('package', `there are hosted versions of ${name.lowerName}: delete them, or merge`)
      }
      if (row === null) {
        await models.nameBinding.create({ ...name, ...binding, author, createdAt: clock.now() }, { transaction })
      } else await row.update({ ...binding, author }, { transaction })
    })
    this.#cache.invalidate(keyOf(name))
  }

  /** Unbinds a name; one with hosted packages is bound to its owner, and no more than that. Returns whether it was bound. */
  async clear(name: BoundName): Promise<boolean> {
    const { db, models } = this.#parts
    const wasBound = await db.inTransaction(async (transaction) => {
      const row = await models.nameBinding.findOne({ where: { ...name }, lock: true, transaction })
      if (row === null) return false
      if (await this.#hosts(name, transaction)) {
        await row.update({ upstreamId: 0, merge: false, author: '' }, { transaction })
      } else await row.destroy({ transaction })
      return true
    })
    this.#cache.invalidate(keyOf(name))
    return wasBound
  }

  /** Those of the names, in lower case, that some owner hosts, and shares with no upstream. */
  async hostedAmong(type: string, names: readonly string[]): Promise<Set<string>> {
    const lowerName = { [Op.in]: names.map((name) => name.toLowerCase()) }
    const rows = await this.#parts.models.nameBinding.findAll({
      where: { type, upstreamId: 0, merge: false, lowerName },
      attributes: ['lowerName'],
      raw: true,
    })
    return new Set(rows.map(({ lowerName }) => lowerName))
  }

  /** Unbinds the names that upstreams have and the matcher means, of one owner or of all: they may be published then. */
  async release(type: string, isMeant: NameMatcher, ownerId?: number): Promise<void> {
    const { db, models } = this.#parts
    const { nameBinding } = models
    let after = 0
    while (true) {
      const rows = await nameBinding.findAll({
        where: {
          type,
          upstreamId: { [Op.ne]: 0 },
          id: { [Op.gt]: after },
          ...(ownerId === undefined ? {} : { ownerId }),
        },
        attributes: ['id', 'ownerId', 'lowerName'],
        order: [['id', 'ASC']],
        limit: PAGE,
        raw: true,
      })
      const released = rows.filter(({ lowerName }) => isMeant(lowerName))
      if (released.length > 0) {
        const where = { id: released.map(({ id }) => id) }
        await db.inTransaction((transaction) => nameBinding.destroy({ where, transaction }))
      }
      for (const row of released) this.#cache.invalidate(keyOf({ ...row, type }))
      if (rows.length < PAGE) return
      after = rows.at(-1)!.id
    }
  }

  async #hosts({ ownerId, type, lowerName }: BoundName, transaction: Transaction): Promise<boolean> {
    const { models } = this.#parts
    const row = await models.package.findOne({ where: { ownerId, type, lowerName }, attributes: ['id'], transaction })
    if (row === null) return false
    return (await models.packageVersion.count({ where: { packageId: row.id, isInternal: false }, transaction })) > 0
  }
}

function keyOf({ ownerId, type, lowerName }: BoundName): string {
  return `${ownerId}:${type}:${lowerName}`
}
