import type { FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Doer } from '../auth/authenticator.ts'
import type { Action } from '../auth/grants.ts'
import type { ScopeCategory } from '../auth/scopes.ts'
import { Forbidden, MethodNotAllowed, NotFound, type RegistryError, Unauthenticated } from '../errors.ts'
import type { Services } from '../services.ts'
import type { Target } from './decorate.ts'
import { checkOrganization, isOfOrganization, type OrganizationAccess } from './organization-access.ts'
import { hide, isHidden } from './package-visibility.ts'
import { findOwnRepository } from './repository-access.ts'

/**
 * The right that a route demands:
 * `public` none; `signed-in` a user; `self` the user named by `:username`, or a site admin; `read`, `write` that access
 * to the packages of `request.target.owner`; `remove` writing, or for a mirror, which nobody writes, being site admin;
 * `owner` ownership of the organization `:org`; `repository-admin` admin access to the packages of `:owner`, whose
 * `:repository` it is; `admin` a site admin; the others are explained in `organization-access.ts`.
 */
export type Access =
  | ('public' | 'signed-in' | 'self' | 'read' | 'write' | 'remove' | 'owner' | 'repository-admin' | 'admin')
  | OrganizationAccess

/** What a registry token must grant for a right of packages. */
const ACTION = { read: 'pull', write: 'push', remove: 'delete' } as const
/** Access modes of gitea-model.md §10. */
const READ = 1
const WRITE = 2
const OWNER = 4

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
    /** The token scopes that the route needs, read or write by its method; `read` and `write` routes need `package`. */
    scope?: ScopeCategory | readonly ScopeCategory[] | null
    /** What a registry token must grant, where the route's right does not say it. */
    registryAction?: (request: FastifyRequest) => Action
    /**
     * For a route of packages that names none: whoever may use only some sees no others by it. Without this such tokens
     * cannot use it.
     */
    showsAllowedOnly?: boolean
    /** For another route: a token that is restricted to some packages may use it. */
    forRestrictedTokens?: boolean
  }
}

/** Guards every route by the right it declares; a route that declares none stops the start (security.md S11). */
export const access = fp(async (app) => {
  app.addHook('onRoute', (route) => {
    const right = route.config?.access
    if (right === undefined) throw new Error(`${String(route.method)} ${route.url} declares no access`)
    if (!isOfPackages(right) && right !== 'public' && route.config?.scope === undefined) {
      throw new Error(`${String(route.method)} ${route.url} declares no scope`)
    }
    const guard = async (request: FastifyRequest) => check(app.services, request, right, route)
    route.onRequest = [...[route.onRequest ?? []].flat(), guard]
  })
})

function isOfPackages(right: Access): right is keyof typeof ACTION {
  return Object.hasOwn(ACTION, right)
}

