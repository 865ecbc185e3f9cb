import fp from 'fastify-plugin'
import { Forbidden } from '../errors.ts'

/**
 * Refuses changes that a page of another site asks for: a browser that knows the password, as it does after having asked
 * for it once, sends it along, and names the page's origin (security.md S46). Clients of packages name none.
 */
export const foreignOrigin = fp(async (app) => {
  const own = new URL(app.services.config.baseUrl).origin
  app.addHook('onRequest', async ({ method, headers, protocol, host }) => {
    const { origin } = headers
    if (origin === undefined || method === 'GET' || method === 'HEAD') return
    if (origin !== own && origin !== `${protocol}://${host}`)
      throw new Forbidden('requests of other sites are refused', 'user')
  })
})
