import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

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
    'upstream',
    'class',
    'result',
  ])
  readonly upstreamResponses = this.#counter('entrepot_upstream_responses_total', 'Answers of upstreams', [
    'upstream',
    'class',
    'status',
  ])
  readonly fetchedBytes = this.#counter('entrepot_upstream_fetched_bytes_total', 'Bytes read from upstreams', [
    'upstream',
  ])
  /** limit: a key of `rateLimits`; failed sign-ins that were refused unseen are `failedSignIns`. */
  readonly throttled = this.#counter('entrepot_throttled_requests_total', 'Requests refused with 429', ['limit'])
  /** rule: its id. */
  readonly policyDenials = this.#counter('entrepot_policy_denials_total', 'Requests that a policy refused', [
    'rule',
    'action',
  ])
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
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read())
      },
    })
  }

  #counter<L extends string>(name: string, help: string, labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] })
  }
}
