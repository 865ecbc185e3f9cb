import { Invalid } from '../../errors.ts'
import type { VersionMatcher } from '../../policies/rule.ts'

interface Token {
  /** What separates it from the one before; a change between digits and letters counts as a hyphen. */
  readonly prefix: '.' | '-'
  /** Digits without leading zeros, or lower-case letters. */
  readonly text: string
  readonly isNumber: boolean
}

interface Bound {
  readonly version: string
  readonly isIncluded: boolean
}

/** Qualifiers before and after a release, which is the empty one; others follow in the order of the alphabet. */
const QUALIFIERS = ['alpha', 'beta', 'milestone', 'rc', 'snapshot', '', 'sp']
const ALIASES: Readonly<Record<string, string>> = { ga: '', final: '', release: '', cr: 'rc' }
/** Written so where a number follows at once. */
const SHORT: Readonly<Record<string, string>> = { a: 'alpha', b: 'beta', m: 'milestone' }
const RANGE = /\s*([[(])([^,[\]()]*)(?:(,)([^,[\]()]*))?([\])])\s*(,(?=\s*[[(])|$)/y

/** Negative, 0 or positive: the order of Maven's own version specification (POM reference, Version Order). */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [tokensOf(a), tokensOf(b)]
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const [one, other] = [left[index], right[index]]
    const order = compareTokens(one ?? padFor(other!), other ?? padFor(one!))
    if (order !== 0) return order
  }
  return 0
}

/**
 * Which versions a rule means: one version, or ranges as a POM has them (`[1.0,2.0)`, `(,1.5]`, `[1.2]`, several with
 * commas between). Equal are `1.0` and `1.0.0`, as for Maven. Throws Invalid.
 */
export function compileVersions(text: string): VersionMatcher {
  if (!/[[\]()]/.test(text)) {
    if (/[,\s]/.test(text)) throw new Invalid('it is no version and no range ([1.0,2.0))')
    return (version) => compareVersions(version, text) === 0
  }
  const ranges = parseRanges(text)
  return (version) =>
    ranges.some(({ from, to }) => isAbove(version, from) && (to === null || isAbove(to.version, { ...to, version })))
}

function parseRanges(text: string): { from: Bound | null; to: Bound | null }[] {
  const ranges = []
  RANGE.lastIndex = 0
  while (RANGE.lastIndex < text.length) {
    const [, open, first = '', comma, second = '', close] = RANGE.exec(text) ?? []
    const [low, high] = [first.trim(), comma === undefined ? first.trim() : second.trim()]
    const isOne = comma === undefined && low !== '' && open === '[' && close === ']'
    if (open === undefined || (comma === undefined && !isOne)) throw new Invalid('it is no range of versions')
    if (low !== '' && high !== '' && compareVersions(low, high) > 0) throw new Invalid('the range has no versions')
    ranges.push({
      from: low === '' ? null : { version: low, isIncluded: open === '[' },
      to: high === '' ? null : { version: high, isIncluded: close === ']' },
    })
  }
  return ranges
}

function isAbove(version: string, bound: Bound | null): boolean {
  if (bound === null) return true
  const order = compareVersions(version, bound.version)
  return order > 0 || (order === 0 && bound.isIncluded)
}

function tokensOf(version: string): Token[] {
  const tokens: Token[] = []
  let prefix: Token['prefix'] = '-'
  const parts = version.toLowerCase().match(/\d+|[^\d.-]+|[.-]/g) ?? []
  parts.forEach((part, index) => {
    const isSeparator = part === '.' || part === '-'
    if (!isSeparator) tokens.push(toToken(prefix, part, parts[index + 1]))
    // Nothing between two separators is a zero.
    else if (index === 0 || isSeparatorAt(parts, index - 1)) tokens.push(toToken(prefix, '0', undefined))
    prefix = isSeparator ? part : '-'
  })
  return trim(tokens)
}

function isSeparatorAt(parts: readonly string[], index: number): boolean {
  return parts[index] === '.' || parts[index] === '-'
}

function toToken(prefix: Token['prefix'], part: string, next: string | undefined): Token {
  if (/^\d/.test(part)) return { prefix, text: part.replace(/^0+(?=\d)/, ''), isNumber: true }
  const long = next !== undefined && /^\d/.test(next) ? (SHORT[part] ?? part) : part
  return { prefix, text: ALIASES[long] ?? long, isNumber: false }
}

/** Without what says nothing: at the end, and before each hyphen. */
function trim(tokens: readonly Token[]): Token[] {
  const kept: Token[] = []
  for (const [index, token] of tokens.entries()) {
    kept.push(token)
    const next = tokens[index + 1]
    if (next !== undefined && next.prefix !== '-') continue
    while (kept.length > 0 && isNothing(kept.at(-1)!)) kept.pop()
  }
  return kept
}

function isNothing({ text, isNumber }: Token): boolean {
  return isNumber ? text === '0' : text === ''
}

/** What stands where the other version has a token more. */
function padFor({ prefix }: Token): Token {
  return prefix === '.' ? { prefix, text: '0', isNumber: true } : { prefix, text: '', isNumber: false }
}

function compareTokens(a: Token, b: Token): number {
  const kinds = kindOf(a) - kindOf(b)
  if (kinds !== 0) return kinds
  if (a.isNumber) return a.text.length - b.text.length || compareTexts(a.text, b.text)
  return rankOf(a.text) - rankOf(b.text) || (QUALIFIERS.includes(a.text) ? 0 : compareTexts(a.text, b.text))
}

/** Qualifiers come before numbers after a hyphen, and these before numbers after a dot. */
function kindOf({ prefix, isNumber }: Token): number {
  if (!isNumber) return 0
  return prefix === '-' ? 1 : 2
}

function rankOf(qualifier: string): number {
  const rank = QUALIFIERS.indexOf(qualifier)
  return rank === -1 ? QUALIFIERS.length : rank
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
