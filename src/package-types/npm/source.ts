import type { RenderedDocument } from '../../http/send-document.ts'
import type { Decision } from '../../policies/decision.ts'
import type { NamePolicy } from '../../policies/name-policy.ts'
import type { ByteSource } from '../../storage/blob-store.ts'
import type { Form, Packument } from './packument.ts'

/** What goes along with every answer. */
export interface AnswerHeaders {
  /** Further headers, such as `cache-status`; lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly cacheControl: string
}

/** A JSON document, ready to be sent. */
export interface DocumentAnswer extends AnswerHeaders {
  readonly document: RenderedDocument
}

/** A tarball, ready to be sent. */
export interface TarballAnswer extends AnswerHeaders {
  /** Called at most once, and only when bytes are needed. */
  readonly source: ByteSource | (() => Promise<ByteSource>)
  /** Bytes; null while unknown. */
  readonly size: number | null
  /** Strong, with quotes; null while the digest is unknown. */
  readonly etag: string | null
  /** Ms since the epoch. */
  readonly lastModified: number | null
  readonly fileName: string
  /** Whose downloads a GET counts; null: nobody's, or counted elsewhere. */
  readonly versionId: number | null
}

/**
 * Where the packages of one owner come from: its own rows, or an upstream. One handler serves both. `name` is a valid
 * path name, not necessarily one that exists. Every method throws NotFound for definite absence: subject `package`
 * when the whole name is unknown, `version` or `file` otherwise; a failing upstream is never NotFound.
 */
export interface NpmSource {
  packument(name: string, form: Form): Promise<DocumentAnswer>
  /** One version's manifest; a tag is resolved. */
  manifest(name: string, versionOrTag: string): Promise<DocumentAnswer>
  /** `{"latest":"1.0.0",…}`. */
  distTags(name: string): Promise<DocumentAnswer>
  /** `file` is the last path segment as the client sent it: usually, not always, of the standard form. */
  tarball(name: string, file: string): Promise<TarballAnswer>
}

/** What one source has of a package, to be merged with what others have. */
export interface PackageShare {
  /** Changes with the document and with what is refused of it. */
  readonly stamp: string
  readonly lastModified: number | null
  /** With what a policy refuses; parses at every call, or at the first. */
  load(): Promise<Packument>
  /** By version. */
  readonly refused: ReadonlyMap<string, Decision>
  readonly policy: NamePolicy | null
  readonly headers: Readonly<Record<string, string>>
}

/** A source that may be one of several. */
export interface MergeableNpm extends NpmSource {
  /** What people call it. */
  readonly label: string
  /** Whether it may have what it says it has not. */
  readonly isOffline: boolean
  /** Throws NotFound for a name that it has not. */
  share(name: string): Promise<PackageShare>
  /**
   * Whether the version is one of its own, in whatever case and whether a policy refuses it or not; `revalidate`: what
   * is held is not enough. Throws UpstreamUnavailable when that is unclear.
   */
  holds(name: string, version: string, revalidate: boolean): Promise<boolean>
}
