import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { runAlone } from '../db/lock.ts'
import type { Metrics } from '../metrics.ts'
import type { Models } from '../models/index.ts'
import type { Packages } from '../packages/index.ts'
import { type CacheSizes, total } from '../upstream/cache-space.ts'
import type { UpstreamEngine } from '../upstream/index.ts'
import type { Upstream } from '../upstream/upstreams.ts'
import { Accounting } from './accounting.ts'
import { noteRemoved } from './candidates.ts'
import { Pins } from './pins.ts'
import { type RemovedFile, removeVictim } from './removal.ts'
import { findVictimsOfAll, isFetchable, type Victim } from './victims.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** What was used within this time stays. */
const RESIDENCY = HOUR
const DOCUMENTS_UNUSED = 30 * DAY
/** Shares of a cap: beyond the first files are dropped until the second. */
const HIGH_WATER = 0.95
const LOW_WATER = 0.85
/** Victims after which contents are deleted. */
const BATCH = 20
/** ms for which a server waits for another one that drops files. */
const TURN = 1_000
/** ms for which nobody tries again, when nothing could be freed. */
const RESIGNED = 30_000
const LOCK = 'eviction'

/** What Eviction is built from. */
export interface EvictionParts {
  readonly db: Database
  readonly models: Models
  readonly notices: Notices
  readonly clock: Clock
  readonly metrics: Metrics
  readonly packages: Packages
  readonly upstream: UpstreamEngine
  readonly onError: (error: unknown, message: string) => void
}

/** What was dropped. */
export interface Evicted {
  readonly files: number
  /** Of these files, whoever else has the same. */
  readonly bytes: number
  /** Bytes of disk. */
  readonly freed: number
  readonly documents: number
}

type Tally = { -readonly [Key in keyof Evicted]: Evicted[Key] }

/**
 * Drops what mirrors hold and nobody uses: the files that were read longest ago, as soon as a cache is nearly full, and
 * whatever was not read for long (pull-through.md §9). Only what the upstream still has: it comes again when somebody
 * asks for it, and its digest is remembered. A server that dies in the middle leaves nothing half done.
 */
export class Eviction {
  readonly pins: Pins
  readonly accounting: Accounting
  readonly #parts: EvictionParts
  #makingRoom: Promise<void> | null = null
  #shrinking: Promise<void> | null = null
  #resignedUntil = 0
  #isClosed = false

  constructor(parts: EvictionParts) {
    this.#parts = parts
    this.pins = new Pins(parts)
    this.accounting = new Accounting(parts)
  }

  /** Drops what is to be dropped now; null: another server does. */
  async run(): Promise<Evicted | null> {
    return this.#alone(0, (tally) => this.#runAll(tally))
  }

