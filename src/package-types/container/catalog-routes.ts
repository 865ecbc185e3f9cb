import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Owner } from '../../auth/owner.ts'
import { NotFound, Unauthenticated } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { mountOf } from './address.ts'
import { listRepositories } from './catalog.ts'
import { nextPage, readPage } from './pages.ts'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 1_000

/** `GET /v2/_catalog`: the repositories that the caller may read; of mirrors, what is held (container.md §6). */
export const catalogRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.route({
    method: ['GET', 'HEAD'],
    url: '/_catalog',
    config: { access: 'public', scope: 'package', acceptsRegistryTokens: true, forRestrictedTokens: true },
    handler: async (request, reply) => {
      const { doer } = request
      if (doer.grants !== null && !doer.grants.catalog) {
        throw new Unauthenticated('the token is not for the catalog', 'scope')
      }
      const query = request.query as object
      const { n, last } = readPage(query)
      const limit = Math.min(n ?? DEFAULT_LIMIT, MAX_LIMIT)
      const mirror = await findMirror(request)
      const found = limit === 0 ? [] : await listRepositories(app.services, { doer, mirror, last, limit: limit + 1 })
      const repositories = found.slice(0, limit)
      if (found.length > limit) reply.headers(nextPage(pathOf(request), query, repositories.at(-1)!))
      // What is shown depends on who asks.
      return reply
        .headers({ 'cache-control': cacheControl.hosted(false), vary: 'Authorization' })
        .send({ repositories })
    },
  })
}

/** The mirror that is asked for, if one is; NotFound for one of which the caller may not know (security.md S4). */
async function findMirror(request: FastifyRequest): Promise<Owner | null> {
  const { accounts, permissions } = request.server.services
  const mount = mountOf(request)
  if (mount === null) return null
  const owner = await accounts.findById(mount.owner.id)
  if (owner === null || !(await permissions.canSee(request.doer, owner))) throw new NotFound('owner')
  return owner
}

function pathOf(request: FastifyRequest): string {
  const { mirror } = request.params as { mirror?: string }
  return mirror === undefined ? '/v2/_catalog' : `/mirror/${encodeURIComponent(mirror)}/v2/_catalog`
}
