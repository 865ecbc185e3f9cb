import { Type } from 'typebox'
import { Invalid, Unprocessable } from '../errors.ts'
import type { Services } from '../services.ts'

const Pattern = Type.String({ minLength: 1, maxLength: 255 })

/** A list of patterns of package names. */
export const Patterns = (maxItems: number) => Type.Array(Pattern, { maxItems })

/** What a route about one organization's names of one package type is given. */
export const OrganizationAndType = Type.Object({
  org: Type.String(),
  type: Type.String({ pattern: '^[a-z0-9-]{1,32}$' }),
})

/** Unprocessable, `[Field]: reason`, for a pattern that the type does not know. */
export function checkPatterns({ upstream }: Services, type: string, patterns: readonly string[], field: string): void {
  try {
    upstream.checkPatterns(type, patterns)
  } catch (error) {
    if (error instanceof Invalid) throw new Unprocessable(`[${field}]: ${error.message}`)
    throw error
  }
}
