import type { ByteSource } from './byte-source.ts'
import type { SpoolEntry } from './spool-entry.ts'

export type { ByteSource } from './byte-source.ts'

/** A blob that is held. */
export interface StoredBlob {
  readonly sha256: string
  readonly size: number
  /** When its bytes came, ms since the epoch. */
  readonly storedAt: number
}

/**
 * Immutable blobs by their SHA-256 (64 lower-case hex digits; nothing else ever becomes a key). Every implementation
 * runs `test/contracts/blob-store.ts`.
 */
export interface BlobStore {
  /**
   * Keeps the bytes of a finished entry; twice is harmless. With `durable` they survive a power cut once this
   * resolves. The entry stays readable and remains its maker's to discard.
   */
  put(entry: SpoolEntry, options: { durable: boolean }): Promise<void>
  /** The blob, or null when it is not there. */
  open(sha256: string): Promise<ByteSource | null>
  has(sha256: string): Promise<boolean>
  /** Forces a blob to disk that may have been put without `durable`; false when it is not there. */
  sync(sha256: string): Promise<boolean>
  /**
   * Only garbage collection calls this. Sources that are open keep working; a blob that is not there is no error. How
   * many bytes it had.
   */
  delete(sha256: string): Promise<number>
  /** Everything that is held, ordered by `sha256`, a few thousand in memory at a time. */
  list(): AsyncIterable<StoredBlob>
  /** Throws when the store cannot be written. */
  check(): Promise<void>
}
