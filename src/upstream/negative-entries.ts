import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { type DocumentIdentity, identityKey } from './document-store.ts'

const FIRST = 60_000
const LONGEST = 900_000
const FORCED_INTERVAL = 10_000

interface Entry {
  readonly since: number
  readonly until: number
  readonly lifetime: number
}

/**
 * Definite absences: for a minute, doubled with each further miss up to a quarter of an hour, in memory only
 * (pull-through.md §3.2). Failures are never among them.
 */
export class NegativeEntries {
  readonly #clock: Clock
  readonly #entries = new LRUCache<string, Entry>({ max: 200_000 })

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whether the document is known to be absent; `revalidate` believes that for ten seconds only. */
  has(identity: DocumentIdentity, revalidate: boolean): boolean {
    const entry = this.#entries.get(identityKey(identity))
    if (entry === undefined) return false
    const now = this.#clock.now()
    return now < (revalidate ? Math.min(entry.until, entry.since + FORCED_INTERVAL) : entry.until)
  }

  /** Remembers an absence, for `fixed` ms when given. */
  add(identity: DocumentIdentity, fixed?: number): void {
    const key = identityKey(identity)
    const before = this.#entries.get(key)
    const lifetime = fixed ?? (before === undefined ? FIRST : Math.min(2 * before.lifetime, LONGEST))
    const now = this.#clock.now()
    this.#entries.set(key, { since: now, until: now + lifetime, lifetime })
  }

  /** Forgets one absence, and how long it was believed: there is no further miss after this one. */
  forget(identity: DocumentIdentity): void {
    this.#entries.delete(identityKey(identity))
  }

  /** Forgets the absences of one upstream. */
  clear(upstreamId: number): void {
    for (const key of this.#entries.keys()) if (key.startsWith(`${upstreamId}:`)) this.#entries.delete(key)
  }
}
