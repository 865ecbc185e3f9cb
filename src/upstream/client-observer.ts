import type { Clock } from '../clock.ts'
import { UpstreamUnavailable } from '../errors.ts'
import { clientRequest } from './client-request.ts'
import type { RawResponse } from './connections.ts'
import type { UpstreamRequest } from './exchange.ts'
import type { HealthNews } from './health.ts'
import type { Observation, Observed } from './observation.ts'
import { countReceived } from './received-bytes.ts'

/** ms for which refused credentials count as refused, and are no news. */
const REFUSED_FOR = 60_000

/** An exchange that runs. One of the two is called, once. */
export interface WatchedExchange {
  /** Its headers are there; it is over when the body is closed. */
  answered(response: RawResponse): void
  /** There will be no answer. */
  failed(): void
}

/** Sees to it that what one UpstreamClient does is told, and told once. */
export class ClientObserver {
  readonly #observation: Observation | undefined
  readonly #upstream: Observed
  readonly #clock: Clock
  readonly #down = new Set<string>()
  #refusedUntil = 0

  /** Without an observation nobody is told. */
  constructor(observation: Observation | undefined, upstream: Observed, clock: Clock) {
    this.#observation = observation
    this.#upstream = upstream
    this.#clock = clock
  }

  /** Whether our credentials were refused within the last minute. */
  get isRefused(): boolean {
    return this.#clock.now() < this.#refusedUntil
  }

  /** To be called when a request is sent that has waited `waited` ms for its turn. */
  begin({ method = 'GET', use }: UpstreamRequest, url: URL, waited: number): WatchedExchange {
    const reqId = clientRequest()?.id
    const start = performance.now()
    const end = (status: number | null, toHeaders: number, bytes: number) =>
      this.#observation?.exchange(this.#upstream, {
        ...{ reqId, method, url, class: use, status, waited, toHeaders, bytes },
        ms: performance.now() - start,
      })
    return {
      answered: ({ statusCode, body }) => {
        const toHeaders = performance.now() - start
        const received = countReceived(body)
        body.once('close', () => end(statusCode, toHeaders, received()))
      },
      failed: () => end(null, performance.now() - start, 0),
    }
  }

  /** The state of an origin has changed here; a breaker that stays open is no news. */
  healthChanged(origin: string, { open, rateLimited }: HealthNews): void {
    if (rateLimited > 0) this.#tell('rate_limited', { origin, ms: Math.round(rateLimited) })
    else if (open > 0 && !this.#down.has(origin)) {
      this.#down.add(origin)
      this.#tell('upstream.down', { origin })
    } else if (open === 0 && this.#down.delete(origin)) this.#tell('upstream.up', { origin })
  }

  /** What a request failed of. */
  requestFailed(error: unknown): void {
    if (!(error instanceof UpstreamUnavailable) || error.detail !== 'AUTH_FAILED' || this.isRefused) return
    this.#refusedUntil = this.#clock.now() + REFUSED_FOR
    this.#tell('auth_failed', { reason: error.message })
  }

  /** What was refused may be asked again. */
  reset(): void {
    this.#refusedUntil = 0
  }

  #tell(event: Parameters<Observation['event']>[1], fields: Record<string, unknown>): void {
    this.#observation?.event(this.#upstream, event, fields)
  }
}