async function check(services: Services, request: FastifyRequest, right: Access, route: RouteOptions): Promise<void> {
  if (isOfPackages(right)) return checkPackages(services, request, right)
  const scopes = [route.config?.scope ?? []].flat()
  if (right === 'public' && scopes.length === 0) return
  const { doer } = request
  checkRestriction(request)
  checkScopes(doer, scopes, request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write')
  if (right === 'public') {
    if (services.config.auth.requireSignIn) checkSignedIn(request)
    return
  }
  checkSignedIn(request)
  const user = doer.user!
  if (isOfOrganization(right)) return checkOrganization(services, request, right)
  if (right === 'repository-admin') {
    const named = request.params as { owner: string; repository: string }
    request.repository = await findOwnRepository(services, doer, named)
    return
  }
  if (right === 'admin' && doer.scopes?.publicOnly === true) {
    throw new Forbidden('this token is for what is public only', 'public-only')
  }
  if (right === 'signed-in' || user.isAdmin) return
  const params = request.params as { username?: string; org?: string }
  // By id: what is known here of the caller's name may be older than what is known of who has it.
  if (right === 'self' && (await services.accounts.find(params.username ?? ''))?.id === user.id) return
  if (right === 'owner') {
    const org = await services.accounts.find(params.org ?? '')
    if (org?.kind !== 'organization' || !(await services.permissions.canSee(doer, org)))
      throw new NotFound('organization')
    if (await services.permissions.isOrgOwner(doer, org)) return
  }
  throw new Forbidden('you do not have the right to do this', 'user')
}

async function checkPackages(
  services: Services,
  request: FastifyRequest,
  right: 'read' | 'write' | 'remove',
): Promise<void> {
  const { target, doer } = request
  if (target === null) throw new NotFound('route')
  const { registryAction, showsAllowedOnly } = request.routeOptions.config
  const action = registryAction?.(request) ?? ACTION[right]
  const refusal = await findOwnerRefusal(services, doer, target, right, { action, showsAllowedOnly })
  if (refusal !== null) throw refusal
  if (!(await isHidden(services, doer, target))) return
  // The handler knows what it answers for a package that does not exist.
  if (right === 'read') request.target = hide(target)
  else throw refuseHidden()
}

/**
 * Why the doer may not do this to a package, or to all of a type, or of an owner (type empty), as the error to answer
 * with; null: he may. For packages that a request names beside the one that its path names.
 */
export async function findRefusal(
  services: Services,
  doer: Doer,
  target: Target,
  right: 'read' | 'write' | 'remove',
): Promise<RegistryError | null> {
  const refusal = await findOwnerRefusal(services, doer, target, right)
  if (refusal !== null || !(await isHidden(services, doer, target))) return refusal
  return right === 'read' ? new NotFound('package', target.name!) : refuseHidden()
}

/** The same without a look at the package itself: what it says tells nobody whether there is one of that name. */
export async function findOwnerRefusal(
  { permissions }: Services,
  doer: Doer,
  target: Target,
  right: 'read' | 'write' | 'remove',
  {
    action = ACTION[right],
    showsAllowedOnly = false,
  }: { action?: Action; showsAllowedOnly?: boolean | undefined } = {},
): Promise<RegistryError | null> {
  const { user, scopes, grants } = doer
  const { owner, name } = target
  const mode = await permissions.accessMode(doer, owner)
  const isMirror = owner.kind === 'mirror'
  if (right === 'write' && isMirror && mode >= READ) {
    return new MethodNotAllowed(`${owner.name} mirrors an upstream registry and takes no uploads`)
  }
  const isHidden = mode < READ && owner.visibility !== 'public' && user !== null
  const hidesOwner = isHidden && !(await permissions.canSee(doer, owner))
  if (!hidesOwner && grants !== null && !(name !== null && grants.allows(`${owner.lowerName}/${name}`, action))) {
    return new Unauthenticated(`the token is not for ${action} here`, 'scope')
  }
  const scope = right === 'read' ? 'read' : 'write'
  if (scopes !== null && !scopes.allows('package', scope)) {
    return new Forbidden(`token lacks the scope ${scope}:package`, 'access', { hidesOwner })
  }
  if (scopes?.publicOnly === true && owner.visibility !== 'public') {
    return new Forbidden('this token reads public owners only', 'public-only', { hidesOwner })
  }
  if (!isWithinRestriction(doer, target, showsAllowedOnly)) {
    return new Forbidden('this token is restricted to other packages', 'token', { hidesOwner })
  }
  if (mode >= (right === 'read' ? READ : isMirror ? OWNER : WRITE)) return null
  if (user === null) return new Unauthenticated('sign in to use these packages', 'access')
  return new Forbidden(`you have no ${right} access to the packages of ${owner.name}`, 'access', { hidesOwner })
}

/** Who may write a package reads it too, but for a token that is for public ones. */
function refuseHidden(): Forbidden {
  return new Forbidden('this token is for what is public only', 'public-only')
}

function isWithinRestriction({ restriction }: Doer, { owner, type, name }: Target, showsAllowedOnly: boolean): boolean {
  if (restriction === null) return true
  if (name !== null) return restriction.allows(owner.lowerName, type, name)
  if (showsAllowedOnly) return restriction.allowsSome(owner.lowerName, type || null)
  return restriction.allowsAll(owner.lowerName, type)
}

/**
 * Accounts, organizations and the rest are not for tokens that are restricted to packages; a type's own routes are, but
 * for jobs: these are nobody's accounts.
 */
function checkRestriction({ doer: { restriction, isJob }, target, routeOptions }: FastifyRequest): void {
  if (restriction === null || routeOptions.config.forRestrictedTokens === true) return
  if (!isJob && target !== null && restriction.allowsSome(target.owner.lowerName, target.type || null)) return
  throw new Forbidden('this token is restricted to packages', 'token')
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

function checkScopes({ scopes }: Doer, categories: readonly ScopeCategory[], mode: 'read' | 'write'): void {
  if (scopes === null) return
  for (const category of categories) {
    if (!scopes.allows(category, mode)) throw new Forbidden(`token lacks the scope ${mode}:${category}`, 'access')
  }
}
