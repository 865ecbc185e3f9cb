import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Forbidden, NotFound } from '../errors.ts'
import { createErrorHandler } from '../http/error-handler.ts'
import { admin } from './admin.ts'
import { attachments } from './attachments.ts'
import { renderApiError } from './errors.ts'
import { organizations } from './organizations.ts'
import { packages } from './packages.ts'
import { server } from './server.ts'
import { tokens } from './tokens.ts'
import { upstreams } from './upstreams.ts'
import { users } from './users.ts'
import { validatorCompiler } from './validation.ts'

export { renderApiError } from './errors.ts'

/** Bytes; the largest body, fifty attachments with their patterns, is far below. */
const BODY_LIMIT = 1024 * 1024

/** Gitea's REST API, as far as a package server has it (rest-api.md). */
export const api: FastifyPluginAsyncTypebox = async (app) => {
  app.setErrorHandler(createErrorHandler(renderApiError))
  app.setNotFoundHandler(() => {
    throw new NotFound('route')
  })
  app.setValidatorCompiler(validatorCompiler)
  acceptOnlyJson(app)

  app.addHook('onRequest', async ({ doer: { user } }) => {
    if (user === null) return
    if (!user.isActive || user.prohibitLogin) throw new Forbidden('this account may not sign in', 'user')
    if (user.mustChangePassword) throw new Forbidden('you must change your password first', 'user')
  })
  app.addHook('onSend', async (_request, reply) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'max-age=0, private, must-revalidate')
  })

  for (const resource of [server, users, tokens, organizations, attachments, packages, admin, upstreams]) {
    await app.register(resource)
  }
}

/** A DELETE or POST that says JSON and has no body is fine: clients set the header for every request. */
function acceptOnlyJson(app: Parameters<typeof api>[0]): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit: BODY_LIMIT }, (request, text, done) => {
    if (text === '') done(null, undefined)
    else parse(request, text as string, done)
  })
}
