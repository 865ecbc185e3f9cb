import type { IncomingMessage, ServerResponse } from 'node:http'

/** What a request to one of the three servers was about. */
export type HubKind = 'ping' | 'manifest' | 'blob' | 'other' | 'token' | 'cdn'

/** One request as it arrived. */
export interface HubRequest {
  readonly kind: HubKind
  readonly method: string
  /** Decoded, without the query. */
  readonly path: string
  readonly query: URLSearchParams
  /** The `Authorization` header, or null. */
  readonly authorization: string | null
  /** Of the answer; null while there is none. */
  status: number | null
}

/** What a request to the registry is about; `type` is the keyword after the repository. */
export function kindOf(path: string, type: string | undefined): HubKind {
  if (/^\/v2\/?$/.test(path)) return 'ping'
  return type === 'manifests' ? 'manifest' : type === 'blobs' ? 'blob' : 'other'
}

/** Notes a request; its status follows when it is answered. */
export function record(kind: HubKind, incoming: IncomingMessage, response: ServerResponse, url: URL): HubRequest {
  const request: HubRequest = {
    kind,
    method: incoming.method ?? 'GET',
    path: decodeURIComponent(url.pathname),
    query: url.searchParams,
    authorization: incoming.headers.authorization ?? null,
    status: null,
  }
  response.on('close', () => {
    request.status = response.headersSent ? response.statusCode : null
  })
  return request
}
