import { AsyncLocalStorage } from 'node:async_hooks'
import type { CacheStatus } from './cache-status.ts'

/** The two layers of a mirror, as metrics call them (pull-through.md §2). */
export type RequestClass = 'artifact' | 'document'

/** The upstream that answers a client, and the package it was asked for. */
export interface AnsweringSource {
  readonly upstreamId: number
  readonly upstream: string
  /** Of the upstream's packages. */
  readonly type: string
  /** Name of the mirror owner. */
  readonly owner: string
  /** null: the request names none. */
  readonly packageName: string | null
}

/** What becomes of one request of a client, for the headers, counts and lines of the log that are about all of it. */
export interface ClientRequest {
  /** As the log calls it. */
  readonly id: string
  /** null: no upstream answers, or nobody knows yet. */
  source: AnsweringSource | null
  /** What was taken last of an upstream or its cache; null: nothing yet. */
  taken: { readonly class: RequestClass; readonly status: CacheStatus } | null
  /** Bytes of the body that were handed to the socket. */
  sent: number
}

const requests = new AsyncLocalStorage<ClientRequest>()

/** Runs `next`, and all that follows from it, for a request; the result is filled while that runs. */
export function inClientRequest(id: string, next: () => void): ClientRequest {
  const request: ClientRequest = { id, source: null, taken: null, sent: 0 }
  requests.run(request, next)
  return request
}

/** The request whose work this is; undefined: of none. */
export function clientRequest(): ClientRequest | undefined {
  return requests.getStore()
}

/** It is this upstream that answers. */
export function noteSource(source: AnsweringSource): void {
  const request = requests.getStore()
  if (request !== undefined) request.source = source
}

/** How something that the answer is made of came about. */
export function noteTaken(requestClass: RequestClass, status: CacheStatus): void {
  const request = requests.getStore()
  if (request !== undefined) request.taken = { class: requestClass, status }
}

/** So many bytes of the body go to the client now. */
export function noteSent(bytes: number): void {
  const request = requests.getStore()
  if (request !== undefined) request.sent += bytes
}
