import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { hashKey } from './document-store.ts'

const INTERVAL = 60_000
/** Keys per statement. */
const BATCH = 200
/** Uses that are kept in memory before they are written without waiting for the minute to pass. */
const MOST_WAITING = 10_000
const MOST_NOTED = 200_000

/** What Uses is built from. */
export interface UsesParts {
  readonly db: Database
  readonly clock: Clock
  readonly onError: (error: unknown, message: string) => void
}

/** What of an upstream is used; `kind` for documents only. */
export interface UsedGroup {
  readonly upstreamId: number
  readonly kind?: string
}

/**
 * Remembers when artifacts or documents of upstreams were last read, a minute's uses with one statement
 * (pull-through.md §9). A server that dies forgets that minute.
 */
export class Uses {
  readonly #parts: UsesParts
  readonly #table: 'upstream_digest' | 'upstream_document'
  readonly #every: number
  /** When what was last noted. */
  readonly #noted = new LRUCache<string, number>({ max: MOST_NOTED })
  #waiting = new Map<string, { group: UsedGroup; hashes: Set<string> }>()
  #count = 0
  /** When the latest of those that wait was noted. */
  #latest = 0
  #timer: NodeJS.Timeout | null = null
  #flushing: Promise<void> = Promise.resolve()

  /** Uses of the same within `every` ms are one. */
  constructor(parts: UsesParts, table: 'upstream_digest' | 'upstream_document', every: number) {
    this.#parts = parts
    this.#table = table
    this.#every = every
  }

  /** Costs no statement. */
  note(group: UsedGroup, key: string): void {
    const now = this.#parts.clock.now()
    const name = `${group.upstreamId}:${group.kind ?? ''}`
    const known = this.#noted.get(`${name}:${key}`)
    if (known !== undefined && now - known < this.#every) return
    this.#noted.set(`${name}:${key}`, now)
    const waiting = this.#waiting.get(name) ?? { group, hashes: new Set() }
    this.#waiting.set(name, waiting)
    waiting.hashes.add(hashKey(key))
    this.#count += 1
    this.#latest = now
    if (this.#count >= MOST_WAITING) void this.flush()
    else this.#timer ??= setTimeout(() => void this.flush(), INTERVAL).unref()
  }

  /** Writes what is noted so far. Never rejects. */
  flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const waiting = this.#waiting
    const latest = this.#latest
    this.#waiting = new Map()
    this.#count = 0
    this.#flushing = this.#flushing.then(() => this.#write([...waiting.values()], latest))
    return this.#flushing
  }

  async #write(waiting: { group: UsedGroup; hashes: Set<string> }[], now: number): Promise<void> {
    try {
      for (const { group, hashes } of waiting) {
        // In order, so that two replicas never wait for each other.
        const sorted = [...hashes].sort()
        for (let start = 0; start < sorted.length; start += BATCH) {
          await this.#update(group, sorted.slice(start, start + BATCH), now)
        }
      }
    } catch (error) {
      // What is in use will be used again.
      this.#noted.clear()
      this.#parts.onError(error, 'uses of cached files could not be written and are forgotten')
    }
  }

  async #update({ upstreamId, kind }: UsedGroup, keys: string[], now: number): Promise<void> {
    const { db } = this.#parts
    // Artifacts that are not held any more are at 0, and stay there.
    const condition = kind === undefined ? 'last_used_at > 0' : 'kind = :kind'
    await db.inTransaction((transaction) =>
      db.sequelize.query(
        `UPDATE ${this.#table} SET last_used_at = :now
          WHERE upstream_id = :upstreamId AND ${condition} AND key_sha256 IN (:keys) AND last_used_at < :now`,
        { replacements: { now, upstreamId, keys, kind: kind ?? '' }, transaction },
      ),
    )
  }
}
