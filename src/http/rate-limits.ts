import rateLimit from '@fastify/rate-limit'
import type { FastifyReply, FastifyRequest, onRequestAsyncHookHandler, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import type { Doer } from '../auth/doer.ts'
import { networkOf } from '../auth/network.ts'
import type { Tallies } from '../cache/tallies.ts'
import type { Config } from '../config/config.ts'
import { TooManyRequests } from '../errors.ts'

/** What is counted together; each has its setting in `rateLimits`. */
export type Limit = keyof Config['rateLimits'] &
  ('containerTokens' | 'npmLogins' | 'tokenExchanges' | `${'api' | 'package'}${'Reads' | 'Writes'}`)

const LIMITS: readonly Limit[] = [
  'packageReads',
  'packageWrites',
  'apiReads',
  'apiWrites',
  'containerTokens',
  'npmLogins',
  'tokenExchanges',
]
/** ms. */
const WINDOW = 60_000
const API = '/api/v1/'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Counts a request that is to be refused before it comes to the guards of its route, for wrong credentials or an
     * unknown owner; throws TooManyRequests when there were too many.
     */
    countRefused(request: FastifyRequest, reply: FastifyReply): Promise<void>
  }
  interface FastifyContextConfig {
    /** What the route's requests count as, where its URL, method and right do not say it; null: nothing. */
    limit?: Limit | null
  }
}

/**
 * Limits of requests per minute and user, or per address where nobody is signed in; replicas with Redis count
 * together. To be registered before the guards: who is over a limit costs no more work. Routes without a limit pay
 * nothing.
 */
export const rateLimits = fp(async (app) => {
  const { config, metrics, tallies, clock } = app.services
  await app.register(rateLimit, {
    global: false,
    store: storeOver(tallies, () => clock.now()),
    errorResponseBuilder: (_request, { max, ttl }) =>
      new TooManyRequests(`more than ${max} requests within a minute`, Math.ceil(ttl / 1_000)),
  })
  const hooks = new Map<Limit, onRequestAsyncHookHandler>()
  for (const limit of LIMITS) {
    const max = config.rateLimits[limit]
    if (max === -1) continue
    const keyGenerator = (request: FastifyRequest) => `rate/${limit}/${identityOf(request)}`
    const onExceeded = () => metrics.throttled.inc({ limit })
    hooks.set(limit, app.rateLimit({ max, timeWindow: WINDOW, keyGenerator, onExceeded }) as onRequestAsyncHookHandler)
  }
  app.decorate('countRefused', async (request, reply) => {
    const { config, url, method } = request.routeOptions
    const limit = url === undefined ? null : limitOf({ config, url, method })
    if (limit !== null) await hooks.get(limit)?.call(app, request, reply)
  })
  app.addHook('onRoute', (route) => {
    const limit = limitOf(route)
    const hook = limit === null ? undefined : hooks.get(limit)
    if (hook !== undefined) route.onRequest = [...[route.onRequest ?? []].flat(), hook]
  })
})

function limitOf({ config, url, method }: Pick<RouteOptions, 'config' | 'url' | 'method'>): Limit | null {
  if (config?.limit !== undefined) return config.limit
  const isSafe = [method].flat().every((name) => name === 'GET' || name === 'HEAD')
  if (url.startsWith(API)) return isSafe ? 'apiReads' : 'apiWrites'
  // npm audits and searches by POST.
  return isSafe || config?.access === 'read' ? 'packageReads' : 'packageWrites'
}

/** Before anybody has looked at the credentials, and where these were wrong, it is the address. */
function identityOf({ doer, ip }: Omit<FastifyRequest, 'doer'> & { doer: Doer | null }): string {
  const user = doer?.user ?? null
  return user === null ? `address:${networkOf(ip)}` : `user:${user.id}`
}

/** The plugin's form of a store. */
function storeOver(tallies: Tallies, now: () => number) {
  type Done = (error: Error | null, result?: { current: number; ttl: number }) => void
  return class Store {
    incr(key: string, done: Done, window: number): void {
      tallies.add(key, window).then(
        ({ count, since }) => done(null, { current: count, ttl: Math.max(0, since + window - now()) }),
        (error: Error) => done(error),
      )
    }

    child(): Store {
      return this
    }
  }
}
