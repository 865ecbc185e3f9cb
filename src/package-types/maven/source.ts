import type { RenderedDocument } from '../../http/send-document.ts'
import type { Decision } from '../../policies/decision.ts'
import type { NamePolicy } from '../../policies/name-policy.ts'
import type { ByteSource } from '../../storage/blob-store.ts'
import type { Algorithm, Digests } from '../../storage/digest.ts'
import type { DocumentPath, FilePath, MetadataPath, SnapshotMetadataPath } from './coordinates.ts'

/** What goes along with every answer. */
export interface AnswerHeaders {
  /** Further headers, such as `cache-status`; lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly cacheControl: string
}

/** A file of a version, ready to be sent. */
export interface FileAnswer extends AnswerHeaders {
  /** Called at most once, and only when bytes are needed. */
  readonly source: ByteSource | (() => Promise<ByteSource>)
  /** Bytes; null while unknown. */
  readonly size: number | null
  /** Strong, with quotes; null while the digest is unknown. */
  readonly etag: string | null
  /** Ms since the epoch. */
  readonly lastModified: number | null
  /** Those that are known. */
  readonly digests: Partial<Digests>
  /** Whose downloads a GET counts; null: nobody's, or counted elsewhere. */
  readonly versionId: number | null
}

/** A document and the digests of its plain form: made together and forgotten together, so that they agree. */
export interface DigestedDocument {
  readonly document: RenderedDocument
  readonly digests: Digests
}

/** `maven-metadata.xml` or another document, ready to be sent. */
export interface DocumentAnswer extends AnswerHeaders, DigestedDocument {}

/** The checksum of a file, lower-case hex. */
export interface ChecksumAnswer extends AnswerHeaders {
  readonly hex: string
}

/**
 * Where the packages of one owner come from: its own rows, or an upstream. One handler serves both. Every method throws
 * NotFound for definite absence; a failing upstream is never NotFound.
 */
export interface MavenSource {
  file(path: FilePath): Promise<FileAnswer>
  checksum(path: FilePath, algorithm: Algorithm): Promise<ChecksumAnswer>
  document(path: DocumentPath): Promise<DocumentAnswer>
}

/** What one source has of an artifact, to be merged with what others have. */
export interface ArtifactShare {
  /** Changes with the versions and with what is refused of them. */
  readonly stamp: string
  /** All of them, snapshots too. */
  readonly versions: readonly string[]
  /** `yyyyMMddHHmmss`, or null. */
  readonly lastUpdated: string | null
  /** By version. */
  readonly refused: ReadonlyMap<string, Decision>
  readonly policy: NamePolicy | null
  readonly headers: Readonly<Record<string, string>>
}

/** A source that may be one of several. */
export interface MergeableMaven extends MavenSource {
  /** What people call it. */
  readonly label: string
  /** Whether it may have what it says it has not. */
  readonly isOffline: boolean
  /** What its metadata of an artifact lists. Throws NotFound where there is none. */
  share(path: MetadataPath): Promise<ArtifactShare>
  /**
   * Whether the version of a path is one of its own, in whatever case and whether a policy refuses it or not. Throws
   * NotFound for what it has nothing of, UpstreamUnavailable when that is unclear.
   */
  holds(path: FilePath | SnapshotMetadataPath): Promise<boolean>
}
