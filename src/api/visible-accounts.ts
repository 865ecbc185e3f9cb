import type { FastifyRequest } from 'fastify'
import type { Owner } from '../auth/owner.ts'
import { Forbidden, NotFound } from '../errors.ts'

/**
 * The user or organization of that name, if the caller may know of it. NotFound otherwise, and for mirrors, which are
 * no accounts of anybody; the answers for hidden and missing ones are the same (security.md S4). Forbidden when only
 * the token's `public-only` stands in the way.
 */
export async function getVisibleAccount(request: FastifyRequest, name: string): Promise<Owner> {
  const { doer, server } = request
  const { accounts, permissions } = server.services
  const account = await accounts.find(name)
  if (account === null || account.kind === 'mirror') throw new NotFound('user', name)
  if (await permissions.canSee(doer, account)) return account
  if (doer.scopes?.publicOnly === true && (await permissions.canSee({ ...doer, scopes: null }, account))) {
    throw new Forbidden('this token reads public accounts only', 'public-only')
  }
  throw new NotFound('user', name)
}

/** Like `getVisibleAccount`, for organizations alone. */
export async function getVisibleOrganization(request: FastifyRequest, name: string): Promise<Owner> {
  const account = await request.server.services.accounts.find(name)
  if (account?.kind !== 'organization') throw new NotFound('organization', name)
  try {
    return await getVisibleAccount(request, name)
  } catch (error) {
    throw error instanceof NotFound ? new NotFound('organization', name) : error
  }
}

/**
 * The user of that name, for administrators and the user himself. Throws NotFound; Forbidden when the token is
 * `public-only` and he is not public (security.md S10).
 */
export async function getUser(request: FastifyRequest, name: string): Promise<Owner> {
  const account = await request.server.services.accounts.find(name)
  if (account?.kind !== 'user') throw new NotFound('user', name)
  refusePublicOnly(request, account)
  return account
}

/** Forbidden for an account that is not public when the token is `public-only`, an administrator's too (rest-api.md §1). */
export function refusePublicOnly({ doer }: FastifyRequest, account: Owner): void {
  if (doer.scopes?.publicOnly === true && account.visibility !== 'public') {
    throw new Forbidden('this token reads public accounts only', 'public-only')
  }
}
