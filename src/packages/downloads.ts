import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'

const INTERVAL = 10_000
/** Versions per statement. */
const BATCH = 200

interface Count {
  times: number
  /** Ms since the epoch, of the latest. */
  last: number
}

/** Counts downloads of versions in memory, because a write per GET would be most of its cost, and writes them in batches. */
export class Downloads {
  readonly #db: Database
  readonly #clock: Clock
  readonly #onError: (error: unknown, message: string) => void
  #counts = new Map<number, Count>()
  #timer: NodeJS.Timeout | null = null
  #flushing: Promise<void> = Promise.resolve()

  constructor(db: Database, clock: Clock, onError: (error: unknown, message: string) => void) {
    this.#db = db
    this.#clock = clock
    this.#onError = onError
  }

  /** To be called for each GET of a lead file, ranges and redirects included, HEAD not (gitea-model.md §5). */
  count(versionId: number): void {
    this.#add(versionId, { times: 1, last: this.#clock.now() })
    this.#timer ??= setTimeout(() => void this.flush(), INTERVAL).unref()
  }

  /** Writes what is counted so far. Never rejects: what could not be written is kept for the next time. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#write())
    return this.#flushing
  }

  /** Writes the rest; what is counted afterwards is written late or never. */
  async close(): Promise<void> {
    await this.flush()
  }

  async #write(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#counts.size === 0) return
    // In the order of the ids, so that two replicas never wait for each other.
    const counts = [...this.#counts].sort(([a], [b]) => a - b)
    this.#counts = new Map()
    for (let start = 0; start < counts.length; start += BATCH) {
      const batch = counts.slice(start, start + BATCH)
      try {
        await this.#db.inTransaction((transaction) => this.#db.sequelize.query(toUpdate(batch), { transaction }))
      } catch (error) {
        for (const [versionId, count] of batch) this.#add(versionId, count)
        this.#timer ??= setTimeout(() => void this.flush(), INTERVAL).unref()
        this.#onError(error, 'download counts could not be written and are kept')
      }
    }
  }

  #add(versionId: number, { times, last }: Count): void {
    const count = this.#counts.get(versionId)
    if (count === undefined) {
      this.#counts.set(versionId, { times, last })
      return
    }
    count.times += times
    count.last = Math.max(count.last, last)
  }
}

/** One statement for many versions; all values are numbers of our own making. */
function toUpdate(batch: [versionId: number, count: Count][]): string {
  const times = batch.map(([id, count]) => `WHEN ${id} THEN ${count.times}`).join(' ')
  const last = batch.map(([id, count]) => `WHEN ${id} THEN ${count.last}`).join(' ')
  return `UPDATE package_version
    SET download_count = download_count + CASE id ${times} ELSE 0 END,
        last_downloaded_at = CASE id ${last} ELSE last_downloaded_at END
    WHERE id IN (${batch.map(([id]) => id).join(', ')})`
}
