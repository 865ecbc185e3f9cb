import type { Decision } from '../../policies/decision.ts'
import type { NamePolicy } from '../../policies/name-policy.ts'
import type { SeenTag, Sightings } from '../../policies/sightings.ts'
import type { MirrorMemory, Ruling } from './mirror-memory.ts'

/**
 * Content that digests name has no age of its own: whoever asks for it knows what he wants. It has that of the tags
 * that name it, if there are any (pull-through.md §8.2).
 */
const AGELESS = 0

/** What a policy makes of one repository of an upstream. */
export class MirrorPolicy {
  readonly #policy: NamePolicy
  readonly #sightings: Sightings
  readonly #memory: MirrorMemory
  readonly #upstreamId: number
  readonly #name: string

  constructor(
    policy: NamePolicy,
    place: { sightings: Sightings; memory: MirrorMemory; upstreamId: number; name: string },
  ) {
    this.#policy = policy
    this.#sightings = place.sightings
    this.#memory = place.memory
    this.#upstreamId = place.upstreamId
    this.#name = place.name
  }

  /**
   * What a tag shows: the digest that it names, or one that it named before, where that one is too young or not to be
   * served. `seenAt`: when it was first seen at the latest. Throws Blocked where there is none.
   */
  async digestOfTag(tag: string, digest: string, seenAt: number): Promise<string> {
    const ruling = await this.#remember(`${tag}@${digest}`, async () => {
      const seen = await this.#sightings.digestsOf(this.#upstreamId, this.#name, tag)
      const now = seen.find((one) => one.digest === digest) ?? { tag, digest, firstSeen: seenAt }
      return this.#choose([now, ...seen.filter((one) => one.digest !== digest)])
    })
    if (ruling.digest === null) this.#policy.enforce(ruling.refusal!)
    return ruling.digest!
  }

  /** Throws Blocked unless a manifest or blob of this digest is served, by whatever path it is asked for (S28). */
  async requireDigest(digest: string): Promise<void> {
    const { refusal } = await this.#rule(digest)
    if (refusal !== null) this.#policy.enforce(refusal)
  }

  /** Whether a digest is served. */
  async serves(digest: string): Promise<boolean> {
    return (await this.#rule(digest)).refusal === null
  }

  /** Throws Blocked where nothing of the repository is served. */
  requireName(): void {
    this.#policy.enforce(this.#policy.decide(null, AGELESS))
  }

  /** Whether a tag or a digest may be listed. */
  lists(version: string): boolean {
    return this.#policy.decide(version, AGELESS).verdict === 'allowed'
  }

  /** The header that tells of rules that only warn. */
  notice(version: string): Record<string, string> {
    const warnings = this.#policy.warningsOf(version)
    if (warnings.length === 0) return {}
    const text = warnings
      .join('; ')
      .replace(/[^\x20-\x7e]/g, '?')
      .replace(/["\\]/g, "'")
    return { warning: `299 - "${text.slice(0, 500)}"` }
  }

  /** A digest is served if no rule is about it and, where tags name it, one of these is served with it. */
  #rule(digest: string): Promise<Ruling> {
    return this.#remember(digest, async () => {
      const own = this.#policy.decide(digest, AGELESS)
      if (own.verdict === 'refused') return { digest: null, refusal: own, changesAt: own.changesAt }
      const tags = await this.#sightings.tagsOf(this.#upstreamId, this.#name, digest)
      if (tags.length === 0) return { digest, refusal: null, changesAt: own.changesAt }
      return this.#choose(tags)
    })
  }

  /** The first of them that is served. */
  #choose(seen: readonly SeenTag[]): Ruling {
    let refusal: Decision | null = null
    let changesAt = Number.POSITIVE_INFINITY
    for (const { tag, digest, firstSeen } of seen) {
      const decisions = [this.#policy.decide(tag, firstSeen), this.#policy.decide(digest, AGELESS)]
      changesAt = Math.min(changesAt, ...decisions.map((one) => one.changesAt ?? Number.POSITIVE_INFINITY))
      const refused = decisions.find(({ verdict }) => verdict === 'refused')
      const until = changesAt === Number.POSITIVE_INFINITY ? null : changesAt
      if (refused === undefined) return { digest, refusal: null, changesAt: until }
      refusal ??= refused
    }
    return { digest: null, refusal, changesAt: changesAt === Number.POSITIVE_INFINITY ? null : changesAt }
  }

  async #remember(what: string, make: () => Promise<Ruling>): Promise<Ruling> {
    const key = `${this.#upstreamId}:${this.#name}:${what}:${this.#policy.revision}`
    const known = this.#memory.rulings.get(key)
    if (known !== undefined && (known.changesAt === null || this.#policy.now < known.changesAt)) return known
    const ruling = await make()
    // A tag that is seen in the next moment may speak for what is refused now.
    if (ruling.refusal === null) this.#memory.rulings.set(key, ruling)
    return ruling
  }
}
