import { Counter, collectDefaultMetrics, Gauge, Histogram, type LabelValues, Registry } from 'prom-client'

/** Labels, and what is measured of them. */
export type GaugeReading<L extends string> = readonly [Readonly<Partial<Record<L, string>>>, number]

const UPSTREAM = ['upstream', 'type'] as const

/** What `GET /metrics` shows, one registry per server; names and labels are part of the contract with dashboards. */
export class Metrics {
  readonly registry = new Registry()

  /** Answers to clients by scope (a package type, `api`, or `server`) and status class. */
  readonly requests = this.#counter('entrepot_http_requests_total', 'Answered requests', ['scope', 'method', 'status'])
  readonly requestSeconds = new Histogram({
    name: 'entrepot_http_request_duration_seconds',
    help: 'Time from the request to the end of its answer',
    labelNames: ['scope'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60],
    registers: [this.registry],
  })
  /** result: hit, stale, miss, bypass (not stored), negative or error. */
  readonly mirrorRequests = this.#counter('entrepot_mirror_requests_total', 'Requests to mirrors', [
    ...UPSTREAM,
    'class',
    'result',
  ])
  /** source: cache or upstream. */
  readonly servedBytes = this.#counter('entrepot_mirror_served_bytes_total', 'Bytes of bodies sent by mirrors', [
    ...UPSTREAM,
    'class',
    'source',
  ])
  readonly documentAge = this.#histogram(
    'entrepot_mirror_document_age_seconds',
    'Time since the upstream confirmed a document that is served',
    UPSTREAM,
    [1, 60, 300, 900, 3_600, 21_600, 86_400, 604_800],
  )
  /** status: as the upstream answered, or `none`. */
  readonly upstreamResponses = this.#counter('entrepot_upstream_responses_total', 'Answers of upstreams', [
    ...UPSTREAM,
    'class',
    'status',
  ])
  readonly upstreamSeconds = this.#histogram(
    'entrepot_upstream_response_seconds',
    'Time from a request to an upstream to the headers of its answer',
    [...UPSTREAM, 'class'],
    [0.01, 0.05, 0.1, 0.25, 0.5, 1, 3, 10, 30],
  )
  readonly queueSeconds = this.#histogram(
    'entrepot_upstream_queue_seconds',
    'Time for which requests to an upstream waited for their turn here',
    [...UPSTREAM, 'class'],
    [0.001, 0.01, 0.1, 1, 3, 10, 30],
  )
  readonly fetchedBytes = this.#counter('entrepot_upstream_fetched_bytes_total', 'Bytes of bodies from upstreams', [
    ...UPSTREAM,
    'class',
  ])
  readonly joinedFlights = this.#counter(
    'entrepot_upstream_flights_joined_total',
    'Requests answered by an artifact fetch that another one had begun',
    UPSTREAM,
  )
  /** event: upstream.down, upstream.up, auth_failed, rate_limited, integrity, republished or withdrawn. */
  readonly upstreamEvents = this.#counter('entrepot_upstream_events_total', 'Events of upstreams, as in the log', [
    'upstream',
    'event',
  ])
  readonly evictedBytes = this.#counter('entrepot_mirror_evicted_bytes_total', 'Bytes of cached files dropped', [
    'upstream',
  ])
  /** limit: a key of `rateLimits`; failed sign-ins that were refused unseen are `failedSignIns`. */
  readonly throttled = this.#counter('entrepot_throttled_requests_total', 'Requests refused with 429', ['limit'])
  /** rule: its id. */
  readonly policyDenials = this.#counter('entrepot_policy_denials_total', 'Requests that a policy refused', [
    'rule',
    'action',
  ])
  readonly nameConflicts = this.#counter(
    'entrepot_name_conflicts_total',
    'Versions that two sources of a merged name have with different files',
    ['type'],
  )
  readonly integrityFailures = this.#counter(
    'entrepot_upstream_integrity_failures_total',
    'Artifacts that contradicted their published digest, or the one they had before',
    ['upstream'],
  )

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }

  /** A gauge that is read when it is asked for. */
  gauge(name: string, help: string, read: () => number): void {
    this.gauges(name, help, [], () => [[{}, read()]])
  }

  /** Gauges of one name, each with its labels, that are read when they are asked for. */
  gauges<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    read: () => readonly GaugeReading<L>[] | Promise<readonly GaugeReading<L>[]>,
  ): void {
    new Gauge({
      ...{ name, help, labelNames, registers: [this.registry] },
      async collect() {
        const readings = await read()
        this.reset()
        for (const [labels, value] of readings) this.set(labels as LabelValues<L>, value)
      },
    })
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] })
  }

  #histogram<L extends string>(name: string, help: string, labelNames: readonly L[], buckets: number[]): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.registry] })
  }
}
