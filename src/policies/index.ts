import type { Metrics } from '../metrics.ts'
import { NamePolicy } from './name-policy.ts'
import type { Place } from './rule.ts'
import type { Adapters, RuleInput } from './rule-input.ts'
import { Rules, type RulesParts } from './rules.ts'
import { Sightings } from './sightings.ts'
import { VerdictsOfDocuments } from './verdicts.ts'

const SITE: Place = { scope: 'site', scopeId: 0 }

/** What a site is well advised to hold back (pull-through.md §8.1). */
const RECOMMENDED: RuleInput = {
  ...{ action: 'cooldown', type: '', name: '', versions: '', minAge: 72 * 3_600_000, notAfter: 0 },
  ...{ untrustedOnly: true, expiresAt: 0, reason: 'most malicious releases are found within days' },
}

/** What Policies is built from. */
export interface PoliciesParts extends RulesParts {
  readonly metrics: Metrics
}

/** What is asked for: a name of an upstream, in the view of an organization or (null) at the mirror's own address. */
export interface Asked {
  readonly type: string
  readonly name: string
  readonly upstream: { readonly id: number; readonly isTrusted: boolean }
  readonly organizationId: number | null
}

/** Supply-chain policies (pull-through.md §8): evaluated when something is served, so that a change holds at once. */
export class Policies {
  readonly rules: Rules
  readonly sightings: Sightings
  readonly verdicts: VerdictsOfDocuments
  readonly #parts: PoliciesParts

  constructor(parts: PoliciesParts) {
    this.#parts = parts
    this.rules = new Rules(parts)
    this.sightings = new Sightings(parts)
    this.verdicts = new VerdictsOfDocuments(this.sightings)
  }

  /** To be called once, before anything is asked. */
  declare(adapters: Adapters): void {
    this.rules.declare(adapters)
  }

  /** What the rules in force say of a name; null: nothing, and whatever the upstream has is served. */
  async of(asked: Asked): Promise<NamePolicy | null> {
    const { clock, metrics } = this.#parts
    const places: Place[] = [SITE, { scope: 'upstream', scopeId: asked.upstream.id }]
    if (asked.organizationId !== null) places.push({ scope: 'organization', scopeId: asked.organizationId })
    const sets = await Promise.all(places.map((place) => this.rules.of(place)))
    const now = clock.now()
    const rules = sets.flatMap((set) => set.select(asked, now))
    // Those that only lift others have nothing to lift.
    if (!rules.some(({ action }) => action !== 'allow')) return null
    return new NamePolicy({
      rules,
      subject: asked,
      now: () => clock.now(),
      onRefused: ({ id, action }) => metrics.policyDenials.inc({ rule: String(id), action }),
    })
  }

  /** The rule of the recommended policy, and whether it was made now: there is one of them. */
  async recommend(author: string) {
    const known = await this.rules.findSame(SITE, RECOMMENDED)
    return { rule: known ?? (await this.rules.create(SITE, RECOMMENDED, author)), isNew: known === null }
  }
}
