import { fits } from '../auth/restriction.ts'
import { Unprocessable } from '../errors.ts'

/** What an id-token must say: by claim one text or several, of which one must fit; `*` is any text within it. */
export type ClaimRules = Readonly<Record<string, string | readonly string[]>>

/** What a verified id-token says. */
export type Claims = Readonly<Record<string, unknown>>

/** Checked of every token by themselves. */
const OWN = new Set(['iss', 'aud', 'exp', 'iat', 'nbf', 'jti'])
const NAME = /^[\w.:/-]{1,128}$/
const MOST_STARS = 3
/** Bytes of the JSON. */
const LARGEST = 16_384

/**
 * Issuers whose tokens anybody can get, and what one of these claims must begin with to mean a project or its owner.
 * Ids and names of owners have to be whole: everybody may register `acme-evil`. GitHub's `job_workflow_ref` means none:
 * everybody may call a public workflow, on files of his own.
 */
const SHARED: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  'https://token.actions.githubusercontent.com': {
    sub: /^((repo|repository):[^*/:]+\/|(repository_owner|repository_id|repository_owner_id):[^*:]+(:|$))/,
    repository: /^[^*/]+\//,
    repository_id: /^[^*]+$/,
    repository_owner: /^[^*]+$/,
    repository_owner_id: /^[^*]+$/,
  },
  'https://gitlab.com': {
    sub: /^project_path:[^*/:]+\//,
    project_path: /^[^*/]+\//,
    project_id: /^[^*]+$/,
    namespace_path: /^[^*/]+(\/|$)/,
    namespace_id: /^[^*]+$/,
  },
}
const ANYTHING_ELSE = /[^*]/

/** Claims that tell people which job it was. */
const TELLING = [
  ...['sub', 'repository', 'repository_owner', 'project_path', 'namespace_path', 'ref', 'ref_type', 'environment'],
  ...['workflow_ref', 'job_workflow_ref', 'ci_config_ref_uri', 'event_name'],
]
const LONGEST_SHOWN = 255

/** Throws Unprocessable for rules that cannot be, and for those that fit jobs of everybody who uses the issuer. */
export function checkRules(issuer: string, rules: ClaimRules): void {
  for (const [claim, value] of Object.entries(rules)) {
    if (OWN.has(claim)) throw new Unprocessable(`[Claims]: ${claim} is checked by itself`)
    if (!NAME.test(claim)) throw new Unprocessable('[Claims]: has a name that no claim has')
    if (patternsOf(value).some((pattern) => pattern.split('*').length - 1 > MOST_STARS)) {
      throw new Unprocessable(`[Claims]: at most ${MOST_STARS} * in a value`)
    }
  }
  if (Buffer.byteLength(JSON.stringify(rules)) > LARGEST) throw new Unprocessable('[Claims]: too large')
  const pinning = Object.hasOwn(SHARED, issuer) ? SHARED[issuer]! : null
  const isPinned = Object.entries(rules).some(([claim, value]) => {
    const wanted = pinning === null ? ANYTHING_ELSE : Object.hasOwn(pinning, claim) ? pinning[claim] : undefined
    return wanted !== undefined && patternsOf(value).every((pattern) => wanted.test(pattern))
  })
  if (isPinned) return
  throw new Unprocessable(
    pinning === null
      ? '[Claims]: name a claim that tells your jobs from others'
      : `[Claims]: this issuer is everybody's; one of ${Object.keys(pinning).join(', ')} must say whose jobs these are`,
  )
}

/** Whether a token's claims fit all rules. Numbers and booleans count as their text; of a list one element must fit. */
export function fitsRules(rules: ClaimRules, claims: Claims): boolean {
  return Object.entries(rules).every(([claim, value]) => {
    const texts = textsOf(Object.hasOwn(claims, claim) ? claims[claim] : undefined)
    return patternsOf(value).some((pattern) => texts.some((text) => fits(pattern, text)))
  })
}

/** What a token says of its job, for people: `sub repo:acme/app:ref:refs/heads/main, ref refs/heads/main`. */
export function describeClaims(claims: Claims): string {
  const shown = TELLING.flatMap((claim) => {
    const [text] = textsOf(Object.hasOwn(claims, claim) ? claims[claim] : undefined)
    return text === undefined ? [] : [`${claim} ${shorten(text)}`]
  })
  return shown.length === 0 ? 'no claim that tells of its job' : shown.join(', ')
}

/** What others wrote, as messages and logs may hold it. */
export function shorten(text: string): string {
  return [...text.replace(/[\x00-\x1f\x7f]/g, '?')].slice(0, LONGEST_SHOWN).join('')
}

function patternsOf(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value
}

function textsOf(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value]
  return list.flatMap((item) => (['string', 'number', 'boolean'].includes(typeof item) ? [String(item)] : []))
}
