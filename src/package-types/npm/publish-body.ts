import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { Invalid, TooLarge } from '../../errors.ts'
import { type Spool, type SpoolEntry, withIdleLimit } from '../../storage/spool.ts'
import { Base64Decoder } from './base64.ts'

/** Largest body without its tarballs, bytes: a whole document comes back when versions are deprecated. */
const MAX_METADATA = 32 * 1024 * 1024
const MAX_DEPTH = 200
const MAX_ATTACHMENTS = 8

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d

/** A publish document whose tarballs were cut out while it arrived. */
export interface PublishBody {
  /** The document as JSON.parse would give it, except that `data` of the tarballs below is an opaque word. */
  readonly document: unknown
  /** The tarballs by attachment name: finished entries. */
  readonly tarballs: ReadonlyMap<string, SpoolEntry>
  /** Deletes the tarballs from the spool; to be called in any case, also after they were stored. */
  discard(): Promise<void>
}

/**
 * Reads the body of a PUT. The base64 `data` of every attachment called `*.tgz` goes to the spool as it arrives and
 * never becomes one string; everything else is parsed as JSON, so the last of duplicate keys wins. `limit` counts the
 * body's bytes. Errors: TooLarge; Invalid for what is not JSON, nested over 200 levels, not canonical base64, or cut
 * off. After an error nothing is left in the spool.
 */
export async function readPublishBody(body: AsyncIterable<Buffer>, spool: Spool, limit: number): Promise<PublishBody> {
  const scanner = new PublishScanner(() => spool.create())
  let size = 0
  try {
    for await (const chunk of withIdleLimit(body)) {
      size += chunk.length
      if (size > limit) throw new TooLarge(`the body is over ${limit} bytes`, 'body')
      await scanner.scan(chunk)
    }
    return await scanner.finish()
  } catch (error) {
    // Most clients look at the answer only when they have sent everything.
    if (body instanceof Readable && !body.destroyed) body.resume()
    await scanner.discard()
    throw error
  }
}

interface Cut {
  readonly entry: SpoolEntry
  readonly decoder: Base64Decoder
  readonly word: string
}

/**
 * Finds `_attachments.<name>.data` in JSON that arrives in pieces. It follows strings and nesting only: what remains
 * goes through JSON.parse, which judges the grammar. A value that was cut out is replaced by a word nobody can guess,
 * so that JSON.parse also decides which of duplicate keys counts.
 */
class PublishScanner {
  readonly #create: () => SpoolEntry
  readonly #secret = randomUUID()
  readonly #cuts: Cut[] = []
  readonly #rest = new GrowingText()
  /** Up to where the current piece has gone to the rest, or was cut out. */
  #kept = 0
  #state: 'structure' | 'string' | 'escape' | 'data' = 'structure'
  /** Per level: whether it is an object; 0 is outside of everything. */
  readonly #isObject = new Uint8Array(MAX_DEPTH + 1)
  /** The current key of the first three levels. */
  readonly #keys: (string | null)[] = [null, null, null, null]
  #depth = 0
  #expectKey = false
  /** Where the key that is being read began in the rest; null: it does not matter. */
  #keyStart: number | null = null

  constructor(create: () => SpoolEntry) {
    this.#create = create
  }