  /** Frees so many bytes of disk, if it can. Never rejects; waiting longer than one likes is no use. */
  async makeRoom(bytes: number): Promise<void> {
    const { clock } = this.#parts
    if (this.#makingRoom === null && clock.now() < this.#resignedUntil) return
    this.#makingRoom ??= this.#makeRoom(bytes).finally(() => {
      this.#makingRoom = null
    })
    await this.#makingRoom
  }

  /** Drops what full caches have too much. Never rejects. */
  async shrink(): Promise<void> {
    const { onError } = this.#parts
    this.#shrinking ??= this.#alone(TURN, (tally) => this.#keepCaps(tally))
      .catch((error: unknown) => onError(error, 'the caches could not be made smaller'))
      .then(() => {
        this.#shrinking = null
      })
    await this.#shrinking
  }

  /** Stops what runs after its next step. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([this.#makingRoom, this.#shrinking])
  }

  async #makeRoom(bytes: number): Promise<void> {
    const { clock, onError } = this.#parts
    try {
      const done = await this.#alone(TURN, async (tally) => {
        await this.#dropWhile(this.#victims(this.#online()), tally, (pending) => tally.freed + pending < bytes)
      })
      if (done !== null && done.freed === 0) this.#resignedUntil = clock.now() + RESIGNED
    } catch (error) {
      onError(error, 'no room could be made')
    }
  }

  async #alone(patience: number, work: (tally: Tally) => Promise<void>): Promise<Evicted | null> {
    const { db, upstream } = this.#parts
    const done = await runAlone(db, LOCK, patience, async () => {
      const tally = { files: 0, bytes: 0, freed: 0, documents: 0 }
      await upstream.flushUses()
      await work(tally)
      return tally
    })
    return done === null ? null : done.result
  }

  async #runAll(tally: Tally): Promise<void> {
    const { clock, upstream: engine } = this.#parts
    const now = clock.now()
    for (const upstream of this.#online()) {
      const { unusedDays } = upstream.settings
      if (unusedDays > 0) await this.#dropWhile(this.#victims([upstream], now - unusedDays * DAY), tally, () => true)
      if (this.#isClosed) return
      // Without its documents what is pinned could not be found while the upstream fails.
      if (!isFetchable(upstream) || (await this.pins.list(upstream)).length > 0) continue
      tally.documents += await engine.documents.forgetUnused(upstream.id, now - DOCUMENTS_UNUSED)
    }
    await this.#keepCaps(tally)
  }

  async #keepCaps(tally: Tally): Promise<void> {
    const { space } = this.#parts.upstream
    await space.measure()
    for (const upstream of this.#online()) {
      const { capBytes } = upstream.settings
      await this.#keepCap([upstream], capBytes, (sizes) => sizes.get(upstream.id) ?? 0, tally)
    }
    await this.#keepCap(this.#online(), await space.capOfAll(), total, tally)
  }

  async #keepCap(
    upstreams: Upstream[],
    cap: number | null,
    bytesOf: (sizes: CacheSizes) => number,
    tally: Tally,
  ): Promise<void> {
    const { space } = this.#parts.upstream
    if (cap === null || bytesOf(space.sizes) <= cap * HIGH_WATER) return
    await this.#dropWhile(this.#victims(upstreams), tally, () => bytesOf(space.sizes) > cap * LOW_WATER)
  }

  #online(): Upstream[] {
    return this.#parts.upstream.all().filter(({ mode }) => mode === 'online')
  }

  #victims(upstreams: Upstream[], before = Number.POSITIVE_INFINITY): AsyncGenerator<Victim, void> {
    const { db, clock } = this.#parts
    return findVictimsOfAll(db, this.pins, upstreams, Math.min(before, clock.now() - RESIDENCY))
  }

  /** `goesOn` is told how many bytes of what is dropped are still to be freed. */
  async #dropWhile(
    victims: AsyncGenerator<Victim, void>,
    tally: Tally,
    goesOn: (pending: number) => boolean,
  ): Promise<void> {
    const { db, packages } = this.#parts
    let waiting: RemovedFile[] = []
    let isOver = false
    const goOn = () => !this.#isClosed && !isOver && goesOn(sizeOf(waiting))
    while (goOn()) {
      for (let count = 0; count < BATCH && goOn(); count += 1) {
        const { done, value } = await victims.next()
        isOver = done === true
        if (value === undefined || !(await this.#mayStillGo(value))) continue
        const removed = await removeVictim(db, packages.removal, value)
        this.#count(value.upstream, removed, tally)
        waiting.push(...removed)
      }
      const files = waiting
      waiting = []
      await noteRemoved(
        db,
        files.map(({ id }) => id),
      )
      tally.freed += await packages.collectBlobs([...new Set(files.map(({ blobId }) => blobId))])
    }
    await victims.return()
  }

  /** It was chosen some time ago: its upstream may have been switched off meanwhile, or somebody has pinned it. */
  async #mayStillGo({ upstream: { id }, file, references }: Victim): Promise<boolean> {
    const upstream = this.#parts.upstream.findById(id)
    if (upstream === null || !isFetchable(upstream)) return false
    return !(await this.pins.matcher(upstream))(file.package.name, references)
  }

  #count({ id, settings }: Upstream, removed: RemovedFile[], tally: Tally): void {
    const { metrics, upstream } = this.#parts
    const bytes = sizeOf(removed)
    tally.files += removed.length
    tally.bytes += bytes
    upstream.space.add(id, -bytes)
    metrics.evictedBytes.inc({ upstream: settings.name }, bytes)
  }
}

function sizeOf(files: readonly RemovedFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0)
}
