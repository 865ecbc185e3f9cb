import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { RequestClass } from './client-request.ts'

/** What befell an upstream, as logs and counters call it (pull-through.md §11). */
export type UpstreamEvent =
  | 'upstream.down'
  | 'upstream.up'
  | 'auth_failed'
  | 'rate_limited'
  | 'integrity'
  | 'republished'
  | 'withdrawn'

/** Of whom something is observed. */
export interface Observed {
  readonly name: string
  readonly type: string
}

/** One HTTP exchange with an upstream that is over. */
export interface EndedExchange {
  /** Id of the client's request that it was for, as in the log; undefined: for none. */
  readonly reqId: string | undefined
  readonly method: string
  readonly url: URL
  /** pass: what is forwarded and never stored. */
  readonly class: RequestClass | 'pass'
  /** null: there was no answer. */
  readonly status: number | null
  /** ms for which it waited for its turn, until the headers of the answer, and in all, the wait not included. */
  readonly waited: number
  readonly toHeaders: number
  readonly ms: number
  /** Of the body, as received. */
  readonly bytes: number
}

/** Tells the log and the metrics what happens between us and the upstreams. */
export class Observation {
  readonly #log: Log
  readonly #metrics: Metrics

  constructor({ log, metrics }: { log: Log; metrics: Metrics }) {
    this.#log = log
    this.#metrics = metrics
  }

  /** One line and the counts of it; neither the query nor anything of a header is in the line. */
  exchange({ name, type }: Observed, exchange: EndedExchange): void {
    const { reqId, method, url, status, waited, toHeaders, ms, bytes } = exchange
    const labels = { upstream: name, type, class: exchange.class }
    this.#metrics.upstreamResponses.inc({ ...labels, status: String(status ?? 'none') })
    this.#metrics.upstreamSeconds.observe(labels, toHeaders / 1_000)
    this.#metrics.queueSeconds.observe(labels, waited / 1_000)
    this.#metrics.fetchedBytes.inc(labels, bytes)
    const address = `${url.host}${url.pathname}`
    this.#log.info({ reqId, upstream: name, method, url: address, status, ms: Math.round(ms), bytes }, 'upstream asked')
  }

  /** A line, and a count; `fields` must not hold secrets. */
  event({ name }: Observed, event: UpstreamEvent, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#metrics.upstreamEvents.inc({ upstream: name, event })
    const level = event === 'upstream.up' ? 'info' : event === 'integrity' || event === 'republished' ? 'error' : 'warn'
    this.#log[level]({ event, upstream: name, ...fields }, 'upstream event')
  }
}
