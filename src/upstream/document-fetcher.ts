import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import { LegallyUnavailable, NotFound, UpstreamUnavailable } from '../errors.ts'
import type { Sightings } from '../policies/sightings.ts'
import type { DocumentRequest } from './adapter.ts'
import { type DocumentAnswer, type DocumentBody, DocumentExchange } from './document-exchange.ts'
import type { DocumentIdentity, DocumentRecord, DocumentStore } from './document-store.ts'
import { ABSENT } from './exchange.ts'
import { freshnessOf, timesOf } from './freshness.ts'
import type { ParsedDocuments } from './parsed-documents.ts'
import type { Upstream } from './upstreams.ts'

const gzipAsync = promisify(gzip)
const gunzipAsync = promisify(gunzip)

/** ms for which a copy stays fresh after a lagging edge of a CDN has answered with an older one. */
const LAGGING_EDGE = 30_000

/** What an upstream's answer has made of a document, and the status of that answer. */
export interface Fetched {
  readonly record: DocumentRecord
  readonly status: number
  /** The upstream denied what is held by another status than 404 or 410: it may have it, and refuse us. */
  readonly isDenied?: true
  /** Another replica has asked, and stored the record. */
  readonly isStored?: true
}

/** What a fetch is about. */
export interface Wanted<A extends NonNullable<unknown>> {
  readonly upstream: Upstream
  readonly request: DocumentRequest<A>
  readonly identity: DocumentIdentity
  /** null: nothing is held, or what is held is to be ignored. */
  readonly held: DocumentRecord | null
}

/** What DocumentFetcher is built from. */
export interface FetcherParts {
  store: DocumentStore
  sightings: Sightings
  parsed: ParsedDocuments
  clock: Clock
  config: Config
}

/** Asks upstreams for documents and decides what of their answers to believe (pull-through.md §3.1, §3.2). */
export class DocumentFetcher {
  readonly #parts: FetcherParts

  constructor(parts: FetcherParts) {
    this.#parts = parts
  }

  /**
   * Asks what is true now. Throws NotFound when the upstream definitely has none and none is held, or when it denies
   * what was last confirmed so long ago that a failing upstream would not be covered for either,
   * LegallyUnavailable for 451, UpstreamUnavailable for everything that is no usable answer.
   */
  async fetch<A extends NonNullable<unknown>>(wanted: Wanted<A>): Promise<Fetched> {
    const { upstream, request, held } = wanted
    const { name } = upstream.settings
    const { config } = this.#parts
    const answer = await new DocumentExchange({ upstream, request, config: config.mirrors }).ask(held)
    const { status } = answer
    if (answer.body !== null) return { record: await this.#accept(wanted, answer, answer.body), status }
    const now = this.#parts.clock.now()
    if (status === 304 && held !== null) return { record: { ...held, verifiedAt: now, goneAt: 0 }, status }
    if (answer.isAbsence) {
      if (held === null) throw new NotFound('package', request.key)
      const gone = { ...held, goneAt: held.goneAt || now }
      if (ABSENT.has(status)) return { record: { ...gone, verifiedAt: now }, status }
      const times = timesOf(upstream.settings, request, config.mirrors)
      if (freshnessOf(now - held.verifiedAt, times) === 'expired') throw new NotFound('package', request.key)
      return { record: gone, status, isDenied: true }
    }
    if (status === 451) throw new LegallyUnavailable(`upstream ${name} withholds ${request.key}`)
    const what = status === 401 || status === 403 ? 'refused access to' : `answered ${status} for`
    throw new UpstreamUnavailable(`upstream ${name} ${what} ${request.key}`)
  }

  /** The record that a new body makes, or the held one when nothing changed or an older state came back. */
  async #accept<A extends NonNullable<unknown>>(
    wanted: Wanted<A>,
    { etag, lastModified }: DocumentAnswer,
    body: DocumentBody,
  ): Promise<DocumentRecord> {
    const { upstream, request, identity, held } = wanted
    const now = this.#parts.clock.now()
    const bodySha256 = createHash('sha256').update(body.decoded).digest('hex')
    if (held?.bodySha256 === bodySha256) return { ...held, etag, lastModified, verifiedAt: now, goneAt: 0 }
    const accepted = this.#parse(request, identity, bodySha256, body.decoded)
    const former = held === null ? null : await this.#readHeld(request, held)
    if (held !== null && former !== null && request.isOlder?.(accepted, former) === true) {
      const { fresh } = timesOf(upstream.settings, request, this.#parts.config.mirrors)
      return { ...held, verifiedAt: now - fresh + LAGGING_EDGE }
    }
    const listing = request.listing?.(accepted)
    if (listing !== undefined) {
      const before = former === null ? null : { listing: request.listing!(former), verifiedAt: held!.verifiedAt }
      await this.#parts.sightings.note(identity.upstreamId, listing, before)
    }
    // Level 1: stored once, read seldom; what clients get is compressed anew.
    const compressed = body.compressed ?? (await gzipAsync(body.decoded, { level: 1 }))
    const times = { fetchedAt: now, verifiedAt: now, goneAt: 0 }
    return { blobSha256: '', etag, lastModified, bodySha256, seq: 0, ...times, body: compressed }
  }

  #parse<A extends NonNullable<unknown>>(
    request: DocumentRequest<A>,
    identity: DocumentIdentity,
    version: string,
    body: Buffer,
  ): A {
    try {
      return this.#parts.parsed.parse(request, identity, version, body)
    } catch (error) {
      const message = `the upstream's document for ${request.key} is not usable: ${(error as Error).message}`
      throw new UpstreamUnavailable(message, { cause: error })
    }
  }

  /** The document held, where something is to be compared with it; null when the blob store has lost it. */
  async #readHeld<A>(request: DocumentRequest<A>, held: DocumentRecord): Promise<A | null> {
    if (request.isOlder === undefined && request.listing === undefined) return null
    const compressed = await this.#parts.store.read(held)
    return compressed === null ? null : request.parse(await gunzipAsync(compressed))
  }
}
