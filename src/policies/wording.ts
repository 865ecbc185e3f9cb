import type { Rule } from './rule.ts'

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const

/** What is refused. */
interface Refused {
  readonly name: string
  readonly version: string | null
  readonly publishedAt: number | null
}

/** Why a rule refuses something, in one line that clients show; `until` in ms since the epoch, Infinity: for good. */
export function explainRefusal(rule: Rule, { name, version, publishedAt }: Refused, until: number): string {
  const subject = version === null ? name : `${name} ${version}`
  const end = until === Number.POSITIVE_INFINITY ? '' : ` until ${formatMinute(until)}`
  return withReason(`${subject} ${verdictOf(rule, publishedAt)}${end}`, rule)
}

/** What a rule that warns says of a name. */
export function explainWarning(name: string, reason: string): string {
  return reason === '' ? `a policy of this registry warns of ${name}` : `${name}: ${reason}`
}

/** `3 days`, `90 minutes`: in the largest unit that fits without a rest. */
export function formatAge(ms: number): string {
  const [word, length] = UNITS.find(([, unit]) => ms >= unit && ms % unit === 0) ?? UNITS.at(-1)!
  const count = Math.ceil(ms / length)
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

function verdictOf({ action, minAge, notAfter }: Rule, publishedAt: number | null): string {
  const unknown = publishedAt === null ? ' (when it was published is not known)' : ''
  switch (action) {
    case 'deny':
      return 'is denied'
    case 'quarantine':
      return 'is quarantined'
    case 'allow_only':
      return 'is not on the list of what is allowed'
    case 'pin':
      return 'is not the version that is pinned'
    case 'freeze':
      return `was published after ${formatMinute(notAfter)}${unknown} and is held back`
    default:
      return `is younger than ${formatAge(minAge)}${unknown} and is held back`
  }
}

function withReason(text: string, { id, reason }: Rule): string {
  return reason === '' ? `${text} (policy ${id})` : `${text}: ${reason} (policy ${id})`
}

function formatMinute(ms: number): string {
  return new Date(Math.ceil(ms / 60_000) * 60_000).toISOString().replace(/:00\.000Z$/, 'Z')
}
