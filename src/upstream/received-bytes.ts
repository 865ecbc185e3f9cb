import type { Readable } from 'node:stream'

/** Counts the bytes that a source pushes into a body, without reading any of them. */
export function countReceived(body: Readable): () => number {
  // What came in one piece with the headers is there already.
  let bytes = body.readableLength
  const push = body.push.bind(body)
  body.push = (chunk: Uint8Array | null, ...rest) => {
    bytes += chunk?.length ?? 0
    return push(chunk, ...rest)
  }
  return () => bytes
}
