import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisClientType } from '@keyv/redis'
import type { Notices } from '../cache/notices.ts'

const LOCK_FOR = 30_000
const RENEW_EVERY = 10_000
/** ms for which another replica's fetch is waited for. */
const PATIENCE = 3_000
const FIRST_LOOK = 250
const LATER_LOOKS = 1_000
/** Bytes; more are fetched here at once, since nobody shall wait in silence. */
const WORTH_WAITING = 32 * 1024 * 1024
/** ms after which Redis counts as away, and for which it is then left alone. */
const LATEST = 250
const REST = 2_000
const DONE = 'fetch-done'

// KEYS[1] the lock; ARGV: token, ms, what to add. A lock is `<token> <bytes>`, `<token> ?` while the size is unknown.
const RENEW = `
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then
  if ARGV[3] ~= '' then redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[3]) end
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
`
const RELEASE = `
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`

/** The right, or no objection, to fetch something here. */
export interface Lease {
  /** Tells the replicas that wait how many bytes come; null: unknown. */
  announce(size: number | null): void
  /** To be called once, when the fetch is over and stored. */
  end(): void
}

const ALONE: Lease = { announce: () => {}, end: () => {} }

/**
 * Lets one replica at a time fetch something, where Redis is there to agree on it (pull-through.md §4.3). It saves
 * traffic and nothing depends on it: without Redis, or without an answer of it, everybody fetches for himself.
 */
export class Coordination {
  readonly #onError: (error: Error) => void
  readonly #notices: Notices
  readonly #waiting = new Map<string, Set<() => void>>()
  #redis: RedisClientType | null = null
  #prefix = ''
  #awayUntil = 0
  #isDegraded = false

  constructor({ notices, onError }: { notices: Notices; onError: (error: Error) => void }) {
    this.#notices = notices
    this.#onError = onError
    notices.subscribe(DONE, (key) => this.#wake(key))
  }

  /** From now on the replicas of the installation agree. */
  share(redis: RedisClientType, installation: string): void {
    this.#redis = redis
    this.#prefix = `entrepot:fetch:${installation}:`
  }

  /** Whether there is a Redis that did not answer when it was last asked. */
  get isDegraded(): boolean {
    return this.#isDegraded
  }

  /**
   * The lease to fetch what `key` names, at once or when another replica has failed, takes longer than three seconds,
   * or fetches what is large. null: another replica has brought it, which `isThere` sees.
   */
  async lead(key: string, isThere: () => Promise<boolean>): Promise<Lease | null> {
    if (this.#redis === null) return ALONE
    const token = randomUUID()
    const until = Date.now() + PATIENCE
    let hasWaited = false
    for (let look = FIRST_LOOK; ; look = LATER_LOOKS) {
      const taken = await this.#ask((redis) =>
        redis.set(this.#prefix + key, `${token} ?`, { condition: 'NX', expiration: { type: 'PX', value: LOCK_FOR } }),
      )
      if (taken === undefined) return ALONE
      if (taken !== null) {
        const lease = this.#lease(key, token)
        if (!hasWaited) return lease
        // Who had the lock before may have brought it just now.
        const isBrought = await isThere().catch((error: unknown) => {
          lease.end()
          throw error
        })
        if (!isBrought) return lease
        lease.end()
        return null
      }
      const left = until - Date.now()
      const holder = await this.#ask((redis) => redis.get(this.#prefix + key))
      if (left <= 0 || holder === undefined || isLarge(holder)) return (await isThere()) ? null : ALONE
      hasWaited = true
      if (holder !== null) await this.#wait(key, Math.min(look, left))
    }
  }

  #lease(key: string, token: string): Lease {
    const renew = (size: string) =>
      void this.#ask((redis) =>
        redis.eval(RENEW, { keys: [this.#prefix + key], arguments: [token, String(LOCK_FOR), size] }),
      )
    const timer = setInterval(() => renew(''), RENEW_EVERY).unref()
    return {
      announce: (size) => renew(size === null ? 'unknown' : String(size)),
      end: () => {
        clearInterval(timer)
        void this.#ask((redis) => redis.eval(RELEASE, { keys: [this.#prefix + key], arguments: [token] })).then(() =>
          this.#notices.publish(DONE, key),
        )
      },
    }
  }

  /** Until the fetch is said to be over, `ms` at most: a notice may be lost. */
  async #wait(key: string, ms: number): Promise<void> {
    const waiting = this.#waiting.get(key) ?? new Set()
    this.#waiting.set(key, waiting)
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, ms)
      function done(): void {
        clearTimeout(timer)
        waiting.delete(done)
        resolve()
      }
      waiting.add(done)
    })
    if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key)
  }

  #wake(key: string): void {
    for (const done of this.#waiting.get(key) ?? []) done()
  }

  /** The answer of Redis; undefined: there is none. */
  async #ask<T>(question: (redis: RedisClientType) => Promise<T>): Promise<T | undefined> {
    const redis = this.#redis
    if (redis === null || Date.now() < this.#awayUntil) return undefined
    const timer = new AbortController()
    try {
      const answer = await Promise.race([question(redis), late(timer.signal)])
      this.#isDegraded = false
      return answer
    } catch (error) {
      if (!this.#isDegraded) this.#onError(error as Error)
      this.#isDegraded = true
      this.#awayUntil = Date.now() + REST
      return undefined
    } finally {
      timer.abort()
    }
  }
}

function isLarge(holder: string | null): boolean {
  const size = holder?.split(' ')[1]
  return size === 'unknown' || (size !== undefined && size !== '?' && Number(size) > WORTH_WAITING)
}

async function late(signal: AbortSignal): Promise<never> {
  await sleep(LATEST, undefined, { signal, ref: false })
  throw new Error(`no answer within ${LATEST} ms`)
}
