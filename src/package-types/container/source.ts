import type { ByteSource } from '../../storage/byte-source.ts'
import type { Digest } from '../../storage/digest.ts'
import type { Reference } from './path.ts'

/** What goes along with every answer. */
export interface AnswerHeaders {
  /** Further headers, such as `cache-status`; lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly cacheControl: string
}

/** Bytes of a manifest or blob, ready to be sent. */
export interface ContentAnswer extends AnswerHeaders {
  /** In the algorithm in which it was asked for; sha256 for a tag. */
  readonly digest: Digest
  readonly mediaType: string
  /** Bytes; null while unknown. */
  readonly size: number | null
  /** Called at most once, and only when bytes are needed. */
  readonly source: () => Promise<ByteSource>
  /** Ms. */
  readonly lastModified: number | null
  /** Whose downloads a GET counts; null: nobody's, or counted elsewhere. */
  readonly versionId: number | null
}

/** One page of an ordered list of names. */
export interface NamePage extends AnswerHeaders {
  readonly names: readonly string[]
  readonly hasMore: boolean
}

/** Where a page begins and ends: `n` names at most (null: the source's limit), all after `last`. */
export interface Page {
  readonly n: number | null
  readonly last: string | null
}

/** A descriptor as referrers list it (OCI image-spec, Content Descriptors). */
export interface ReferrerDescriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** Manifests that name a subject. */
export interface Referrers extends AnswerHeaders {
  readonly manifests: readonly ReferrerDescriptor[]
  /** There are more after the last of these; absent: these are all. */
  readonly hasMore?: boolean
}

/**
 * Where the images of one owner come from: its own rows, or an upstream. One handler serves both. `name` is a valid
 * repository name without the owner. A failing upstream is never NotFound.
 */
export interface ContainerSource {
  /** NotFound('manifest'), or NotFound('package') when the whole repository is unknown. */
  manifest(name: string, reference: Reference, method: 'GET' | 'HEAD'): Promise<ContentAnswer>
  /** NotFound('blob') unless a manifest of this repository names it, or it was uploaded or mounted here. */
  blob(name: string, digest: Digest, method: 'GET' | 'HEAD'): Promise<ContentAnswer>
  /** Byte order. NotFound('package'). */
  tags(name: string, page: Page): Promise<NamePage>
  /**
   * Never NotFound: what nobody refers to has no referrers (container.md §7). All after the manifest `last`, null: from
   * the first; a source that has no pages gives all.
   */
  referrers(name: string, subject: Digest, last: string | null): Promise<Referrers>
}
