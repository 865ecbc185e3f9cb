import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Owner } from '../auth/owner.ts'
import { Invalid, NotFound } from '../errors.ts'
import { createErrorHandler } from '../http/error-handler.ts'
import { readPerson } from '../sign-in/person.ts'
import type { Provider } from '../sign-in/provider.ts'
import type { TicketContents } from '../sign-in/tickets.ts'
import { clearCookie, readCookie, setCookie } from './cookies.ts'
import { renderErrorPage } from './error-page.ts'
import { html } from './html.ts'
import { pageHeaders, sendPage } from './page.ts'
import { requireSameOrigin } from './same-origin.ts'
import { describeClient, newToken, npmQuestion } from './signed-in-pages.ts'
import { readTokenForm, tokenForm } from './token-form.ts'

/** Bytes; forms have a few short fields. */
const BODY_LIMIT = 8_192
const config = { access: 'public', ignoresCredentials: true, limit: 'npmLogins' } as const
/** For what a HEAD, which is handled as a GET is, would begin or use up. */
const once = { config, exposeHeadRoute: false } as const
const ForNpm = Type.Object({ npm: Type.Optional(Type.String()) })
const OfProvider = Type.Object({ provider: Type.String() })

/**
 * The pages below `/login` where people sign in at an identity provider and get an access token. There are no sessions:
 * a cookie holds a ticket, which is good for one form and ten minutes.
 */
