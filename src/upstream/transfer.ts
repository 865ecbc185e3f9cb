import { RegistryError, UpstreamUnavailable } from '../errors.ts'
import type { Digest } from '../storage/digest.ts'
import type { Partial, PartialLabel } from '../storage/partials.ts'
import type { SpoolEntry } from '../storage/spool.ts'
import { GATHER } from '../storage/spool-entry.ts'
import { type ArrivedHeaders, describe } from './arrived-headers.ts'
import { ArtifactFetch, isEncoded, isStrong } from './artifact-fetch.ts'
import type { UpstreamResponse } from './exchange.ts'
import { type FlightPlan, Uncacheable } from './flight-plan.ts'
import type { PublishedDigest } from './published-digest.ts'

const RESUMES = 3

/** How a transfer has begun. */
export interface Beginning {
  readonly entry: SpoolEntry
  readonly response: UpstreamResponse
  readonly arrived: ArrivedHeaders
  /** Whether `entry` is the beginning of an earlier transfer, which is to be read back first. */
  readonly isContinued: boolean
  /** The content coding, although none was asked for; empty: none. */
  readonly coding: string
}

/**
 * The bytes of one artifact on their way into the spool: from the beginning, or from where an earlier transfer ended;
 * taken up again up to three times when they break off, and kept for the next one after that (pull-through.md §4.2).
 */
export class Transfer {
  readonly #plan: FlightPlan
  readonly #published: PublishedDigest
  readonly #signal: AbortSignal
  readonly #fetch: ArtifactFetch
  #begun: Beginning | null = null
  #giveBack: (() => void) | null = null
  #noting: Promise<void> | null = null
  #isOver = false

  constructor(plan: FlightPlan, published: PublishedDigest, signal: AbortSignal) {
    this.#plan = plan
    this.#published = published
    this.#signal = signal
    this.#fetch = new ArtifactFetch(plan, signal)
  }

  /** Throws UpstreamUnavailable, ArtifactAbsent among it. */
  async begin(): Promise<Beginning> {
    const { spool } = this.#plan
    const kept = await this.#takeKept()
    const response = kept === null ? await this.#fetch.whole() : await this.#continue(kept)
    const isContinued = kept !== null && response.status === 206
    if (kept !== null && !isContinued) await this.#drop(kept.entry)
    const entry = isContinued ? kept.entry : spool.create({ limit: this.#plan.limit })
    const coding = isEncoded(response) ? response.headers['content-encoding']! : ''
    this.#begun = { entry, response, arrived: describe(response), isContinued, coding }
    return this.#begun
  }

  /** Sets room aside for the bytes. Throws Uncacheable when there is none, or they are too many. */
  async claim({ entry, response, arrived }: Beginning): Promise<void> {
    const { spool, limit } = this.#plan
    const size = arrived.size ?? 0
    const isSmall = arrived.size !== null && size <= GATHER
    const fits = limit > 0 && size <= limit
    if (fits && isSmall) return
    if (fits) this.#giveBack = await spool.space.claim(size, () => entry.written)
    if (this.#giveBack !== null) return
    response.body.destroy()
    const why =
      limit === 0
        ? 'the cache is full'
        : size > limit
          ? `more than ${limit} bytes are not stored`
          : 'no room to store it'
    throw new Uncacheable(why, arrived, await this.#published.known)
  }

  /** Appends the body to the entry, and calls `onBytes` whenever some came. */
  async receive(beginning: Beginning, onBytes: () => void): Promise<void> {
    const { entry, response: first, arrived, isContinued } = beginning
    this.#published.known.then(
      () => this.#note(),
      () => {},
    )
    if (isContinued) await entry.readBack()
    onBytes()
    let response = first
    for (let resumes = 0; ; resumes += 1) {
      try {
        for await (const chunk of response.body as AsyncIterable<Buffer>) {
          const wait = entry.append(chunk)
          onBytes()
          if (wait !== undefined) await wait
        }
        if (arrived.size === null || entry.written === arrived.size) {
          response.bodyRead()
          return
        }
        if (entry.written > arrived.size) throw this.#fetch.truncated('sent more bytes than it announced')
      } catch (error) {
        response.body.destroy()
        if (error instanceof RegistryError) throw error
        if (this.#signal.aborted) throw this.#fetch.truncated('was given up', error)
        if (arrived.size === null) throw this.#fetch.truncated('broke off the transfer', error)
      }
      response.bodyFailed()
      if (resumes === RESUMES) throw this.#fetch.truncated('keeps breaking off the transfer')
      response = await this.#resume(entry, arrived)
    }
  }

  /** Call it with what the flight failed of, or null, when it is over: what is worth it is kept. */
  async end(failure: Error | null): Promise<void> {
    this.#isOver = true
    this.#giveBack?.()
    if (this.#begun === null) return
    await this.#noting
    const { entry } = this.#begun
    const label = this.#label
    const isWorthIt = failure instanceof UpstreamUnavailable && failure.detail === 'TRUNCATED'
    if (label !== null && isWorthIt) await this.#plan.spool.partials.keep(entry, label)
    else await this.#plan.spool.partials.forget(entry)
  }

  /** What an earlier transfer has left, if there are means to tell whether the rest fits. */
  async #takeKept(): Promise<Partial | null> {
    const { spool, identity, digest, limit } = this.#plan
    const kept = await spool.partials.take(identity, { limit })
    if (kept === null) return null
    const { label } = kept
    const isSame = digest !== null && label.digest === textOf(digest)
    const isOther = digest !== null && label.digest !== '' && !isSame
    if (!isOther && (isStrong(label.etag) || isSame)) return kept
    await this.#drop(kept.entry)
    return null
  }

  async #continue({ entry, label }: Partial): Promise<UpstreamResponse> {
    try {
      return await this.#fetch.rest(entry.kept, label.etag)
    } catch (error) {
      await this.#plan.spool.partials.keep(entry, label)
      throw error
    }
  }

  async #resume(entry: SpoolEntry, { etag }: ArrivedHeaders): Promise<UpstreamResponse> {
    if (!isStrong(etag) && (await this.#published.known) === null) throw this.#fetch.truncated('broke off the transfer')
    const response = await this.#fetch.rest(entry.written, etag).catch((error: unknown) => {
      throw this.#fetch.truncated('broke off the transfer and cannot take it up again', error)
    })
    if (response.status === 206) return response
    response.body.destroy()
    throw this.#fetch.truncated('broke off the transfer and cannot take it up again')
  }

  /** What the bytes are a part of; null: nothing would tell whether the rest fits. */
  get #label(): PartialLabel | null {
    if (this.#begun === null || this.#begun.coding !== '') return null
    const { digest } = this.#published
    const etag = isStrong(this.#begun.arrived.etag) ? this.#begun.arrived.etag : ''
    if (etag === '' && digest === null) return null
    return { of: this.#plan.identity, etag, digest: digest === null ? '' : textOf(digest) }
  }

  #note(): void {
    const { entry, arrived } = this.#begun!
    if (this.#isOver || this.#label === null || (arrived.size !== null && arrived.size <= GATHER)) return
    this.#noting = this.#plan.spool.partials.note(entry, this.#label)
  }

  async #drop(entry: SpoolEntry): Promise<void> {
    await this.#plan.spool.partials.forget(entry)
    await entry.discard()
  }
}

function textOf({ algorithm, hex }: Digest): string {
  return `${algorithm}:${hex}`
}
