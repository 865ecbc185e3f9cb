import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { parseScopes } from '../../auth/grants.ts'
import { Invalid, Unauthenticated } from '../../errors.ts'
import { readOneTimeCode } from '../../http/authenticate.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { readBody } from '../../http/raw-body.ts'
import { answerTokenRequest, checkUsable, type Identity } from './token.ts'

/** Bytes of a form: credentials and some scopes. */
const MAX_FORM = 65_536

/** `/v2/` itself and the token endpoint (container.md §10). */
export const rootRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app

  // Docker decides here, once, whether it needs to sign in at all: nobody gets through without a token.
  app.route({
    method: ['GET', 'HEAD'],
    url: '/',
    config: { access: 'public', acceptsRegistryTokens: true },
    handler: async ({ doer }, reply) => {
      if (doer.via === 'anonymous') throw new Unauthenticated('a token is needed', 'access')
      checkUsable(services, doer)
      return reply.header('cache-control', cacheControl.noStore).send({})
    },
  })

  // What is wrong with credentials is for the endpoint to say, and on mirrors it may be nothing.
  const config = { access: 'public', ignoresCredentials: true, limit: 'containerTokens' } as const

  app.get('/token', { config }, async (request, reply) => {
    const query = new URLSearchParams(request.url.split('?', 2)[1] ?? '')
    const { scope: _scope, ...answer } = await answerTokenRequest(services, {
      ...asked(query),
      wantsRefreshToken: query.get('offline_token') === 'true',
      identify: () => identifyByHeader(request),
    })
    return reply.header('cache-control', cacheControl.noStore).send(answer)
  })

  app.post('/token', { config }, async (request, reply) => {
    const form = new URLSearchParams((await readBody(request, MAX_FORM)).toString('utf8'))
    const answer = await answerTokenRequest(services, {
      ...asked(form),
      wantsRefreshToken: form.get('access_type') === 'offline',
      identify: () => identifyByForm(request, form),
    })
    return reply.header('cache-control', cacheControl.noStore).send(answer)
  })
}

function asked(parameters: URLSearchParams) {
  return { service: parameters.get('service') ?? '', scopes: parseScopes(parameters.getAll('scope')) }
}

async function identifyByHeader(request: FastifyRequest): Promise<Identity> {
  const { server, headers, ip: address } = request
  const code = readOneTimeCode(request)
  return {
    doer: await server.services.authenticator.authenticate(headers.authorization, { address, code }),
    refresh: null,
  }
}

async function identifyByForm(request: FastifyRequest, form: URLSearchParams): Promise<Identity> {
  const { authenticator, registryTokens } = request.server.services
  const grantType = form.get('grant_type')
  if (grantType === 'password') {
    const [username, password] = [form.get('username') ?? '', form.get('password') ?? '']
    const proof = { address: request.ip, code: readOneTimeCode(request) }
    return { doer: await authenticator.signIn({ username, password }, proof), refresh: null }
  }
  if (grantType === 'refresh_token') {
    const token = form.get('refresh_token') ?? ''
    const { doer, expiresAt } = await registryTokens.redeemRefresh(token)
    return { doer, refresh: { token, expiresAt } }
  }
  if (grantType === null && request.headers.authorization !== undefined) return identifyByHeader(request)
  throw new Invalid('grant_type must be password or refresh_token', 'token')
}
