import { Invalid } from '../errors.ts'

/** Whether a name is meant by a pattern, or by any of several. */
export type NameMatcher = (name: string) => boolean

/** Characters of the longest name that has a row, and of a pattern. */
export const MAX_NAME = 255
/** Letters of package names, `*` and `?`; no brackets and no commas. */
const PATTERN = /^[\w@/.:+~?*-]+$/
const MAX_STARS = 3

/**
 * Whether any of the patterns means a name; `compile` is the type's own way (UpstreamAdapter.compilePattern), else they
 * are globs. Throws Invalid with the pattern for what is none.
 */
export function compilePatterns(
  patterns: readonly string[],
  compile: (pattern: string) => NameMatcher = compileGlob,
): NameMatcher {
  const matchers = patterns.map((pattern) => {
    check(pattern)
    return compile(pattern)
  })
  return (name) => matchers.some((matches) => matches(name))
}

/**
 * `*` is any text within a segment, `**` any number of segments, `?` one character: `@acme/*`, `acme/**`. Never slower
 * than the lengths of pattern and name multiplied: who attaches upstreams must not be able to keep the processor busy,
 * which a regular expression with three `.*` already can.
 */
export function compileGlob(pattern: string): NameMatcher {
  const wildcard = pattern.search(/[*?]/)
  if (wildcard === -1) return (name) => name === pattern
  // Without the slash: `acme/**` means `acme` too.
  const prefix = pattern.slice(0, wildcard).replace(/\/$/, '')
  const segments = pattern.split('/').map((segment) => segment.replace(/^\*{2,}$/, '**'))
  return (name) => name.startsWith(prefix) && matchRuns(segments, name.split('/'), '**', matchSegment)
}

function check(pattern: string): void {
  const shown = JSON.stringify(pattern.slice(0, MAX_NAME))
  if (pattern === '' || pattern.length > MAX_NAME) {
    throw new Invalid(`${shown} is no pattern: it has 1 to ${MAX_NAME} characters`, 'name')
  }
  if (!PATTERN.test(pattern)) throw new Invalid(`${shown} has characters that are not allowed in a pattern`, 'name')
  if ((pattern.match(/\*+/g) ?? []).length > MAX_STARS) {
    throw new Invalid(`${shown} has more than three *`, 'name')
  }
}

function matchSegment(pattern: string, segment: string): boolean {
  return matchRuns(pattern, segment, '*', (expected, actual) => expected === '?' || expected === actual)
}

/** Whether the pieces of a pattern fit the items one by one, where `run` stands for any number of items. */
function matchRuns(
  pattern: ArrayLike<string>,
  items: ArrayLike<string>,
  run: string,
  fits: (piece: string, item: string) => boolean,
): boolean {
  let piece = 0
  let item = 0
  // Only the last run ever has to give: whatever the earlier ones took could not be taken earlier.
  let lastRun = -1
  let taken = 0
  while (item < items.length) {
    const expected = pattern[piece]
    if (expected === run) {
      lastRun = piece++
      taken = item
    } else if (expected !== undefined && fits(expected, items[item]!)) {
      piece++
      item++
    } else if (lastRun >= 0) {
      piece = lastRun + 1
      item = ++taken
    } else return false
  }
  while (pattern[piece] === run) piece++
  return piece === pattern.length
}
