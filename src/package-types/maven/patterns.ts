import { Invalid } from '../../errors.ts'
import { compileGlob, type NameMatcher } from '../../upstream/name-patterns.ts'

// What no group or artifact has (coordinates.ts), blanks, and signs of other kinds of patterns.
const IMPOSSIBLE = /[\s\\/"<>|!()[\]{}]|:.*:/

/**
 * A pattern of an attachment or a reserved name; `*` stands for any characters. With a colon it is one of
 * `group:artifact`. Without, it is one of groups, and covers what is below them too (`com.acme` and `com.acme.*` are the
 * same). Whatever covers all artifacts of a group (`com.acme:*`) covers the artifact whose path is that of the group:
 * metadata of `com.acme` and of `com:acme` lie in one place. A name without a colon is that of a group.
 * Case does not matter: a name that is reserved is so in every spelling. Throws Invalid for what no name can match.
 */
export function compilePattern(pattern: string): NameMatcher {
  if (pattern === '' || IMPOSSIBLE.test(pattern)) {
    throw new Invalid(`${JSON.stringify(pattern)} is no pattern of groups (com.acme) or of names (com.acme:lib-*)`)
  }
  const lower = pattern.toLowerCase()
  if (lower.includes(':')) {
    const isMatch = compileGlob(lower)
    return (name) => {
      const lowerName = name.toLowerCase()
      return isMatch(lowerName) || isMatch(`${lowerName.replace(':', '.')}:`)
    }
  }
  const group = lower.replace(/(\.\*+)+$/, '')
  const isGroup = compileGlob(group)
  const isBelow = compileGlob(`${group}.*`)
  const covers: NameMatcher = (name) => isGroup(name) || isBelow(name)
  return (name) => {
    const [first = '', artifact] = name.toLowerCase().split(':')
    return covers(first) || (artifact !== undefined && covers(`${first}.${artifact}`))
  }
}
