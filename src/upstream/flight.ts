import { InsufficientStorage, RegistryError, TooLarge, UpstreamUnavailable } from '../errors.ts'
import type { ByteSource } from '../storage/blob-store.ts'
import type { Algorithm, Digest, Digests } from '../storage/digest.ts'
import type { Spool, SpoolEntry } from '../storage/spool.ts'
import { type ArrivedHeaders, describe, doubtOf, refusalOf } from './arrived-headers.ts'
import type { UpstreamClient } from './client.ts'
import type { UpstreamResponse } from './exchange.ts'
import { PublishedDigest } from './published-digest.ts'
import type { SlotUse } from './slots.ts'

/** Bodies up to this many bytes are verified before the first byte leaves. */
const VERIFY_FIRST = 1024 * 1024
/** The last bytes wait until the digest matches, so that a wrong file never ends well. */
const HELD_BACK = 64 * 1024
const RESUMES = 3
const KEEP_REMAINING = 64 * 1024 * 1024
const KEEP_SMALL = 256 * 1024 * 1024
const ORPHAN_PATIENCE = 30_000
const RATE_WINDOW = 60_000
const LEAST_BYTES_PER_WINDOW = 60 * 10 * 1024

/** What one fetch needs to know. */
export interface FlightPlan {
  readonly client: UpstreamClient
  readonly spool: Spool
  readonly upstreamName: string
  readonly url: URL
  readonly accept: string
  readonly use: SlotUse
  /** Is given the answer's headers, once, and tells what the bytes must be; null: nobody knows. */
  readonly publishedDigest: (headers: Readonly<Record<string, string>>) => Promise<Digest | null>
  /** ms until the upstream's headers. */
  readonly headersTimeout: number
  /** Bytes. */
  readonly limit: number
  /** Called with the whole, verified bytes; the flight is over when it resolves. It must not reject. */
  readonly commit: (entry: SpoolEntry, response: ArrivedHeaders) => Promise<void>
  /** Is told the SHA-256 of the whole bytes, whose digest matches, and throws why they must be refused all the same. */
  readonly verify: (sha256: string) => Promise<void>
}

interface Opening {
  resolve(arrived: ArrivedHeaders): void
  reject(reason: Error): void
}

/**
 * One fetch of one artifact into the spool, at the upstream's speed, with as many readers as come
 * (pull-through.md §4.1). Readers never slow it and may leave; it goes on while that is worth it.
 */
export class Flight {
  /** Resolves when a client may be answered; rejects with what every client is to be told. */
  readonly opened: Promise<ArrivedHeaders>
  /** Resolves when nothing is left to do: with what the fetch failed of, or null. */
  readonly settled: Promise<Error | null>
  readonly #plan: FlightPlan
  readonly #entry: SpoolEntry
  readonly #abort = new AbortController()
  readonly #published: PublishedDigest
  #size: number | null = null
  /** Of the whole, verified bytes. */
  #computed: Partial<Digests> = {}
  #commitFailure: Error | null = null
  #failure: Error | null = null
  #isOver = false
  #readers = 0
  #orphanTimer: NodeJS.Timeout | null = null
  #wake: () => void = () => {}
  #progress: Promise<void> = Promise.resolve()

