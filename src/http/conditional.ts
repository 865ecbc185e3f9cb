import type { IncomingHttpHeaders } from 'node:http'

/** What a response is compared with: `etag` with its quotes, `lastModified` in ms; null where there is none. */
export interface Validators {
  readonly etag: string | null
  readonly lastModified: number | null
}

/** Bytes `start` to `end`, both included. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** What a GET or HEAD of a file is answered with. */
export type Outcome = { status: 200 | 304 | 416 } | { status: 206; range: ByteRange }

/**
 * Decides a request for a file of `size` bytes (null: unknown, no ranges) from its headers alone (RFC 9110 §13.2.2).
 * Several ranges, unknown units and malformed ranges are answered whole, inverted ones refused; RFC 9110 §14.2 allows
 * both, and container.md §3 wants the latter.
 */
export function decide(
  method: string,
  headers: IncomingHttpHeaders,
  { etag, lastModified, size }: Validators & { size: number | null },
): Outcome {
  if (isNotModified(headers, { etag, lastModified })) return { status: 304 }
  const { range } = headers
  // Some clients send a range with every request: a 416 for an empty file would be the only answer they ever get.
  if (range === undefined || method !== 'GET' || size === null || size === 0) return { status: 200 }
  if (!allowsRange(headers['if-range'], { etag, lastModified })) return { status: 200 }
  const parsed = parseRange(range, size)
  if (parsed === null) return { status: 200 }
  return parsed === 'unsatisfiable' ? { status: 416 } : { status: 206, range: parsed }
}

/** Whether the client's copy is current. If-None-Match decides alone where it is sent (RFC 9110 §13.1.3). */
export function isNotModified(headers: IncomingHttpHeaders, { etag, lastModified }: Validators): boolean {
  const noneMatch = headers['if-none-match']
  if (noneMatch !== undefined) return etag !== null && matchesEtag(noneMatch, etag)
  const since = headers['if-modified-since']
  if (since === undefined || lastModified === null) return false
  const time = parseHttpDate(since)
  return time !== null && toSeconds(lastModified) <= toSeconds(time)
}

/** Whether an If-None-Match list names `etag`, by weak comparison; a list is read up to its first mistake. */
export function matchesEtag(list: string, etag: string): boolean {
  if (list === etag) return true
  if (list.trim() === '*') return true
  const wanted = opaque(etag)
  const entry = /\s*(?:W\/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)/y
  for (let match = entry.exec(list); match !== null; match = entry.exec(list)) {
    if (match[1] === wanted) return true
    if (entry.lastIndex >= list.length) return false
  }
  return false
}

/**
 * One range of a Range header over `size` bytes, cut to them; null when it is to be ignored, `unsatisfiable` when none
 * of its bytes exist or its end comes before its start.
 */
export function parseRange(header: string, size: number): ByteRange | 'unsatisfiable' | null {
  const match = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(header)
  if (match === null) return null
  const [, first = '', last = ''] = match
  if (first === '') {
    if (last === '') return null
    const length = Number(last)
    if (length === 0 || size === 0) return 'unsatisfiable'
    return { start: Math.max(0, size - length), end: size - 1 }
  }
  const start = Number(first)
  const end = last === '' ? Number.POSITIVE_INFINITY : Number(last)
  return end < start || start >= size ? 'unsatisfiable' : { start, end: Math.min(end, size - 1) }
}

/** An HTTP date in ms, or null. Only the form that RFC 9110 §5.6.7 lets anyone send today. */
export function parseHttpDate(text: string): number | null {
  if (!HTTP_DATE.test(text)) return null
  const time = Date.parse(text)
  return Number.isNaN(time) ? null : time
}

/** Ms since the epoch as an HTTP date. */
export function formatHttpDate(time: number): string {
  return new Date(time).toUTCString()
}

const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/

/** If-Range asks for strong comparison: a weak tag never matches, a date only exactly (RFC 9110 §13.1.5). */
function allowsRange(condition: string | string[] | undefined, { etag, lastModified }: Validators): boolean {
  if (condition === undefined) return true
  if (typeof condition !== 'string') return false
  if (condition.startsWith('"')) return condition === etag
  const time = parseHttpDate(condition)
  return time !== null && lastModified !== null && toSeconds(time) === toSeconds(lastModified)
}

function opaque(etag: string): string {
  return etag.startsWith('W/') ? etag.slice(2) : etag
}

function toSeconds(time: number): number {
  return Math.floor(time / 1000)
}
