import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyPluginAsync } from 'fastify'
import { Unauthenticated } from '../errors.ts'

/** What operators and orchestrators ask: is it alive, may it get traffic, how is it doing. */
export const operations: FastifyPluginAsync = async (app) => {
  const { services } = app
  const config = { access: 'public', limit: null } as const

  app.get('/healthz', { config }, async (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'ok' }),
  )

  app.get('/readyz', { config }, async (request, reply) => {
    reply.header('cache-control', 'no-store')
    try {
      await services.checkReady()
      return reply.send({ status: 'ready' })
    } catch (error) {
      request.log.error({ err: error }, 'not ready')
      return reply.code(503).send({ status: 'not ready' })
    }
  })

  app.get('/metrics', { config }, async (request, reply) => {
    const { token } = services.config.metrics
    if (token !== '' && !isSame(request.headers.authorization, `Bearer ${token}`))
      throw new Unauthenticated('metrics need a token')
    const { registry } = services.metrics
    return reply
      .header('cache-control', 'no-store')
      .type(registry.contentType)
      .send(await registry.metrics())
  })
}

function isSame(given: string | undefined, wanted: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(String(given)), hash(wanted))
}
