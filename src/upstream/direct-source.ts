import { createHash, type Hash } from 'node:crypto'
import { UpstreamUnavailable } from '../errors.ts'
import type { ByteSource } from '../storage/byte-source.ts'
import type { Algorithm, Digest } from '../storage/digest.ts'
import { type ArrivedHeaders, doubtOf } from './arrived-headers.ts'
import { ArtifactFetch, type FetchPlan, isStrong } from './artifact-fetch.ts'
import type { UpstreamResponse } from './exchange.ts'
import { PublishedDigest } from './published-digest.ts'

const RESUMES = 3
/** The last bytes wait until the digest matches, as in a flight. */
const HELD_BACK = 64 * 1024
const READ_AT_ONCE = 64 * 1024

/** What one client is to get past the cache. */
export interface DirectPlan extends FetchPlan {
  /** What is known of the artifact. */
  readonly arrived: ArrivedHeaders
  readonly digest: Digest | null
  /** See FlightPlan; asked when all bytes are there. */
  readonly verify: (sha256: string) => Promise<void>
  /** The bytes that came before the client was left to itself, as ByteSource reads; absent: there are none. */
  readonly before?: (buffer: Buffer, position: number) => Promise<number>
}

/**
 * The bytes of an artifact from the upstream to one client, at the client's speed and without touching the disk: where
 * there is no room for them, or they are too many to be kept (pull-through.md §4.2). It must be read in order. What
 * begins at 0, or where other bytes ended that are still known, is verified before its end is given away.
 */
export class DirectSource implements ByteSource {
  readonly #plan: DirectPlan
  readonly #abort = new AbortController()
  readonly #fetch: ArtifactFetch
  readonly #published: PublishedDigest
  #hashes: Map<Algorithm, Hash> | null = null
  #response: UpstreamResponse | null = null
  #chunks: AsyncIterator<Buffer> | null = null
  /** Bytes that came and were not given away yet. */
  #waiting: Buffer[] = []
  #waitingBytes = 0
  /** Where the next byte of the upstream belongs, and where the next one for the client does. */
  #received = -1
  #given = -1
  #resumes = 0
  #isWhole = false

  constructor(plan: DirectPlan) {
    this.#plan = plan
    this.#fetch = new ArtifactFetch(plan, this.#abort.signal)
    this.#published = new PublishedDigest(plan.upstreamName)
    this.#published.ask(Promise.resolve(plan.digest))
  }

  get size(): number | null {
    return this.#plan.arrived.size
  }

  async read(buffer: Buffer, position: number): Promise<number> {
    if (this.#given === -1) await this.#start(position)
    if (position !== this.#given) throw new Error('the source must be read in order')
    const heldBack = this.#hashes === null ? 0 : HELD_BACK
    while (!this.#isWhole && this.#waitingBytes <= heldBack) await this.#receive()
    return this.#give(buffer, this.#isWhole ? this.#waitingBytes : this.#waitingBytes - heldBack)
  }

  close(): void {
    this.#abort.abort()
    this.#response?.body.destroy()
    this.#waiting = []
  }

  async #start(position: number): Promise<void> {
    this.#given = position
    this.#received = position
    const { before, digest } = this.#plan
    if (position === 0 || before !== undefined) {
      const algorithms = new Set<Algorithm>(['sha256', ...(digest === null ? [] : [digest.algorithm])])
      this.#hashes = new Map([...algorithms].map((algorithm) => [algorithm, createHash(algorithm)]))
    }
    const buffer = Buffer.allocUnsafe(READ_AT_ONCE)
    for (let at = 0; this.#hashes !== null && at < position; ) {
      const bytes = await before!(buffer.subarray(0, position - at), at)
      if (bytes === 0) throw this.#fetch.truncated('cannot be continued by what was received of it')
      this.#update(buffer.subarray(0, bytes))
      at += bytes
    }
    this.#take(position === 0 ? await this.#fetch.whole() : await this.#rest())
  }

  /** One more chunk, or the end of it all. */
  async #receive(): Promise<void> {
    const { size } = this.#plan.arrived
    try {
      const { done, value } = await this.#chunks!.next()
      if (done !== true) {
        this.#received += value.length
        if (size !== null && this.#received > size) throw this.#fetch.truncated('sent more bytes than it announced')
        this.#update(value)
        this.#waiting.push(value)
        this.#waitingBytes += value.length
        return
      }
      if (size === null || this.#received === size) return await this.#finish()
    } catch (error) {
      if (this.#abort.signal.aborted || size === null || this.#received >= size) throw error
    }
    this.#response!.bodyFailed()
    this.#resumes += 1
    if (this.#resumes > RESUMES) throw this.#fetch.truncated('keeps breaking off the transfer')
    this.#take(await this.#rest())
  }

  async #rest(): Promise<UpstreamResponse> {
    const { etag } = this.#plan.arrived
    if (!isStrong(etag) && this.#plan.digest === null) throw this.#fetch.truncated('broke off the transfer')
    const response = await this.#fetch.rest(this.#received, etag)
    if (response.status === 206) return response
    response.body.destroy()
    throw this.#fetch.truncated('broke off the transfer and cannot take it up again')
  }

  #take(response: UpstreamResponse): void {
    this.#response = response
    const doubt = this.#plan.digest === null ? doubtOf(response) : null
    if (doubt !== null) throw new UpstreamUnavailable(`upstream ${this.#plan.upstreamName} sent ${doubt}`)
    this.#chunks = (response.body as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  }

  async #finish(): Promise<void> {
    this.#response!.bodyRead()
    if (this.#hashes !== null) {
      const computed = Object.fromEntries([...this.#hashes].map(([name, hash]) => [name, hash.digest('hex')]))
      this.#published.compare(computed)
      await this.#plan.verify(computed['sha256']!)
    }
    this.#isWhole = true
  }

  #give(buffer: Buffer, most: number): number {
    let copied = 0
    while (copied < Math.min(buffer.length, most)) {
      const first = this.#waiting[0]!
      const bytes = first.copy(buffer, copied, 0, Math.min(first.length, most - copied))
      copied += bytes
      if (bytes === first.length) this.#waiting.shift()
      else this.#waiting[0] = first.subarray(bytes)
    }
    this.#given += copied
    this.#waitingBytes -= copied
    return copied
  }

  #update(chunk: Buffer): void {
    for (const hash of this.#hashes?.values() ?? []) hash.update(chunk)
  }
}
