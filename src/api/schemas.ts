import { type TProperties, type TSchema, Type } from 'typebox'

/** A body with these fields and no others: what a caller may not set is refused, not dropped (security.md S24). */
export const body = <T extends TProperties>(properties: T, options: { title?: string } = {}) =>
  Type.Object(properties, { ...options, additionalProperties: false })

/** A field that may be left out or null: Gitea's SDK for Go sends null for what is not set. */
export const optional = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

/** Text for people: no control characters but tab and line ends. */
export const text = (maxLength: number, minLength = 0) =>
  Type.String({ minLength, maxLength, pattern: '^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]*$' })

/** What a user calls an access token. */
export const TokenName = text(255, 1)

/** What to look for in names. */
export const SearchText = text(255)

/** Absent for null as for undefined. */
export function given<T>(value: T | null | undefined): T | undefined {
  return value ?? undefined
}
