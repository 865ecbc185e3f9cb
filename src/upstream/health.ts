import type { Clock } from '../clock.ts'
import { UpstreamUnavailable } from '../errors.ts'

const FAILURES_TO_OPEN = 5
const FIRST_PAUSE = 10_000
const LONGEST_PAUSE = 300_000
const FIRST_RATE_PAUSE = 60_000
const SHORTEST_RATE_PAUSE = 1_000
const LONGEST_RATE_PAUSE = 900_000
const WINDOW = 30_000
const LEAST_IN_WINDOW = 10
const MOST_REMEMBERED = 100
/** ms for which a state that another replica told of is believed. */
const BELIEVED = 60_000
const SCARCE = 0.1

/** What one replica tells the others of an origin: for how many ms more it is not to be asked, and why; 0: it may be. */
export interface HealthNews {
  readonly open: number
  readonly rateLimited: number
}

/** How an origin is doing, for administrators; times in ms since the epoch. */
export interface OriginReport {
  readonly state: 'closed' | 'open' | 'half-open'
  /** When it is tried again; null: it may be asked now. */
  readonly openUntil: number | null
  /** Until when it wants to be left alone; null: it does not. */
  readonly rateLimitedUntil: number | null
  /** See `isScarce`. */
  readonly isScarce: boolean
  /** What this replica saw last; null: nothing since it started. */
  readonly lastError: { readonly at: number; readonly message: string } | null
}

/**
 * Whether one origin of an upstream is worth asking (pull-through.md §6.3). Five failures in a row, or half of ten and
 * more requests within half a minute, open the breaker: for a while nothing is asked and everything is answered from
 * what is held, then one real request tries. A 429 closes the origin until it says it may be asked again. Answers of
 * 4xx are a working upstream.
 */
export class OriginHealth {
  readonly #clock: Clock
  readonly #origin: string
  readonly #tell: (news: HealthNews) => void
  /** Of the last requests: when they ended, and whether they failed. */
  #recent: { at: number; isFailure: boolean }[] = []
  #failures = 0
  #pause = FIRST_PAUSE
  #openUntil = 0
  #isTrying = false
  #ratePause = FIRST_RATE_PAUSE
  #rateLimitedUntil = 0
  #isScarce = false
  #lastError: OriginReport['lastError'] = null
  #remaining: number | null = null

  /** `tell` is called when the state changes here, and not for what `hear` was told. */
  constructor(origin: string, clock: Clock, tell: (news: HealthNews) => void = () => {}) {
    this.#clock = clock
    this.#origin = origin
    this.#tell = tell
  }

