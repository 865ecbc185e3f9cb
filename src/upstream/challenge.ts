import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { UpstreamUnavailable } from '../errors.ts'
import type { UpstreamAdapter } from './adapter.ts'
import type { UpstreamResponse } from './exchange.ts'
import { requireOwnRealm } from './token-realm.ts'
import { type AskRealm, type TokenScope, Tokens } from './tokens.ts'
import type { UpstreamSettings } from './upstream-settings.ts'
import { parseChallenges } from './www-authenticate.ts'

/** ms for which credentials that were refused are not sent again (pull-through.md §6.3). */
const REFUSED_FOR = 60_000

/** One exchange with the upstream's own origin; `authorization` is the value of the header. */
export type Exchange = (authorization?: string) => Promise<UpstreamResponse>

/** What an Authorizer is built from. */
export interface AuthorizerParts {
  readonly settings: UpstreamSettings
  readonly adapter: UpstreamAdapter
  readonly clock: Clock
  readonly ask: AskRealm
}

type Authorization =
  | { readonly kind: 'basic'; readonly header: string }
  | { readonly kind: 'token'; readonly header: string; readonly isNew: boolean; readonly wanted: TokenScope }

/**
 * Signs requests to one upstream's own origin: by Basic, or by tokens that it fetches where the upstream's challenges
 * say, anonymously without credentials (container.md §10, §13). What a challenge said is remembered, so that later
 * requests do without their 401.
 */
export class Authorizer {
  readonly #settings: UpstreamSettings
  readonly #adapter: UpstreamAdapter
  readonly #tokens: Tokens
  /** What was asked for where the adapter expected the key. */
  readonly #challenges = new LRUCache<string, TokenScope>({ max: 10_000 })
  #latest: TokenScope | null = null
  readonly #clock: Clock
  #wantsBasic: boolean
  #refusedUntil = 0

  constructor({ settings, adapter, clock, ask }: AuthorizerParts) {
    this.#settings = settings
    this.#adapter = adapter
    this.#clock = clock
    this.#tokens = new Tokens(settings.name, clock, ask)
    this.#wantsBasic = isSignedAlways(settings)
  }

  /**
   * The answer to an exchange, signed as it must be: a 401 is one that a token just fetched does not change, or that
   * nobody told how to change. Throws UpstreamUnavailable, with detail AUTH_FAILED when the credentials are refused.
   */
  async send(url: URL, exchange: Exchange): Promise<UpstreamResponse> {
    const first = await this.#expected(url)
    const response = await exchange(first?.header)
    if (response.status !== 401) return response
    response.body.destroy()
    const second = await this.#answer(url, response.headers['www-authenticate'] ?? '', first)
    if (second === null) return response
    const again = await exchange(second.header)
    if (again.status !== 401 || second.kind === 'token') return again
    again.body.destroy()
    throw this.#refused()
  }

  /** Whether the credentials were refused less than a minute ago, by the upstream or by who gives tokens for it. */
  get isRefused(): boolean {
    return this.#clock.now() < this.#refusedUntil || this.#tokens.areRefused
  }

  /** Forgets every token, and what challenges said. */
  reset(): void {
    this.#tokens.clear()
    this.#challenges.clear()
    this.#latest = null
    this.#refusedUntil = 0
    this.#wantsBasic = isSignedAlways(this.#settings)
  }

  async #expected(url: URL): Promise<Authorization | null> {
    const { auth } = this.#settings
    if (this.#wantsBasic && this.#clock.now() < this.#refusedUntil) throw this.#refusal()
    if (this.#wantsBasic && auth?.credentials) return { kind: 'basic', header: auth.credentials.authorization }
    const scope = this.#scopeOf(url)
    if (scope === null) return null
    const wanted = this.#challenges.get(scope) ?? (this.#latest === null ? null : { ...this.#latest, scope })
    return wanted === null ? null : this.#token(wanted)
  }

  /** What a 401 asks for; null when there is nothing better than what was sent. */
  async #answer(url: URL, header: string, sent: Authorization | null): Promise<Authorization | null> {
    if (sent?.kind === 'basic') throw this.#refused()
    const challenges = parseChallenges(header)
    const wanted = this.#wantedBy(challenges.find(({ scheme }) => scheme === 'bearer')?.parameters, url, sent)
    if (wanted !== null) {
      if (sent?.isNew === true && isSame(sent.wanted, wanted)) return null
      if (sent !== null) this.#tokens.drop(sent.wanted, sent.header.slice('Bearer '.length))
      return this.#token(wanted)
    }
    const credentials = this.#settings.auth?.credentials
    if (!credentials || !challenges.some(({ scheme }) => scheme === 'basic')) return null
    this.#wantsBasic = true
    return { kind: 'basic', header: credentials.authorization }
  }

  #wantedBy(
    challenge: Readonly<Record<string, string>> | undefined,
    url: URL,
    sent: (Authorization & { kind: 'token' }) | null,
  ): TokenScope | null {
    if (this.#adapter.tokenScope === undefined || challenge?.['realm'] === undefined) return sent?.wanted ?? null
    const expected = this.#scopeOf(url)
    const wanted = {
      realm: requireOwnRealm(challenge['realm'], this.#settings),
      service: challenge['service'] ?? '',
      scope: challenge['scope'] ?? expected ?? '',
    }
    this.#latest = wanted
    if (expected !== null) this.#challenges.set(expected, wanted)
    return wanted
  }

  async #token(wanted: TokenScope): Promise<Authorization> {
    const { value, isNew } = await this.#tokens.get(wanted)
    return { kind: 'token', header: `Bearer ${value}`, isNew, wanted }
  }

  /** What the adapter expects to need; it may not know what to make of a URL that a redirect led to. */
  #scopeOf(url: URL): string | null {
    try {
      return this.#adapter.tokenScope?.(url) ?? null
    } catch {
      return null
    }
  }

  #refused(): UpstreamUnavailable {
    this.#refusedUntil = this.#clock.now() + REFUSED_FOR
    return this.#refusal()
  }

  #refusal(): UpstreamUnavailable {
    return new UpstreamUnavailable(`upstream ${this.#settings.name} refuses our credentials`, { detail: 'AUTH_FAILED' })
  }
}

function isSignedAlways({ auth }: UpstreamSettings): boolean {
  return auth !== null && auth.kind !== 'docker'
}

function isSame(a: TokenScope, b: TokenScope): boolean {
  return a.realm.href === b.realm.href && a.service === b.service && a.scope === b.scope
}
