import { createHash } from 'node:crypto'
import { link, rename, unlink } from 'node:fs/promises'
import { TooLarge } from '../errors.ts'
import type { ByteSource } from './byte-source.ts'
import { Descriptor } from './descriptor.ts'
import { type Digests, slowDigestsOf } from './digest.ts'
import { DigestJob } from './digest-jobs.ts'
import { Gathered } from './gathered.ts'
import { storageError } from './storage-error.ts'

/** Bytes kept in memory before any of them is written, and written at once. */
export const GATHER = 1024 * 1024

/** What limits an entry: `limit` in bytes (none by default) and the text of the TooLarge beyond it. */
export interface SpoolLimit {
  limit?: number
  limitMessage?: string
}

/**
 * Bytes on their way in: appended once, in order, hashed meanwhile, readable by many while they grow. Up to 1 MiB
 * stays in memory; more goes to a file in gathered writes of 1 MiB, one at a time.
 *
 * Whoever made an entry discards it, whatever happened to it and also after it was put into a blob store. An adopted
 * file is its keeper's and stays where it is: moving gives it a second name, discarding only closes it.
 */
export class SpoolEntry {
  readonly #path: string
  readonly #limit: number
  readonly #limitMessage: string
  readonly #sha256 = createHash('sha256')
  #written = 0
  #flushed = 0
  #gathered = new Gathered()
  #writing: Gathered | null = null
  #flushing: Promise<void> | null = null
  #failure: Error | null = null
  #file: Descriptor | null = null
  /** Where the bytes are on disk; null while they are in memory only, and again when they are gone. */
  #location: string | null = null
  #moved = false
  #adopted = false
  #digesting: DigestJob | null = null
  #sealed: string | null = null
  #digests: Digests | null = null
  #discarded = false
  #holders = 0
  #kept = 0

  constructor(path: string, { limit = Number.POSITIVE_INFINITY, limitMessage }: SpoolLimit = {}) {
    this.#path = path
    this.#limit = limit
    this.#limitMessage = limitMessage ?? `the body is larger than ${limit} bytes`
  }

  /**
   * A finished entry over a file whose size and digests are known. Rejects as `fs.open` does, and when the file has
   * another size.
   */
  static async adopt(path: string, size: number, digests: Digests): Promise<SpoolEntry> {
    const file = await Descriptor.open(path, 'r')
    const entry = new SpoolEntry(path)
    entry.#file = file
    entry.#location = path
    entry.#adopted = true
    entry.#written = size
    entry.#flushed = size
    entry.#digests = digests
    if ((await file.size()) !== size) {
      await entry.discard()
      throw new Error(`${path} has not the size that it had`)
    }
    return entry
  }

  /**
   * An entry over the beginning of a file, which `keep` has left: call `readBack` before anything is appended. Rejects as
   * `fs.open` does.
   */
  static async reopen(path: string, limit: SpoolLimit): Promise<SpoolEntry> {
    const file = await Descriptor.open(path, 'r+')
    const entry = new SpoolEntry(path, limit)
    entry.#file = file
    entry.#location = path
    entry.#kept = await file.size()
    entry.#digesting = new DigestJob(path)
    return entry
  }

  /** Where its bytes are, or will be once they are on disk. */
  get path(): string {
    return this.#path
  }

  /** Bytes that `reopen` found. */
  get kept(): number {
    return this.#kept
  }

  /** Bytes appended so far; all of them can be read. */
  get written(): number {
    return this.#written
  }

