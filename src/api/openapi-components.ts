import { isDeepStrictEqual } from 'node:util'
import { Type } from 'typebox'
import { pagingParameters } from '../http/pagination.ts'

/** The status of an answer → what it means, for all operations (rest-api.md §2). */
const errors = {
  400: 'The request cannot be understood, or cannot be done as things are.',
  401: 'There are no credentials, or they cannot be used.',
  403: 'The caller, or the token, has not the right.',
  404: 'There is no such thing, or the caller may not know of it.',
  405: 'This is not done here.',
  422: 'A value is missing, malformed, unknown or taken; the message names the field.',
  default: 'Any other failure.',
} as const

/** How an operation refers to the error with that status. */
export function errorReference(status: keyof typeof errors): { $ref: string } {
  return { $ref: `#/components/responses/${status === 'default' ? 'Error' : `Error${status}`}` }
}

/** Whether there is a description of errors with this status. */
export function isDescribedError(status: number): status is Exclude<keyof typeof errors, 'default'> {
  return Object.hasOwn(errors, status)
}

/** How an operation refers to `page` or `limit`; undefined for other parameters. */
export function pagingReference(parameter: string): { $ref: string } | undefined {
  return Object.hasOwn(pagingParameters, parameter) ? { $ref: `#/components/parameters/${parameter}` } : undefined
}

/** The headers of a page of a list. */
export const pagingHeaders = {
  'X-Total-Count': { $ref: '#/components/headers/TotalCount' },
  Link: { $ref: '#/components/headers/Link' },
}

const ErrorSchema = Type.Object({
  message: Type.String(),
  url: Type.String({ description: 'Where this description is.' }),
})

/** What operations share. */
export const openapiComponents = {
  schemas: { Error: { ...ErrorSchema } },
  responses: Object.fromEntries(
    Object.entries(errors).map(([status, description]) => [
      status === 'default' ? 'Error' : `Error${status}`,
      { description, content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } },
    ]),
  ),
  parameters: Object.fromEntries(
    Object.entries<{ type: 'integer'; description?: string }>(pagingParameters).map(
      ([name, { description = '', type }]) => [name, { in: 'query', name, description, schema: { type } }],
    ),
  ),
  headers: {
    TotalCount: { description: 'Rows of all pages.', schema: { type: 'integer' as const } },
    Link: {
      description: 'The URLs of the next, last, first and previous page, where there are any (RFC 8288).',
      schema: { type: 'string' as const },
    },
  },
  securitySchemes: {
    BasicAuth: {
      type: 'http' as const,
      scheme: 'basic',
      description: 'A user name and his password, or a token in its place.',
    },
    AuthorizationHeaderToken: {
      type: 'apiKey' as const,
      in: 'header' as const,
      name: 'Authorization',
      description: 'The word `token`, a blank and the token.',
    },
    BearerToken: { type: 'http' as const, scheme: 'bearer', description: 'A token.' },
  },
}

/**
 * Moves every schema below `paths` that has a title to the components, and refers to it there. Throws for two that have
 * one title but are not the same.
 */
export function shareSchemas(document: { paths: object; components: { schemas: Record<string, unknown> } }): void {
  const { schemas } = document.components
  const share = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map(share)
    const { title, ...copy } = Object.fromEntries(Object.entries(value).map(([key, child]) => [key, share(child)]))
    if (typeof title !== 'string') return title === undefined ? copy : { title, ...copy }
    if (schemas[title] !== undefined && !isDeepStrictEqual(schemas[title], copy)) {
      throw new Error(`two schemas of the REST API have the title ${title}`)
    }
    schemas[title] = copy
    return { $ref: `#/components/schemas/${title}` }
  }
  document.paths = share(document.paths) as object
}
