/** The only Cache-Control values that are sent (pull-through.md §10). */
export const cacheControl = {
  /** Bytes that never change under their URL. Shared caches keep them for a day only, so that a block reaches them. */
  artifact: (isPublic: boolean): string =>
    isPublic ? 'public, max-age=31536000, s-maxage=86400, immutable' : 'private, max-age=31536000, immutable',
  /** Metadata of a mirror; `lasts`: seconds until it changes by itself, if that is known. */
  document: (isPublic: boolean, lasts = Number.POSITIVE_INFINITY): string => {
    const maxAge = `max-age=${Math.min(60, lasts)}`
    return isPublic ? `public, ${maxAge}, stale-while-revalidate=300, stale-if-error=86400` : `private, ${maxAge}`
  },
  /** Hosted metadata and files that can be replaced: kept, but asked for each time (npm guesses a freshness otherwise). */
  hosted: (isPublic: boolean): string => (isPublic ? 'no-cache' : 'private, no-cache'),
  /** What a tag names now, and which tags there are. */
  tag: (isPublic: boolean): string => `${isPublic ? 'public' : 'private'}, max-age=0, must-revalidate`,
  noStore: 'no-store',
  notFound: 'max-age=30',
} as const
