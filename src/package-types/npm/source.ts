import type { RenderedDocument } from '../../http/send-document.ts'
import type { ByteSource } from '../../storage/blob-store.ts'
import type { Form } from './packument.ts'

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
