import type { FastifyRequest } from 'fastify'
import { type Action, formatScopes, type Grant } from '../../auth/grants.ts'
import type { RegistryError } from '../../errors.ts'
import { addressOf, mountOf } from './address.ts'
import { isRepositoryName, parseRegistryPath } from './path.ts'
import { serviceOf } from './repository.ts'

/** Names that mirrors can have; anything else from the path stays out of headers. */
const MIRROR = /^[\w.-]{1,40}$/

/**
 * The WWW-Authenticate header of a 401: where to get a token, and for what (container.md §10). One scheme only: dockerd
 * tries all that are offered, and fails on Basic when it has no password. No part of it depends on whether owner or
 * mirror exist.
 */
export function challengeOf(request: FastifyRequest, error: RegistryError): string {
  // The token endpoint itself: names and passwords go there.
  if (request.routeOptions.config.ignoresCredentials === true) return 'Basic realm="Entrepot container registry"'
  const { baseUrl } = request.server.services.config
  const parameters = {
    realm: `${baseUrl}/v2/token`,
    service: serviceOf(baseUrl, mirrorOf(request)),
    scope: scopeOf(request),
    // Without it containerd would not ask for another token.
    error:
      error.subject === 'token' ? 'invalid_token' : request.doer?.via === 'bearer' ? 'insufficient_scope' : undefined,
  }
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined)
  return `Bearer ${given.map(([name, value]) => `${name}="${value}"`).join(',')}`
}

function mirrorOf(request: FastifyRequest): string | null {
  const { mirror } = request.params as { mirror?: string }
  if (mirror !== undefined) return MIRROR.test(mirror) ? mirror.toLowerCase() : null
  try {
    const mount = mountOf(request) ?? addressOf(request)?.mount ?? null
    return mount?.owner.lowerName ?? null
  } catch {
    // A name that cannot be, or an `ns` nobody serves; the error at hand is another one.
    return null
  }
}

function scopeOf(request: FastifyRequest): string | undefined {
  if (request.routeOptions.url?.endsWith('/_catalog')) return formatScopes({ repositories: [], catalog: true })
  const parsed = parseRegistryPath((request.params as { '*'?: string })['*'] ?? '')
  if (parsed === null || !isRepositoryName(parsed.repository)) return undefined
  const actions = actionsOf(request.method, parsed.resource.kind === 'upload')
  const repositories: Grant[] = [{ name: parsed.repository, actions }]
  const { from } = request.query as { from?: unknown }
  if (parsed.resource.kind === 'uploads' && typeof from === 'string' && isRepositoryName(from)) {
    repositories.push({ name: from, actions: ['pull'] })
  }
  return formatScopes({ repositories, catalog: false })
}

function actionsOf(method: string, isUpload: boolean): Action[] {
  if (isUpload) return ['pull', 'push']
  if (method === 'GET' || method === 'HEAD') return ['pull']
  return method === 'DELETE' ? ['delete'] : ['pull', 'push']
}
