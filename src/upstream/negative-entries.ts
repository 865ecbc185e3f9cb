import { LRUCache } from 'lru-cache'
import type { Notices } from '../cache/notices.ts'
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

/** How replicas tell each other of absences. */
export interface Shared {
  readonly notices: Notices
  /** One of a kind of entries. */
  readonly topic: string
}

/**
 * Definite absences: for a minute, doubled with each further miss up to a quarter of an hour, in the memory of every
 * replica (pull-through.md §3.2). Failures are never among them.
 */
export class NegativeEntries {
  readonly #clock: Clock
  readonly #entries = new LRUCache<string, Entry>({ max: 200_000 })

  readonly #shared: Shared | null

  /** Without `shared` they are this process's alone. */
  constructor(clock: Clock, shared: Shared | null = null) {
    this.#clock = clock
    this.#shared = shared
    shared?.notices.subscribe(shared.topic, (notice) => {
      const { key, lifetime } = JSON.parse(notice) as { key: string; lifetime: number | null }
      if (lifetime === null) this.#entries.delete(key)
      else this.#set(key, lifetime)
    })
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
    this.#set(key, lifetime)
    this.#tell(key, lifetime)
  }

  /** Forgets one absence, and how long it was believed: there is no further miss after this one. */
  forget(identity: DocumentIdentity): void {
    const key = identityKey(identity)
    if (this.#entries.delete(key)) this.#tell(key, null)
  }

  /** Forgets the absences of one upstream, here. */
  clear(upstreamId: number): void {
    for (const key of this.#entries.keys()) if (key.startsWith(`${upstreamId}:`)) this.#entries.delete(key)
  }

  #set(key: string, lifetime: number): void {
    const now = this.#clock.now()
    this.#entries.set(key, { since: now, until: now + lifetime, lifetime })
  }

  #tell(key: string, lifetime: number | null): void {
    this.#shared?.notices.publish(this.#shared.topic, JSON.stringify({ key, lifetime }))
  }
}
