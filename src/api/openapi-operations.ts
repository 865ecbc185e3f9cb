import { STATUS_CODES } from 'node:http'
import type { FastifySchema, RouteOptions } from 'fastify'
import type { Access } from '../http/access.ts'
import {
  errorReference,
  isDescribedError,
  openapiComponents,
  pagingHeaders,
  pagingReference,
} from './openapi-components.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The statuses of a route that describes no body of an answer; 204 alone where it is absent. */
    answers?: readonly number[]
  }
}

/** An operation as the generator leaves it. */
export interface Operation {
  operationId: string
  description?: string
  parameters?: { name?: string; $ref?: string }[]
  requestBody?: { required: boolean }
  responses: Record<string, { description?: string; headers?: object } | { $ref: string }>
  security?: Record<string, string[]>[]
}

const PACKAGES = ['read', 'write', 'remove']

const whoMay: Record<Access, string> = {
  public: '',
  'signed-in': 'For everybody who is signed in.',
  self: 'For the user himself and site administrators.',
  read: 'For everybody signed in who may read the packages.',
  write: 'For everybody who may write the packages.',
  remove: 'For everybody who may write the packages; in a mirror for site administrators.',
  owner: 'For owners of the organization and site administrators.',
  'repository-admin': 'For those with admin access to the packages of the owner.',
  admin: 'For site administrators.',
  member: 'For members of the organization and site administrators.',
  membership: 'For the member himself, owners of the organization and site administrators.',
  team: 'For those who may know of the team.',
  'team-members': 'For members of the organization who may know of the team.',
  'team-owner': 'For owners of the organization and site administrators.',
}

/** Stable and unique: `GET`, `/orgs/:org/teams/search` → `getOrgsByOrgTeamsSearch`. */
export function operationId(method: string, path: string): string {
  const words = path.replaceAll('/:', '/by-').split(/[^a-zA-Z0-9]+/)
  return method.toLowerCase() + words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('')
}

/** Adds what follows from the route: who may, with which scopes, and how it answers. */
export function completeOperation(operation: Operation, route: RouteOptions, requireSignIn: boolean): void {
  const right = route.config?.access ?? 'public'
  const scopes = scopesOf(route, right)
  const needed = scopes.length === 0 ? '' : `Tokens need ${scopes.map((scope) => `\`${scope}\``).join(' and ')}.`
  const description = [operation.description, [whoMay[right], needed].filter(Boolean).join(' ')].filter(Boolean)
  if (description.length > 0) operation.description = description.join('\n\n')
  const isOpen = right === 'public' && (!requireSignIn || scopes.length === 0)
  const schemes = (operation.security ?? [openapiComponents.securitySchemes]).flatMap((named) => Object.keys(named))
  operation.security = [...(isOpen ? [{}] : []), ...schemes.map((scheme) => ({ [scheme]: scopes }))]
  if (isPaged(route.schema)) {
    operation.parameters = (operation.parameters ?? []).map(
      (parameter) => pagingReference(parameter.name ?? '') ?? parameter,
    )
  }
  if (operation.requestBody !== undefined) operation.requestBody.required = !takesNull(route.schema?.body)
  operation.responses = responses(operation, route, right)
}

function scopesOf({ method, config }: RouteOptions, right: Access): string[] {
  const categories = PACKAGES.includes(right) ? ['package'] : [config?.scope ?? []].flat()
  const mode = PACKAGES.includes(right) ? right === 'read' : method === 'GET'
  return categories.map((category) => `${mode ? 'read' : 'write'}:${category}`)
}

function responses(operation: Operation, route: RouteOptions, right: Access): Operation['responses'] {
  const { schema = {}, config } = route
  const described = schema.response === undefined ? {} : operation.responses
  const statuses = schema.response === undefined ? (config?.answers ?? [204]) : Object.keys(described).map(Number)
  const successes = statuses.map((status) => {
    if (isDescribedError(status)) return [status, errorReference(status)]
    const headers = isPaged(schema) && status === 200 ? { headers: pagingHeaders } : {}
    return [status, { ...described[status], description: STATUS_CODES[status], ...headers }]
  })
  const failures = errorsOf(schema, route.url, right).map((status) => [status, errorReference(status)])
  return Object.fromEntries([...successes, ...failures, ['default', errorReference('default')]])
}

/** Credentials that cannot be used, and users that may not do anything, are refused everywhere. */
function errorsOf(schema: FastifySchema, url: string, right: Access): (401 | 403 | 404 | 405 | 422)[] {
  const isChecked = [schema.body, schema.querystring, schema.params].some(isRestricted)
  return [
    ...[401 as const, 403 as const],
    ...(url.includes('/:') ? [404 as const] : []),
    ...(right === 'write' ? [405 as const] : []),
    ...(isChecked ? [422 as const] : []),
  ]
}

/** Whether some value does not fit; any text fits a plain parameter of the path. */
function isRestricted(schema: unknown): boolean {
  if (schema === undefined) return false
  const { properties } = schema as { properties?: Record<string, object> }
  if (properties === undefined) return true
  return Object.values(properties).some((property) => JSON.stringify(property) !== '{"type":"string"}')
}

function isPaged(schema: FastifySchema | undefined): boolean {
  const { properties = {} } = (schema?.querystring ?? {}) as { properties?: object }
  return Object.hasOwn(properties, 'page')
}

function takesNull(schema: unknown): boolean {
  return ((schema as { anyOf?: { type?: string }[] }).anyOf ?? []).some(({ type }) => type === 'null')
}