export const pages: FastifyPluginAsyncTypebox = async (app) => {
  const { signIn, config: settings, clock } = app.services
  const { maxTokenLifetime } = settings.auth
  const urlOf = (path: string) => `${settings.baseUrl}/login${path}`

  app.setErrorHandler(createErrorHandler(renderErrorPage))
  app.setNotFoundHandler(() => {
    throw new NotFound('route')
  })
  app.removeAllContentTypeParsers()
  const form = 'application/x-www-form-urlencoded'
  app.addContentTypeParser(form, { parseAs: 'string', bodyLimit: BODY_LIMIT }, (_request, text, done) =>
    done(null, text),
  )
  app.addHook('onRequest', requireSameOrigin)

  app.get('', { config, schema: { querystring: ForNpm } }, async (request, reply) => {
    if (signIn.providers.size === 0) throw new NotFound('route', 'for sign-in: no identity provider is set up')
    const { npm } = request.query
    const waiting = npm === undefined ? null : await getNpmLogin(request, npm)
    const query = npm === undefined ? '' : `?npm=${npm}`
    const links = [...signIn.providers.values()].map(
      ({ settings: { name, title } }) =>
        html`<p><a class="button" href="${urlOf(`/oidc/${name}`)}${query}">Sign in with ${title}</a></p>`,
    )
    const about =
      waiting === null ? null : html`<p>${describeClient(waiting)} If you did not start this, close the page.</p>`
    return sendPage(reply, 'Sign in', html`${about}${links}`)
  })

  app.get(
    '/oidc/:provider',
    { ...once, schema: { params: OfProvider, querystring: ForNpm } },
    async (request, reply) => {
      const provider = getProvider(request, request.params.provider)
      const { npm = null } = request.query
      if (npm !== null) await getNpmLogin(request, npm)
      const { name } = provider.settings
      const { url, checks } = await provider.begin(urlOf(`/oidc/${name}/callback`))
      setCookie(
        reply,
        'entrepot_sign_in',
        await signIn.tickets.open('flow', { provider: name, checks, npm }, request.ip),
      )
      return reply.headers(pageHeaders).redirect(url.href, 303)
    },
  )

  app.get('/oidc/:provider/callback', { ...once, schema: { params: OfProvider } }, async (request, reply) => {
    const provider = getProvider(request, request.params.provider)
    const { name } = provider.settings
    const flow = await signIn.tickets.take('flow', readCookie(request, 'entrepot_sign_in'))
    clearCookie(reply, 'entrepot_sign_in')
    if (flow?.provider !== name) throw over()
    const query = request.url.slice(request.url.indexOf('?') + 1)
    const claims = await provider.finish(new URL(`?${query}`, urlOf(`/oidc/${name}/callback`)), flow.checks)
    const user = await signIn.people.enter(provider.settings, readPerson(claims, provider.settings), request.ip)
    await remember(request, reply, { userId: user.id, provider: name, npm: flow.npm })
    return reply.headers(pageHeaders).redirect(urlOf(flow.npm === null ? '/token' : '/npm'), 303)
  })

  app.get('/token', { config }, async (request, reply) => {
    const { user } = await getSignedIn(request, 'read')
    return sendTokenForm(reply, user, signIn.tokens.drawName('web'), null)
  })

  app.post('/token', { config }, async (request, reply) => {
    const { user, ticket } = await getSignedIn(request, 'take')
    const body = String(request.body)
    try {
      const { lifetime, ...wish } = readTokenForm(body, maxTokenLifetime)
      const secret = await signIn.tokens.create(user, { ...wish, expiresAt: clock.now() + lifetime }, request.ip)
      clearCookie(reply, 'entrepot_signed_in')
      return sendPage(reply, 'Your access token', newToken(settings, user, secret))
    } catch (error) {
      if (!(error instanceof Invalid)) throw error
      await remember(request, reply, ticket)
      return sendTokenForm(reply.code(error.status), user, signIn.tokens.drawName('web'), error.message)
    }
  })

  app.get('/npm', { config }, async (request, reply) => {
    const { user, ticket } = await getSignedIn(request, 'read')
    const waiting = await getNpmLogin(request, ticket.npm ?? '')
    return sendPage(reply, 'npm login', npmQuestion(settings, user, waiting, request.ip))
  })

  app.post('/npm', { config }, async (request, reply) => {
    const { user, ticket } = await getSignedIn(request, 'take')
    clearCookie(reply, 'entrepot_signed_in')
    const { registry } = await signIn.npmLogins.approve(ticket.npm ?? '', user)
    const body = html`<p>npm is signed in as <strong>${user.name}</strong> at ${registry}. You can close this page.</p>`
    return sendPage(reply, 'Done', body)
  })

  function sendTokenForm(reply: FastifyReply, user: Owner, name: string, error: string | null): FastifyReply {
    const fields = tokenForm(urlOf('/token'), name, maxTokenLifetime, error)
    return sendPage(reply, 'Signed in', html`<p>You are signed in as <strong>${user.name}</strong>.</p>${fields}`)
  }
}

function getProvider({ server }: FastifyRequest, name: string): Provider {
  const provider = server.services.signIn.providers.get(name)
  if (provider === undefined) throw new NotFound('route', 'for this identity provider')
  return provider
}

async function getNpmLogin({ server }: FastifyRequest, login: string) {
  const waiting = await server.services.signIn.npmLogins.find(login)
  if (waiting === null) throw new Invalid('npm does not wait for this any more; run npm login again', 'token')
  return waiting
}

/** Who has signed in with this browser; `take`: for the last time. */
async function getSignedIn(
  request: FastifyRequest,
  method: 'read' | 'take',
): Promise<{ user: Owner; ticket: TicketContents['signedIn'] }> {
  const { tickets, people } = request.server.services.signIn
  const ticket = await tickets[method]('signedIn', readCookie(request, 'entrepot_signed_in'))
  if (ticket === null) throw over()
  return { user: await people.getOpen(ticket.userId), ticket }
}

async function remember(request: FastifyRequest, reply: FastifyReply, ticket: TicketContents['signedIn']) {
  const { tickets } = request.server.services.signIn
  setCookie(reply, 'entrepot_signed_in', await tickets.open('signedIn', ticket, request.ip))
}

function over(): Invalid {
  return new Invalid(
    'this sign-in is over, or was begun in another browser or at another address of this site',
    'token',
  )
}
