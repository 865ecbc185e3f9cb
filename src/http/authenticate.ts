import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { anonymous } from '../auth/authenticator.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A login: whoever has only a revoked token must be able to get another, and clients send the old one along. */
    ignoresCredentials?: boolean
    /** A Bearer token may be one that the registry's token endpoint has signed. */
    acceptsRegistryTokens?: boolean
  }
}

/** Fills `request.doer` from the Authorization header; unusable credentials are refused even where none are needed. */
export const authenticate = fp(async (app) => {
  app.addHook('onRequest', async (request, reply) => {
    const { ignoresCredentials, acceptsRegistryTokens = false } = request.routeOptions.config
    const { headers, ip: address } = request
    const code = readOneTimeCode(request)
    request.doer = ignoresCredentials
      ? anonymous
      : await app.services.authenticator
          .authenticate(headers.authorization, { address, code, acceptsRegistryTokens })
          .catch(async (error: unknown) => {
            await app.countRefused(request, reply)
            throw error
          })
  })
})

/** What the request sends beside a password, as Gitea's clients (rest-api.md §1) or npm do; null: nothing. */
export function readOneTimeCode({ headers }: FastifyRequest): string | null {
  const code = headers['x-gitea-otp'] || headers['npm-otp'] || ''
  return code === '' ? null : String(code)
}
