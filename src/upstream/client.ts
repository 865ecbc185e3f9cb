import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import { RegistryError, UpstreamUnavailable } from '../errors.ts'
import { AddressGuard, AddressRefused } from '../outbound/address-guard.ts'
import type { UpstreamAdapter } from './adapter.ts'
import { Authorizer } from './challenge.ts'
import { ClientObserver, type WatchedExchange } from './client-observer.ts'
import { Connections, type RawResponse } from './connections.ts'
import { ABSENT, type UpstreamRequest, type UpstreamResponse } from './exchange.ts'
import { type HealthNews, OriginHealth, type OriginReport } from './health.ts'
import type { Observation } from './observation.ts'
import { parseRetryAfter, Retriable, RetryBudget, withRetries } from './retries.ts'
import { Slots } from './slots.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

const REDIRECTS = new Set([301, 302, 303, 307, 308])
const RETRIED = new Set([408, 502, 503, 504])
/** The server works: it does not know the method, or has seen the request before, which its sender may have made up. */
const WORKING = new Set([501, 508])
const MAX_REDIRECTS = 5
/** Origins whose state is remembered: an upstream may redirect to as many as it likes. */
const MOST_ORIGINS = 256

/** Says how one upstream is doing, for administrators and metrics. */
export interface OriginState {
  readonly origin: string
  readonly state: 'closed' | 'open' | 'half-open'
}

/** How an upstream is doing, in full. */
export interface ClientReport {
  readonly areCredentialsRefused: boolean
  readonly origins: ({ readonly origin: string } & OriginReport)[]
}

/** What an UpstreamClient is built from. */
export interface ClientParts {
  readonly settings: UpstreamSettings
  readonly adapter: UpstreamAdapter
  readonly config: Config['mirrors']
  readonly clock: Clock
  /** Of the product, for User-Agent. */
  readonly version: string
  /** The value of `CDN-Loop` for a request that is sent now; absent: there is nobody whose requests could go in circles. */
  readonly loop?: () => string
  /** Is told when the state of an origin changes here. */
  readonly onHealth?: (origin: string, news: HealthNews) => void
  /** Is told of every exchange; absent: nobody is. */
  readonly observation?: Observation
}

/** How an upstream is doing, in numbers. */
export interface ClientCondition {
  /** Origins whose breaker is open, and that limit our rate. */
  readonly open: number
  readonly rateLimited: number
  readonly isRefused: boolean
  /** Requests that the upstream still allows; null: it has not said. */
  readonly remaining: number | null
}

interface Origin {
  readonly health: OriginHealth
  readonly slots: Slots
}

/**
 * HTTP to one upstream: own headers only, timeouts on everything, retries, redirects by hand, credentials for the
 * upstream's own origin alone, and addresses checked when the socket connects (pull-through.md §6). Every failure is an
 * UpstreamUnavailable: with detail RATE_LIMITED after a 429, AUTH_FAILED when our credentials are refused.
 */
export class UpstreamClient {
  readonly #connections: Connections
  readonly #budget = new RetryBudget()
  readonly #origins = new LRUCache<string, Origin>({ max: MOST_ORIGINS })
  readonly #loop: (() => string) | undefined
  readonly #onHealth: (origin: string, news: HealthNews) => void
  readonly #observer: ClientObserver
  readonly #authorizer: Authorizer
  readonly #settings: UpstreamSettings
  readonly #absentStatuses: readonly number[]
  readonly #config: Config['mirrors']
  readonly #clock: Clock
  readonly #userAgent: string

