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

const SHARE = 0.1
const MOST_SAVED = 10

/** Retries are a tenth of the requests at most: an upstream that is on its knees is not asked three times as much. */
export class RetryBudget {
  #saved = MOST_SAVED

  /** A request is sent that is no retry. */
  earn(): void {
    this.#saved = Math.min(MOST_SAVED, this.#saved + SHARE)
  }

  /** Whether there may be one more retry; it counts. */
  spend(): boolean {
    if (this.#saved < 1) return false
    this.#saved -= 1
    return true
  }
}

/** How often, and until when, something is tried again. */
export interface RetryLimits {
  readonly retries: number
  readonly budget: RetryBudget
  readonly signal: AbortSignal
}

/** The result of the first attempt that does not throw a Retriable; its reason when there may be no further one. */
export async function withRetries<T>({ retries, budget, signal }: RetryLimits, attempt: () => Promise<T>): Promise<T> {
  budget.earn()
  for (let tries = 0; ; tries += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof Retriable)) throw error
      const wait = error.wait ?? Math.random() * Math.min(LONGEST_RANDOM_WAIT, FIRST_WAIT * 2 ** tries)
      if (tries >= retries || wait > LONGEST_WAIT || signal.aborted || !budget.spend()) throw error.reason
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
