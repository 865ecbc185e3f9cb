import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Tallies, Tally } from '../cache/tallies.ts'
import type { Clock } from '../clock.ts'
import { TooManyRequests } from '../errors.ts'
import { networkOf } from './network.ts'

/** ms after its first failure that a tally is forgotten. */
const WINDOW = 3_600_000
/** ms after the last free failure; each further one doubles it. */
const FIRST_WAIT = 5_000
const LONGEST_WAIT = 900_000
/** Wrong credentials that are remembered, so that one that is sent again and again counts once. */
const REMEMBERED = 20_000

/** Failures within an hour that cost nothing; -1: never anything. */
export interface SignInLimits {
  readonly perAccountAndAddress: number
  readonly perAddress: number
  readonly perAccount: number
}

/** One attempt to sign in with a password, or with the one-time code beside a right one. */
export interface Attempt {
  /** As the client names it; accounts that do not exist count like others. */
  readonly username: string
  /** The account, if there is one. */
  readonly account: { readonly id: number; readonly name: string } | null
  readonly address: string
  /** Tells this name and secret, against what is stored, from others; reveals neither. */
  readonly credential: string
  /** A one-time code. These count apart, because the right password beside them lets passwords begin anew. */
  readonly isCode?: boolean
}

/** An attempt that may be made; exactly one of the methods must be called. */
export interface Admission {
  succeeded(): Promise<void>
  failed(): Promise<void>
  /** It could not be found out. */
  dropped(): void
  /** It was not looked at, and will not be for so many ms: throws TooManyRequests. */
  refused(wait: number): never
}

/**
 * Slows the guessing of passwords, one-time codes and tokens (security.md: brute force). Wrong passwords count for the
 * account at one address (an IPv6 /64), for the address, and for the account. The first two make further attempts wait:
 * 429, longer with each failure, the right password included unless this process has seen it there. Failures for the
 * account from everywhere never refuse anybody: they only leave a single free failure to each address, so that nobody
 * can lock another out. A wrong credential that comes again, from a fleet of jobs say, is no guess and counts once.
 */
export class SignInGuard {
  readonly #tallies: Tallies
  readonly #clock: Clock
  readonly #limits: SignInLimits
  readonly #onRefused: () => void
  readonly #onFailed: (attempt: Attempt) => void
  readonly #wrong = new LRUCache<string, true>({ max: REMEMBERED, ttl: WINDOW })
  /** Apart, so that invented tokens, which cost nothing, cannot have wrong passwords forgotten. */
  readonly #wrongTokens = new LRUCache<string, true>({ max: REMEMBERED, ttl: WINDOW })
  /** By account and address: which credentials are being checked, so that guesses do not slip through together. */
  readonly #running = new Map<string, Map<string, number>>()

  /** `onRefused` hears of each 429; `onFailed` of each wrong password or code, once. */
  constructor(parts: {
    tallies: Tallies
    clock: Clock
    limits: SignInLimits
    onRefused: () => void
    onFailed: (attempt: Attempt) => void
  }) {
    this.#tallies = parts.tallies
    this.#clock = parts.clock
    this.#limits = parts.limits
    this.#onRefused = parts.onRefused
    this.#onFailed = parts.onFailed
  }

  /** Whether exactly this credential was found wrong within the last hour: it is so still. */
  isKnownWrong(credential: string): boolean {
    return this.#wrong.has(credential)
  }

  /** Throws TooManyRequests while the account at this address, or the address, has to wait. */
  async admit(attempt: Attempt): Promise<Admission> {
    const { username, address, credential, isCode = false } = attempt
    const network = networkOf(address)
    const account = `${isCode ? 'codes:' : ''}${digest(username.toLowerCase())}`
    const keys = { pair: `pair:${account}:${network}`, address: `address:${network}`, account: `account:${account}` }
    const [pair = null, whole = null, everywhere = null] = await this.#tallies.read(Object.values(keys), WINDOW)
    const { perAccountAndAddress, perAddress, perAccount } = this.#limits
    const isUnderAttack = perAccount !== -1 && (everywhere?.count ?? 0) >= perAccount
    const free = isUnderAttack && perAccountAndAddress !== -1 ? 1 : perAccountAndAddress
    this.#requireNoWait(pair, free, 'this account and address')
    this.#requireNoWait(whole, perAddress, 'this address')
    const leave = this.#enter(keys.pair, credential, Math.max(1, free - (pair?.count ?? 0)), free)
    return {
      succeeded: async () => {
        leave()
        if (pair !== null) await this.#tallies.forget(keys.pair)
      },
      failed: async () => {
        try {
          if (isNew(this.#wrong, credential)) {
            this.#onFailed(attempt)
            await Promise.all(Object.values(keys).map((key) => this.#tallies.add(key, WINDOW)))
          }
        } finally {
          leave()
        }
      },
      dropped: leave,
      refused: (wait) => {
        leave()
        this.#refuse('this account', wait)
      },
    }
  }

  /**
   * Counts an access token that does not exist. Throws TooManyRequests when the address has shown too many; the right
   * ones are never kept waiting, because nobody guesses 160 bits.
   */
  async wrongToken(secret: string, address: string): Promise<void> {
    if (!isNew(this.#wrongTokens, digest(secret))) return
    const key = `tokens:${networkOf(address)}`
    const [tally = null] = await this.#tallies.read([key], WINDOW)
    await this.#tallies.add(key, WINDOW)
    this.#requireNoWait(tally, this.#limits.perAddress, 'this address')
  }

  #requireNoWait(tally: Tally | null, free: number, whose: string): void {
    if (tally === null || free === -1 || tally.count < free) return
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(20, tally.count - free))
    const left = tally.last + wait - this.#clock.now()
    if (left > 0) this.#refuse(whose, left)
  }

  #enter(pair: string, credential: string, room: number, free: number): () => void {
    const running = this.#running.get(pair) ?? new Map<string, number>()
    if (free !== -1 && !running.has(credential) && running.size >= room) this.#refuse('this account and address', 1_000)
    this.#running.set(pair, running)
    running.set(credential, (running.get(credential) ?? 0) + 1)
    return () => {
      const left = running.get(credential)! - 1
      if (left > 0) running.set(credential, left)
      else running.delete(credential)
      if (running.size === 0) this.#running.delete(pair)
    }
  }

  #refuse(whose: string, wait: number): never {
    this.#onRefused()
    throw new TooManyRequests(`too many failed sign-ins for ${whose}, try again later`, Math.ceil(wait / 1_000))
  }
}

/** Neither Redis nor memory shall hold what somebody typed into the wrong field. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}

function isNew(known: LRUCache<string, true>, credential: string): boolean {
  if (known.has(credential)) return false
  known.set(credential, true)
  return true
}
