import type { TSchema } from 'typebox'
import type { Listing } from '../policies/listing.ts'
import type { VersionMatcher } from '../policies/rule.ts'
import type { Digest } from '../storage/digest.ts'
import type { SlotUse } from './slots.ts'

/** A mutable document of an upstream: where it is, and what makes it acceptable (pull-through.md §2, §3). */
export interface DocumentRequest<Accepted> {
  /** With `key`, its identity below the upstream: `packument`, `lodash`. */
  readonly kind: string
  readonly key: string
  /** Below the upstream's URL, percent-encoded, without a leading slash. */
  readonly path: string
  readonly accept: string
  /** What this kind uses where the upstream's file says nothing; absent: the defaults of the configuration. */
  readonly times?: DocumentTimes
  /** Present: the document is made from an answer instead of being its body. Excludes `pages`. */
  readonly describe?: Describe
  /** Present: the document comes in pages. */
  readonly pages?: Pages
  /** Checks and parses the decoded body; throws for anything that must not replace what is held. */
  parse(body: Buffer): Accepted
  /** Whether `candidate` is an earlier state than `held`: a lagging edge of a CDN. */
  isOlder?(candidate: Accepted, held: Accepted): boolean
  /** Present: where the document says that artifacts are. */
  links?(accepted: Accepted): readonly string[]
  /** Present: what the document says there is; what is new in it is noted before it is served (pull-through.md §8.2). */
  listing?(accepted: Accepted): Listing
}

/** Times of one kind of document, ms; `fresh` in an upstream's file wins over the one here (pull-through.md §3.1). */
export interface DocumentTimes {
  readonly fresh: number
  /** For so long after that, the held copy is served at once and refreshed behind; `fresh` and this make an hour at most. */
  readonly staleWhileRevalidate: number
  /** After that a refresh is waited for so long before the held copy is served. */
  readonly staleWait: number
}

/**
 * Makes a document from an answer. The upstream is asked by HEAD, without validators; where that does not tell enough
 * or is not supported (405, 501), by GET. Equal bytes are an unchanged document.
 */
export interface Describe {
  /** From the headers of a HEAD answered with 200; null: they do not tell enough. */
  fromHead(headers: Readonly<Record<string, string>>): Buffer | null
  /** From a whole answer to GET; throws when it is not usable. */
  fromBody(headers: Readonly<Record<string, string>>, body: Buffer): Buffer
}

/** How the pages of a document follow each other; 500 of them, and `mirrors.maxDocumentSize` in all, at most. */
export interface Pages {
  /** Where the next page is, relative to this one; null after the last. It must be below the upstream's URL. */
  next(headers: Readonly<Record<string, string>>, body: Buffer): string | null
  /** One document from all pages, first page first; throws when they are not usable. */
  join(bodies: Buffer[]): Buffer
}

/** Where an immutable artifact is, and what its bytes must be (pull-through.md §4, §5). */
export interface ArtifactLocation {
  /** Absolute, or relative to the upstream's URL. */
  readonly url: string
  /** null: nothing published, or `publishedDigest` tells; trust on first use decides where neither does. */
  readonly digest: Digest | null
  /**
   * Finds what is published where `digest` is null: in the headers (lower-case names) of the answer that brings the
   * file, or beside it. Called once per transfer and runs along with it; clients are not answered before it resolves,
   * so it must have a time limit of its own. null: nothing is published. UpstreamUnavailable when that cannot be told;
   * the file is not served then. HEAD does not call it.
   */
  publishedDigest?(headers: Readonly<Record<string, string>>): Promise<Digest | null>
  /** Accept header of the fetch; anything when absent. */
  readonly accept?: string
  /** `document` for what is as small as one, so that it does not wait for long downloads; `artifact` when absent. */
  readonly use?: SlotUse
}

/** Names of version properties by which versions of a type hang together. */
export interface VersionParts {
  /** Each names, by composite key, a file that the version needs, whichever version of the mirror it is filed with. */
  readonly part: string
  /** Each names another version of the package that belongs to this one. */
  readonly child: string
}

/** What a slice must say about its upstreams. */
export interface UpstreamAdapter {
  /** Where the URL comes from when the upstream's file names none. */
  readonly defaultUrl?: () => Promise<string>
  /** The schema of `options` in an upstream's file; absent: it may have none. */
  readonly options?: TSchema
  /** Whether packages of several sources can be one (pull-through.md §7); left out: they cannot. */
  readonly isMergeable?: boolean
  /**
   * Statuses besides 404 and 410 by which the upstream itself, asked with a token that it took, says that it has no
   * such thing (pull-through.md §3.2).
   */
  readonly absentStatuses?: readonly number[]
  /** The document whose existence proves that the upstream has the name. */
  nameDocument(name: string): DocumentRequest<NonNullable<unknown>>
  /** A document that upstreams of the type have for the most part, to try one by; absent: there is none. */
  readonly sample?: () => DocumentRequest<NonNullable<unknown>>
  /**
   * How a pattern of an attachment or of a reserved name is matched, in time linear in the name's length; absent: as a
   * glob. Throws Invalid for what is no pattern.
   */
  compilePattern?(pattern: string): (name: string) => boolean
  /**
   * Which versions a rule means: a range, one version, a tag or a digest, as the type writes them. Throws Invalid for
   * what is none. Absent: rules of this type are about whole names.
   */
  readonly compileVersions?: (text: string) => VersionMatcher
  /**
   * Versions are evicted as a whole, with the parts that only they need; absent: file by file (pull-through.md §9).
   */
  readonly versionParts?: VersionParts
  /**
   * The scope that a token for this URL needs (`repository:library/alpine:pull`); null: none known. Present: upstreams
   * of this type hand out tokens (container.md §10).
   */
  tokenScope?(url: URL): string | null
}
