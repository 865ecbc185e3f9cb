import type { GaugeReading, Metrics } from '../metrics.ts'
import type { SpoolSpace } from '../storage/spool-space.ts'
import type { Artifacts } from './artifacts.ts'
import type { Upstream } from './upstreams.ts'

/** What the gauges read. */
export interface GaugedParts {
  readonly metrics: Metrics
  readonly artifacts: Artifacts
  readonly space: SpoolSpace
  /** Every upstream at work. */
  readonly upstreams: () => Upstream[]
}

/** Gauges of the upstreams: what is fetched just now, what state they are in, what the caches save (pull-through.md §11). */
export function addMirrorGauges({ metrics, artifacts, space, upstreams }: GaugedParts): void {
  const readEach = <L extends string>(read: (upstream: Upstream) => [Readonly<Record<L, string>>, number][]) =>
    upstreams().flatMap((upstream): GaugeReading<L | 'upstream' | 'type'>[] => {
      const { name, type } = upstream.settings
      return read(upstream).map(([labels, value]) => [{ upstream: name, type, ...labels }, value])
    })
  metrics.gauge('entrepot_spool_claimed_bytes', 'Disk space that running transfers have set aside', () => space.claimed)
  metrics.gauges(
    'entrepot_upstream_flights',
    'Artifact fetches running; orphaned: those among them that nobody waits for',
    ['upstream', 'type', 'state'],
    () =>
      readEach<'state'>(({ id }) => {
        const { active, orphaned } = artifacts.flightsOf(id)
        return [
          [{ state: 'active' }, active],
          [{ state: 'orphaned' }, orphaned],
        ]
      }),
  )
  metrics.gauges(
    'entrepot_upstream_trouble',
    'down, rate_limited: origins that are not asked for that; auth_failed: 1 while credentials are refused',
    ['upstream', 'type', 'state'],
    () =>
      readEach<'state'>(({ client }) => {
        const { open, rateLimited, isRefused } = client.condition
        return [
          [{ state: 'down' }, open],
          [{ state: 'rate_limited' }, rateLimited],
          [{ state: 'auth_failed' }, Number(isRefused)],
        ]
      }),
  )
  metrics.gauges(
    'entrepot_upstream_ratelimit_remaining',
    'Requests that the upstream still allows, where it says so',
    ['upstream', 'type'],
    () =>
      readEach<never>(({ client }) => {
        const { remaining } = client.condition
        return remaining === null ? [] : [[{}, remaining]]
      }),
  )
  metrics.gauges(
    'entrepot_mirror_saved_bytes',
    'Bytes sent by mirrors less those fetched from upstreams',
    ['upstream', 'type'],
    async () => {
      const [served, fetched] = await Promise.all([metrics.servedBytes.get(), metrics.fetchedBytes.get()])
      const sum = (name: string, { values }: typeof served | typeof fetched) =>
        values.reduce((total, { labels, value }) => (labels.upstream === name ? total + value : total), 0)
      return readEach<never>(({ settings: { name } }) => [[{}, sum(name, served) - sum(name, fetched)]])
    },
  )
}
