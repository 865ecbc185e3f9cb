import type { Readable } from 'node:stream'
import type { SlotUse } from './slots.ts'

/** Answers to HEAD of servers that know GET only. */
export const HEAD_UNSUPPORTED: ReadonlySet<number> = new Set([405, 501])

/** By these every upstream says that there is no such thing. */
export const ABSENT: ReadonlySet<number> = new Set([404, 410])

/** What to ask of an upstream; client headers are never part of it. */
export interface UpstreamRequest {
  readonly url: URL
  readonly method?: 'GET' | 'HEAD'
  readonly headers: Readonly<Record<string, string>>
  readonly use: SlotUse
  /** ms to wait for a turn, and then until the headers are there, connecting included. */
  readonly headersTimeout: number
  /** Ends the exchange, body included. */
  readonly signal: AbortSignal
  /** `manual`: a redirect is an answer like any other; `follow` when absent. */
  readonly redirect?: 'follow' | 'manual'
}

/**
 * An upstream's answer: its status is 2xx, 304, 4xx other than 408, 425 and 429, 501 or 508, and 3xx where redirects
 * are not followed; the body must be read or destroyed.
 */
export interface UpstreamResponse {
  readonly status: number
  readonly headers: Record<string, string>
  /** Whether it says that there is no such thing: 404, 410, or what the adapter counts as such (pull-through.md §3.2). */
  readonly isAbsence: boolean
  readonly body: Readable
  /** Where it came from after redirects. */
  readonly url: URL
  /** Call when the body was read to its end, or ended too early, so that the origin's health hears of it. */
  readonly bodyRead: () => void
  readonly bodyFailed: () => void
}
