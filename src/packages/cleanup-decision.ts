import { RE2JS } from 're2js'
import { Unprocessable } from '../errors.ts'

const DAY = 24 * 60 * 60 * 1000

/** What a rule says; see PackageCleanupRule. */
export interface CleanupPolicy {
  readonly keepCount: number
  readonly keepPattern: string
  readonly removeDays: number
  readonly removePattern: string
  readonly matchFullName: boolean
}

/** What a decision about one version needs to know. */
export interface Candidate {
  readonly lowerVersion: string
  /** When a file of it was uploaded last; ms. */
  readonly changedAt: number
}

/** A version that is to go, and why none of the rule's exceptions holds. */
export interface Verdict<C> {
  readonly candidate: C
  readonly reason: string
}

type Matcher = (text: string) => boolean

/**
 * Decides which versions of a package a rule removes (gitea-model.md §11): of `candidates`, newest first, all but the
 * newest `keepCount`, those that match the pattern to keep, those that changed within `removeDays`, and those that do
 * not match the pattern to remove. Throws Unprocessable for a pattern that is none.
 */
export function createDecision(policy: CleanupPolicy) {
  const { keepCount, removeDays, removePattern, matchFullName } = policy
  const keeps = compile(policy.keepPattern, false)
  const removes = compile(removePattern, true)
  return <C extends Candidate>(lowerName: string, candidates: readonly C[], now: number): Verdict<C>[] =>
    candidates.flatMap((candidate, index) => {
      const text = matchFullName ? `${lowerName}/${candidate.lowerVersion}` : candidate.lowerVersion
      const age = now - candidate.changedAt
      if (index < keepCount || keeps(text) || age < removeDays * DAY || !removes(text)) return []
      const reasons = [
        keepCount > 0 ? `not among the newest ${keepCount}` : '',
        `changed ${Math.floor(age / DAY)} days ago`,
        removePattern === '' ? '' : `matches ${removePattern}`,
      ]
      return [{ candidate, reason: reasons.filter((reason) => reason !== '').join(', ') }]
    })
}

/** RE2, as in Gitea: whole text, any case, and linear time, since everybody may write such a pattern. */
function compile(pattern: string, matchesWhenEmpty: boolean): Matcher {
  if (pattern === '') return () => matchesWhenEmpty
  try {
    const compiled = RE2JS.compile(pattern, RE2JS.CASE_INSENSITIVE)
    return (text) => compiled.matches(text)
  } catch (error) {
    throw new Unprocessable(`${pattern} is not a regular expression of RE2`, undefined, error)
  }
}
