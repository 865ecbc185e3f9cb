import Fastify, { type FastifyInstance, type FastifyPluginAsync, LogController } from 'fastify'
import { api } from './api/index.ts'
import { openapi } from './api/openapi.ts'
import { NotFound } from './errors.ts'
import { access } from './http/access.ts'
import { audit } from './http/audit.ts'
import { authenticate } from './http/authenticate.ts'
import { decorate } from './http/decorate.ts'
import { createErrorHandler, type RenderError } from './http/error-handler.ts'
import { expectContinue } from './http/expect-continue.ts'
import { foreignOrigin } from './http/foreign-origin.ts'
import { loops } from './http/loops.ts'
import { observe } from './http/observe.ts'
import { operations } from './http/operations.ts'
import { passThroughSupport } from './http/pass-through.ts'
import { rateLimits } from './http/rate-limits.ts'
import { packageTypes } from './package-types/index.ts'
import { mount } from './package-types/mount.ts'
import { pages } from './pages/routes.ts'
import type { Services } from './services.ts'

/** Longest URL segment: 255 characters, each of them four bytes at most, percent-encoded. */
const LONGEST_PARAMETER = 255 * 4 * 3

/** The HTTP server, ready to listen: the table of contents of everything it answers. */
export async function buildApp(services: Services): Promise<FastifyInstance> {
  const { trustedProxies } = services.config
  const app = Fastify({
    loggerInstance: services.log,
    // http/observe.ts writes the one line per request.
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    bodyLimit: 1024 * 1024,
    // A client that sends headers or nothing for ever holds a connection; bodies have idle limits of their own.
    requestTimeout: 0,
    keepAliveTimeout: 72_000,
    http: { headersTimeout: 30_000 },
    forceCloseConnections: 'idle',
    return503OnClosing: true,
    frameworkErrors: createErrorHandler(renderText) as never,
    routerOptions: { maxParamLength: LONGEST_PARAMETER, ignoreTrailingSlash: true },
  })
  app.setErrorHandler(createErrorHandler(renderText))
  app.setNotFoundHandler(() => {
    throw new NotFound('route')
  })
  await app.register(decorate, { services })
  await app.register(loops)
  await app.register(rateLimits)
  await app.register(access)
  await app.register(observe)
  await app.register(expectContinue)
  await app.register(passThroughSupport)
  await app.register(operations)
  await app.register(registries)
  return app as unknown as FastifyInstance
}

/** Everything that asks who the caller is. */
const registries: FastifyPluginAsync = async (scope) => {
  scope.addHook('onSend', async ({ method }) => {
    if (method !== 'GET' && method !== 'HEAD') await scope.services.notices.delivered()
  })
  scope.addHook('onRequest', () => scope.services.upstream.refresh())
  await scope.register(authenticate)
  await scope.register(foreignOrigin)
  await scope.register(audit)
  await scope.register(openapi)
  await scope.register(api, { prefix: '/api/v1' })
  await scope.register(pages, { prefix: '/login' })
  for (const type of packageTypes) await mount(scope, type)
}

const renderText: RenderError = (error) => ({ status: error.status, body: `${error.message}\n` })
