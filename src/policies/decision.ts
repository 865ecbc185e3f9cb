import { ACTIONS, isInForce, type Rule, SCOPES, type VersionMatcher } from './rule.ts'
import { explainRefusal } from './wording.ts'

/** What is asked for, and whence. */
export interface Subject {
  readonly type: string
  readonly name: string
  /** A version, a tag or a digest; null: the name as a whole. */
  readonly version: string | null
  /** ms since the epoch; null: not known, which is too young for every rule that asks (pull-through.md §8.2). */
  readonly publishedAt: number | null
  readonly upstream: { readonly id: number; readonly isTrusted: boolean }
  /** Whose view it is asked for in; null: the mirror's own address. */
  readonly organizationId: number | null
}

/** Whose rules count. */
export type About = Pick<Subject, 'type' | 'upstream' | 'organizationId'>

/** What the rules make of a subject. */
export interface Decision {
  readonly verdict: 'allowed' | 'refused'
  /** The strictest of those that refuse; null: none does. */
  readonly rule: Rule | null
  /** Why it is refused, for people; null: it is not. */
  readonly reason: string | null
  /** When nothing will refuse it any more, ms since the epoch; null: it is allowed, or that moment is not known. */
  readonly matureAt: number | null
  /** The next moment at which the answer may be another one by itself, ms since the epoch; null: there is none. */
  readonly changesAt: number | null
  /** Reasons of the rules that only warn. */
  readonly warnings: readonly string[]
}

interface Refusal {
  readonly rule: Rule
  /** When it ends by itself; Infinity: never, or nobody knows. */
  readonly until: number
}

/**
 * The verdict of all rules together (pull-through.md §8.1): the strictest refusal wins, in whatever order the rules
 * come. An `allow` at the same or a narrower scope lifts `cooldown` and `freeze`, and nothing else. `allow_only` rules of
 * one scope are one list.
 */
export function decide(rules: readonly Rule[], subject: Subject, now: number): Decision {
  const named = rules.filter(
    (rule) => isInForce(rule, now) && speaksOf(rule, subject) && rule.matchesName(subject.name),
  )
  const meant = named.filter((rule) => fits(rule.matchesVersion, subject.version) === true)
  const allowed = Math.max(...meant.filter(({ action }) => action === 'allow').map(widthOf), -1)
  const refusals = [
    ...meant.flatMap((rule) => refuse(rule, subject, allowed, now)),
    ...named.flatMap((rule) => refuseOthers(rule, subject)),
    ...refuseUnlisted(rules, named, subject, now),
  ].sort(byStrictness)
  const [strictest] = refusals
  const matureAt = Math.max(...refusals.map(({ until }) => until), 0)
  const changesAt = Math.min(...refusals.map(({ until }) => until), ...named.map(endOf))
  return {
    verdict: strictest === undefined ? 'allowed' : 'refused',
    rule: strictest?.rule ?? null,
    reason: strictest === undefined ? null : explainRefusal(strictest.rule, subject, strictest.until),
    matureAt: strictest === undefined || matureAt === Number.POSITIVE_INFINITY ? null : matureAt,
    changesAt: changesAt === Number.POSITIVE_INFINITY ? null : changesAt,
    warnings: meant
      .filter(({ action }) => action === 'warn')
      .sort((a, b) => a.id - b.id)
      .map(({ reason }) => reason),
  }
}

/** Whether a rule is about this upstream, organization and type at all. */
export function speaksOf(rule: Rule, { type, upstream, organizationId }: About): boolean {
  if (rule.type !== '' && rule.type !== type) return false
  if (rule.untrustedOnly && upstream.isTrusted) return false
  if (rule.scope === 'upstream') return rule.scopeId === upstream.id
  return rule.scope === 'site' || (organizationId !== null && rule.scopeId === organizationId)
}

/** Refusals by rules that mean this very version. */
function refuse(rule: Rule, { publishedAt }: Subject, allowed: number, now: number): Refusal[] {
  const isLifted = widthOf(rule) <= allowed
  switch (rule.action) {
    case 'deny':
    case 'quarantine':
      return [{ rule, until: endOf(rule) }]
    case 'freeze':
      if (isLifted || (publishedAt !== null && publishedAt <= rule.notAfter)) return []
      return [{ rule, until: endOf(rule) }]
    case 'cooldown': {
      const matureAt = publishedAt === null ? Number.POSITIVE_INFINITY : publishedAt + rule.minAge
      return isLifted || matureAt <= now ? [] : [{ rule, until: Math.min(matureAt, endOf(rule)) }]
    }
    default:
      return []
  }
}

/** Refusal by a pin, which means other versions of the name. */
function refuseOthers(rule: Rule, { version }: Subject): Refusal[] {
  const isOther = rule.action === 'pin' && fits(rule.matchesVersion, version) === false
  return isOther ? [{ rule, until: endOf(rule) }] : []
}

/** Refusals by lists that this is not on. What a list says of tags does not speak of digests, and the other way round. */
function refuseUnlisted(rules: readonly Rule[], named: readonly Rule[], subject: Subject, now: number): Refusal[] {
  return SCOPES.flatMap((scope) => {
    const list = rules.filter(
      (rule) => rule.scope === scope && rule.action === 'allow_only' && isInForce(rule, now) && speaksOf(rule, subject),
    )
    const isListed = named.some((rule) => list.includes(rule) && fits(rule.matchesVersion, subject.version) !== false)
    if (list.length === 0 || isListed) return []
    const rule = list.reduce((first, one) => (one.id < first.id ? one : first))
    return [{ rule, until: Math.max(...list.map(endOf)) }]
  })
}

function fits(matches: VersionMatcher | null, version: string | null): boolean | null {
  if (matches === null) return true
  return version === null ? null : matches(version)
}

function widthOf({ scope }: Rule): number {
  return SCOPES.indexOf(scope)
}

function endOf({ expiresAt }: Rule): number {
  return expiresAt === 0 ? Number.POSITIVE_INFINITY : expiresAt
}

function byStrictness(a: Refusal, b: Refusal): number {
  const actions = ACTIONS.indexOf(a.rule.action) - ACTIONS.indexOf(b.rule.action)
  if (actions !== 0) return actions
  return a.until === b.until ? a.rule.id - b.rule.id : b.until > a.until ? 1 : -1
}
