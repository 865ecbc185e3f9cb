import { setImmediate as nextTurn } from 'node:timers/promises'
import { RE2JS } from 're2js'
import { Unprocessable } from '../errors.ts'

const DAY = 24 * 60 * 60 * 1000
/** Instructions of a pattern; they times the characters of a text are the time that it takes. */
const MAX_PROGRAM = 1_000
/** Versions in a row between two looks at what else there is to do. */
const AT_A_TIME = 5

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
 * not match the pattern to remove. Throws Unprocessable for a pattern that is none, or repeats too much.
 */
export function createDecision(policy: CleanupPolicy) {
  const { keepCount, removeDays, removePattern, matchFullName } = policy
  const keeps = compile(policy.keepPattern, false)
  const removes = compile(removePattern, true)
  return async <C extends Candidate>(lowerName: string, candidates: readonly C[], now: number) => {
    const verdicts: Verdict<C>[] = []
    for (const [index, candidate] of candidates.entries()) {
      if (index % AT_A_TIME === AT_A_TIME - 1) await nextTurn()
      const text = matchFullName ? `${lowerName}/${candidate.lowerVersion}` : candidate.lowerVersion
      const age = now - candidate.changedAt
      if (index < keepCount || age < removeDays * DAY || keeps(text) || !removes(text)) continue
      const reasons = [
        keepCount > 0 ? `not among the newest ${keepCount}` : '',
        `changed ${Math.floor(age / DAY)} days ago`,
        removePattern === '' ? '' : `matches ${removePattern}`,
      ]
      verdicts.push({ candidate, reason: reasons.filter((reason) => reason !== '').join(', ') })
    }
    return verdicts
  }
}

/** RE2, as in Gitea: whole text, any case, and linear time, since everybody may write such a pattern. */
function compile(pattern: string, matchesWhenEmpty: boolean): Matcher {
  if (pattern === '') return () => matchesWhenEmpty
  const compiled = parse(pattern)
  if (compiled.programSize() > MAX_PROGRAM) throw new Unprocessable(`${pattern} repeats too much`)
  return (text) => compiled.matches(text)
}

function parse(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern, RE2JS.CASE_INSENSITIVE)
  } catch (error) {
    throw new Unprocessable(`${pattern} is not a regular expression of RE2`, undefined, error)
  }
}
