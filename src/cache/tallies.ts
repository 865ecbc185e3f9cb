import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisClientType } from '@keyv/redis'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'

/** Counts of one kind that one process keeps; the oldest are forgotten first. */
const MOST = 100_000
/** ms after which Redis counts as away. */
const LATEST = 250
/** ms for which it is then left alone. */
const REST = 2_000

/** How often something has happened within a window; times are ms since the epoch. */
export interface Tally {
  readonly count: number
  /** When the window began: with the first event. */
  readonly since: number
  readonly last: number
}

/** KEYS[1] the tally; ARGV: now, length of the window. Times are the callers', so that all follow one clock. */
const ADD = `
local since = redis.call('HGET', KEYS[1], 'since')
if not since or tonumber(ARGV[1]) - tonumber(since) >= tonumber(ARGV[2]) then
  since = ARGV[1]
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'since', since)
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
redis.call('HSET', KEYS[1], 'last', ARGV[1])
return {tostring(redis.call('HINCRBY', KEYS[1], 'count', 1)), since}
`

/**
 * Counts of events per key within windows that begin with their first event: for limits. With Redis the replicas count
 * together; while it is away each counts alone, from nothing: no limit is worth an answer that does not come. What
 * stands before the first colon of a key is its kind: however many of one kind there are, no other is forgotten for them.
 */
export class Tallies {
  readonly #clock: Clock
  readonly #onError: (error: unknown, message: string) => void
  readonly #own = new Map<string, LRUCache<string, Tally>>()
  #redis: RedisClientType | null = null
  #prefix = ''
  #awayUntil = 0

  constructor(parts: { clock: Clock; onError: (error: unknown, message: string) => void }) {
    this.#clock = parts.clock
    this.#onError = parts.onError
  }

  /** From now on the replicas of the installation count together. */
  share(redis: RedisClientType, installation: string): void {
    this.#redis = redis
    this.#prefix = `entrepot:tally:${installation}:`
  }

  /** Counts one event. `window` in ms. Never throws. */
  async add(key: string, window: number): Promise<Tally> {
    const now = this.#clock.now()
    const shared = await this.#ask(async (redis) => {
      const reply = await redis.eval(ADD, { keys: [this.#prefix + key], arguments: [String(now), String(window)] })
      const [count, since] = reply as unknown as [string, string]
      return { count: Number(count), since: Number(since), last: now }
    })
    if (shared !== undefined) return shared
    const before = this.#read(key, window)
    const tally = { count: (before?.count ?? 0) + 1, since: before?.since ?? now, last: now }
    this.#ofKind(key).set(key, tally)
    return tally
  }

  /** What is counted of each key; null: nothing within the window. Never throws. */
  async read(keys: readonly string[], window: number): Promise<(Tally | null)[]> {
    const shared = await this.#ask((redis) =>
      Promise.all(keys.map((key) => redis.hmGet(this.#prefix + key, ['count', 'since', 'last']))),
    )
    if (shared === undefined) return keys.map((key) => this.#read(key, window))
    return shared.map(([count, since, last]) => {
      if (typeof count !== 'string' || this.#clock.now() - Number(since) >= window) return null
      return { count: Number(count), since: Number(since), last: Number(last) }
    })
  }

  /** The key begins anew. Never throws. */
  async forget(key: string): Promise<void> {
    this.#ofKind(key).delete(key)
    await this.#ask((redis) => redis.del(this.#prefix + key))
  }

  /** Kinds are the code's own, so there are few. */
  #ofKind(key: string): LRUCache<string, Tally> {
    const kind = key.split(':', 1)[0]!
    const held = this.#own.get(kind) ?? new LRUCache<string, Tally>({ max: MOST })
    this.#own.set(kind, held)
    return held
  }

  #read(key: string, window: number): Tally | null {
    const tally = this.#ofKind(key).get(key)
    return tally === undefined || this.#clock.now() - tally.since >= window ? null : tally
  }

  /** The answer of Redis; undefined: there is none. */
  async #ask<T>(question: (redis: RedisClientType) => Promise<T>): Promise<T | undefined> {
    const redis = this.#redis
    if (redis === null || Date.now() < this.#awayUntil) return undefined
    const timer = new AbortController()
    try {
      return await Promise.race([question(redis), late(timer.signal)])
    } catch (error) {
      // Many ask at once: the first to learn it says so.
      if (Date.now() >= this.#awayUntil) this.#onError(error, 'Redis is away: limits are counted by each server alone')
      this.#awayUntil = Date.now() + REST
      return undefined
    } finally {
      timer.abort()
    }
  }
}

async function late(signal: AbortSignal): Promise<never> {
  await sleep(LATEST, undefined, { signal, ref: false })
  throw new Error(`no answer within ${LATEST} ms`)
}
