import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Services } from '../services.ts'

/** Parameters of routes that name an account. */
const PARAMETERS = ['owner', 'org', 'username'] as const

/**
 * Answers 307 to the same path with the new names when the path calls accounts by names that they had before and nobody
 * has taken since (rest-api.md §2); false: it does not. Whom the caller may not see he is not led to (security.md S4).
 */
export async function redirectToRenamed(request: FastifyRequest, reply: FastifyReply): Promise<boolean> {
  const { services } = request.server
  const params = request.params as Partial<Record<string, string>>
  const moved = new Map<string, string>()
  for (const parameter of PARAMETERS) {
    const name = params[parameter]
    const renamed = name === undefined ? null : await newNameOf(services, request, name)
    if (renamed !== null) moved.set(`:${parameter}`, renamed)
  }
  if (moved.size === 0) return false
  const prefix = new URL(services.config.baseUrl).pathname.replace(/\/$/, '')
  const path = newPath(request.url, request.routeOptions.url ?? '', moved)
  await reply
    .code(307)
    .headers({ location: `${prefix}${path}`, 'cache-control': 'no-store' })
    .send()
  return true
}

async function newNameOf(
  { accounts, permissions, upstream }: Services,
  { doer }: FastifyRequest,
  name: string,
): Promise<string | null> {
  if ((await accounts.find(name)) !== null || upstream.ownerCalled(name) !== null) return null
  const account = await accounts.findRenamed(name)
  return account !== null && (await permissions.canSee(doer, account)) ? account.name : null
}

/** Only the segments of the parameters change: an absolute path without a host, as it was asked for (security.md S46). */
function newPath(requestUrl: string, pattern: string, names: ReadonlyMap<string, string>): string {
  // A request may name the whole URL; only its path is ours.
  const [path = '', query] = requestUrl.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '').split(/\?(.*)/s, 2)
  const parameters = pattern.split('/')
  const segments = path.split('/').map((segment, index) => names.get(parameters[index] ?? '') ?? segment)
  return segments.join('/') + (query === undefined ? '' : `?${query}`)
}
