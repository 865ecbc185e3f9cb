import type { Config } from '../config/config.ts'
import type { DocumentRequest, DocumentTimes } from './adapter.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

/** The longest that DocumentTimes may keep a document from being waited for, ms. */
const LONGEST_UNASKED = 3_600_000

/** Times of one kind of document at one upstream, all in ms (pull-through.md §3.1). */
export interface FreshnessTimes extends DocumentTimes {
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

/** What is in force for a document: the upstream's file, else the kind of document, else the configuration. */
export function timesOf(
  settings: Pick<UpstreamSettings, 'fresh'>,
  { times }: Pick<DocumentRequest<unknown>, 'times'>,
  defaults: Config['mirrors'],
): FreshnessTimes {
  const { fresh, staleWhileRevalidate, staleWait } = times ?? defaults
  return { fresh: settings.fresh ?? fresh, staleWhileRevalidate, staleWait, staleIfError: defaults.staleIfError }
}

/**
 * When a document of any kind that is to be asked for at its next use counts as last verified, ms: stale, but far from
 * expired, so that it is still served should the upstream fail.
 */
export function staleSince(
  now: number,
  settings: Pick<UpstreamSettings, 'fresh'>,
  defaults: Config['mirrors'],
): number {
  const { fresh, staleWhileRevalidate, staleIfError } = timesOf(settings, {}, defaults)
  return now - Math.max(fresh + staleWhileRevalidate + 1, Math.min(LONGEST_UNASKED + 1, staleIfError))
}
