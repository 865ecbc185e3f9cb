import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { QueryTypes } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import { parseSize } from '../config/units.ts'
import type { Database } from '../db/connect.ts'
import type { Upstream } from './upstreams.ts'

/** ms for which a measurement is believed; what this process stores meanwhile is added. */
const BELIEVED = 600_000
/** ms for which making room is waited for. */
const PATIENCE = 2_000
/** ms for which nobody tries again, when it was in vain. */
const RESIGNED = 30_000

/** What CacheSpace is built from. */
export interface CacheSpaceParts {
  readonly db: Database
  readonly clock: Clock
  readonly config: Config
  readonly onError: (error: unknown, message: string) => void
}

/** Bytes of what is held, by the id of the upstream. */
export type CacheSizes = ReadonlyMap<number, number>

/**
 * How much of the disk the files of mirrors take, and may take: `capBytes` of an upstream, `mirrors.cacheCap` for all
 * (pull-through.md §9). Files that two upstreams share count for each.
 */
export class CacheSpace {
  readonly #db: Database
  readonly #clock: Clock
  readonly #config: Config
  readonly #onError: (error: unknown, message: string) => void
  #sizes = new Map<number, number>()
  #measuredAt = Number.NEGATIVE_INFINITY
  #measuring: Promise<CacheSizes> | null = null
  #makeRoom: () => Promise<void> = async () => {}
  #resignedUntil = 0

  constructor({ db, clock, config, onError }: CacheSpaceParts) {
    this.#db = db
    this.#clock = clock
    this.#config = config
    this.#onError = onError
  }

  /** `makeRoom` is asked when caches are full; it must not reject. */
  onFull(makeRoom: () => Promise<void>): void {
    this.#makeRoom = makeRoom
  }

  /** As it was when it was last measured, and what this process stored and dropped since. */
  get sizes(): CacheSizes {
    return this.#sizes
  }

  /** As it is now. */
  measure(): Promise<CacheSizes> {
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = null
    })
    return this.#measuring
  }

  /** `bytes` are held more, or less. */
  add(upstreamId: number, bytes: number): void {
    this.#sizes.set(upstreamId, Math.max(0, (this.#sizes.get(upstreamId) ?? 0) + bytes))
  }

  /** Bytes that all mirrors together may hold; null: any number. */
  async capOfAll(): Promise<number | null> {
    const { cacheCap } = this.#config.mirrors
    if (cacheCap === 'none') return null
    if (!cacheCap.endsWith('%')) return parseSize(cacheCap)
    const { blocks, bsize } = await statfs(this.#config.dataDir)
    return (blocks * bsize * Number.parseFloat(cacheCap)) / 100
  }

  /**
   * Bytes of the largest file that may be stored for an upstream; 0: none, its cache or all together are full, and two
   * seconds were not enough to make room. Never rejects, and never waits for a measurement.
   */
  async largestFor(upstream: Upstream): Promise<number> {
    const now = this.#clock.now()
    try {
      if (now - this.#measuredAt >= BELIEVED) {
        this.measure().catch((error: unknown) => this.#onError(error, 'the caches could not be measured'))
      }
      const largest = await this.#largestFor(upstream)
      if (largest > 0 || now < this.#resignedUntil) return largest
      await this.#waitForRoom()
      const afterwards = await this.#largestFor(upstream)
      if (afterwards === 0) this.#resignedUntil = now + RESIGNED
      return afterwards
    } catch (error) {
      this.#onError(error, 'whether the caches are full is not known')
      return Number.MAX_SAFE_INTEGER
    }
  }

  /** Waits for a measurement that is under way. */
  async settle(): Promise<void> {
    await this.#measuring?.catch(() => {})
  }

  /** 0: full. */
  async #largestFor({ id, settings }: Upstream): Promise<number> {
    const cap = settings.capBytes ?? Number.MAX_SAFE_INTEGER
    const capOfAll = (await this.capOfAll()) ?? Number.MAX_SAFE_INTEGER
    const isFull = (this.#sizes.get(id) ?? 0) >= cap || total(this.#sizes) >= capOfAll
    return isFull ? 0 : Math.min(cap, capOfAll)
  }

  async #waitForRoom(): Promise<void> {
    const timer = new AbortController()
    const late = sleep(PATIENCE, undefined, { signal: timer.signal, ref: false }).catch(() => {})
    await Promise.race([this.#makeRoom(), late])
    timer.abort()
  }

  async #measure(): Promise<CacheSizes> {
    const rows = await this.#db.sequelize.query<{ id: number; size: number | string }>(
      `SELECT d.upstream_id AS id, SUM(d.size) AS size FROM upstream_digest d
       JOIN package_file f ON f.id = d.file_id WHERE d.last_used_at > 0 GROUP BY d.upstream_id`,
      { type: QueryTypes.SELECT },
    )
    this.#sizes = new Map(rows.map(({ id, size }) => [Number(id), Number(size)]))
    this.#measuredAt = this.#clock.now()
    return this.#sizes
  }
}

/** Bytes of all upstreams together. */
export function total(sizes: CacheSizes): number {
  return [...sizes.values()].reduce((sum, size) => sum + size, 0)
}
