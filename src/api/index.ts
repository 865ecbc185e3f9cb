import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Forbidden, NotFound } from '../errors.ts'
import { createErrorHandler } from '../http/error-handler.ts'
import { redirectToRenamed } from '../http/renamed-accounts.ts'
import { admin } from './admin.ts'
import { attachments } from './attachments.ts'
import { audit } from './audit.ts'
import { cleanupRules } from './cleanup-rules.ts'
import { cron } from './cron.ts'
import { renderApiError } from './errors.ts'
import { explain } from './explain.ts'
import { hookDeliveries } from './hook-deliveries.ts'
import { hooks } from './hooks.ts'
import { identities } from './identities.ts'
import { members } from './members.ts'
import { nameBindings } from './name-bindings.ts'
import { organizationPermissions } from './organization-permissions.ts'
import { organizations } from './organizations.ts'
import { packages } from './packages.ts'
import { policies } from './policies.ts'
import { quotas } from './quotas.ts'
import { renames } from './renames.ts'
import { repositories } from './repositories.ts'
import { reservedNames } from './reserved-names.ts'
import { resolve } from './resolve.ts'
import { server } from './server.ts'
import { sudo } from './sudo.ts'
import { teamMembers } from './team-members.ts'
import { teamRepositories } from './team-repositories.ts'
import { teams } from './teams.ts'
import { tokenExchange } from './token-exchange.ts'
import { tokens } from './tokens.ts'
import { trustedPublishers } from './trusted-publishers.ts'
import { twoFactor } from './two-factor.ts'
import { upstreamCaches } from './upstream-caches.ts'
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

  // Before and after: neither the administrator nor whom he acts as may be shut out.
  app.addHook('onRequest', refuseShutOut)
  app.addHook('onRequest', sudo)
  app.addHook('onRequest', refuseShutOut)
  app.addHook('onRequest', async (request, reply) => ((await redirectToRenamed(request, reply)) ? reply : undefined))
  app.addHook('onSend', async (_request, reply) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'max-age=0, private, must-revalidate')
  })

  const resources = {
    Server: [server],
    Users: [users, twoFactor],
    Tokens: [tokens],
    Organizations: [organizations, members, organizationPermissions],
    Teams: [teams, teamMembers, teamRepositories],
    Packages: [packages],
    Repositories: [repositories],
    Quotas: [quotas],
    'Cleanup rules': [cleanupRules],
    Upstreams: [upstreams, upstreamCaches, attachments, reservedNames, nameBindings, resolve],
    Policies: [policies, explain],
    Webhooks: [hooks, hookDeliveries],
    'Trusted publishing': [trustedPublishers, tokenExchange],
    Administration: [admin, identities, renames, audit, cron],
  }
  for (const [tag, plugins] of Object.entries(resources)) await app.register(tagged(tag, plugins))
}

async function refuseShutOut({ doer: { user } }: FastifyRequest): Promise<void> {
  if (user === null) return
  if (!user.isActive || user.prohibitLogin) throw new Forbidden('this account may not sign in', 'user')
  if (user.mustChangePassword) throw new Forbidden('you must change your password first', 'user')
}

/** Under that tag in the description of the API. */
function tagged(tag: string, plugins: FastifyPluginAsyncTypebox[]): FastifyPluginAsyncTypebox {
  return async (app) => {
    app.addHook('onRoute', (route) => {
      route.schema = { tags: [tag], ...route.schema }
    })
    for (const plugin of plugins) await app.register(plugin)
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
