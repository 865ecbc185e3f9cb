import type { Digest } from '../storage/digest.ts'

/** A mutable document of an upstream: where it is, and what makes it acceptable (pull-through.md §2, §3). */
export interface DocumentRequest<Accepted> {
  /** With `key`, its identity below the upstream: `packument`, `lodash`. */
  readonly kind: string
  readonly key: string
  /** Below the upstream's URL, percent-encoded, without a leading slash. */
  readonly path: string
  readonly accept: string
  /** Checks and parses the decoded body; throws for anything that must not replace what is held. */
  parse(body: Buffer): Accepted
  /** Whether `candidate` is an earlier state than `held`: a lagging edge of a CDN. */
  isOlder?(candidate: Accepted, held: Accepted): boolean
}

/** Where an immutable artifact is, and what its bytes must be (pull-through.md §4, §5). */
export interface ArtifactLocation {
  /** Absolute, or relative to the upstream's URL. */
  readonly url: string
  /** null: nothing published; trust on first use then decides. */
  readonly digest: Digest | null
}

/** What a slice must say about its upstreams. */
export interface UpstreamAdapter {
  /** Where the URL comes from when the upstream's file names none. */
  readonly defaultUrl?: () => Promise<string>
  /** The document whose existence proves that the upstream has the name. */
  nameDocument(name: string): DocumentRequest<NonNullable<unknown>>
}
