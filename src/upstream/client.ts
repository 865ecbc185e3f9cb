import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from 'undici'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import { RegistryError, UpstreamUnavailable } from '../errors.ts'
import { AddressGuard, AddressRefused } from './address-guard.ts'
import { OriginHealth } from './health.ts'
import { Slots, type SlotUse } from './slots.ts'
import type { UpstreamSettings } from './upstream-file.ts'

const REDIRECTS = new Set([301, 302, 303, 307, 308])
const RETRIED = new Set([408, 502, 503, 504])
const MAX_REDIRECTS = 5
const LONGEST_WAIT_BEFORE_RETRY = 5_000

/** A request as undici's dispatchers take it. */
export type DispatchOptions = Dispatcher.RequestOptions

/** What to ask of an upstream; client headers are never part of it. */
export interface UpstreamRequest {
  readonly url: URL
  readonly method?: 'GET' | 'HEAD'
  readonly headers: Record<string, string>
  readonly use: SlotUse
  /** ms to wait for a turn, and then until the headers are there, connecting included. */
  readonly headersTimeout: number
  /** Ends the exchange, body included. */
  readonly signal: AbortSignal
}

/** An upstream's answer: its status is 2xx, 304 or 4xx other than 408, 425 and 429; the body must be read or destroyed. */
export interface UpstreamResponse {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: Readable
  /** Where it came from after redirects. */
  readonly url: URL
  /** Call when the body was read to its end, or ended too early, so that the origin's health hears of it. */
  readonly bodyRead: () => void
  readonly bodyFailed: () => void
}

/** Says how one upstream is doing, for administrators and metrics. */
export interface OriginState {
  readonly origin: string
  readonly state: 'closed' | 'open' | 'half-open'
}

/**
 * HTTP to one upstream: own headers only, timeouts on everything, retries, redirects by hand, and addresses checked
 * when the socket connects (pull-through.md §6). Every failure is an UpstreamUnavailable.
 */
export class UpstreamClient {
  readonly dispatcher: Dispatcher
  readonly #guard: AddressGuard
  readonly #origins = new Map<string, { health: OriginHealth; slots: Slots }>()
  readonly #settings: UpstreamSettings
  readonly #config: Config['mirrors']
  readonly #clock: Clock
  readonly #userAgent: string

  constructor(settings: UpstreamSettings, config: Config['mirrors'], clock: Clock, version: string) {
    this.#settings = settings
    this.#config = config
    this.#clock = clock
    this.#userAgent = `Entrepot/${version}`
    this.#guard = new AddressGuard(
      (host) =>
        settings.privateNetwork === 'allowed' ||
        (settings.privateNetwork === 'origin' && host === settings.url.hostname.replace(/^\[|\]$/g, '')),
    )
    const options: Agent.Options = {
      connections: config.connections,
      pipelining: 1,
      keepAliveTimeout: 30_000,
      bodyTimeout: config.idleTimeout,
      allowH2: false,
      connect: { timeout: config.connectTimeout, lookup: this.#guard.lookup as never },
    }
    const hasProxy = ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy'].some((name) => process.env[name])
    this.dispatcher = hasProxy ? new EnvHttpProxyAgent(options) : new Agent(options)
  }

