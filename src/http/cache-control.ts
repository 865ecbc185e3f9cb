/** The only Cache-Control values that are sent (pull-through.md §10). */
export const cacheControl = {
  /** Bytes that never change under their URL. Shared caches keep them for a day only, so that a block reaches them. */
  artifact: (isPublic: boolean): string =>
    isPublic ? 'public, max-age=31536000, s-maxage=86400, immutable' : 'private, max-age=31536000, immutable',
  /** Metadata of a mirror. */
  document: (isPublic: boolean): string =>
    isPublic ? 'public, max-age=60, stale-while-revalidate=300, stale-if-error=86400' : 'private, max-age=60',
  /** Hosted metadata and files that can be replaced: kept, but asked for each time (npm guesses a freshness otherwise). */
  hosted: (isPublic: boolean): string => (isPublic ? 'no-cache' : 'private, no-cache'),
  noStore: 'no-store',
  notFound: 'max-age=30',
} as const
