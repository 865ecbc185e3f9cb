import type { FastifyRequest } from 'fastify'
import type { AuditDetails } from '../audit/entry.ts'
import { loggedPath } from './observe.ts'

/** Fields whose values the log holds. Any other may be a secret one day: of those it holds the name. */
const SHOWN = new Set([
  ...[
    'name',
    'username',
    'new_name',
    'new_username',
    'visibility',
    'permission',
    'units',
    'units_map',
    'scopes',
    'expires_at',
  ],
  ...['restrictions', 'active', 'admin', 'prohibit_login', 'restricted', 'must_change_password', 'mode', 'type'],
  ...['issuer', 'claims', 'packages', 'lifetime', 'provider', 'subject'],
  ...['events', 'enabled', 'private', 'upstreams', 'patterns', 'keep_count', 'keep_pattern', 'remove_days'],
  ...['remove_pattern', 'match_full_name', 'type_sizes', 'total_count', 'total_size'],
  ...['action', 'upstream', 'versions', 'min_age', 'not_after', 'untrusted_only', 'reason', 'source', 'merge'],
])
/** Parts of the path that tell more of the target; never a token's secret, which npm puts there. */
const PARAMETERS = ['username', 'repository', 'hook', 'publisher', 'identity', 'delivery', 'policy', 'key'] as const
const LONGEST_VALUE = 2_000
const LONGEST_ANSWER = 65_536
const FIELD = /^[a-z][a-z0-9_]{0,39}$/i

/** What is left to say of a change that was made: which fields, and values that cannot be secret. */
export function auditDetails(request: FastifyRequest, created: { id: number } | null): AuditDetails {
  const params = request.params as Record<string, string | undefined>
  const isApi = request.routeOptions.url!.startsWith('/api/v1/')
  const shownParams = PARAMETERS.filter((key) => params[key] !== undefined).map((key) => [key, params[key]])
  return {
    ...(created === null ? {} : { id: created.id }),
    ...Object.fromEntries(shownParams),
    // Of a token by its id or name; whoever sent a secret was told that there is no such token.
    ...(isApi && params['token'] !== undefined ? { token: params['token'] } : {}),
    ...(isApi ? changes(request.body) : isWrite(request) ? { path: loggedPath(request.url) } : {}),
  }
}

/** The number and name of what an answer 201 describes. */
export function createdThing(payload: unknown): { id: number; name: string } | null {
  if (typeof payload !== 'string' || payload.length > LONGEST_ANSWER || !payload.startsWith('{')) return null
  const { id, name, username, login } = JSON.parse(payload) as Record<string, unknown>
  const called = name ?? username ?? login ?? ''
  return typeof id === 'number' && typeof called === 'string' ? { id, name: called } : null
}

/** Whether the route writes packages; others of package types are about the caller's tokens. */
export function isWrite({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.access === 'write' || routeOptions.config.access === 'remove'
}

function changes(body: unknown): AuditDetails {
  if (Array.isArray(body)) {
    const list = body.map((item) => (typeof item === 'string' ? item : String(item?.upstream)))
    return isShort(list) ? { list } : { entries: body.length }
  }
  if (typeof body !== 'object' || body === null) return {}
  const entries = Object.entries(body).filter(([name, value]) => FIELD.test(name) && value !== undefined)
  const values = entries.filter(([name, value]) => SHOWN.has(name) && isShort(value))
  return { fields: entries.map(([name]) => name), ...(values.length === 0 ? {} : { to: Object.fromEntries(values) }) }
}

function isShort(value: unknown): boolean {
  return JSON.stringify(value).length <= LONGEST_VALUE
}