  constructor({ settings, adapter, config, clock, version, loop, onHealth = () => {}, observation }: ClientParts) {
    this.#settings = settings
    this.#absentStatuses = adapter.absentStatuses ?? []
    this.#config = config
    this.#clock = clock
    this.#userAgent = `Entrepot/${version}`
    this.#authorizer = new Authorizer({ settings, adapter, clock, ask: (url) => this.#askRealm(url) })
    this.#loop = loop
    this.#observer = new ClientObserver(observation, settings, clock)
    this.#onHealth = (origin, news) => {
      this.#observer.healthChanged(origin, news)
      onHealth(origin, news)
    }
    const guard = new AddressGuard(
      (host) =>
        settings.privateNetwork === 'allowed' ||
        (settings.privateNetwork === 'origin' && host === settings.url.hostname.replace(/^\[|\]$/g, '')),
    )
    this.#connections = new Connections(settings, config, guard)
  }

  /** Sends a request, follows redirects and retries what is worth it. Throws UpstreamUnavailable. */
  async send(wanted: UpstreamRequest): Promise<UpstreamResponse> {
    const limits = { retries: this.#config.retries, budget: this.#budget, signal: wanted.signal }
    try {
      return await withRetries(limits, () => this.#follow(wanted))
    } catch (error) {
      this.#observer.requestFailed(error)
      throw error
    }
  }

  /** The states of all origins asked so far. */
  states(): OriginState[] {
    return [...this.#origins].map(([origin, { health }]) => ({ origin, state: health.state }))
  }

  /** The same in full, and whether our credentials were refused a moment ago. */
  report(): ClientReport {
    const origins = [...this.#origins].map(([origin, { health }]) => ({ origin, ...health.report }))
    return { areCredentialsRefused: this.#authorizer.isRefused, origins }
  }

  /** Whether the upstream allows us hardly any more requests; documents that cost one should be left alone. */
  get isScarce(): boolean {
    return this.#origins.peek(this.#settings.url.origin)?.health.isScarce === true
  }

  get condition(): ClientCondition {
    const all = [...this.#origins.values()].map(({ health }) => health)
    return {
      open: all.filter(({ state }) => state !== 'closed').length,
      rateLimited: all.filter(({ isRateLimited }) => isRateLimited).length,
      isRefused: this.#observer.isRefused,
      remaining: this.#origins.peek(this.#settings.url.origin)?.health.remaining ?? null,
    }
  }

  /** Takes what another replica says of an origin. */
  hear(origin: string, news: HealthNews): void {
    this.#originOf(origin).health.hear(news)
  }

  /** Throws when the URL's host must not be contacted. */
  checkUrl(url: URL): void {
    this.#connections.checkUrl(url)
  }

  /** What requests to this URL go through that are passed on as they are. */
  dispatcherFor(url: URL): ReturnType<Connections['dispatcherFor']> {
    return this.#connections.dispatcherFor(url)
  }

  /** Asks again whatever was given up on, with new tokens. */
  resetHealth(): void {
    this.#authorizer.reset()
    this.#observer.reset()
    for (const { health } of this.#origins.values()) health.reset()
  }

  /** Resolves when all that runs is over; nothing may be asked any more. */
  async finish(): Promise<void> {
    await this.#connections.finish()
  }

  async close(): Promise<void> {
    await this.#connections.close()
  }

  async #follow(wanted: UpstreamRequest): Promise<UpstreamResponse> {
    let url = wanted.url
    let isOwn = true
    for (let hops = 0; ; hops += 1) {
      // What another origin makes us ask is not signed, even if it leads back here.
      isOwn &&= url.origin === this.#settings.url.origin
      const at = url
      const response = isOwn
        ? await this.#authorizer.send(at, (authorization) => this.#exchange(wanted, at, authorization))
        : await this.#exchange(wanted, at)
      if (wanted.redirect === 'manual' || !REDIRECTS.has(response.status)) return response
      response.body.destroy()
      const location = response.headers['location']
      const next = location !== undefined && URL.canParse(location, url.href) ? new URL(location, url) : null
      if (next === null || !/^https?:$/.test(next.protocol)) throw this.#bad('redirects to no usable place')
      if (url.protocol === 'https:' && next.protocol === 'http:') throw this.#bad('redirects from https to http')
      if (hops === MAX_REDIRECTS) throw this.#bad('redirects too often')
      url = next
    }
  }

  #askRealm(url: URL): Promise<UpstreamResponse> {
    const { fetchTimeout, documentTimeout } = this.#config
    const headers = { accept: 'application/json', 'accept-encoding': 'identity' }
    const signal = AbortSignal.timeout(fetchTimeout)
    const wanted = { url, headers, use: 'document', headersTimeout: documentTimeout, signal } as const
    return this.#exchange(wanted, url, this.#settings.auth?.credentials?.authorization)
  }

  async #exchange(wanted: UpstreamRequest, url: URL, authorization?: string): Promise<UpstreamResponse> {
    const { health, slots } = this.#originOf(url.origin)
    // Who only waits for a turn learns nothing of the upstream.
    const since = performance.now()
    const release = await slots.take(wanted.use, wanted.headersTimeout, wanted.signal)
    const waited = performance.now() - since
    try {
      health.admit()
      const exchange = this.#observer.begin(wanted, url, waited)
      const response = await this.#dispatch(wanted, url, authorization, { health, exchange })
      if (response.body.closed) release()
      else response.body.once('close', release)
      return response
    } catch (error) {
      release()
      throw error
    }
  }

  async #dispatch(
    wanted: UpstreamRequest,
    url: URL,
    authorization: string | undefined,
    { health, exchange }: { health: OriginHealth; exchange: WatchedExchange },
  ): Promise<UpstreamResponse> {
    const toHeaders = new AbortController()
    const timer = setTimeout(() => toHeaders.abort(new HeadersTimeout()), wanted.headersTimeout)
    try {
      const response = await this.#connections.request(url, {
        method: wanted.method ?? 'GET',
        headers: {
          ...wanted.headers,
          ...(authorization === undefined ? {} : { authorization }),
          ...(this.#loop === undefined ? {} : { 'cdn-loop': this.#loop() }),
          'user-agent': this.#userAgent,
        },
        headersTimeout: wanted.headersTimeout,
        signal: AbortSignal.any([wanted.signal, toHeaders.signal]),
      })
      exchange.answered(response)
      const answer = this.#judge(response, wanted, health)
      // Who has no token may have been refused for that alone, and who has a wrong password for that.
      const isDenial = authorization?.startsWith('Bearer ') === true && this.#absentStatuses.includes(answer.status)
      return { ...answer, url, isAbsence: ABSENT.has(answer.status) || isDenial }
    } catch (error) {
      if (error instanceof Retriable || error instanceof RegistryError) throw error
      exchange.failed()
      throw this.#failure(error, wanted, toHeaders.signal.aborted, health)
    } finally {
      clearTimeout(timer)
    }
  }

  #judge(
    response: RawResponse,
    { method }: UpstreamRequest,
    health: OriginHealth,
  ): Omit<UpstreamResponse, 'url' | 'isAbsence'> {
    const status = response.statusCode
    const headers = flatten(response.headers)
    // The error of a destroyed or cut body reaches whoever reads it; without a reader it must not end the process.
    response.body.on('error', () => {})
    const retryAfter = parseRetryAfter(headers['retry-after'], this.#clock.now())
    health.noteRate(headers['ratelimit-limit'], headers['ratelimit-remaining'])
    if (status === 429) {
      response.body.destroy()
      health.rateLimited(retryAfter)
      throw new UpstreamUnavailable(`${this.#name} limits the rate of requests`, {
        status: 503,
        retryAfter: Math.ceil((retryAfter ?? 60_000) / 1_000),
        detail: 'RATE_LIMITED',
      })
    }
    if ((status >= 500 && !WORKING.has(status)) || status === 408 || status === 425) {
      response.body.destroy()
      health.failed(`answered ${status}`)
      const reason = new UpstreamUnavailable(`${this.#name} answered ${status}`, {
        status: status === 503 ? 503 : status === 504 || status === 408 ? 504 : 502,
      })
      throw RETRIED.has(status) ? new Retriable(reason, retryAfter) : reason
    }
    // Other answers have no body, or one that nobody reads.
    if (method !== 'HEAD' && (status === 200 || status === 206)) health.answered()
    else health.succeeded()
    return {
      status,
      headers,
      body: response.body,
      bodyRead: () => health.succeeded(),
      bodyFailed: () => health.failed(),
    }
  }

  #failure(error: unknown, wanted: UpstreamRequest, wasSlow: boolean, health: OriginHealth): Error {
    const code = (error as { code?: string }).code ?? ''
    if (error instanceof AddressRefused) {
      health.abandoned()
      return new UpstreamUnavailable(`${this.#name}: ${error.message}`, { cause: error })
    }
    if (wanted.signal.aborted && !wasSlow) {
      health.abandoned()
      return new UpstreamUnavailable(`${this.#name} was not waited for any longer`, { status: 504, cause: error })
    }
    health.failed(code === '' ? (error as Error).name : code)
    if (wasSlow || code.includes('TIMEOUT')) {
      return new UpstreamUnavailable(`${this.#name} did not answer in time`, { status: 504, cause: error })
    }
    return new Retriable(new UpstreamUnavailable(`${this.#name} cannot be reached`, { cause: error }), null)
  }

  #bad(what: string): UpstreamUnavailable {
    return new UpstreamUnavailable(`${this.#name} ${what}`)
  }

  get #name(): string {
    return `upstream ${this.#settings.name}`
  }

  #originOf(origin: string): Origin {
    let known = this.#origins.get(origin)
    if (known === undefined) {
      const health = new OriginHealth(origin, this.#clock, (news) => this.#onHealth(origin, news))
      known = { health, slots: new Slots(this.#config.connections) }
      this.#origins.set(origin, known)
    }
    return known
  }
}

class HeadersTimeout extends Error {}

function flatten(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
  )
}
