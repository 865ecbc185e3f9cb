import type { AlsoInTransaction, Property } from '../packages/package-info.ts'
import type { ByteSource } from '../storage/blob-store.ts'
import type { Digests } from '../storage/digest.ts'
import type { SpoolEntry } from '../storage/spool.ts'
import type { ArtifactLocation } from './adapter.ts'
import type { CacheStatus } from './cache-status.ts'

/** What a slice wants of one artifact. */
export interface ArtifactRequest {
  /** Its identity below the upstream: `lodash/-/lodash-4.17.21.tgz`. */
  readonly key: string
  /**
   * The part of the upstream that `locate` names, where several have the same artifact (a repository, and a layer that
   * others have too): when a fetch finds nothing there, only those who named it too are told so.
   */
  readonly within?: string
  readonly method: 'GET' | 'HEAD'
  /** Whether reading it counts as a download of its version; true by default. */
  readonly isLead?: boolean
  /** Do not ask the upstream: UpstreamUnavailable 504 for what is not held; false by default. */
  readonly onlyIfCached?: boolean
  /**
   * Whether an absence that the upstream itself states is believed for a minute, doubled with each further miss up to a
   * quarter of an hour; false by default.
   */
  readonly remembersAbsence?: boolean
  /** Asked on a miss only, once however many wait. Throws NotFound when the upstream has no such artifact. */
  locate(): Promise<ArtifactLocation>
  /** Lists the verified bytes as a package file with these properties; `also` belongs into the same transaction. */
  file(content: SpoolEntry, properties: Property[], also: AlsoInTransaction): Promise<void>
}

/** An artifact that can be sent, while it is held or while it arrives. */
export interface OpenedArtifact {
  readonly source: () => Promise<ByteSource>
  /** Bytes; null while unknown. */
  readonly size: number | null
  /** null while the bytes are still arriving. */
  readonly sha256: string | null
  /** Those that are known; while the bytes are arriving, what was published of them. */
  readonly digests: Partial<Digests>
  /** Whether a wrong body could never end well: a digest is known, or the bytes were checked already. */
  readonly isVerified: boolean
  readonly lastModified: number | null
  /** What the upstream called it just now; null for what is held. */
  readonly contentType: string | null
  readonly status: CacheStatus
}
