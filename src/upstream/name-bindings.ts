import { Op } from 'sequelize'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
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

/** Where names of owners come from, as it was decided once (pull-through.md §7). Upstream id 0: hosted. */
export class NameBindings {
  readonly #parts: NameBindingsParts
  readonly #cache: Cache<{ upstreamId: number | null }>

  constructor(parts: NameBindingsParts) {
    this.#parts = parts
    this.#cache = new Cache({ name: 'bindings', max: 100_000, ttl: NOTICE_LOST }, parts.notices)
    // The first version of a name binds it to its owner for ever, in the transaction that created it.
    parts.events.on((event) => {
      if (event.action === 'changed') this.#cache.invalidate(keyOf(event.ownerId, event.type, event.lowerName))
    })
  }

  /** The upstream that a name is bound to; null: unbound. */
  async find(ownerId: number, type: string, lowerName: string): Promise<number | null> {
    const { upstreamId } = await this.#cache.get(keyOf(ownerId, type, lowerName), async () => {
      const where = { ownerId, type, lowerName }
      const row = await this.#parts.models.nameBinding.findOne({ where, attributes: ['upstreamId'], raw: true })
      return { upstreamId: row?.upstreamId ?? null }
    })
    return upstreamId
  }

  /** Binds a name to an upstream unless it is bound already. */
  async bind(ownerId: number, type: string, lowerName: string, upstreamId: number): Promise<void> {
    const { db, models, clock } = this.#parts
    const where = { ownerId, type, lowerName }
    await db.inTransaction(async (transaction) => {
      if ((await models.nameBinding.count({ where, transaction })) > 0) return
      await models.nameBinding.create({ ...where, upstreamId, createdAt: clock.now() }, { transaction })
    })
    this.#cache.invalidate(keyOf(ownerId, type, lowerName))
  }

  /** Those of the names, in lower case, that some owner hosts. */
  async hostedAmong(type: string, names: readonly string[]): Promise<Set<string>> {
    const rows = await this.#parts.models.nameBinding.findAll({
      where: { type, upstreamId: 0, lowerName: { [Op.in]: names.map((name) => name.toLowerCase()) } },
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
      for (const row of released) this.#cache.invalidate(keyOf(row.ownerId, type, row.lowerName))
      if (rows.length < PAGE) return
      after = rows.at(-1)!.id
    }
  }
}

function keyOf(ownerId: number, type: string, lowerName: string): string {
  return `${ownerId}:${type}:${lowerName}`
}
