import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import type { UpstreamUnavailable } from '../errors.ts'

const FOR = 60_000
const LONGER = 300_000
const FAILURES_FOR_LONGER = 3
const WINDOW = 3_600_000

/** Artifacts whose bytes were wrong a moment ago: they are not fetched again for every client that retries (§5.3). */
export class Shunned {
  readonly #clock: Clock
  readonly #entries = new LRUCache<string, { until: number; failures: number[]; reason: UpstreamUnavailable }>({
    max: 10_000,
  })

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** For a minute, or five after the third time within an hour. */
  add(key: string, reason: UpstreamUnavailable): void {
    const now = this.#clock.now()
    const failures = (this.#entries.get(key)?.failures ?? []).filter((time) => time > now - WINDOW)
    failures.push(now)
    this.#entries.set(key, { until: now + (failures.length >= FAILURES_FOR_LONGER ? LONGER : FOR), failures, reason })
  }

  /** Throws the reason while the artifact is shunned. */
  refuse(key: string): void {
    const entry = this.#entries.get(key)
    if (entry !== undefined && this.#clock.now() < entry.until) throw entry.reason
  }

  /** Forgets those of one upstream, whose keys begin with its id and a colon. */
  clear(upstreamId: number): void {
    for (const key of this.#entries.keys()) if (key.startsWith(`${upstreamId}:`)) this.#entries.delete(key)
  }
}
