import { UpstreamUnavailable } from '../errors.ts'
import { refusalOf } from './arrived-headers.ts'
import type { UpstreamClient } from './client.ts'
import type { UpstreamResponse } from './exchange.ts'
import type { SlotUse } from './slots.ts'

/** Where the bytes of one artifact are, and how to ask for them. */
export interface FetchPlan {
  readonly client: UpstreamClient
  readonly upstreamName: string
  readonly url: URL
  readonly accept: string
  readonly use: SlotUse
  /** ms until the upstream's headers. */
  readonly headersTimeout: number
}

/** GET of one artifact: whole, or from where a transfer ended. */
export class ArtifactFetch {
  readonly #plan: FetchPlan
  readonly #signal: AbortSignal

  /** `signal` ends every exchange, bodies included. */
  constructor(plan: FetchPlan, signal: AbortSignal) {
    this.#plan = plan
    this.#signal = signal
  }

  /** An answer of 200. Throws UpstreamUnavailable, ArtifactAbsent among it. */
  async whole(): Promise<UpstreamResponse> {
    return this.#requireOk(await this.#send({}))
  }

  /**
   * An answer of 206 with the bytes from a position to the end, or one of 200 where they are not what they were or
   * nothing but the whole is to be had. The first is tied to the ETag if that is a strong one, also where If-Range is
   * not known; without it the bytes must be verified by other means. Throws like `whole`.
   */
  async rest(from: number, etag: string): Promise<UpstreamResponse> {
    const response = await this.#send({ range: `bytes=${from}-`, ...(isStrong(etag) ? { 'if-range': etag } : {}) })
    if (response.status === 206) {
      const { 'content-range': range = '', etag: now = etag } = response.headers
      const isSame = !isStrong(etag) || now === etag
      const fits = range.startsWith(`bytes ${from}-`) && /\/\d+$/.test(range) && !isEncoded(response)
      if (isSame && fits) return response
    } else if (response.status !== 416) return this.#requireOk(response)
    response.body.destroy()
    return this.whole()
  }

  /** A failure of the transfer itself. */
  truncated(what: string, cause?: unknown): UpstreamUnavailable {
    return new UpstreamUnavailable(`upstream ${this.#plan.upstreamName} ${what}`, { detail: 'TRUNCATED', cause })
  }

  #requireOk(response: UpstreamResponse): UpstreamResponse {
    if (response.status === 200) return response
    response.body.destroy()
    throw refusalOf({ ...response, url: this.#plan.url }, this.#plan.upstreamName)
  }

  #send(headers: Record<string, string>): Promise<UpstreamResponse> {
    const { client, url, accept, use, headersTimeout } = this.#plan
    return client.send({
      url,
      // Bytes are stored as they come: a decoded archive has another digest.
      headers: { accept, 'accept-encoding': 'identity', ...headers },
      use,
      headersTimeout,
      signal: this.#signal,
    })
  }
}

/** Whether equal ETags mean equal bytes. */
export function isStrong(etag: string): boolean {
  return etag !== '' && !etag.startsWith('W/')
}

/** Whether the body is in an encoding, although none was asked for. */
export function isEncoded({ headers }: Pick<UpstreamResponse, 'headers'>): boolean {
  const encoding = headers['content-encoding'] ?? ''
  return encoding !== '' && encoding.toLowerCase() !== 'identity'
}
