import type { ByteSource } from './byte-source.ts'
import type { Digests } from './digest.ts'
import type { SpoolEntry } from './spool-entry.ts'

/** A part that was put: what its bytes are called, and what they are. */
export interface StoredPart {
  readonly name: string
  /** Bytes. */
  readonly size: number
  readonly digests: Digests
}

/**
 * Parts of uploads that are not finished, kept where every replica finds them. An upload is known by a UUID in lower
 * case, a part by a name of digits, lower-case letters and hyphens; anything else throws. Every implementation runs
 * `test/contracts/upload-parts.ts`.
 */
export interface UploadParts {
  /**
   * Keeps the bytes of a finished entry under a name that is new; they survive a power cut once this resolves. The entry
   * remains its maker's to discard. Rejects with InsufficientStorage, and may reject while `removeAll` runs.
   */
  put(upload: string, name: string, entry: SpoolEntry): Promise<void>
  /** The bytes of a part, or null when it is not there. */
  open(upload: string, name: string): Promise<ByteSource | null>
  /**
   * A part as a finished entry, without reading it, or null when it is not there. The caller discards the entry, and the
   * part stays: also when the entry was put into the blob store, so that a transaction that fails has lost nothing.
   */
  adopt(upload: string, part: StoredPart): Promise<SpoolEntry | null>
  /** Deletes one part; one that is not there is no error. */
  remove(upload: string, name: string): Promise<void>
  /** Deletes all parts of an upload; entries that are open keep working. */
  removeAll(upload: string): Promise<void>
  /** The uploads that have, or had, parts. */
  list(): Promise<string[]>
}
