import { createHash } from 'node:crypto'
import { Blocked, NotFound, type RegistryError, UpstreamUnavailable } from '../errors.ts'
import type { CacheStatus } from './cache-status.ts'
import { type AnsweringSource, clientRequest } from './client-request.ts'

/**
 * The headers that tell a client, whoever debugs, and caches in between where an answer came from; `mirror` is the name
 * of the mirror owner (pull-through.md §10, §11).
 */
export function cacheHeaders(status: CacheStatus, mirror: string): Record<string, string> {
  return {
    'cache-status': render(status),
    'x-cache': summaryOf(status),
    'x-upstream': mirror,
    ...(status.age === undefined ? {} : { age: String(status.age) }),
    ...surrogateKeys(clientRequest()?.source ?? null),
  }
}

/** The same of a failure; empty when no upstream had a part in the request. */
export function failureHeaders(error: RegistryError): Record<string, string> {
  const { source = null, taken = null } = clientRequest() ?? {}
  if (source === null) return error instanceof UpstreamUnavailable ? statusOnly(statusOf(error, null)) : {}
  const status = statusOf(error, taken?.status ?? null)
  return { ...statusOnly(status), 'x-upstream': source.owner, ...surrogateKeys(source) }
}

function statusOnly(status: CacheStatus): Record<string, string> {
  return { 'cache-status': render(status), 'x-cache': summaryOf(status) }
}

function statusOf(error: RegistryError, taken: CacheStatus | null): CacheStatus {
  if (error instanceof UpstreamUnavailable) {
    return { hit: false, fwd: 'uri-miss', ...(error.detail === undefined ? {} : { detail: error.detail }) }
  }
  if (error instanceof Blocked) return { hit: false, detail: 'POLICY' }
  return error instanceof NotFound && taken !== null ? taken : { hit: false }
}

function render(status: CacheStatus): string {
  const parts = ['Entrepot']
  if (status.hit) parts.push('hit')
  if (status.ttl !== undefined) parts.push(`ttl=${status.ttl}`)
  if (status.fwd !== undefined) parts.push(`fwd=${status.fwd}`)
  if (status.fwdStatus !== undefined) parts.push(`fwd-status=${status.fwdStatus}`)
  if (status.stored === true) parts.push('stored')
  if (status.collapsed === true) parts.push('collapsed')
  if (status.detail !== undefined) parts.push(`detail=${status.detail}`)
  return parts.join('; ')
}

function summaryOf({ hit, detail }: CacheStatus): string {
  if (detail?.startsWith('STALE') === true) return 'STALE'
  if (detail === 'BYPASS') return detail
  return hit ? 'HIT' : 'MISS'
}

/** By them a CDN forgets what an upstream or one of its packages has; the two headers are those of different CDNs. */
function surrogateKeys(source: AnsweringSource | null): Record<string, string> {
  if (source === null) return {}
  const { upstreamId, type, packageName } = source
  const keys = [`up-${upstreamId}`, ...(packageName === null ? [] : [`pkg-${hashOf(`${type}/${packageName}`)}`])]
  return { 'surrogate-key': keys.join(' '), 'cache-tag': keys.join(',') }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

/** The headers of an answer that was made of several: what each says, keys for CDNs divided as they want it. */
export function joinHeaders(all: readonly Readonly<Record<string, string>>[]): Record<string, string> {
  const joined: Record<string, string> = {}
  for (const [header, value] of all.flatMap((headers) => Object.entries(headers))) {
    const separator = header === 'surrogate-key' ? ' ' : ', '
    joined[header] = joined[header] === undefined ? value : `${joined[header]}${separator}${value}`
  }
  return joined
}
