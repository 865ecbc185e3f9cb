import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Unauthenticated } from '../../errors.ts'
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
      const mirror = mountOf(request)?.owner ?? null
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

function pathOf(request: FastifyRequest): string {
  const { mirror } = request.params as { mirror?: string }
  return mirror === undefined ? '/v2/_catalog' : `/mirror/${encodeURIComponent(mirror)}/v2/_catalog`
}
