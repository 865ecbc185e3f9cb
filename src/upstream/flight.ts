import { InsufficientStorage, TooLarge, UpstreamUnavailable } from '../errors.ts'
import type { ByteSource } from '../storage/blob-store.ts'
import type { Algorithm, Digest, Digests } from '../storage/digest.ts'
import type { SpoolEntry } from '../storage/spool.ts'
import { type ArrivedHeaders, doubtOf } from './arrived-headers.ts'
import { isStrong } from './artifact-fetch.ts'
import { DirectSource } from './direct-source.ts'
import type { UpstreamResponse } from './exchange.ts'
import { type FlightPlan, Uncacheable } from './flight-plan.ts'
import { PublishedDigest } from './published-digest.ts'
import { type Beginning, Transfer } from './transfer.ts'
import { verifyBytes } from './verify-bytes.ts'

/** Bodies up to this many bytes are verified before the first byte leaves. */
const VERIFY_FIRST = 1024 * 1024
/** The last bytes wait until the digest matches, so that a wrong file never ends well. */
const HELD_BACK = 64 * 1024
const KEEP_REMAINING = 64 * 1024 * 1024
const KEEP_SMALL = 256 * 1024 * 1024
/** Who wants what is so far ahead does not wait for it. */
const FAR_AHEAD = 32 * 1024 * 1024
const ORPHAN_PATIENCE = 30_000
const RATE_WINDOW = 60_000
const LEAST_BYTES_PER_WINDOW = 60 * 10 * 1024

interface Opening {
  resolve(arrived: ArrivedHeaders): void
  reject(reason: Error): void
}

/**
 * One fetch of one artifact into the spool, at the upstream's speed, with as many readers as come
 * (pull-through.md §4.1). Readers never slow it and may leave; it goes on while that is worth it.
 */
export class Flight {
  /** Resolves when the upstream has answered that it has the artifact; rejects when it does not. */
  readonly begun: Promise<ArrivedHeaders>
  /** Resolves when a client may be answered; rejects with what every client is to be told. */
  readonly opened: Promise<ArrivedHeaders>
  /** Resolves when nothing is left to do, whatever came of it. */
  readonly settled: Promise<void>
  readonly #plan: FlightPlan
  readonly #abort = new AbortController()
  readonly #published: PublishedDigest
  readonly #giveUp = () => this.#abort.abort()
  /** null before the upstream has answered. */
  #entry: SpoolEntry | null = null
  #arrived: ArrivedHeaders | null = null
  /** Of the whole, verified bytes. */
  #computed: Partial<Digests> = {}
  #failure: Error | null = null
  #isOver = false
  /** What is worth keeping of the bytes is kept: who reads the rest is the last to need them. */
  #isKept = false
  #readers = 0
  #orphanTimer: NodeJS.Timeout | null = null
  #wake: () => void = () => {}
  #progress: Promise<void> = Promise.resolve()

  constructor(plan: FlightPlan) {
    this.#plan = plan
    this.#published = new PublishedDigest(plan.upstreamName)
    this.#arm()
    const opening: Partial<Opening> = {}
    this.opened = new Promise((resolve, reject) => Object.assign(opening, { resolve, reject }))
    this.opened.catch(() => {})
    const transfer = new Transfer(plan, this.#published, this.#abort.signal)
    const begun = transfer.begin()
    this.begun = begun.then(({ arrived }) => arrived)
    this.begun.catch(() => {})
    this.settled = this.#run(opening as Opening, transfer, begun).catch((error: Error) => plan.failed(error))
  }

  /** Of the verified bytes, lower-case hex; null before that. */
  get sha256(): string | null {
    return this.#computed.sha256 ?? null
  }

  get #isVerified(): boolean {
    return this.sha256 !== null
  }

  /** Whether wrong bytes would be noticed: a digest was published, or the bytes are verified already. */
  get isGuarded(): boolean {
    return this.#isVerified || this.#published.digest !== null
  }

