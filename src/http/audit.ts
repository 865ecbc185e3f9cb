import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { AuditActor, AuditTarget, Named } from '../audit/entry.ts'
import { type AuditContext, inAuditContext } from '../audit/request-context.ts'
import type { Services } from '../services.ts'
import { declaredAction, isPartOfUpload, isUnsafe } from './audit-actions.ts'
import { auditDetails, createdThing, isWrite } from './audit-details.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** By method: what the audit log calls it; set for every route that may change something. */
    audit?: Readonly<Record<string, string>>
  }
  interface FastifyRequest {
    /** Set while a request that may change something is handled. */
    audit: (AuditContext & { owner: Named | null }) | null
  }
}

/** Puts every change that was answered with success into the audit log. */
export const audit = fp(async (app) => {
  const { services } = app
  app.decorateRequest('audit', null)

  app.addHook('onRoute', (route) => {
    const named = [route.method]
      .flat()
      .filter(isUnsafe)
      .map((method) => [method, actionOf(route, method)] as const)
    const actions = Object.fromEntries(named.filter(([, action]) => action !== null))
    route.config = { ...route.config!, audit: actions as Record<string, string> }
  })

  // Last before the handler: what follows from here carries the context along.
  app.addHook('preHandler', (request, _reply, done) => {
    if (request.routeOptions.config.audit?.[request.method] === undefined) return done()
    prepare(services, request).then(
      (context) => {
        request.audit = context
        inAuditContext(context, done)
      },
      (error: Error) => done(error),
    )
  })

  // Not onResponse: it is not called when the client has left.
  app.addHook('onSend', async (request, reply, payload) => {
    const context = request.audit
    request.audit = null
    if (context === null || reply.statusCode >= 400 || isPartOfUpload(request)) return
    // What became of packages says enough of a request about packages, and nothing of one that deleted their owner.
    const action = request.routeOptions.config.audit?.[request.method] ?? ''
    if (context.isRecorded && action.startsWith('package.')) return
    await record(services, request, reply, context, payload)
  })
})

function actionOf(route: RouteOptions, method: string): string | null {
  const action = declaredAction(route, method)
  return action === undefined ? `${method} ${route.url}` : action
}

async function prepare(services: Services, request: FastifyRequest): Promise<NonNullable<FastifyRequest['audit']>> {
  const { user, sudoer, tokenId } = request.doer
  const token = tokenId === null ? null : await services.accessTokens.recall(tokenId)
  const actor: AuditActor = {
    user: user && { id: user.id, name: user.name },
    sudoer: sudoer && { id: sudoer.id, name: sudoer.name },
    token: token && { id: token.id, name: token.name },
    address: request.ip,
  }
  // Before the handler: afterwards it may be gone.
  return { actor, isRecorded: false, owner: await ownerOf(services, request) }
}

async function ownerOf({ accounts }: Services, request: FastifyRequest): Promise<Named | null> {
  const { target, team, doer } = request
  const known = target?.owner ?? team?.org
  if (known !== undefined) return known
  const { org, owner, username } = request.params as Record<string, string | undefined>
  const name = org ?? owner ?? username
  if (name !== undefined) return accounts.find(name)
  return /^\/api\/v1\/(user|token)(\/|$)/.test(request.routeOptions.url ?? '') ? doer.user : null
}

async function record(
  { audit, accounts }: Services,
  request: FastifyRequest,
  reply: FastifyReply,
  { actor, owner }: NonNullable<FastifyRequest['audit']>,
  payload: unknown,
): Promise<void> {
  const action = request.routeOptions.config.audit![request.method]!
  const created = reply.statusCode === 201 ? createdThing(payload) : null
  const isAccount = action === 'organization.created' || action === 'user.created'
  const params = request.params as Record<string, string | undefined>
  const isApi = request.routeOptions.url!.startsWith('/api/v1/')
  const name =
    request.target?.name ?? request.team?.row.name ?? params['name'] ?? params['upstream'] ?? params['repository']
  const who = await whoSignedIn(accounts, request, actor)
  const target: AuditTarget = {
    owner: isAccount && created !== null ? await accounts.find(created.name) : owner,
    type: request.target?.type ?? params['type'],
    name: name ?? (isAccount ? undefined : created?.name),
    version: isApi ? params['version'] : undefined,
  }
  // A token is its user's, whosever address npm logs in at.
  const isOfCaller = !isApi && !isWrite(request)
  audit.record(who, action, isOfCaller ? { owner: who.user } : target, auditDetails(request, created))
}

/** Who logs in with npm is known by the answer only. */
async function whoSignedIn(
  accounts: Services['accounts'],
  { routeOptions, params }: FastifyRequest,
  actor: AuditActor,
): Promise<AuditActor> {
  if (routeOptions.config.ignoresCredentials !== true) return actor
  const { user = '' } = params as { user?: string }
  const account = await accounts.find(user.replace(/^org\.couchdb\.user:/, ''))
  return { ...actor, user: account && { id: account.id, name: account.name } }
}
