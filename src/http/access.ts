import type { FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { ScopeCategory } from '../auth/scopes.ts'
import { Forbidden, MethodNotAllowed, NotFound, Unauthenticated } from '../errors.ts'
import type { Services } from '../services.ts'

/**
 * The right that a route demands:
 * `public` none; `signed-in` a user; `self` the user named by `:username`, or a site admin; `read`, `write` that access
 * to the packages of `request.target.owner`; `remove` writing, or for a mirror, which nobody writes, being site admin;
 * `owner` ownership of the organization `:org`; `admin` a site admin.
 */
export type Access = 'public' | 'signed-in' | 'self' | 'read' | 'write' | 'remove' | 'owner' | 'admin'

const OF_PACKAGES: ReadonlySet<Access> = new Set(['read', 'write', 'remove'])
/** Access modes of gitea-model.md §10. */
const READ = 1
const WRITE = 2
const OWNER = 4

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
    /** The token scopes that the route needs, read or write by its method; `read` and `write` routes need `package`. */
    scope?: ScopeCategory | readonly ScopeCategory[] | null
  }
}

/** Guards every route by the right it declares; a route that declares none stops the start (security.md S11). */
export const access = fp(async (app) => {
  app.addHook('onRoute', (route) => {
    const right = route.config?.access
    if (right === undefined) throw new Error(`${String(route.method)} ${route.url} declares no access`)
    if (!OF_PACKAGES.has(right) && right !== 'public' && route.config?.scope === undefined) {
      throw new Error(`${String(route.method)} ${route.url} declares no scope`)
    }
    const guard = async (request: FastifyRequest) => check(app.services, request, right, route)
    route.onRequest = [...[route.onRequest ?? []].flat(), guard]
  })
})

async function check(services: Services, request: FastifyRequest, right: Access, route: RouteOptions): Promise<void> {
  if (OF_PACKAGES.has(right)) return checkPackages(services, request, right)
  const scopes = [route.config?.scope ?? []].flat()
  if (right === 'public' && scopes.length === 0) return
  const { doer } = request
  checkScopes(request, scopes, request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write')
  if (right === 'public') {
    if (services.config.auth.requireSignIn) checkSignedIn(request)
    return
  }
  checkSignedIn(request)
  const user = doer.user!
  if (right === 'signed-in' || user.isAdmin) return
  const params = request.params as { username?: string; org?: string }
  if (right === 'self' && params.username?.toLowerCase() === user.lowerName) return
  if (right === 'owner') {
    const org = await services.accounts.find(params.org ?? '')
    if (org?.kind !== 'organization' || !(await services.permissions.canSee(doer, org)))
      throw new NotFound('organization')
    if (await services.permissions.isOrgOwner(doer, org)) return
  }
  throw new Forbidden('you do not have the right to do this', 'user')
}

async function checkPackages(services: Services, request: FastifyRequest, right: Access): Promise<void> {
  const { target, doer } = request
  if (target === null) throw new NotFound('route')
  const isMirror = target.owner.kind === 'mirror'
  if (right === 'write' && isMirror) {
    throw new MethodNotAllowed(`${target.owner.name} mirrors an upstream registry and takes no uploads`)
  }
  checkScopes(request, ['package'], right === 'read' ? 'read' : 'write')
  if (doer.scopes?.publicOnly === true && target.owner.visibility !== 'public') {
    throw new Forbidden('this token reads public owners only', 'public-only')
  }
  const mode = await services.permissions.accessMode(doer, target.owner)
  if (mode >= (right === 'read' ? READ : isMirror ? OWNER : WRITE)) return
  if (doer.user === null) throw new Unauthenticated('sign in to use these packages', 'access')
  throw new Forbidden(`you have no ${right} access to the packages of ${target.owner.name}`, 'access')
}

function checkSignedIn(request: FastifyRequest): void {
  const { user } = request.doer
  if (user === null) throw new Unauthenticated('token is required', 'access')
  if (!user.isActive || user.prohibitLogin || user.mustChangePassword) {
    throw new Forbidden(
      user.mustChangePassword ? 'you must change your password first' : 'this account may not sign in',
      'user',
    )
  }
}

function checkScopes(request: FastifyRequest, categories: readonly ScopeCategory[], mode: 'read' | 'write'): void {
  const { scopes } = request.doer
  if (scopes === null) return
  for (const category of categories) {
    if (!scopes.allows(category, mode)) throw new Forbidden(`token lacks the scope ${mode}:${category}`, 'access')
  }
}
