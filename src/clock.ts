/** Where the time comes from; tests give their own. */
export interface Clock {
  /** Ms since the epoch. */
  now(): number
}

/** The machine's. */
export const systemClock: Clock = { now: () => Date.now() }