  /** Sends a request, follows redirects and retries what is worth it. Throws UpstreamUnavailable. */
  async send(wanted: UpstreamRequest): Promise<UpstreamResponse> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#follow(wanted)
      } catch (error) {
        if (!(error instanceof Retriable)) throw error
        const wait = error.wait ?? Math.random() * Math.min(4_000, 250 * 2 ** attempt)
        if (attempt >= this.#config.retries || wait > LONGEST_WAIT_BEFORE_RETRY || wanted.signal.aborted)
          throw error.reason
        await sleep(wait, undefined, { signal: wanted.signal }).catch(() => {
          throw error.reason
        })
      }
    }
  }

  /** The states of all origins asked so far. */
  states(): OriginState[] {
    return [...this.#origins].map(([origin, { health }]) => ({ origin, state: health.state }))
  }

  /** Throws when the URL's host is a literal address that must not be contacted. */
  checkUrl(url: URL): void {
    this.#guard.checkUrl(url)
  }

  /** Asks again whatever was given up on. */
  resetHealth(): void {
    for (const { health } of this.#origins.values()) health.reset()
  }

  async close(): Promise<void> {
    await this.dispatcher.destroy()
  }

  async #follow(wanted: UpstreamRequest): Promise<UpstreamResponse> {
    let url = wanted.url
    for (let hops = 0; ; hops += 1) {
      const response = await this.#exchange(wanted, url)
      if (!REDIRECTS.has(response.status)) return response
      response.body.destroy()
      const location = response.headers['location']
      const next = location !== undefined && URL.canParse(location, url.href) ? new URL(location, url) : null
      if (next === null || !/^https?:$/.test(next.protocol)) throw this.#bad('redirects to no usable place')
      if (url.protocol === 'https:' && next.protocol === 'http:') throw this.#bad('redirects from https to http')
      if (hops === MAX_REDIRECTS) throw this.#bad('redirects too often')
      url = next
    }
  }

  async #exchange(wanted: UpstreamRequest, url: URL): Promise<UpstreamResponse> {
    const { health, slots } = this.#originOf(url.origin)
    // Who only waits for a turn learns nothing of the upstream.
    const release = await slots.take(wanted.use, wanted.headersTimeout, wanted.signal)
    try {
      const response = await this.#dispatch(wanted, url, health)
      if (response.body.closed) release()
      else response.body.once('close', release)
      return response
    } catch (error) {
      release()
      throw error
    }
  }

  async #dispatch(wanted: UpstreamRequest, url: URL, health: OriginHealth): Promise<UpstreamResponse> {
    health.admit()
    const toHeaders = new AbortController()
    const timer = setTimeout(() => toHeaders.abort(new HeadersTimeout()), wanted.headersTimeout)
    try {
      this.#guard.checkUrl(url)
      const response = await request(url.href, {
        dispatcher: this.dispatcher,
        method: wanted.method ?? 'GET',
        headers: { ...wanted.headers, 'user-agent': this.#userAgent },
        headersTimeout: wanted.headersTimeout,
        signal: AbortSignal.any([wanted.signal, toHeaders.signal]),
      })
      return this.#judge(response, url, health)
    } catch (error) {
      if (error instanceof Retriable || error instanceof RegistryError) throw error
      throw this.#failure(error, wanted, toHeaders.signal.aborted, health)
    } finally {
      clearTimeout(timer)
    }
  }

  #judge(response: Dispatcher.ResponseData, url: URL, health: OriginHealth): UpstreamResponse {
    const status = response.statusCode
    const headers = flatten(response.headers)
    // The error of a destroyed or cut body reaches whoever reads it; without a reader it must not end the process.
    response.body.on('error', () => {})
    const retryAfter = parseRetryAfter(headers['retry-after'], this.#clock.now())
    if (status === 429) {
      response.body.destroy()
      health.rateLimited(retryAfter)
      throw new UpstreamUnavailable(`${this.#name} limits the rate of requests`, {
        status: 503,
        retryAfter: Math.ceil((retryAfter ?? 60_000) / 1_000),
      })
    }
    if (status >= 500 || status === 408 || status === 425) {
      response.body.destroy()
      health.failed()
      const reason = new UpstreamUnavailable(`${this.#name} answered ${status}`, {
        status: status === 503 ? 503 : status === 504 || status === 408 ? 504 : 502,
      })
      throw RETRIED.has(status) ? new Retriable(reason, retryAfter) : reason
    }
    // Of other answers nobody reads the body.
    if (status === 200 || status === 206) health.answered()
    else health.succeeded()
    return {
      status,
      headers,
      body: response.body,
      url,
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
    health.failed()
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

  #originOf(origin: string): { health: OriginHealth; slots: Slots } {
    let known = this.#origins.get(origin)
    if (known === undefined) {
      known = { health: new OriginHealth(origin, this.#clock), slots: new Slots(this.#config.connections) }
      this.#origins.set(origin, known)
    }
    return known
  }
}

class HeadersTimeout extends Error {}

/** Carries a failure that one more try may mend, and how many ms the upstream wants to be left alone. */
class Retriable extends Error {
  readonly reason: UpstreamUnavailable
  readonly wait: number | null
  constructor(reason: UpstreamUnavailable, wait: number | null) {
    super(reason.message)
    this.reason = reason
    this.wait = wait
  }
}

function flatten(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
  )
}

/** Seconds or an HTTP date → ms from now; null when absent or malformed. */
function parseRetryAfter(text: string | undefined, now: number): number | null {
  if (text === undefined) return null
  if (/^\d+$/.test(text)) return Number(text) * 1_000
  const date = Date.parse(text)
  return Number.isNaN(date) ? null : Math.max(0, date - now)
}