  /** Those that are known so far, lower-case hex: what was published, and what was computed of all bytes. */
  get digests(): Partial<Digests> {
    const { digest } = this.#published
    return { ...(digest === null ? {} : { [digest.algorithm]: digest.hex }), ...this.#computed }
  }

  /** One of them as soon as it is known; null when the flight ends without it. */
  async digestOf(algorithm: Algorithm): Promise<string | null> {
    while (this.digests[algorithm] === undefined && !this.#isOver) await this.#progress
    return this.digests[algorithm] ?? null
  }

  /** Whether nothing is left to do; unless somebody reads them, the bytes are gone then. */
  get isOver(): boolean {
    return this.#isOver
  }

  /**
   * A reader from wherever the flight is, for when it has opened; it waits for bytes and rejects when they turn out to be
   * bad.
   */
  source(): ByteSource {
    this.#readers += 1
    if (this.#orphanTimer !== null) clearTimeout(this.#orphanTimer)
    this.#orphanTimer = null
    this.#plan.orphans.delete(this.#giveUp)
    const release = this.#entry!.hold()
    let isOpen = true
    let alone: ByteSource | null = null
    const flight = this
    return {
      get size() {
        return flight.#isVerified ? flight.#entry!.written : flight.#arrived!.size
      },
      read: async (buffer, position) => {
        if (alone === null && position > 0 && this.#isFarAhead(position)) alone = this.#past()
        const read = alone === null && (await this.#read(buffer, position, () => isOpen))
        if (typeof read === 'number') return read
        if (!isOpen) return 0
        alone ??= this.#past((into, at) => this.#entry!.read(into, at))
        return alone.read(buffer, position)
      },
      close: () => {
        if (!isOpen) return
        isOpen = false
        alone?.close()
        release()
        this.#readers -= 1
        this.#notify()
        if (this.#readers === 0) this.#orphaned()
      },
    }
  }

  /** How many bytes came; `alone` when no more do for a reason of ours, and the upstream still has them. */
  async #read(buffer: Buffer, position: number, isOpen: () => boolean): Promise<number | 'alone'> {
    for (;;) {
      if (this.#failure !== null) {
        const isOurs = this.#failure instanceof InsufficientStorage || this.#failure instanceof TooLarge
        if (isOurs && isStrong(this.#arrived!.etag)) return 'alone'
        throw this.#failure
      }
      if (!isOpen()) return 0
      const { written } = this.#entry!
      const limit = this.#isVerified ? written : Math.min(written, (this.#arrived!.size ?? written) - HELD_BACK)
      if (position < limit) return this.#entry!.read(buffer.subarray(0, limit - position), position)
      if (this.#isVerified) return 0
      await this.#progress
    }
  }

  #isFarAhead(position: number): boolean {
    const isOnItsWay = !this.#isVerified && this.#failure === null
    return isOnItsWay && isStrong(this.#arrived!.etag) && position > this.#entry!.written + FAR_AHEAD
  }

  /** The upstream's bytes past the spool, for one reader. */
  #past(before?: (buffer: Buffer, position: number) => Promise<number>): ByteSource {
    return new DirectSource({
      ...this.#plan,
      arrived: this.#arrived!,
      digest: this.#published.digest,
      ...(before === undefined ? {} : { before }),
    })
  }

  async #run(opening: Opening, transfer: Transfer, begun: Promise<Beginning>): Promise<void> {
    let watchdog: NodeJS.Timeout | undefined
    try {
      const beginning = await begun
      const { arrived, response } = beginning
      this.#entry = beginning.entry
      this.#arrived = arrived
      watchdog = this.#watchRate()
      this.#published.ask(this.#findPublished(response))
      await transfer.claim(beginning)
      this.#published.known.then(
        () => {
          const isVerifiedFirst = arrived.size !== null && arrived.size <= VERIFY_FIRST
          // What may have to be decoded is something else until it is.
          if (!isVerifiedFirst && beginning.coding === '') opening.resolve(arrived)
          this.#notify()
        },
        // Bytes of which nobody can say whether they are right need not come to their end.
        () => this.#abort.abort(),
      )
      await transfer.receive(beginning, () => this.#notify())
      const verified = await verifyBytes(beginning, this.#published, this.#plan)
      this.#computed = verified.digests
      if (verified.entry !== beginning.entry) {
        this.#entry = verified.entry
        await beginning.entry.discard()
      }
      opening.resolve({ ...arrived, size: this.#entry.written })
      this.#notify()
      await this.#commit(arrived)
    } catch (error) {
      this.#failure = this.#published.failure ?? (error instanceof Error ? error : new Error(String(error)))
      this.#plan.failed(this.#failure)
      opening.reject(this.#toldToAll(this.#failure))
      this.#notify()
    } finally {
      clearInterval(watchdog)
      if (this.#orphanTimer !== null) clearTimeout(this.#orphanTimer)
      this.#plan.orphans.delete(this.#giveUp)
      this.#abort.abort()
      this.#isOver = true
      this.#notify()
      await transfer.end(this.#failure).finally(() => {
        this.#isKept = true
      })
      // A reader that is still at it deletes the bytes when it closes.
      if (this.#readers === 0) await this.#entry?.discard()
    }
  }

  /** Who was not answered yet can have the bytes all the same if it is our disk that fails. */
  #toldToAll(failure: Error): Error {
    const isOurs = failure instanceof InsufficientStorage || failure instanceof TooLarge
    if (!isOurs || this.#arrived === null) return failure
    return new Uncacheable(failure.message, this.#arrived, this.#published.digest, failure)
  }

  /** Beside the transfer, so that a slow answer costs no slot. Without a digest, what hardly is the file is refused. */
  async #findPublished(response: UpstreamResponse): Promise<Digest | null> {
    const digest = this.#plan.digest ?? (await this.#plan.publishedDigest(response.headers))
    const doubt = digest === null ? doubtOf(response) : null
    if (doubt !== null) throw new UpstreamUnavailable(`upstream ${this.#plan.upstreamName} sent ${doubt}`)
    return digest
  }

  /** Beside the readers, who have what they came for: whatever fails now costs them nothing. */
  async #commit(arrived: ArrivedHeaders): Promise<void> {
    const entry = this.#entry!
    try {
      await entry.finish()
    } catch (error) {
      this.#plan.failed(error as Error)
      return
    }
    this.#computed = entry.digests
    this.#notify()
    await this.#plan.commit(entry, arrived)
  }

  /** Nobody reads any more: worth finishing, or given up unless somebody comes back soon (pull-through.md §4.2). */
  #orphaned(): void {
    if (this.#isKept) this.#entry!.discard().catch((error: Error) => this.#plan.failed(error))
    if (this.#isVerified || this.#failure !== null) return
    this.#plan.orphans.add(this.#giveUp)
    const { written } = this.#entry!
    const { size } = this.#arrived!
    const isWorthFinishing =
      size === null
        ? written < KEEP_REMAINING
        : size <= KEEP_SMALL || size - written <= KEEP_REMAINING || 2 * written >= size
    if (!isWorthFinishing) this.#orphanTimer = setTimeout(this.#giveUp, ORPHAN_PATIENCE)
  }

  /** Gives up an upstream that trickles: it would hold a connection for days. */
  #watchRate(): NodeJS.Timeout {
    let before = this.#entry!.written
    return setInterval(() => {
      const { written } = this.#entry!
      if (written - before < LEAST_BYTES_PER_WINDOW) this.#abort.abort()
      before = written
    }, RATE_WINDOW).unref()
  }

  #arm(): void {
    this.#progress = new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #notify(): void {
    const wake = this.#wake
    this.#arm()
    wake()
  }
}
