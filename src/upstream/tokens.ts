import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { UpstreamUnavailable } from '../errors.ts'
import type { UpstreamResponse } from './exchange.ts'
import { readBody } from './read-body.ts'

const DEFAULT_LIFETIME = 60
const LONGEST_LIFETIME = 24 * 60 * 60
/** s that a token is not used before it expires: requests take time, and clocks differ. */
const MARGIN = 10
const REFUSED_FOR = 60_000
const MAX_ANSWER = 1024 * 1024

/** What a token is for. */
export interface TokenScope {
  readonly realm: URL
  /** Empty: the realm was not given one. */
  readonly service: string
  /** Space separated; empty: none. */
  readonly scope: string
}

/** A token, and whether it was fetched for whoever asks instead of being held. */
export interface Token {
  readonly value: string
  readonly isNew: boolean
}

/** Asks a realm, with the upstream's credentials if there are any, and follows nothing. Throws UpstreamUnavailable. */
export type AskRealm = (url: URL) => Promise<UpstreamResponse>

/** The tokens of one upstream, each fetched once however many need it, and held until shortly before it expires. */
export class Tokens {
  readonly #upstreamName: string
  readonly #clock: Clock
  readonly #ask: AskRealm
  readonly #held = new LRUCache<string, { value: string; until: number }>({ max: 10_000 })
  readonly #fetching = new Map<string, Promise<string>>()
  readonly #refused = new LRUCache<string, { until: number; reason: UpstreamUnavailable }>({ max: 10_000 })

  constructor(upstreamName: string, clock: Clock, ask: AskRealm) {
    this.#upstreamName = upstreamName
    this.#clock = clock
    this.#ask = ask
  }

  /**
   * Throws UpstreamUnavailable: with detail AUTH_FAILED when the realm refuses, which is believed for a minute, and
   * with that of the failure when it cannot be asked.
   */
  async get(wanted: TokenScope): Promise<Token> {
    const key = keyOf(wanted)
    const held = this.#held.get(key)
    if (held !== undefined && this.#clock.now() < held.until) return { value: held.value, isNew: false }
    const refused = this.#refused.get(key)
    if (refused !== undefined && this.#clock.now() < refused.until) throw refused.reason
    const running = this.#fetching.get(key)
    if (running !== undefined) return { value: await running, isNew: true }
    const fetching = this.#fetch(wanted, key).finally(() => this.#fetching.delete(key))
    this.#fetching.set(key, fetching)
    return { value: await fetching, isNew: true }
  }

  /** The upstream did not take this token; one that was fetched meanwhile stays. */
  drop(wanted: TokenScope, value: string): void {
    const key = keyOf(wanted)
    if (this.#held.get(key)?.value === value) this.#held.delete(key)
  }

  /** Whether a realm refused a token less than a minute ago. */
  get areRefused(): boolean {
    const now = this.#clock.now()
    return [...this.#refused.values()].some(({ until }) => now < until)
  }

  clear(): void {
    this.#held.clear()
    this.#refused.clear()
  }

  async #fetch(wanted: TokenScope, key: string): Promise<string> {
    const since = this.#clock.now()
    const response = await this.#ask(addressOf(wanted))
    if (response.status !== 200) {
      response.body.destroy()
      throw this.#refusal(response, key)
    }
    const bytes = await readBody(response, MAX_ANSWER).catch(() => null)
    const answer = bytes === null ? null : parseAnswer(bytes)
    if (answer === null)
      throw new UpstreamUnavailable(`${response.url.host} gave ${this.#upstreamName} no usable token`)
    const margin = Math.min(MARGIN, answer.lifetime / 2)
    this.#held.set(key, { value: answer.value, until: since + (answer.lifetime - margin) * 1_000 })
    return answer.value
  }

  #refusal({ status, url }: UpstreamResponse, key: string): UpstreamUnavailable {
    if (status !== 401 && status !== 403) {
      return new UpstreamUnavailable(`${url.host} answered ${status} to ${this.#upstreamName} asking for a token`)
    }
    const reason = new UpstreamUnavailable(`${url.host} refuses ${this.#upstreamName} a token`, {
      detail: 'AUTH_FAILED',
    })
    this.#refused.set(key, { until: this.#clock.now() + REFUSED_FOR, reason })
    return reason
  }
}

function keyOf({ realm, service, scope }: TokenScope): string {
  return JSON.stringify([realm.href, service, scope])
}

function addressOf({ realm, service, scope }: TokenScope): URL {
  const url = new URL(realm)
  if (service !== '') url.searchParams.set('service', service)
  for (const one of scope.split(' ')) if (one !== '') url.searchParams.append('scope', one)
  return url
}

/** Null for anything that holds no token; the text never leaves, not even in an error. */
function parseAnswer(bytes: Buffer): { value: string; lifetime: number } | null {
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown } | null
  try {
    answer = JSON.parse(bytes.toString('utf8')) as typeof answer
  } catch {
    return null
  }
  const value = answer?.token || answer?.access_token
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) return null
  const said = answer?.expires_in
  const lifetime = typeof said === 'number' && said > 0 ? Math.min(said, LONGEST_LIFETIME) : DEFAULT_LIFETIME
  return { value, lifetime }
}
