import { LRUCache } from 'lru-cache'
import type { Decision } from './decision.ts'
import type { VersionListing, VersionTime } from './listing.ts'
import type { NamePolicy } from './name-policy.ts'
import type { Sightings } from './sightings.ts'

/** Bytes that a refusal costs in memory. */
const WEIGHT = 1_000
const MAX_SIZE = 32 * 1024 * 1024
/** Versions whose publication the upstream is asked for, one by one; the rest stays as old as is known. */
const MOST_ASKED = 20
const AT_ONCE = 4

/** What a policy makes of the versions of one document. */
export interface Verdicts {
  readonly refused: ReadonlyMap<string, Decision>
  /** When they must be made anew, ms since the epoch; null: not by themselves. */
  readonly changesAt: number | null
  /** Tells these verdicts from those before and after. */
  readonly stamp: string
}

/** For how many whole seconds verdicts hold, Infinity: as long as the document; `now` in ms since the epoch. */
export function secondsLeft(verdicts: Verdicts | null, now: number): number {
  const changesAt = verdicts?.changesAt ?? Number.POSITIVE_INFINITY
  return Math.max(0, Math.floor((changesAt - now) / 1_000))
}

/** A document to judge. */
export interface Judged {
  readonly upstreamId: number
  /** Changes with the document. */
  readonly version: string
  listing(): Promise<VersionListing>
  /** Asks the upstream when a version was published, ms since the epoch, where no document says it; null: unknown. */
  askTime?(version: string): Promise<number | null>
}

/** Verdicts of whole documents: made once for a document, a state of the rules and the time until one of them ends. */
export class VerdictsOfDocuments {
  readonly #sightings: Sightings
  readonly #known = new LRUCache<string, Verdicts>({ maxSize: MAX_SIZE })
  readonly #making = new Map<string, Promise<Verdicts>>()
  #made = 0

  constructor(sightings: Sightings) {
    this.#sightings = sightings
  }

  /** The verdicts that hold now. */
  async get(policy: NamePolicy, name: string, judged: Judged): Promise<Verdicts> {
    const key = `${judged.upstreamId}:${name}:${judged.version}:${policy.revision}`
    const known = this.#known.get(key)
    if (known !== undefined && (known.changesAt === null || policy.now < known.changesAt)) return known
    const running = this.#making.get(key)
    if (running !== undefined) return running
    const making = this.#make(policy, judged)
      .then((verdicts) => {
        this.#known.set(key, verdicts, { size: WEIGHT * (1 + verdicts.refused.size) })
        return verdicts
      })
      .finally(() => this.#making.delete(key))
    this.#making.set(key, making)
    return making
  }

  /** Forgets all: what is known of versions has changed. */
  clear(): void {
    this.#known.clear()
  }

  async #make(policy: NamePolicy, judged: Judged): Promise<Verdicts> {
    const listing = await judged.listing()
    const times = policy.asksForTimes ? await this.#sightings.timesOf(judged.upstreamId, listing) : null
    const decisions = new Map<string, Decision>()
    for (const version of listing.published.keys()) {
      decisions.set(version, policy.decide(version, times?.get(version)?.publishedAt ?? null))
    }
    if (times !== null && judged.askTime !== undefined) await this.#askTimes(policy, judged, listing, times, decisions)
    const ends = [...decisions.values()].flatMap(({ changesAt }) => (changesAt === null ? [] : [changesAt]))
    this.#made += 1
    return {
      refused: new Map([...decisions].filter(([, { verdict }]) => verdict === 'refused')),
      changesAt: ends.length === 0 ? null : ends.reduce((first, end) => Math.min(first, end)),
      stamp: `${policy.revision}.${this.#made}`,
    }
  }

  /** Finds out about the newest of those that are held back only for want of a better time. */
  async #askTimes(
    policy: NamePolicy,
    { upstreamId, askTime }: Judged,
    { name }: VersionListing,
    times: ReadonlyMap<string, VersionTime>,
    decisions: Map<string, Decision>,
  ): Promise<void> {
    const isUnsure = (version: string) =>
      times.get(version)!.isBound && ['cooldown', 'freeze'].includes(decisions.get(version)?.rule?.action ?? '')
    const unsure = [...decisions.keys()].filter(isUnsure).slice(-MOST_ASKED)
    const ask = async () => {
      for (let version = unsure.pop(); version !== undefined; version = unsure.pop()) {
        // Who does not answer now is not asked again for this document: what is known is the later time.
        const stated = await askTime!(version).catch(() => undefined)
        if (stated === undefined) continue
        const publishedAt = await this.#sightings.learn(upstreamId, name, version, stated)
        if (publishedAt !== null) decisions.set(version, policy.decide(version, publishedAt))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, ask))
  }
}
