const SMALL = 4096
const SCRAP = 64 * 1024

/**
 * Chunks in memory that wait to be written, readable meanwhile. Large chunks are kept as they are; small ones are
 * copied together, because a client that sends single bytes would otherwise cost a hundred times its bytes.
 */
export class Gathered {
  length = 0
  readonly buffers: Buffer[] = []
  #scrap: Buffer = Buffer.alloc(0)
  #scrapUsed = 0
  #lastIsScrap = false

  /** Keeps `chunk`; its owner must not write into it any more. */
  add(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.length += chunk.length
    if (chunk.length >= SMALL) {
      this.buffers.push(chunk)
      this.#lastIsScrap = false
    } else {
      this.#addSmall(chunk)
    }
  }

  /** Copies bytes from `offset` on into `target`; how many. */
  read(target: Buffer, offset: number): number {
    let copied = 0
    let start = 0
    for (const buffer of this.buffers) {
      if (copied === target.length) break
      const end = start + buffer.length
      if (offset + copied < end) copied += buffer.copy(target, copied, offset + copied - start)
      start = end
    }
    return copied
  }

  #addSmall(chunk: Buffer): void {
    if (this.#scrapUsed + chunk.length > this.#scrap.length) {
      this.#scrap = Buffer.allocUnsafeSlow(this.buffers.length === 0 ? SMALL : SCRAP)
      this.#scrapUsed = 0
      this.#lastIsScrap = false
    }
    const start = this.#scrapUsed
    this.#scrapUsed += chunk.copy(this.#scrap, start)
    if (this.#lastIsScrap) {
      const last = this.buffers.pop()!
      this.buffers.push(this.#scrap.subarray(start - last.length, this.#scrapUsed))
    } else {
      this.buffers.push(this.#scrap.subarray(start, this.#scrapUsed))
      this.#lastIsScrap = true
    }
  }
}
