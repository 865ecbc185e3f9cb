import { randomBytes } from 'node:crypto'
import type { AccessTokenRow } from '../../auth/access-tokens.ts'
import type { Doer } from '../../auth/authenticator.ts'
import type { Owner } from '../../auth/owner.ts'
import { Scopes } from '../../auth/scopes.ts'
import { grantRights, type TokenLimits } from '../../auth/token-limits.ts'
import type { Proof } from '../../auth/two-factor-check.ts'
import { Forbidden, Invalid, NotFound, Unauthenticated } from '../../errors.ts'
import type { Services } from '../../services.ts'
import { isObject } from './metadata.ts'

/** Tokens per page of `npm token list`. */
const PAGE = 100

/** A token as `npm token` shows it; `token` is whole only when it was just made. */
export interface ListedToken {
  readonly token: string
  readonly key: string
  readonly name: string
  readonly cidr_whitelist: null
  readonly created: string
  readonly readonly: boolean
}

/**
 * `npm login` with name and password: makes a token that reads and writes packages and returns its secret. Never makes
 * a user. Who gives an access token as password gets that one back: its rights must not grow, and revoking it must
 * end this login too (security.md S8). Unauthenticated when name and password do not fit, or the one-time code does not.
 */
export async function login(services: Services, name: string, body: unknown, proof: Proof): Promise<string> {
  if (!isObject(body) || typeof body['password'] !== 'string') throw new Invalid('a password is needed', 'body')
  const { password } = body
  if ((body['name'] ?? name) !== name) throw new Invalid('the body is about another user than the URL', 'body')
  const { user, tokenId } = await signIn(services, name, password, proof)
  return tokenId === null ? (await createToken(services, user, 'write')).secret : password
}

/** `npm logout`: revokes a token of the caller, who knows its secret. NotFound for any other. */
export async function logout({ accessTokens }: Services, doer: Doer, secret: string): Promise<void> {
  const token = await accessTokens.findBySecret(secret)
  if (token === null || token.userId !== doer.user!.id) throw new NotFound('token')
  await accessTokens.revoke(token)
}

/** The caller's tokens, newest first; with a token signed in, only those that can do no more than it. */
export async function listTokens(
  { accessTokens }: Services,
  doer: Doer,
  offset: number,
): Promise<{ tokens: ListedToken[]; next: number | null }> {
  const { rows, total } = await accessTokens.list(doer.user!.id, { offset, limit: PAGE })
  const tokens = rows.filter((row) => isManageable(doer, row)).map((row) => toListed(row, `…${row.tokenLastEight}`))
  return { tokens, next: offset + PAGE < total ? offset + PAGE : null }
}

/** `npm token create`: needs the password once more; the new token can do no more than the credentials used. */
export async function createListedToken(
  services: Services,
  doer: Doer,
  body: unknown,
  proof: Proof,
): Promise<ListedToken> {
  if (!isObject(body) || typeof body['password'] !== 'string') throw new Invalid('a password is needed', 'body')
  const { cidr_whitelist: addresses } = body
  if (Array.isArray(addresses) && addresses.length > 0) {
    throw new Invalid('tokens cannot be bound to addresses here', 'token')
  }
  const user = doer.user!
  const { tokenId } = await signIn(services, user.name, body['password'], { ...proof, hasCode: doer.hasCode })
  if (tokenId !== null) throw new Unauthenticated('the password is wrong', 'user')
  const scopes = Scopes.parse([body['readonly'] === true ? 'read:package' : 'write:package'])
  if (doer.scopes !== null && !scopes.isSubsetOf(doer.scopes)) {
    throw new Forbidden('a token cannot make another that can do more than itself', 'token')
  }
  const limits = grantRights(doer, { scopes, restriction: null, expiresAt: null })
  const { row, secret } = await createToken(services, user, body['readonly'] === true ? 'read' : 'write', limits)
  return toListed(row, secret)
}

/** Revokes one of the tokens that the list shows. */
export async function revokeToken({ accessTokens }: Services, doer: Doer, key: string): Promise<void> {
  const token = /^\d{1,15}$/.test(key) ? await accessTokens.find(doer.user!.id, key) : null
  if (token === null || !isManageable(doer, token)) throw new NotFound('token')
  await accessTokens.revoke(token)
}

async function signIn(
  services: Services,
  name: string,
  password: string,
  proof: Proof,
): Promise<{ user: Owner; tokenId: number | null }> {
  // A colon would divide the name elsewhere; nobody's name has one.
  if (name.includes(':')) throw new Unauthenticated('the user name or password is wrong', 'user')
  const credentials = Buffer.from(`${name}:${password}`).toString('base64')
  const { user, tokenId } = await services.authenticator.authenticate(`Basic ${credentials}`, proof)
  if (user?.lowerName !== name.toLowerCase()) throw new Unauthenticated('the user name or password is wrong', 'user')
  if (!user.isActive || user.prohibitLogin || user.mustChangePassword) {
    throw new Forbidden('this account may not sign in, or must change its password first', 'user')
  }
  return { user, tokenId }
}

function createToken(
  { accessTokens, clock }: Services,
  user: Owner,
  mode: 'read' | 'write',
  limits?: TokenLimits,
): Promise<{ row: AccessTokenRow; secret: string }> {
  const name = `npm ${new Date(clock.now()).toISOString().slice(0, 10)} ${randomBytes(4).toString('hex')}`
  return accessTokens.create(user, name, Scopes.parse([`${mode}:package`]), limits)
}

/** Whether the caller may see and revoke a token: his own, and none that is stronger than the one he uses. */
function isManageable({ user, scopes, restriction }: Doer, token: AccessTokenRow): boolean {
  if (token.userId !== user?.id) return false
  const isRestricted = restriction === null || token.restriction?.isWithin(restriction) === true
  return isRestricted && (scopes === null || Scopes.fromStored(token.scopes).isSubsetOf(scopes))
}

function toListed(row: AccessTokenRow, token: string): ListedToken {
  return {
    token,
    key: String(row.id),
    name: row.name,
    cidr_whitelist: null,
    created: new Date(row.createdAt).toISOString(),
    readonly: !Scopes.fromStored(row.scopes).allows('package', 'write'),
  }
}
