/** Times of one kind of document, all in ms (pull-through.md §3.1). */
export interface FreshnessTimes {
  readonly fresh: number
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
}

/** What to do with a held document: serve it; serve and refresh behind; try to refresh first; refresh or fail. */
export type Freshness = 'fresh' | 'revalidate-behind' | 'stale' | 'expired'

/** The state of a document that was last verified `age` ms ago. */
export function freshnessOf(age: number, times: FreshnessTimes): Freshness {
  if (age <= times.fresh) return 'fresh'
  if (age <= times.fresh + times.staleWhileRevalidate) return 'revalidate-behind'
  return age <= times.staleIfError ? 'stale' : 'expired'
}

/**
 * When a document that is to be asked for at its next use counts as last verified, ms: stale, but far from expired, so
 * that it is still served should the upstream fail.
 */
export function staleSince(
  now: number,
  upstream: { readonly fresh: number | null },
  defaults: Omit<FreshnessTimes, 'staleIfError'>,
): number {
  return now - (upstream.fresh ?? defaults.fresh) - defaults.staleWhileRevalidate - 1
}
