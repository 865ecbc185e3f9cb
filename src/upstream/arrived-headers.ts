import { UpstreamUnavailable } from '../errors.ts'
import type { UpstreamResponse } from './client.ts'

/** What the upstream said of an artifact. */
export interface ArrivedHeaders {
  /** Bytes; null when it did not say. */
  readonly size: number | null
  /** ms; null when it did not say. */
  readonly lastModified: number | null
  readonly etag: string
  readonly url: URL
}

/** Reads what an upstream's headers say of an artifact. */
export function describe(response: UpstreamResponse): ArrivedHeaders {
  const length = response.headers['content-length']
  const lastModified = Date.parse(response.headers['last-modified'] ?? '')
  return {
    size: length !== undefined && /^\d+$/.test(length) ? Number(length) : null,
    lastModified: Number.isNaN(lastModified) ? null : lastModified,
    etag: response.headers['etag'] ?? '',
    url: response.url,
  }
}

/** Whether the bytes are not the file itself; without a digest nobody could tell which of the two was meant. */
export function isEncoded(response: UpstreamResponse): boolean {
  const encoding = response.headers['content-encoding'] ?? ''
  return encoding !== '' && encoding.toLowerCase() !== 'identity'
}

/** What a status other than success means for whoever wanted the artifact. */
export function statusError(status: number, upstream: string, url: URL): Error {
  const what = `${url.origin}${url.pathname}`
  if (status === 401 || status === 403) return new UpstreamUnavailable(`upstream ${upstream} refused access to ${what}`)
  return new ArtifactAbsent(`upstream ${upstream} answered ${status} for ${what}`, status)
}

/** The upstream answered, and has no such artifact. */
export class ArtifactAbsent extends UpstreamUnavailable {
  readonly upstreamStatus: number
  constructor(message: string, status: number) {
    super(message)
    this.upstreamStatus = status
  }
}
