import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { Config } from '../config/config.ts'
import { UpstreamUnavailable } from '../errors.ts'
import type { Describe, DocumentRequest, Pages } from './adapter.ts'
import type { DocumentRecord } from './document-store.ts'
import { HEAD_UNSUPPORTED, type UpstreamResponse } from './exchange.ts'
import { readBody } from './read-body.ts'
import type { Upstream } from './upstreams.ts'

const gunzipAsync = promisify(gunzip)

const MAX_PAGES = 500

/** What an upstream answered about a document. */
export interface DocumentAnswer {
  readonly status: number
  readonly isAbsence: boolean
  /** Empty where a body is not all that was asked for: they would confirm only a part of the document. */
  readonly etag: string
  readonly lastModified: string
  /** null unless the status is 200. */
  readonly body: DocumentBody | null
}

/** A document as it is to be stored. */
export interface DocumentBody {
  readonly decoded: Buffer
  /** The gzip as received; null when there is none. */
  readonly compressed: Buffer | null
}

/** What a DocumentExchange is about, and built from. */
export interface ExchangeParts {
  readonly upstream: Upstream
  readonly request: DocumentRequest<NonNullable<unknown>>
  readonly config: Config['mirrors']
}

/**
 * Asks an upstream for one document, once: for its body, page by page, or for what headers tell. However many requests
 * that takes, they share one time limit and one size limit.
 */
export class DocumentExchange {
  readonly #upstream: Upstream
  readonly #request: DocumentRequest<NonNullable<unknown>>
  readonly #config: Config['mirrors']
  readonly #signal: AbortSignal
  /** Bytes, decoded, that may still come. */
  #left: number

  constructor({ upstream, request, config }: ExchangeParts) {
    this.#upstream = upstream
    this.#request = request
    this.#config = config
    this.#signal = AbortSignal.timeout(config.fetchTimeout)
    this.#left = config.maxDocumentSize === -1 ? Number.MAX_SAFE_INTEGER : config.maxDocumentSize
  }

  /** With the validators of what is held, where they make sense. Throws UpstreamUnavailable. */
  ask(held: DocumentRecord | null): Promise<DocumentAnswer> {
    const { describe, pages } = this.#request
    if (describe !== undefined) return this.#describe(describe)
    return pages === undefined ? this.#get(validatorsOf(held)) : this.#follow(pages)
  }

  async #get(validators: Record<string, string>): Promise<DocumentAnswer> {
    const response = await this.#send('GET', this.#first, { 'accept-encoding': 'gzip', ...validators })
    const { etag = '', 'last-modified': lastModified = '' } = response.headers
    return { ...statusOf(response), etag, lastModified, body: await this.#bodyOf(response) }
  }

  /** HEAD, and GET where it does not tell enough; identity, because the length of the body is what is wanted. */
  async #describe(describe: Describe): Promise<DocumentAnswer> {
    const asIs = { 'accept-encoding': 'identity' }
    const head = await this.#send('HEAD', this.#first, asIs)
    head.body.destroy()
    if (head.status === 200) {
      const made = this.#use(() => describe.fromHead(head.headers))
      if (made !== null) return withoutValidators(head, made)
    } else if (!HEAD_UNSUPPORTED.has(head.status)) return withoutValidators(head, null)
    const response = await this.#send('GET', this.#first, asIs)
    const body = await this.#bodyOf(response)
    return withoutValidators(response, body && this.#use(() => describe.fromBody(response.headers, body.decoded)))
  }

  /** Every page, without validators: those of one page say nothing of the others. */
  async #follow(pages: Pages): Promise<DocumentAnswer> {
    const bodies: Buffer[] = []
    const asked = new Set<string>()
    for (let url = this.#first; ; ) {
      asked.add(url.href)
      const response = await this.#send('GET', url, { 'accept-encoding': 'gzip' })
      const body = await this.#bodyOf(response)
      if (body === null && bodies.length === 0) return withoutValidators(response, null)
      if (body === null) throw this.#failure(`answered ${response.status} for page ${asked.size} of`)
      bodies.push(body.decoded)
      const next = this.#use(() => pages.next(response.headers, body.decoded))
      if (next === null) {
        const whole = this.#use(() => pages.join(bodies))
        return withoutValidators(response, whole)
      }
      url = this.#below(next, url)
      if (asked.has(url.href) || asked.size === MAX_PAGES) throw this.#failure('has no last page of')
    }
  }

  get #first(): URL {
    return new URL(this.#request.path, this.#upstream.settings.url)
  }

  #below(next: string, page: URL): URL {
    const { url: base } = this.#upstream.settings
    const url = URL.canParse(next, page.href) ? new URL(next, page) : null
    if (url?.origin === base.origin && url.pathname.startsWith(base.pathname)) return url
    throw this.#failure('leads elsewhere for the next page of', { detail: 'FOREIGN_HOST' })
  }

  #send(method: 'GET' | 'HEAD', url: URL, headers: Record<string, string>): Promise<UpstreamResponse> {
    return this.#upstream.client.send({
      url,
      method,
      headers: { accept: this.#request.accept, ...headers },
      use: 'document',
      headersTimeout: this.#config.documentTimeout,
      signal: this.#signal,
    })
  }

  async #bodyOf(response: UpstreamResponse): Promise<DocumentBody | null> {
    if (response.status === 200) return this.#read(response)
    response.body.destroy()
    return null
  }

  async #read(response: UpstreamResponse): Promise<DocumentBody> {
    const received = await readBody(response, this.#left).catch((cause: unknown) => {
      throw this.#failure('broke off its answer about', { detail: 'TRUNCATED', cause })
    })
    if (received === null) throw this.#failure(`sent more than ${this.#config.maxDocumentSize} bytes for`)
    const body = await this.#decode(received, (response.headers['content-encoding'] ?? '').toLowerCase())
    this.#left -= body.decoded.length
    return body
  }

  async #decode(received: Buffer, encoding: string): Promise<DocumentBody> {
    if (encoding === 'identity' || encoding === '') return { decoded: received, compressed: null }
    if (encoding !== 'gzip' && encoding !== 'x-gzip') throw this.#failure(`sent the unknown encoding ${encoding} of`)
    try {
      const decoded = await gunzipAsync(received, { maxOutputLength: Math.min(this.#left, 2 ** 32) })
      return { decoded, compressed: received }
    } catch (cause) {
      throw this.#failure('sent gzip that cannot be read of', { cause })
    }
  }

  /** What the adapter makes of an answer. */
  #use<T>(make: () => T): T {
    try {
      return make()
    } catch (cause) {
      throw this.#failure(`sent nothing usable (${(cause as Error).message}) for`, { cause })
    }
  }

  #failure(what: string, options: { detail?: string; cause?: unknown } = {}): UpstreamUnavailable {
    return new UpstreamUnavailable(`upstream ${this.#upstream.settings.name} ${what} ${this.#request.key}`, options)
  }
}

function validatorsOf(held: DocumentRecord | null): Record<string, string> {
  return {
    ...(held?.etag ? { 'if-none-match': held.etag } : {}),
    ...(held?.lastModified ? { 'if-modified-since': held.lastModified } : {}),
  }
}

function withoutValidators(response: UpstreamResponse, decoded: Buffer | null): DocumentAnswer {
  const body = decoded === null ? null : { decoded, compressed: null }
  return { ...statusOf(response), etag: '', lastModified: '', body }
}

function statusOf({ status, isAbsence }: UpstreamResponse): Pick<DocumentAnswer, 'status' | 'isAbsence'> {
  return { status, isAbsence }
}
