import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { TestApp, type TestAppOptions } from './test-app.ts'

/** One method of one route, as it was declared. */
export interface Route {
  readonly method: string
  readonly url: string
  readonly config: NonNullable<RouteOptions['config']>
  readonly schema: NonNullable<RouteOptions['schema']>
}

/** The answer to whoever has passed every guard, while `stopsChanges` is on. */
export const ADMITTED = 299

/** A server whose routes are known, and whose changes can be stopped behind the last guard. */
export interface OpenedApp {
  readonly server: TestApp
  readonly routes: readonly Route[]
  /** While true, requests that may change something end with ADMITTED where the handler would begin. */
  stopsChanges: boolean
}

/**
 * Starts a server and listens in: Fastify tells a diagnostics channel of every instance that it makes, so that the
 * server needs nothing for it.
 */
export async function startOpened(options: TestAppOptions = {}): Promise<OpenedApp> {
  const routes: Route[] = []
  const state = { stopsChanges: false }
  const listen = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRoute', (route) => {
      for (const method of [route.method].flat()) {
        routes.push({ method, url: route.url, config: route.config ?? {}, schema: route.schema ?? {} })
      }
      // The last hook before the schemas: what is wrong with a body is no matter of rights.
      route.preValidation = [
        ...[route.preValidation ?? []].flat(),
        async (request, reply) => {
          const isSafe = request.method === 'GET' || request.method === 'HEAD'
          return state.stopsChanges && !isSafe ? reply.code(ADMITTED).send('') : undefined
        },
      ]
    })
  }
  subscribe('fastify.initialization', listen)
  try {
    const server = await TestApp.start(options)
    return Object.assign(state, { server, routes })
  } finally {
    unsubscribe('fastify.initialization', listen)
  }
}
