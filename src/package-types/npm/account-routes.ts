import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Proof } from '../../auth/two-factor-check.ts'
import { Forbidden, NotFound } from '../../errors.ts'
import { readOneTimeCode } from '../../http/authenticate.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { readJson } from '../../http/raw-body.ts'
import { createListedToken, listTokens, login, logout, revokeToken } from './login.ts'
import { noReplyAddress } from './people.ts'

const MAX_BODY = 64 * 1024
/** Seconds between npm's questions whether somebody has approved its login. */
const POLL_INTERVAL = 2
const USER_PREFIX = 'org.couchdb.user:'

/** Who the caller is, logging in and out, and his tokens (npm.md §7). None of it is ever asked of an upstream. */
export const accountRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app
  const owner = Type.String()

  app.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', cacheControl.noStore)
  })

  app.route({
    method: ['GET', 'HEAD'],
    url: '/-/ping',
    config: { access: 'public' },
    handler: async () => ({}),
  })

  app.route({
    method: ['GET', 'HEAD'],
    url: '/-/whoami',
    config: { access: 'signed-in', scope: 'package' },
    handler: async (request) => ({ username: request.doer.user!.name }),
  })

  const ofWebLogin = { access: 'public', ignoresCredentials: true, limit: 'npmLogins' } as const
  // npm asks for name and password instead when the login in the browser answers 4xx.
  app.post('/-/v1/login', { config: ofWebLogin }, async (request) => {
    refuseOnMirror(request)
    const { signIn, config } = services
    if (signIn.providers.size === 0) throw new NotFound('route', 'for login in a browser')
    const registry = `${config.baseUrl}/api/packages/${request.target!.owner.name}/npm/`
    const { login, done } = await signIn.npmLogins.begin(registry, request.ip)
    return { loginUrl: `${config.baseUrl}/login?npm=${login}`, doneUrl: `${registry}-/v1/done/${done}` }
  })

  app.get(
    '/-/v1/done/:secret',
    {
      // A HEAD would be handled as this is, and the token lost.
      exposeHeadRoute: false,
      config: { access: 'public', ignoresCredentials: true },
      schema: { params: Type.Object({ owner, secret: Type.String() }) },
    },
    async (request, reply) => {
      const token = await services.signIn.npmLogins.finish(request.params.secret, request.ip)
      // Without Retry-After npm asks without a pause.
      return token === null ? reply.code(202).header('retry-after', String(POLL_INTERVAL)).send({}) : { token }
    },
  )

  for (const url of ['/-/user/:user', '/-/user/:user/-rev/:revision']) {
    const schema = { params: Type.Object({ owner, user: Type.String() }) }
    const config = { access: 'public', ignoresCredentials: true, limit: 'npmLogins' } as const
    app.put(url, { config, schema }, async (request, reply) => {
      refuseOnMirror(request)
      const name = readUser(request.params.user)
      const token = await login(services, name, await readJson(request, MAX_BODY), proofOf(request))
      return reply.code(201).send({ ok: true, id: `${USER_PREFIX}${name}`, token })
    })
  }

  app.route({
    method: ['GET', 'HEAD'],
    url: '/-/user/:user',
    config: { access: 'signed-in', scope: 'package' },
    schema: { params: Type.Object({ owner, user: Type.String() }) },
    handler: async (request) => {
      const found = await services.accounts.find(readUser(request.params.user))
      if (found?.kind !== 'user' || !(await services.permissions.canSee(request.doer, found))) {
        throw new NotFound('user')
      }
      return { _id: `${USER_PREFIX}${found.name}`, name: found.name, email: noReplyAddress(services.config, found) }
    },
  })

  // Whoever knows the secret may end it, a token that only reads too: no scope.
  app.delete(
    '/-/user/token/:token',
    {
      config: { access: 'signed-in', scope: null, forRestrictedTokens: true },
      schema: { params: Type.Object({ owner, token: Type.String() }) },
    },
    async (request) => {
      refuseOnMirror(request)
      await logout(services, request.doer, request.params.token)
      return { ok: true }
    },
  )

  app.route({
    method: ['GET', 'HEAD'],
    url: '/-/npm/v1/user',
    config: { access: 'signed-in', scope: 'package' },
    handler: async (request) => {
      const { doer } = request
      const user = doer.user!
      const hasTwoFactor = (await services.twoFactor.confirmedAt(user.id)) !== null
      // A token made for packages does not read its user's data.
      const mayRead = doer.scopes === null || doer.scopes.allows('user', 'read')
      return {
        tfa: mayRead && hasTwoFactor ? { mode: 'auth-only', pending: false } : null,
        name: user.name,
        email: mayRead ? user.email : noReplyAddress(services.config, user),
        email_verified: true,
        created: new Date(user.createdAt).toISOString(),
        updated: new Date(user.updatedAt).toISOString(),
        fullname: user.fullName,
      }
    },
  })

  app.route({
    method: ['GET', 'HEAD'],
    url: '/-/npm/v1/tokens',
    config: { access: 'signed-in', scope: 'package' },
    schema: { querystring: Type.Object({ offset: Type.Optional(Type.String({ pattern: '^\\d{1,6}$' })) }) },
    handler: async (request) => {
      refuseOnMirror(request)
      const { tokens, next } = await listTokens(services, request.doer, Number(request.query.offset ?? 0))
      const { baseUrl } = services.config
      const list = `${baseUrl}/api/packages/${request.target!.owner.name}/npm/-/npm/v1/tokens`
      return { objects: tokens, urls: next === null ? {} : { next: `${list}?offset=${next}` }, total: tokens.length }
    },
  })

  const ofTokens = { access: 'signed-in', scope: null, limit: 'npmLogins' } as const
  app.post('/-/npm/v1/tokens', { config: ofTokens }, async (request) => {
    refuseOnMirror(request)
    return createListedToken(services, request.doer, await readJson(request, MAX_BODY), proofOf(request))
  })

  app.delete(
    '/-/npm/v1/tokens/token/:key',
    {
      config: { access: 'signed-in', scope: 'package' },
      schema: { params: Type.Object({ owner, key: Type.String() }) },
    },
    async (request, reply) => {
      refuseOnMirror(request)
      await revokeToken(services, request.doer, request.params.key)
      return reply.code(204).send()
    },
  )
}

function refuseOnMirror({ target }: FastifyRequest): void {
  if (target!.owner.kind === 'mirror') throw new Forbidden('log in at the registry of your organization', 'user')
}

function proofOf(request: FastifyRequest): Proof {
  return { address: request.ip, code: readOneTimeCode(request) }
}

function readUser(id: string): string {
  if (!id.startsWith(USER_PREFIX)) throw new NotFound('user')
  return id.slice(USER_PREFIX.length)
}
