const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** ms after the first, second … attempt. */
const DELAYS = [10_000, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR]
/** Delays are up to this part longer, so that what failed together does not come back together. */
const JITTER = 0.2

/** ms to wait after so many failed attempts; null: enough. `random` is from 0 to 1. */
export function delayAfter(attempts: number, random = Math.random()): number | null {
  const delay = DELAYS[attempts - 1]
  return delay === undefined ? null : Math.round(delay * (1 + JITTER * random))
}
