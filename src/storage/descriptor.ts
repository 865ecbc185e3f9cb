import { close, fdatasync, fstat, open, read, writev } from 'node:fs'

// Callbacks and plain descriptors: a FileHandle costs several times as much per read (performance.md §2).

/** An open file that several readers share; it is closed once it is retired and nobody holds it. */
export class Descriptor {
  readonly #fd: number
  #holders = 0
  #retired = false
  #closed = false

  private constructor(fd: number) {
    this.#fd = fd
  }

  /** Opens `path` with flags such as `'r'`; rejects as `fs.open` does. */
  static open(path: string, flags: string): Promise<Descriptor> {
    return new Promise((resolve, reject) => {
      open(path, flags, 0o600, (error, fd) => (error === null ? resolve(new Descriptor(fd)) : reject(error)))
    })
  }

  /** Whether `hold` is still allowed. */
  get usable(): boolean {
    return !this.#closed
  }

  /** Keeps the file open until the matching `release`. */
  hold(): void {
    if (this.#closed) throw new Error('the file is closed')
    this.#holders += 1
  }

  release(): void {
    this.#holders -= 1
    this.#closeIfIdle()
  }

  /** The owner needs it no more. */
  retire(): void {
    this.#retired = true
    this.#closeIfIdle()
  }

  /** Bytes in the file. */
  size(): Promise<number> {
    return new Promise((resolve, reject) => {
      fstat(this.#fd, (error, stats) => (error === null ? resolve(stats.size) : reject(error)))
    })
  }

  /** Reads up to `length` bytes at `position` to the start of `buffer`; how many. */
  read(buffer: Buffer, length: number, position: number): Promise<number> {
    this.hold()
    return new Promise((resolve, reject) => {
      read(this.#fd, buffer, 0, length, position, (error, bytes) => {
        this.release()
        if (error === null) resolve(bytes)
        else reject(error)
      })
    })
  }

  /** Writes all buffers at `position`. */
  async write(buffers: Buffer[], position: number): Promise<void> {
    let rest = buffers
    let at = position
    while (rest.length > 0) {
      const bytes = await this.#writeSome(rest, at)
      at += bytes
      rest = dropBytes(rest, bytes)
    }
  }

  /** Forces the content to disk, and of the metadata what is needed to read it. */
  sync(): Promise<void> {
    this.hold()
    return new Promise((resolve, reject) => {
      fdatasync(this.#fd, (error) => {
        this.release()
        if (error === null) resolve()
        else reject(error)
      })
    })
  }

  #writeSome(buffers: Buffer[], position: number): Promise<number> {
    this.hold()
    return new Promise((resolve, reject) => {
      writev(this.#fd, buffers, position, (error, bytes) => {
        this.release()
        if (error !== null) reject(error)
        // A full disk may show as a short write first; the next attempt then names the reason.
        else resolve(bytes)
      })
    })
  }

  #closeIfIdle(): void {
    if (!this.#retired || this.#holders > 0 || this.#closed) return
    this.#closed = true
    close(this.#fd, () => {})
  }
}

function dropBytes(buffers: Buffer[], bytes: number): Buffer[] {
  let left = bytes
  for (const [index, buffer] of buffers.entries()) {
    if (left < buffer.length) return [buffer.subarray(left), ...buffers.slice(index + 1)]
    left -= buffer.length
  }
  return []
}
