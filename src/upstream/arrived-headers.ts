import { UpstreamUnavailable } from '../errors.ts'
import type { UpstreamResponse } from './exchange.ts'

/** What the upstream said of an artifact. */
export interface ArrivedHeaders {
  /** Bytes; null when it did not say. */
  readonly size: number | null
  /** ms; null when it did not say. */
  readonly lastModified: number | null
  readonly etag: string
  /** Without parameters, lower case; empty when it did not say. */
  readonly contentType: string
  readonly url: URL
}

/** Reads what an upstream's headers say of an artifact; of a 206, of the whole that it is a part of. */
export function describe(response: UpstreamResponse): ArrivedHeaders {
  const length =
    response.status === 206
      ? /\/(\d+)$/.exec(response.headers['content-range'] ?? '')?.[1]
      : response.headers['content-length']
  const lastModified = Date.parse(response.headers['last-modified'] ?? '')
  return {
    size: length !== undefined && /^\d+$/.test(length) ? Number(length) : null,
    lastModified: Number.isNaN(lastModified) ? null : lastModified,
    etag: response.headers['etag'] ?? '',
    contentType: (response.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase(),
    url: response.url,
  }
}

/** What the bytes seem to be instead of the file itself, which only a digest can tell; null: they seem to be the file. */
export function doubtOf({ headers }: UpstreamResponse): string | null {
  if (headers['content-type']?.includes('text/html') === true) return 'a web page instead of the file'
  const encoding = headers['content-encoding'] ?? ''
  const isEncoded = encoding !== '' && encoding.toLowerCase() !== 'identity'
  if (isEncoded) return 'the file in an encoding nobody asked for'
  // It ends with the connection, and whether that is its end nothing tells.
  const isOpenEnded = ['content-length', 'transfer-encoding', 'content-range'].every((name) => !(name in headers))
  return isOpenEnded ? 'a file without a length' : null
}

/** What an answer other than success means for whoever wanted the artifact. */
export function refusalOf({ status, isAbsence, url }: UpstreamResponse, upstreamName: string): UpstreamUnavailable {
  const what = `${url.origin}${url.pathname}`
  if (isAbsence) return new ArtifactAbsent(`upstream ${upstreamName} has no ${what}`)
  const said = status === 401 || status === 403 ? 'refused access to' : `answered ${status} for`
  return new UpstreamUnavailable(`upstream ${upstreamName} ${said} ${what}`)
}

/** The upstream answered, and has no such artifact. */
export class ArtifactAbsent extends UpstreamUnavailable {}
