import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type ClientRequest, inClientRequest } from '../upstream/client-request.ts'

/** The path of a URL as logs may hold it: no query, and no secret, which `npm logout` puts into the path. */
export function loggedPath(url: string): string {
  return url.split('?', 1)[0]!.replace(/\/[0-9a-f]{40}(?=\/|$)/gi, '/[secret]')
}

/** One log line and one count per answered request. */
export const observe = fp(async (app) => {
  const { metrics } = app.services
  app.addHook('onRequest', (request, reply, done) => {
    // Not onResponse: it is not called for downloads that are reset or that the client leaves.
    reply.raw.once('close', () => {
      observeAnswer(request, reply)
      observeMirror(mirrored)
    })
    const mirrored = inClientRequest(request.id, done)
  })

  function observeMirror({ source, taken, sent }: ClientRequest): void {
    if (source === null || taken === null || sent === 0) return
    const { upstream, type } = source
    const labels = { upstream, type, class: taken.class, source: taken.status.hit ? 'cache' : 'upstream' }
    metrics.servedBytes.inc(labels, sent)
  }

  function observeAnswer(request: FastifyRequest, reply: FastifyReply): void {
    const scope = request.target?.type ?? 'server'
    metrics.requests.inc({ scope, method: request.method, status: `${Math.floor(reply.raw.statusCode / 100)}xx` })
    metrics.requestSeconds.observe({ scope }, reply.elapsedTime / 1_000)
    request.log.info({
      method: request.method,
      path: loggedPath(request.url),
      status: reply.raw.statusCode,
      ms: Math.round(reply.elapsedTime),
      address: request.ip,
      user: request.doer?.user?.name,
      sudoer: request.doer?.sudoer?.name,
      cache: reply.getHeader('x-cache'),
      complete: reply.raw.writableFinished,
    })
  }
})
