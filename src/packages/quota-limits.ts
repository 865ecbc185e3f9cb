import type { Transaction } from 'sequelize'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'

/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000

/** The section `packages` of the configuration. -1: unlimited; 0 is a real limit. */
export interface QuotaLimits {
  /** Versions of one owner, all types. */
  readonly limitTotalOwnerCount: number
  /** Bytes of one owner's files. */
  readonly limitTotalOwnerSize: number
  /** Bytes of one file, by type. */
  readonly limits: Readonly<Record<string, number>>
}

/** What of that is different for one owner; null or absent: not different. */
export interface QuotaOverrides {
  readonly totalCount: number | null
  readonly totalSize: number | null
  readonly typeSizes: Readonly<Record<string, number>>
}

const NONE: QuotaOverrides = Object.freeze({ totalCount: null, totalSize: null, typeSizes: Object.freeze({}) })

/** The limits that hold for each owner: the site's, except where administrators have decided otherwise. */
export class OwnerLimits {
  readonly #db: Database
  readonly #models: Models
  readonly #clock: Clock
  readonly #site: QuotaLimits
  readonly #overrides: Cache<QuotaOverrides>

  constructor(db: Database, models: Models, notices: Notices, clock: Clock, site: QuotaLimits) {
    this.#db = db
    this.#models = models
    this.#clock = clock
    this.#site = site
    this.#overrides = new Cache({ name: 'owner-quotas', max: 50_000, ttl: NOTICE_LOST }, notices)
  }

  /** What holds. With a transaction no second connection is needed. */
  async of(ownerId: number, transaction: Transaction | null = null): Promise<QuotaLimits> {
    const { totalCount, totalSize, typeSizes } = await this.overridesOf(ownerId, transaction)
    return {
      limitTotalOwnerCount: totalCount ?? this.#site.limitTotalOwnerCount,
      limitTotalOwnerSize: totalSize ?? this.#site.limitTotalOwnerSize,
      limits: { ...this.#site.limits, ...typeSizes },
    }
  }

  /** What is different. */
  overridesOf(ownerId: number, transaction: Transaction | null = null): Promise<QuotaOverrides> {
    return this.#overrides.get(String(ownerId), async () => {
      const row = await this.#models.ownerQuota.findByPk(ownerId, { raw: true, transaction })
      if (row === null) return NONE
      return {
        totalCount: toNumber(row.totalCount),
        totalSize: toNumber(row.totalSize),
        typeSizes: JSON.parse(row.typeSizes) as Record<string, number>,
      }
    })
  }

  /** Replaces what is different for an owner; nothing, when nothing is. */
  async override(ownerId: number, { totalCount, totalSize, typeSizes }: QuotaOverrides): Promise<void> {
    const isNothing = totalCount === null && totalSize === null && Object.keys(typeSizes).length === 0
    const { ownerQuota } = this.#models
    const updatedAt = this.#clock.now()
    const row = { ownerId, totalCount, totalSize, typeSizes: JSON.stringify(typeSizes), updatedAt }
    await this.#db.inTransaction(async (transaction) => {
      if (isNothing) await ownerQuota.destroy({ where: { ownerId }, transaction })
      else await ownerQuota.upsert(row, { transaction })
    })
    this.#overrides.invalidate(String(ownerId))
  }
}

function toNumber(value: number | string | null): number | null {
  return value === null ? null : Number(value)
}
