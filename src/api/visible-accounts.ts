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

/** The user of that name, for administrators and the user himself. Throws NotFound. */
export async function getUser(request: FastifyRequest, name: string): Promise<Owner> {
  const account = await request.server.services.accounts.find(name)
  if (account?.kind !== 'user') throw new NotFound('user', name)
  return account
}
