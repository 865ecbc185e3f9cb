import { setTimeout as sleep } from 'node:timers/promises'
import type { UpstreamUnavailable } from '../errors.ts'

const FIRST_WAIT = 250
const LONGEST_RANDOM_WAIT = 4_000
const LONGEST_WAIT = 5_000

/** Carries a failure that one more try may mend, and how many ms the upstream wants to be left alone. */
export class Retriable extends Error {
  readonly reason: UpstreamUnavailable
  readonly wait: number | null
  constructor(reason: UpstreamUnavailable, wait: number | null) {
    super(reason.message)
    this.reason = reason
    this.wait = wait
  }
}

/** The result of the first attempt that does not throw a Retriable; its reason when there were `retries` of them. */
export async function withRetries<T>(retries: number, signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof Retriable)) throw error
      const wait = error.wait ?? Math.random() * Math.min(LONGEST_RANDOM_WAIT, FIRST_WAIT * 2 ** tries)
      if (tries >= retries || wait > LONGEST_WAIT || signal.aborted) throw error.reason
      await sleep(wait, undefined, { signal }).catch(() => {
        throw error.reason
      })
    }
  }
}

/** Retry-After, seconds or an HTTP date → ms from now; null when absent or malformed. */
export function parseRetryAfter(text: string | undefined, now: number): number | null {
  if (text === undefined) return null
  if (/^\d+$/.test(text)) return Number(text) * 1_000
  const date = Date.parse(text)
  return Number.isNaN(date) ? null : Math.max(0, date - now)
}
