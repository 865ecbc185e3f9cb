import type { FastifyRequest } from 'fastify'
import { Forbidden, NotFound } from '../errors.ts'

/**
 * Has a site administrator act as the user that the query's `sudo` or the header `Sudo` names; what limits the token he
 * uses goes on to do so (rest-api.md §1). Forbidden for anybody else, and with a token that is restricted to packages.
 */
export async function sudo(request: FastifyRequest): Promise<void> {
  const { doer, query, headers, server } = request
  const name = (query as { sudo?: string | string[] }).sudo || headers['sudo'] || ''
  if (name.length === 0) return
  if (doer.user?.isAdmin !== true) throw new Forbidden('Only administrators allowed to sudo.', 'user')
  if (doer.restriction !== null) throw new Forbidden('this token is restricted to packages', 'token')
  const user = typeof name === 'string' ? await server.services.accounts.find(name) : null
  if (user?.kind !== 'user') throw new NotFound('user', typeof name === 'string' ? name : name.join())
  request.doer = { ...doer, user, sudoer: doer.user }
}
