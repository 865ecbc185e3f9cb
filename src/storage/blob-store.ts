import type { ByteSource } from './byte-source.ts'
import type { SpoolEntry } from './spool-entry.ts'

export type { ByteSource } from './byte-source.ts'

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
  /** Only garbage collection calls this. Sources that are open keep working; a blob that is not there is no error. */
  delete(sha256: string): Promise<void>
  /** Throws when the store cannot be written. */
  check(): Promise<void>
}
