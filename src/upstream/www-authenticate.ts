/** One challenge of a WWW-Authenticate header; scheme and names of parameters in lower case. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

const SEPARATORS = /[\s,]*/y
const TOKEN = /[!#$%&'*+.^_`|~\w-]+/y
const TOKEN68 = /[ \t]+[\w.~+/-]+=*[ \t]*(?=,|$)/y
const EQUALS = /[ \t]*=[ \t]*/y
const QUOTED = /"((?:[^"\\]|\\.)*)"/y

/** Parses the header, several of them joined by commas (RFC 9110 §11.6.1); ends where it makes no sense any more. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  let at = 0
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at
    const match = pattern.exec(header)
    if (match === null) return null
    at = pattern.lastIndex
    return match[1] ?? match[0]
  }
  for (;;) {
    take(SEPARATORS)
    const word = take(TOKEN)
    if (word === null) return challenges
    if (take(EQUALS) === null) {
      challenges.push({ scheme: word.toLowerCase(), parameters: Object.create(null) as Record<string, string> })
      take(TOKEN68)
      continue
    }
    const value = take(QUOTED)?.replace(/\\(.)/g, '$1') ?? take(TOKEN)
    const current = challenges.at(-1)
    if (value === null || current === undefined) return challenges
    current.parameters[word.toLowerCase()] ??= value
  }
}
