import type { IncomingHttpHeaders } from 'node:http'
import { Invalid, RangeNotSatisfiable } from '../../errors.ts'

// The form of the registry protocol, `<start>-<end>`, and that of HTTP.
const CONTENT_RANGE = /^(?:bytes[ =])?(\d{1,16})-(\d{1,16})(?:\/(?:\d{1,16}|\*))?$/

/** What a request says about the bytes that it carries. */
export interface Chunk {
  /** Where they belong in the blob; null: after what is there. */
  readonly start: number | null
  /** How many; null when they come to their own end. */
  readonly length: number | null
}

/**
 * Reads Content-Range and Content-Length. Invalid('upload') for a range that is none, Invalid('size') when the two
 * disagree.
 */
export function readChunk(headers: IncomingHttpHeaders): Chunk {
  const contentLength = headers['content-length']
  const length = contentLength === undefined ? null : Number(contentLength)
  const range = headers['content-range']
  if (range === undefined) return { start: null, length }
  const match = CONTENT_RANGE.exec(range)
  const [start, end] = [Number(match?.[1]), Number(match?.[2])]
  if (match === null || end < start) throw new Invalid('Content-Range must be <start>-<end>', 'upload')
  const promised = end - start + 1
  if (length !== null && length !== promised) {
    throw new Invalid(`Content-Range speaks of ${promised} bytes and Content-Length of ${length}`, 'size')
  }
  return { start, length: promised }
}

/** Throws RangeNotSatisfiable('upload') unless the chunk begins where the upload ends (container.md §4, rule 1). */
export function checkOrder({ start }: Chunk, received: number): void {
  if (start === null || start === received) return
  throw new RangeNotSatisfiable(`the upload has ${received} bytes, so no chunk can begin at ${start}`, 'upload')
}
