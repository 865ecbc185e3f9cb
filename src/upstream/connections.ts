import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'
import { Agent, type Dispatcher, ProxyAgent, request } from 'undici'
import type { Config } from '../config/config.ts'
import type { AddressGuard } from '../outbound/address-guard.ts'
import { type ProxyVariables, proxyOf, requireNameBehindProxy } from './proxy.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

/** A request as undici's dispatchers take it. */
export type DispatchOptions = Dispatcher.RequestOptions
/** An answer as undici gives it. */
export type RawResponse = Dispatcher.ResponseData
/** What one exchange needs; times in ms. */
export interface RawRequest {
  readonly method: 'GET' | 'HEAD'
  readonly headers: Record<string, string>
  readonly headersTimeout: number
  readonly signal: AbortSignal
}

/**
 * The sockets to one upstream's origins: direct ones, whose addresses are checked when they connect, or through a proxy,
 * where only the name can be (pull-through.md §6.1, §6.5).
 */
export class Connections {
  readonly #settings: UpstreamSettings
  readonly #guard: AddressGuard
  readonly #variables: ProxyVariables
  readonly #options: Agent.Options
  readonly #tls: { secureContext?: SecureContext; rejectUnauthorized?: boolean }
  readonly #direct: Agent
  readonly #proxied = new Map<string, ProxyAgent>()

  constructor(
    settings: UpstreamSettings,
    config: Config['mirrors'],
    guard: AddressGuard,
    variables: ProxyVariables = process.env,
  ) {
    this.#settings = settings
    this.#guard = guard
    this.#variables = variables
    this.#tls = tlsOf(settings)
    this.#options = {
      connections: config.connections,
      pipelining: 1,
      keepAliveTimeout: 30_000,
      bodyTimeout: config.idleTimeout,
      allowH2: false,
    }
    const connect = { timeout: config.connectTimeout, lookup: guard.lookup as never, ...this.#tls }
    this.#direct = new Agent({ ...this.#options, connect })
  }

  /** Throws AddressRefused when the URL's host must not be contacted; what a name stands for is checked later. */
  checkUrl(url: URL): void {
    this.#guard.checkUrl(url)
    if (this.#proxyOf(url) !== null) requireNameBehindProxy(url, this.#settings)
  }

  /** What a request to this URL goes through; `checkUrl` is the caller's. */
  dispatcherFor(url: URL): Dispatcher {
    const proxy = this.#proxyOf(url)
    if (proxy === null) return this.#direct
    const known = this.#proxied.get(proxy.href)
    if (known !== undefined) return known
    const agent = new ProxyAgent({ ...this.#options, uri: proxy.href, requestTls: this.#tls })
    this.#proxied.set(proxy.href, agent)
    return agent
  }

  /** Checks the URL and sends a request; rejects as undici does, and with AddressRefused. */
  async request(url: URL, wanted: RawRequest): Promise<RawResponse> {
    this.checkUrl(url)
    return request(url.href, { ...wanted, dispatcher: this.dispatcherFor(url) })
  }

  /** Resolves when the last answer is over. */
  async finish(): Promise<void> {
    await Promise.all([this.#direct, ...this.#proxied.values()].map((agent) => agent.close()))
  }

  async close(): Promise<void> {
    await Promise.all([this.#direct, ...this.#proxied.values()].map((agent) => agent.destroy()))
  }

  #proxyOf(url: URL): URL | null {
    return proxyOf(url, this.#settings.network?.proxy ?? 'environment', this.#variables)
  }
}

/** Made once: reading a hundred root certificates takes longer than connecting. */
function tlsOf({ network }: UpstreamSettings): { secureContext?: SecureContext; rejectUnauthorized?: boolean } {
  if (network === undefined) return {}
  const { ca, clientCertificate, insecureTls } = network
  const isOwn = ca !== '' || clientCertificate !== null
  return {
    ...(isOwn
      ? {
          secureContext: createSecureContext({
            ca: [...rootCertificates, ...(ca === '' ? [] : [ca])],
            ...(clientCertificate ?? {}),
          }),
        }
      : {}),
    ...(insecureTls ? { rejectUnauthorized: false } : {}),
  }
}
