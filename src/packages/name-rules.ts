import type { NameRule } from '../auth/restriction.ts'

/** SQL that is true of rows `p` of `package` which any of the rules means; `place` binds a value and names it. */
export function matchesAnyRule(rules: readonly NameRule[], place: (value: string) => string): string {
  const conditions = rules.map(({ type, pattern }) => {
    const parts = [
      ...(type === null ? [] : [`p.type = ${place(type)}`]),
      // LOWER for the names of mirrors, which keep their case.
      ...(pattern === null ? [] : [`LOWER(p.lower_name) LIKE ${place(toLike(pattern))} ESCAPE '!'`]),
    ]
    return parts.length === 0 ? '1 = 1' : parts.join(' AND ')
  })
  return conditions.length === 0 ? '1 = 0' : `(${conditions.join(' OR ')})`
}

function toLike(pattern: string): string {
  return pattern.replace(/[!%_]/g, '!$&').replaceAll('*', '%')
}
