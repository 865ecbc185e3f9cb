import { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { SpoolEntry } from '../storage/spool.ts'

const CHUNK = 64 * 1024

const DECODERS = new Map([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
])

/**
 * Appends to `target` what a sealed entry is without its content coding, and seals it. False when the coding is unknown,
 * or the bytes are not in it. Rejects when `target` takes no more (TooLarge, InsufficientStorage).
 */
export async function decodeEntry(entry: SpoolEntry, coding: string, target: SpoolEntry): Promise<boolean> {
  const createDecoder = DECODERS.get(coding.toLowerCase())
  if (createDecoder === undefined) return false
  const decoder = createDecoder()
  const encoded = Readable.from(chunksOf(entry)).on('error', (error) => decoder.destroy(error))
  try {
    for await (const chunk of decodedBy(encoded.pipe(decoder))) await target.append(chunk)
  } catch (error) {
    if (error instanceof NotInCoding) return false
    throw error
  } finally {
    encoded.destroy()
    decoder.destroy()
  }
  await target.seal()
  return true
}

class NotInCoding extends Error {}

/** Tells what the decoder fails of from what its consumer does. */
async function* decodedBy(decoder: Readable): AsyncGenerator<Buffer> {
  const iterator = decoder[Symbol.asyncIterator]()
  for (;;) {
    const { done, value } = await iterator.next().catch((cause: unknown) => {
      throw new NotInCoding('the bytes are not in this coding', { cause })
    })
    if (done === true) return
    yield value as Buffer
  }
}

async function* chunksOf(entry: SpoolEntry): AsyncGenerator<Buffer> {
  const release = entry.hold()
  try {
    for (let position = 0; position < entry.written; ) {
      const buffer = Buffer.allocUnsafe(CHUNK)
      const bytes = await entry.read(buffer, position)
      if (bytes === 0) throw new Error('the spool entry is shorter than its size')
      position += bytes
      yield buffer.subarray(0, bytes)
    }
  } finally {
    release()
  }
}
