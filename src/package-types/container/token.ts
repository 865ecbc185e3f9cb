import { anonymous, type Doer } from '../../auth/authenticator.ts'
import { type AskedScopes, formatScopes, type Grant, Grants } from '../../auth/grants.ts'
import { Forbidden, Overloaded, TooManyRequests, Unauthenticated } from '../../errors.ts'
import { findOwnerRefusal } from '../../http/access.ts'
import type { Services } from '../../services.ts'
import { CONTAINER } from './names.ts'
import { canonicalRepository, mirrorOfService } from './repository.ts'

/** Rights of packages by what a token calls them. */
const RIGHT = { pull: 'read', push: 'write', delete: 'remove' } as const

/** Why credentials may not count; a public mirror serves those who send them all the same. */
const REFUSALS = [Unauthenticated, Overloaded, TooManyRequests]

/** Whoever asks for a token, as the endpoint has found out. */
export interface Identity {
  readonly doer: Doer
  /** The refresh token that was used, and its end in seconds since the epoch; null: other credentials. */
  readonly refresh: { readonly token: string; readonly expiresAt: number } | null
}

/** What the endpoint was asked. */
export interface TokenRequest {
  /** As in the challenge; empty: none was given. */
  readonly service: string
  readonly scopes: AskedScopes
  readonly wantsRefreshToken: boolean
  /** Throws Unauthenticated for credentials that are wrong. */
  readonly identify: () => Promise<Identity>
}

/** The endpoint's answer; `scope` is for the OAuth2 form only. */
export interface TokenAnswer {
  readonly token: string
  /** The same. */
  readonly access_token: string
  readonly expires_in: number
  readonly issued_at: string
  readonly refresh_token?: string
  /** What was granted of what was asked, in the client's own names. */
  readonly scope: string
}

/**
 * A token for those of the asked actions that the caller may do now (container.md §10). Throws Unauthenticated for wrong
 * credentials and for those without any right to packages, Forbidden for accounts that may not sign in.
 */
export async function answerTokenRequest(services: Services, request: TokenRequest): Promise<TokenAnswer> {
  const { doer, refresh } = await identify(services, request)
  checkUsable(services, doer)
  const { grants, shown } = await grant(services, doer, request)
  const { token, issuedAt, expiresAt } = await services.registryTokens.issue(doer, grants, refresh?.expiresAt)
  const wantsRefreshToken = doer.user !== null && request.wantsRefreshToken
  const refreshToken = refresh?.token ?? (wantsRefreshToken ? await services.registryTokens.issueRefresh(doer) : null)
  return {
    token,
    access_token: token,
    expires_in: expiresAt - issuedAt,
    issued_at: new Date(issuedAt * 1_000).toISOString(),
    ...(refreshToken === null ? {} : { refresh_token: refreshToken }),
    scope: formatScopes(shown),
  }
}

/** Throws unless these credentials, or none, are good for anything here. */
export function checkUsable({ config }: Services, { user, scopes, restriction }: Doer): void {
  if (user === null) {
    if (config.auth.requireSignIn) throw new Unauthenticated('sign in to use this registry', 'access')
    return
  }
  if (!user.isActive || user.prohibitLogin || user.mustChangePassword) {
    throw new Forbidden('this account may not sign in, or must change its password first', 'user')
  }
  const hasRight = scopes === null || scopes.allows('package', 'read')
  if (!hasRight || restriction?.allowsType(CONTAINER) === false) {
    throw new Unauthenticated('the access token has no right to packages', 'user')
  }
}

/** Docker sends a mirror the credentials it has for Docker Hub; a public one needs none (pull-through.md §1.1). */
async function identify(services: Services, { service, identify }: TokenRequest): Promise<Identity> {
  try {
    return await identify()
  } catch (error) {
    const isRefused = REFUSALS.some((refusal) => error instanceof refusal)
    if (!isRefused || !(await isPublicMount(services, service))) throw error
    return { doer: anonymous, refresh: null }
  }
}

async function isPublicMount({ upstream, accounts, permissions }: Services, service: string): Promise<boolean> {
  const mirror = mirrorOfService(service)
  const mount = mirror === null ? null : upstream.mirrorCalled(CONTAINER, mirror)
  const owner = mount === null ? null : await accounts.findById(mount.owner.id)
  return owner !== null && permissions.isPublic(owner)
}

async function grant(
  services: Services,
  doer: Doer,
  { service, scopes }: TokenRequest,
): Promise<{ grants: Grants; shown: AskedScopes }> {
  const { catalog } = scopes
  const granted: Grant[] = []
  const shown: Grant[] = []
  for (const asked of scopes.repositories) {
    const repository = await canonicalRepository(services, service, asked.name)
    if (repository === null) continue
    // A token for a package that is hidden is granted like one for a package that is not there, and opens as little.
    const refusals = await Promise.all(
      asked.actions.map((action) => findOwnerRefusal(services, doer, repository, RIGHT[action])),
    )
    const actions = asked.actions.filter((_action, index) => refusals[index] === null)
    if (actions.length === 0) continue
    granted.push({ name: `${repository.owner.lowerName}/${repository.name}`, actions })
    shown.push({ name: asked.name, actions })
  }
  return { grants: new Grants({ repositories: granted, catalog }), shown: { repositories: shown, catalog } }
}