  /** Bytes in all; only after `finish`. */
  get size(): number {
    if (this.#digests === null) throw new Error('the spool entry is not finished')
    return this.#written
  }

  /** Only after `finish`. */
  get digests(): Digests {
    if (this.#digests === null) throw new Error('the spool entry is not finished')
    return this.#digests
  }

  /**
   * Takes the next bytes and keeps `chunk`, which nobody may write into afterwards. A promise comes back only when the
   * disk is behind: wait for it before the next chunk. TooLarge (nothing is taken) and InsufficientStorage are thrown
   * or rejected with.
   */
  append(chunk: Buffer): Promise<void> | undefined {
    if (this.#digests !== null || this.#sealed !== null || this.#discarded) {
      throw new Error('the spool entry takes no more bytes')
    }
    this.#throwIfFailed()
    if (this.#written + chunk.length > this.#limit) throw new TooLarge(this.#limitMessage, 'body')
    this.#sha256.update(chunk)
    this.#gathered.add(chunk)
    this.#written += chunk.length
    if (this.#gathered.length <= GATHER) return undefined
    if (this.#flushing !== null) return this.#flushing.then(() => this.#throwIfFailed())
    void this.#flush()
    return undefined
  }

  /** Hashes what `reopen` found; `written` grows meanwhile. Rejects when the file cannot be read. */
  async readBack(): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(GATHER, this.#kept)))
    while (this.#written < this.#kept && !this.#discarded) {
      const bytes = await this.#file!.read(buffer, Math.min(buffer.length, this.#kept - this.#written), this.#written)
      if (bytes === 0) throw new Error('the spool file is shorter than it was')
      this.#sha256.update(buffer.subarray(0, bytes))
      this.#flushed += bytes
      this.#written += bytes
      this.#digesting?.advance(this.#flushed)
    }
  }

  /**
   * Reads from `position` into the start of `buffer`, from disk or from memory; how many bytes came, 0 at and beyond
   * `written`. It does not wait for more.
   */
  async read(buffer: Buffer, position: number): Promise<number> {
    if (position >= this.#written || buffer.length === 0) return 0
    if (position < this.#flushed) {
      const length = Math.min(buffer.length, this.#flushed - position)
      const file = await this.#holdFile()
      try {
        return await file.read(buffer, length, position)
      } finally {
        file.release()
      }
    }
    const offset = position - this.#flushed
    const writing = this.#writing?.length ?? 0
    return offset < writing ? this.#writing!.read(buffer, offset) : this.#gathered.read(buffer, offset - writing)
  }

  /**
   * Ends the appending; the SHA-256, lower-case hex, which is known long before the slower digests of a large entry.
   * Rejects with InsufficientStorage when the bytes could not be written.
   */
  async seal(): Promise<string> {
    if (this.#sealed !== null) return this.#sealed
    if (this.#flushing !== null || this.#location !== null) {
      await this.#flushing
      this.#throwIfFailed()
      await this.#flush(0)
    }
    this.#throwIfFailed()
    if (this.#discarded) throw new Error('the spool entry was discarded')
    this.#sealed ??= this.#sha256.digest('hex')
    return this.#sealed
  }

  /** Seals it; afterwards `size` and `digests` are known. Nothing is forced to disk. Rejects as `seal` does. */
  async finish(): Promise<void> {
    if (this.#digests !== null) return
    const sha256 = await this.seal()
    if (this.#digesting === null) this.#digests = { ...slowDigestsOf(this.#gathered.buffers), sha256 }
    else this.#digests = { ...(await this.#digesting.end(this.#written)), sha256 }
    this.#digesting = null
  }

  /** A reader of the finished entry that outlives `discard`. */
  source(): ByteSource {
    const size = this.size
    const release = this.hold()
    return { size, read: (buffer, position) => this.read(buffer, position), close: release }
  }

  /** Keeps the bytes readable after `discard`, also of an entry that still grows; ends with the returned function. */
  hold(): () => void {
    this.#holders += 1
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#holders -= 1
      this.#letFileGo()
    }
  }

  /**
   * Gives the file of a finished entry away by renaming it to `target`, whose folder must exist; first forced to disk
   * if `durable`. False when there is no file to give, or `target` is on another file system: then copy `source()`. Of
   * an adopted entry nothing is given away, `target` is another name for the same bytes; false also when it exists.
   */
  async moveTo(target: string, durable: boolean): Promise<boolean> {
    if (this.#digests === null || this.#location === null || this.#moved || this.#discarded) return false
    if (durable) await this.#file!.sync()
    if (this.#adopted) return tryLink(this.#location, target)
    try {
      await rename(this.#location, target)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EXDEV') return false
      throw error
    }
    this.#moved = true
    this.#location = target
    // Closed unless somebody reads: entries that are kept and forgotten must not cost a descriptor each.
    this.#letFileGo()
    return true
  }

  /** Deletes the bytes, unless they were moved into a store; idempotent. Sources that are open keep working. */
  async discard(): Promise<void> {
    if (this.#discarded) return
    this.#discarded = true
    this.#digesting?.cancel()
    await this.#flushing
    this.#letFileGo()
    if (this.#moved || this.#adopted || this.#location === null) return
    const path = this.#location
    this.#location = null
    await unlink(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
  }

  /**
   * Ends it like `discard`, but leaves the file to `reopen`, with every byte that came. False: there is no file, or
   * nothing could be written to it.
   */
  async keep(): Promise<boolean> {
    if (this.#discarded || this.#moved || this.#adopted || this.#location === null) return false
    await this.#flushing
    if (this.#failure === null && this.#written >= this.#kept) await this.#flush(0)
    this.#discarded = true
    this.#digesting?.cancel()
    this.#letFileGo()
    if (this.#failure === null) {
      this.#location = null
      return true
    }
    this.#discarded = false
    await this.discard()
    return false
  }

  /** Writes until no more than `leave` bytes wait in memory; never rejects, see `#failure`. */
  #flush(leave = GATHER): Promise<void> {
    this.#flushing = this.#writeOut(leave)
      .catch((error: unknown) => {
        this.#failure = storageError(error)
      })
      .finally(() => {
        this.#flushing = null
      })
    return this.#flushing
  }

  async #writeOut(leave: number): Promise<void> {
    if (this.#file === null) {
      this.#file = await Descriptor.open(this.#path, 'wx+')
      this.#location = this.#path
      this.#digesting = new DigestJob(this.#path)
    }
    while (this.#gathered.length > leave && !this.#discarded) {
      const batch = this.#gathered
      this.#writing = batch
      this.#gathered = new Gathered()
      await this.#file.write(batch.buffers, this.#flushed)
      this.#flushed += batch.length
      this.#writing = null
      this.#digesting?.advance(this.#flushed)
    }
  }

  async #holdFile(): Promise<Descriptor> {
    if (this.#file === null || !this.#file.usable) {
      if (this.#location === null) throw new Error('the spool entry was discarded')
      const file = await Descriptor.open(this.#location, 'r')
      file.hold()
      if (this.#discarded || this.#file?.usable) file.retire()
      else this.#file = file
      return file
    }
    this.#file.hold()
    return this.#file
  }

  #letFileGo(): void {
    if (this.#holders === 0 && (this.#moved || this.#discarded)) this.#file?.retire()
  }

  #throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure
  }
}

async function tryLink(path: string, target: string): Promise<boolean> {
  try {
    await link(path, target)
    return true
  } catch {
    // Not every file system can, and whatever else is wrong shows when the bytes are copied.
    return false
  }
}
