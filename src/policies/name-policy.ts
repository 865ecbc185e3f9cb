import { createHash } from 'node:crypto'
import { Blocked } from '../errors.ts'
import { type Decision, decide, type Subject } from './decision.ts'
import type { Rule } from './rule.ts'
import { explainWarning } from './wording.ts'

/** What NamePolicy is built from. */
export interface NamePolicyParts {
  readonly rules: readonly Rule[]
  readonly subject: Omit<Subject, 'version' | 'publishedAt'>
  readonly now: () => number
  readonly onRefused: (rule: Rule) => void
}

/** The rules that have something to say of one name, as one upstream has it and one owner shows it. */
export class NamePolicy {
  /** Changes when the rules do; equal on all replicas. */
  readonly revision: string
  /** Whether any rule asks when a version was published. */
  readonly asksForTimes: boolean
  readonly #parts: NamePolicyParts

  constructor(parts: NamePolicyParts) {
    this.#parts = parts
    const { rules } = parts
    this.asksForTimes = rules.some(({ action }) => action === 'cooldown' || action === 'freeze')
    const said = rules.map(({ id, updatedAt }) => `${id}:${updatedAt}`).sort()
    this.revision = createHash('sha256').update(said.join()).digest('base64url').slice(0, 22)
  }

  get rules(): readonly Rule[] {
    return this.#parts.rules
  }

  get now(): number {
    return this.#parts.now()
  }

  /** The same with one of its rules alone. */
  only(rule: Rule): NamePolicy {
    return new NamePolicy({ ...this.#parts, rules: [rule] })
  }

  /** See `decide`; `version` null: the name as a whole. */
  decide(version: string | null, publishedAt: number | null): Decision {
    const { rules, subject, now } = this.#parts
    return decide(rules, { ...subject, version, publishedAt }, now())
  }

  /** What rules that only warn say of a version. */
  warningsOf(version: string): string[] {
    return this.decide(version, null).warnings.map((reason) => explainWarning(this.#parts.subject.name, reason))
  }

  /** Throws Blocked with the reason, and counts it, unless a decision is in favour. */
  enforce(decision: Decision): void {
    if (decision.rule === null) return
    this.#parts.onRefused(decision.rule)
    throw new Blocked(decision.reason!, 'policy')
  }
}