  get state(): 'closed' | 'open' | 'half-open' {
    if (this.#openUntil === 0) return 'closed'
    return this.#clock.now() < this.#openUntil ? 'open' : 'half-open'
  }

  get isRateLimited(): boolean {
    return this.#clock.now() < this.#rateLimitedUntil
  }

  /** Requests that the origin still allows, as it said last; null: it never did. */
  get remaining(): number | null {
    return this.#remaining
  }

  get report(): OriginReport {
    const later = (time: number) => (time > this.#clock.now() ? time : null)
    return {
      state: this.state,
      openUntil: later(this.#openUntil),
      rateLimitedUntil: later(this.#rateLimitedUntil),
      isScarce: this.#isScarce,
      lastError: this.#lastError,
    }
  }

  /** Whether less than a tenth of the requests that the origin allows are left. */
  get isScarce(): boolean {
    return this.#isScarce
  }

  /** Reads `ratelimit-limit` and `ratelimit-remaining`, such as `100;w=21600`, where an answer has them (Docker Hub). */
  noteRate(limit: string | undefined, remaining: string | undefined): void {
    const [of, left] = [limit, remaining].map((text) => Number.parseInt(text ?? '', 10))
    if (!Number.isInteger(of) || !Number.isInteger(left)) return
    this.#isScarce = left! < of! * SCARCE
    this.#remaining = left!
  }

  /** Believes another replica for a minute at most, so that not every one has to find out by itself. */
  hear({ open, rateLimited }: HealthNews): void {
    const now = this.#clock.now()
    if (rateLimited > 0)
      this.#rateLimitedUntil = Math.max(this.#rateLimitedUntil, now + Math.min(rateLimited, BELIEVED))
    if (open > 0) this.#openUntil = Math.max(this.#openUntil, now + Math.min(open, BELIEVED))
    else if (rateLimited === 0) this.#close()
  }

  /** Throws UpstreamUnavailable 503 with Retry-After when the origin must not be asked now; detail RATE_LIMITED after 429. */
  admit(): void {
    const now = this.#clock.now()
    if (now < this.#rateLimitedUntil) {
      throw this.#refusal('limits the rate of requests', this.#rateLimitedUntil - now, 'RATE_LIMITED')
    }
    if (this.#openUntil === 0) return
    if (now < this.#openUntil)
      throw this.#refusal('failed repeatedly and is not asked for a while', this.#openUntil - now)
    if (this.#isTrying) throw this.#refusal('is being tried again', 1_000)
    this.#isTrying = true
  }

  /** The origin has begun an answer: it may be asked, but its failures count until an answer is whole. */
  answered(): void {
    if (this.#openUntil !== 0) this.#tell({ open: 0, rateLimited: 0 })
    this.#openUntil = 0
    this.#isTrying = false
  }

  /** The origin gave a whole answer, whatever it said. */
  succeeded(): void {
    this.#remember(false)
    this.#ratePause = FIRST_RATE_PAUSE
    this.answered()
    this.#close()
  }

  /** Connection or TLS error, timeout, 5xx or a cut body; `why` is shown to administrators. */
  failed(why = 'the answer was cut'): void {
    this.#lastError = { at: this.#clock.now(), message: why }
    this.#failures += 1
    this.#remember(true)
    const wasTrying = this.#isTrying
    this.#isTrying = false
    const isTooMuch = this.#failures >= FAILURES_TO_OPEN || this.#failsHalf()
    if (!wasTrying && (this.#openUntil !== 0 || !isTooMuch)) return
    const pause = this.#pause * (0.8 + 0.4 * Math.random())
    this.#openUntil = this.#clock.now() + pause
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE)
    this.#recent = []
    this.#tell({ open: pause, rateLimited: 0 })
  }

  /** The request was given up for reasons of ours; nothing was learnt. */
  abandoned(): void {
    this.#isTrying = false
  }

  /** The origin answered 429; `retryAfter` in ms when it said so. */
  rateLimited(retryAfter: number | null): void {
    this.#lastError = { at: this.#clock.now(), message: 'answered 429' }
    this.#isTrying = false
    const pause = Math.min(Math.max(retryAfter ?? this.#ratePause, SHORTEST_RATE_PAUSE), LONGEST_RATE_PAUSE)
    this.#rateLimitedUntil = this.#clock.now() + pause
    this.#tell({ open: 0, rateLimited: pause })
    this.#ratePause = Math.min(2 * this.#ratePause, LONGEST_RATE_PAUSE)
  }

  /** Forgets everything: the configuration changed, or an administrator wants it asked again. */
  reset(): void {
    this.succeeded()
    this.#recent = []
    this.#rateLimitedUntil = 0
  }

  #close(): void {
    this.#failures = 0
    this.#openUntil = 0
    this.#isTrying = false
    this.#pause = FIRST_PAUSE
  }

  #remember(isFailure: boolean): void {
    this.#recent.push({ at: this.#clock.now(), isFailure })
    if (this.#recent.length > MOST_REMEMBERED) this.#recent.shift()
  }

  #failsHalf(): boolean {
    const since = this.#clock.now() - WINDOW
    const recent = this.#recent.filter(({ at }) => at > since)
    return recent.length >= LEAST_IN_WINDOW && 2 * recent.filter((one) => one.isFailure).length >= recent.length
  }

  #refusal(why: string, ms: number, detail?: string): UpstreamUnavailable {
    return new UpstreamUnavailable(`${this.#origin} ${why}`, {
      status: 503,
      retryAfter: Math.max(1, Math.ceil(ms / 1_000)),
      ...(detail === undefined ? {} : { detail }),
    })
  }
}