  /** Takes the next piece; the promise waits for the disk. */
  async scan(chunk: Buffer): Promise<void> {
    const writes: (Promise<void> | undefined)[] = []
    this.#kept = 0
    for (let at = 0; at < chunk.length; ) {
      if (this.#state === 'data') at = this.#scanData(chunk, at, writes)
      else if (this.#state === 'structure') at = this.#scanStructure(chunk, at)
      else at = this.#scanString(chunk, at)
    }
    this.#keepUntil(chunk, chunk.length)
    await Promise.all(writes)
  }

  async finish(): Promise<PublishBody> {
    if (this.#state !== 'structure') throw notJson()
    const document = parseJson(this.#rest.from(0))
    const attachments = (document as { _attachments?: Record<string, { data?: unknown } | null> } | null)?._attachments
    const tarballs = new Map<string, SpoolEntry>()
    for (const [name, attachment] of Object.entries(attachments ?? {})) {
      const cut = this.#cuts.find(({ word }) => word === attachment?.data)
      if (cut !== undefined) tarballs.set(name, cut.entry)
    }
    const used = new Set(tarballs.values())
    await Promise.all(this.#cuts.map(({ entry }) => (used.has(entry) ? entry.finish() : entry.discard())))
    return { document, tarballs, discard: () => this.discard() }
  }

  async discard(): Promise<void> {
    await Promise.all(this.#cuts.map(({ entry }) => entry.discard()))
  }

  #scanStructure(chunk: Buffer, start: number): number {
    for (let at = start; at < chunk.length; at += 1) {
      const byte = chunk[at]!
      if (byte === QUOTE) {
        if (this.#isTarballData()) this.#startCut(chunk, at)
        else this.#startString(chunk, at)
        return at + 1
      }
      if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#open(byte === OPEN_OBJECT)
      else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) this.#close()
      else if (byte === COMMA) this.#expectKey = this.#isObject[this.#depth] === 1
      else if (byte === COLON) this.#expectKey = false
    }
    return chunk.length
  }

  #scanString(chunk: Buffer, start: number): number {
    for (let at = start; at < chunk.length; at += 1) {
      const byte = chunk[at]
      if (this.#state === 'escape') this.#state = 'string'
      else if (byte === BACKSLASH) this.#state = 'escape'
      else if (byte === QUOTE) {
        this.#endString(chunk, at + 1)
        return at + 1
      }
    }
    return chunk.length
  }

  #scanData(chunk: Buffer, start: number, writes: (Promise<void> | undefined)[]): number {
    const { entry, decoder, word } = this.#cuts.at(-1)!
    const { bytes, next, isEnd } = decoder.decode(chunk, start)
    if (bytes.length > 0) writes.push(entry.append(bytes))
    this.#kept = next
    if (isEnd) {
      this.#rest.append(Buffer.from(JSON.stringify(word)))
      this.#state = 'structure'
    }
    return next
  }

  #startString(chunk: Buffer, at: number): void {
    this.#state = 'string'
    if (!this.#expectKey || this.#depth > 3) return
    this.#keepUntil(chunk, at)
    this.#keyStart = this.#rest.length
  }

  #endString(chunk: Buffer, end: number): void {
    this.#state = 'structure'
    if (this.#keyStart === null) return
    this.#keepUntil(chunk, end)
    this.#keys[this.#depth] = parseJson(this.#rest.from(this.#keyStart)) as string
    this.#keyStart = null
  }

  #open(isObject: boolean): void {
    this.#depth += 1
    if (this.#depth > MAX_DEPTH) throw new Invalid(`the document is nested over ${MAX_DEPTH} levels`, 'body')
    this.#isObject[this.#depth] = isObject ? 1 : 0
    if (this.#depth <= 3) this.#keys[this.#depth] = null
    this.#expectKey = isObject
  }

  #close(): void {
    if (this.#depth === 0) throw notJson()
    this.#depth -= 1
    this.#expectKey = false
  }

  #isTarballData(): boolean {
    const keys = this.#keys
    return (
      this.#depth === 3 &&
      !this.#expectKey &&
      keys[3] === 'data' &&
      keys[1] === '_attachments' &&
      keys[2]?.endsWith('.tgz') === true
    )
  }

  #startCut(chunk: Buffer, at: number): void {
    if (this.#cuts.length === MAX_ATTACHMENTS) throw new Invalid(`over ${MAX_ATTACHMENTS} attachments`, 'body')
    this.#keepUntil(chunk, at)
    this.#kept = at + 1
    const word = `${this.#secret}-${this.#cuts.length}`
    this.#cuts.push({ entry: this.#create(), decoder: new Base64Decoder(), word })
    this.#state = 'data'
  }

  #keepUntil(chunk: Buffer, end: number): void {
    this.#rest.append(chunk.subarray(this.#kept, end))
    this.#kept = end
  }
}

/** Bytes in one buffer that grows: pieces of a body may be as small as one byte, and millions of them cost too much. */
class GrowingText {
  #bytes = Buffer.allocUnsafe(16 * 1024)
  length = 0

  append(piece: Buffer): void {
    const length = this.length + piece.length
    if (length > MAX_METADATA) throw new TooLarge(`the document is over ${MAX_METADATA} bytes`, 'body')
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, 2 * this.#bytes.length))
      this.#bytes.copy(larger, 0, 0, this.length)
      this.#bytes = larger
    }
    piece.copy(this.#bytes, this.length)
    this.length = length
  }

  from(start: number): Buffer {
    return this.#bytes.subarray(start, this.length)
  }
}

function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw notJson()
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw notJson()
  }
}

function notJson(): Invalid {
  return new Invalid('the body is not valid JSON', 'body')
}
