import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { parseAuthorization } from '../../auth/credentials.ts'
import { Unauthenticated } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { createErrorHandler } from '../../http/error-handler.ts'
import { useRawBody } from '../../http/raw-body.ts'
import { renderError } from './errors.ts'

/**
 * Where `npm publish` in a CI job gets its token. npm builds the address from the registry's origin, and shows the
 * `message` of an error with `--loglevel verbose` (npm 11, lib/utils/oidc.js).
 */
export const tokenExchangeRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { trustedPublishing } = app.services
  useRawBody(app)
  app.setErrorHandler(
    createErrorHandler((error, request) => {
      const { message } = error
      return { ...renderError(error, request), body: { error: message, message } }
    }),
  )

  app.post(
    '/-/npm/v1/oidc/token/exchange/package/:name',
    {
      // What the header carries is the id-token, and nothing that this server has given.
      config: { access: 'public', ignoresCredentials: true, limit: 'tokenExchanges' },
      schema: { params: Type.Object({ name: Type.String({ maxLength: 214 }) }) },
    },
    async ({ headers, params, ip }, reply) => {
      const credentials = parseAuthorization(headers.authorization)
      if (credentials.kind !== 'token') throw new Unauthenticated('send the id-token as Bearer token', 'token')
      const got = await trustedPublishing.exchangeForNpm(credentials.secret, params.name, ip)
      return reply
        .code(201)
        .header('cache-control', cacheControl.noStore)
        .send({
          token: got.token,
          token_type: 'oidc',
          created: new Date(got.createdAt).toISOString(),
          expires: new Date(got.expiresAt).toISOString(),
        })
    },
  )
}
