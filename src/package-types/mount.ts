import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { Forbidden, NotFound } from '../errors.ts'
import { createErrorHandler } from '../http/error-handler.ts'
import { useRawBody } from '../http/raw-body.ts'
import { redirectToRenamed } from '../http/renamed-accounts.ts'
import type { PackageType } from './package-type.ts'

/** Gives a type its scope at each of its prefixes: raw bodies, the target, error and 404 answers, then its routes. */
export async function mount(app: FastifyInstance, type: PackageType): Promise<void> {
  const scoped: FastifyPluginAsync = async (scope) => {
    useRawBody(scope)
    scope.setErrorHandler(createErrorHandler(type.renderError))
    scope.setNotFoundHandler(() => {
      throw new NotFound('route')
    })
    scope.addHook('onRequest', async (request, reply) => {
      // The one thing that such an account is for is done elsewhere, with any credentials (rest-api.md §1).
      if (request.doer.user?.mustChangePassword === true) {
        throw new Forbidden('you must change your password first', 'user')
      }
      const target = type.parseTarget(request)
      if (target === null) return
      const { accounts, upstream } = scope.services
      const owner = (await accounts.find(target.owner)) ?? upstream.ownerCalled(target.owner)
      if (owner === null) {
        if (await redirectToRenamed(request, reply)) return reply
        await scope.countRefused(request, reply)
        throw new NotFound('owner', target.owner)
      }
      request.target = { owner, type: type.name, name: target.name }
    })
    await scope.register(type.routes)
  }
  for (const prefix of type.prefixes) await app.register(scoped, { prefix })
  if (type.originRoutes !== undefined) await app.register(type.originRoutes)
}