  constructor(plan: FlightPlan) {
    this.#plan = plan
    this.#published = new PublishedDigest(plan.upstreamName)
    this.#entry = plan.spool.create({
      limit: plan.limit,
      limitMessage: `artifacts over ${plan.limit} bytes are not mirrored`,
    })
    this.#arm()
    const opening: Partial<Opening> = {}
    this.opened = new Promise((resolve, reject) => Object.assign(opening, { resolve, reject }))
    this.opened.catch(() => {})
    this.settled = this.#run(opening as Opening).then(
      () => this.#failure ?? this.#commitFailure,
      (error: Error) => error,
    )
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

  /** A reader from wherever the flight is; it waits for bytes and rejects when they turn out to be bad. */
  source(): ByteSource {
    this.#readers += 1
    if (this.#orphanTimer !== null) clearTimeout(this.#orphanTimer)
    this.#orphanTimer = null
    const release = this.#entry.hold()
    let isOpen = true
    const flight = this
    return {
      get size() {
        return flight.#isVerified ? flight.#entry.written : flight.#size
      },
      read: (buffer, position) => this.#read(buffer, position, () => isOpen),
      close: () => {
        if (!isOpen) return
        isOpen = false
        release()
        this.#readers -= 1
        this.#notify()
        if (this.#readers === 0) this.#orphaned()
      },
    }
  }

  async #read(buffer: Buffer, position: number, isOpen: () => boolean): Promise<number> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure
      if (!isOpen()) return 0
      const { written } = this.#entry
      const limit = this.#isVerified ? written : Math.min(written, (this.#size ?? written) - HELD_BACK)
      if (position < limit) return this.#entry.read(buffer.subarray(0, limit - position), position)
      if (this.#isVerified) return 0
      await this.#progress
    }
  }

  async #run(opening: Opening): Promise<void> {
    const watchdog = this.#watchRate()
    try {
      const response = await this.#request({})
      if (response.status !== 200) {
        response.body.destroy()
        throw refusalOf({ ...response, url: this.#plan.url }, this.#plan.upstreamName)
      }
      const arrived = describe(response)
      this.#size = arrived.size
      if (arrived.size !== null && arrived.size > this.#plan.limit) {
        response.body.destroy()
        throw new TooLarge(`artifacts over ${this.#plan.limit} bytes are not mirrored`, 'file')
      }
      this.#published.ask(this.#findPublished(response))
      this.#published.known.then(
        () => {
          if (arrived.size === null || arrived.size > VERIFY_FIRST) opening.resolve(arrived)
          this.#notify()
        },
        // Bytes of which nobody can say whether they are right need not come to their end.
        () => this.#abort.abort(),
      )
      await this.#receive(response, arrived)
      await this.#verify()
      opening.resolve({ ...arrived, size: this.#entry.written })
      this.#notify()
      await this.#commit(arrived)
    } catch (error) {
      this.#failure = this.#published.failure ?? (error instanceof Error ? error : new Error(String(error)))
      opening.reject(this.#failure)
      this.#notify()
    } finally {
      clearInterval(watchdog)
      if (this.#orphanTimer !== null) clearTimeout(this.#orphanTimer)
      this.#abort.abort()
      this.#isOver = true
      this.#notify()
      // A reader that is still at it deletes the bytes when it closes.
      if (this.#readers === 0) await this.#entry.discard()
    }
  }

  /** Beside the transfer, so that a slow answer costs no slot. Without a digest, what hardly is the file is refused. */
  async #findPublished(response: UpstreamResponse): Promise<Digest | null> {
    const digest = await this.#plan.publishedDigest(response.headers)
    const doubt = digest === null ? doubtOf(response) : null
    if (doubt !== null) throw new UpstreamUnavailable(`upstream ${this.#plan.upstreamName} sent ${doubt}`)
    return digest
  }

  /** Appends the body; a body that breaks off is taken up again where it ended. */
  async #receive(first: UpstreamResponse, arrived: ArrivedHeaders): Promise<void> {
    let response = first
    for (let resumes = 0; ; resumes += 1) {
      try {
        for await (const chunk of response.body as AsyncIterable<Buffer>) {
          const wait = this.#entry.append(chunk)
          this.#notify()
          if (wait !== undefined) await wait
        }
        if (arrived.size === null || this.#entry.written === arrived.size) {
          response.bodyRead()
          return
        }
        if (this.#entry.written > arrived.size) throw this.#truncated('sent more bytes than it announced')
      } catch (error) {
        response.body.destroy()
        if (error instanceof RegistryError) throw error
        if (this.#abort.signal.aborted) throw this.#truncated('was given up', error)
        if (arrived.size === null) throw this.#truncated('broke off the transfer', error)
      }
      response.bodyFailed()
      if (resumes === RESUMES) throw this.#truncated('keeps breaking off the transfer')
      response = await this.#resume(arrived)
    }
  }

  async #resume(arrived: ArrivedHeaders): Promise<UpstreamResponse> {
    const from = this.#entry.written
    const isStrong = arrived.etag !== '' && !arrived.etag.startsWith('W/')
    if (!isStrong && (await this.#published.known) === null) throw this.#truncated('broke off the transfer')
    const response = await this.#request({ range: `bytes=${from}-`, ...(isStrong ? { 'if-range': arrived.etag } : {}) })
    if (response.status === 206 && response.headers['content-range']?.startsWith(`bytes ${from}-`)) return response
    response.body.destroy()
    throw this.#truncated('broke off the transfer and cannot take it up again')
  }

  #request(headers: Record<string, string>): Promise<UpstreamResponse> {
    const { client, url, accept, use, headersTimeout } = this.#plan
    return client.send({
      url,
      // Bytes are stored as they come: a decoded archive has another digest.
      headers: { accept, 'accept-encoding': 'identity', ...headers },
      use,
      headersTimeout,
      signal: this.#abort.signal,
    })
  }

  /** Ends well when the bytes are what was published. Slower digests are waited for only if they are compared. */
  async #verify(): Promise<void> {
    const published = await this.#published.known
    const sha256 = await this.#finished(() => this.#entry.seal())
    const isSlow = published !== null && published.algorithm !== 'sha256'
    if (isSlow) await this.#finished(() => this.#entry.finish())
    const computed = isSlow ? this.#entry.digests : { sha256 }
    this.#published.compare(computed)
    await this.#plan.verify(sha256)
    this.#computed = computed
  }

  async #finished<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw error instanceof InsufficientStorage
        ? error
        : new UpstreamUnavailable('the transfer failed', { cause: error })
    }
  }

  /** Beside the readers, who have what they came for: whatever fails now costs them nothing. */
  async #commit(arrived: ArrivedHeaders): Promise<void> {
    const failure = await this.#entry.finish().then(
      () => null,
      (error: Error) => error,
    )
    if (failure !== null) {
      this.#commitFailure = failure
      return
    }
    this.#computed = this.#entry.digests
    this.#notify()
    await this.#plan.commit(this.#entry, arrived)
  }

  #truncated(what: string, cause?: unknown): UpstreamUnavailable {
    return new UpstreamUnavailable(`upstream ${this.#plan.upstreamName} ${what}`, { detail: 'TRUNCATED', cause })
  }

  /** Nobody reads any more: worth finishing, or given up unless somebody comes back soon (pull-through.md §4.2). */
  #orphaned(): void {
    if (this.#isOver) void this.#entry.discard()
    if (this.#isVerified || this.#failure !== null) return
    const { written } = this.#entry
    const size = this.#size
    const isWorthFinishing =
      size === null
        ? written < KEEP_REMAINING
        : size <= KEEP_SMALL || size - written <= KEEP_REMAINING || 2 * written >= size
    if (isWorthFinishing) return
    this.#orphanTimer = setTimeout(() => this.#abort.abort(), ORPHAN_PATIENCE)
  }

  /** Gives up an upstream that trickles: it would hold a connection for days. */
  #watchRate(): NodeJS.Timeout {
    let before = 0
    return setInterval(() => {
      if (this.#entry.written - before < LEAST_BYTES_PER_WINDOW) this.#abort.abort()
      before = this.#entry.written
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
