import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import { LegallyUnavailable, NotFound, UpstreamUnavailable } from '../errors.ts'
import type { Metrics } from '../metrics.ts'
import type { DocumentRequest } from './adapter.ts'
import type { UpstreamResponse } from './client.ts'
import type { DocumentIdentity, DocumentRecord, DocumentStore } from './document-store.ts'
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
  parsed: ParsedDocuments
  clock: Clock
  config: Config
  metrics: Metrics
}

/** Asks upstreams for documents and decides what of their answers to believe (pull-through.md §3.1, §3.2). */
export class DocumentFetcher {
  readonly #parts: FetcherParts

  constructor(parts: FetcherParts) {
    this.#parts = parts
  }

  /**
   * Asks with the validators of what is held. Throws NotFound when the upstream definitely has none and none is held,
   * LegallyUnavailable for 451, UpstreamUnavailable for everything that is no usable answer.
   */
  async fetch<A extends NonNullable<unknown>>(wanted: Wanted<A>): Promise<Fetched> {
    const { upstream, request, held } = wanted
    const { mirrors } = this.#parts.config
    const { name } = upstream.settings
    const response = await upstream.client.send({
      url: new URL(request.path, upstream.settings.url),
      headers: {
        accept: request.accept,
        'accept-encoding': 'gzip',
        ...(held?.etag ? { 'if-none-match': held.etag } : {}),
        ...(held?.lastModified ? { 'if-modified-since': held.lastModified } : {}),
      },
      use: 'document',
      headersTimeout: mirrors.documentTimeout,
      signal: AbortSignal.timeout(mirrors.fetchTimeout),
    })
    const { status } = response
    this.#parts.metrics.upstreamResponses.inc({ upstream: name, class: 'document', status })
    if (status === 200) return { record: await this.#accept(wanted, response), status }
    response.body.destroy()
    const now = this.#parts.clock.now()
    if (status === 304 && held !== null) return { record: { ...held, verifiedAt: now, goneAt: 0 }, status }
    if (status === 404 || status === 410) {
      if (held === null) throw new NotFound('package', request.key)
      return { record: { ...held, verifiedAt: now, goneAt: held.goneAt || now }, status }
    }
    if (status === 451) throw new LegallyUnavailable(`upstream ${name} withholds ${request.key}`)
    const answer = status === 401 || status === 403 ? 'refused access to' : `answered ${status} for`
    throw new UpstreamUnavailable(`upstream ${name} ${answer} ${request.key}`)
  }

  /** The record that a new body makes, or the held one when nothing changed or an older state came back. */
  async #accept<A extends NonNullable<unknown>>(
    wanted: Wanted<A>,
    response: UpstreamResponse,
  ): Promise<DocumentRecord> {
    const { upstream, request, identity, held } = wanted
    const body = await this.#read(upstream, response)
    const now = this.#parts.clock.now()
    const etag = response.headers['etag'] ?? ''
    const lastModified = response.headers['last-modified'] ?? ''
    const bodySha256 = createHash('sha256').update(body.decoded).digest('hex')
    if (held?.bodySha256 === bodySha256) return { ...held, etag, lastModified, verifiedAt: now, goneAt: 0 }
    const accepted = this.#parse(request, identity, bodySha256, body.decoded)
    if (held !== null && (await this.#isOlder(request, accepted, held))) {
      const fresh = upstream.settings.fresh ?? this.#parts.config.mirrors.fresh
      return { ...held, verifiedAt: now - fresh + LAGGING_EDGE }
    }
    // Level 1: stored once, read seldom; what clients get is compressed anew.
    const compressed = body.compressed ?? (await gzipAsync(body.decoded, { level: 1 }))
    const times = { fetchedAt: now, verifiedAt: now, goneAt: 0 }
    return { blobSha256: '', etag, lastModified, bodySha256, ...times, body: compressed }
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

  async #isOlder<A>(request: DocumentRequest<A>, candidate: A, held: DocumentRecord): Promise<boolean> {
    if (request.isOlder === undefined) return false
    const compressed = await this.#parts.store.read(held)
    return compressed !== null && request.isOlder(candidate, request.parse(await gunzipAsync(compressed)))
  }

  async #read(upstream: Upstream, response: UpstreamResponse): Promise<ReceivedBody> {
    const { name } = upstream.settings
    const { maxDocumentSize } = this.#parts.config.mirrors
    const limit = maxDocumentSize === -1 ? Number.MAX_SAFE_INTEGER : maxDocumentSize
    const received = await readAll(response, limit).catch((error: unknown) => {
      response.bodyFailed()
      throw new UpstreamUnavailable(`upstream ${name} broke off its answer`, { detail: 'TRUNCATED', cause: error })
    })
    if (received === null) throw new UpstreamUnavailable(`upstream ${name} sent more than ${limit} bytes`)
    response.bodyRead()
    this.#parts.metrics.fetchedBytes.inc({ upstream: name }, received.length)
    const encoding = (response.headers['content-encoding'] ?? 'identity').toLowerCase()
    if (encoding === 'identity' || encoding === '') return { decoded: received, compressed: null }
    if (encoding !== 'gzip' && encoding !== 'x-gzip') {
      throw new UpstreamUnavailable(`upstream ${name} sent the unknown encoding ${encoding}`)
    }
    try {
      const decoded = await gunzipAsync(received, { maxOutputLength: Math.min(limit, 2 ** 32) })
      return { decoded, compressed: received }
    } catch (error) {
      throw new UpstreamUnavailable(`upstream ${name} sent gzip that cannot be read`, { cause: error })
    }
  }
}

interface ReceivedBody {
  readonly decoded: Buffer
  /** The gzip as received; null when it came uncompressed. */
  readonly compressed: Buffer | null
}

/** The whole body, or null as soon as it is over `limit` bytes. */
async function readAll(response: UpstreamResponse, limit: number): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
