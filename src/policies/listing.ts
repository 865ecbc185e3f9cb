/** The versions that an upstream's document lists (pull-through.md §8.2). Times in ms since the epoch. */
export interface VersionListing {
  readonly kind: 'versions'
  /** Of the package. */
  readonly name: string
  /** When each version was published, as the upstream says; null: it does not say. In the document's order. */
  readonly published: ReadonlyMap<string, number | null>
  /** When the document last changed, as it says itself; null: it does not. */
  readonly modified: number | null
}

/** What a tag of an upstream names now. */
export interface TagListing {
  readonly kind: 'tag'
  /** Of the repository. */
  readonly name: string
  readonly tag: string
  /** `sha256:<hex>`. */
  readonly digest: string
}

/** What a document of an upstream says there is. */
export type Listing = VersionListing | TagListing

/** When a version was published. */
export interface VersionTime {
  /** ms since the epoch; null: nothing is known. */
  readonly publishedAt: number | null
  /** It was published then at the latest: the upstream may still know of an earlier time. */
  readonly isBound: boolean
}
