import { type Subject, speaksOf } from './decision.ts'
import { isInForce, type Rule } from './rule.ts'

/** A rule, and the one name that it is for; null: its name is a pattern. */
export interface NamedRule {
  readonly rule: Rule
  /** Lower case. */
  readonly exactName: string | null
}

const always = () => true
const never = () => false

/** The rules of one place, found by name: ten thousand names that are denied one by one cost no request anything. */
export class RuleSet {
  readonly #exact = new Map<string, Rule[]>()
  readonly #patterns: Rule[] = []
  readonly #lists: Rule[] = []

  constructor(rules: readonly NamedRule[]) {
    for (const { rule, exactName } of rules) {
      if (rule.action === 'allow_only') this.#lists.push(rule)
      if (exactName === null) this.#patterns.push(rule)
      else {
        const key = toKey(rule.type, exactName)
        this.#exact.set(key, [...(this.#exact.get(key) ?? []), rule])
      }
    }
  }

  /** The rules in force that have something to say of the name; where it is on no list, one that says so. */
  select(subject: Omit<Subject, 'version' | 'publishedAt'>, now: number): Rule[] {
    const isMeant = (rule: Rule) => isInForce(rule, now) && speaksOf(rule, subject)
    const named = [
      ...(this.#exact.get(toKey(subject.type, subject.name.toLowerCase())) ?? []).filter(isMeant),
      ...this.#patterns.filter((rule) => isMeant(rule) && rule.matchesName(subject.name)),
    ].map((rule) => ({ ...rule, matchesName: always }))
    if (named.some(({ action }) => action === 'allow_only')) return named
    // The one that ends last ends the list.
    const list = this.#lists.filter(isMeant)
    if (list.length === 0) return named
    const last = list.reduce((latest, rule) => (endOf(rule) > endOf(latest) ? rule : latest))
    return [...named, { ...last, matchesName: never }]
  }
}

function toKey(type: string, name: string): string {
  return `${type}:${name}`
}

function endOf({ expiresAt }: Rule): number {
  return expiresAt === 0 ? Number.POSITIVE_INFINITY : expiresAt
}
