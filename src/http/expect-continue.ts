import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

/**
 * Clients that ask first (`Expect: 100-continue`: mvn always, curl for large bodies) are told to go on when a handler is
 * about to read the body, after all guards: an upload that is refused anyway is not sent (RFC 9110 §10.1.1).
 */
export const expectContinue = fp(async (app) => {
  const waiting = new WeakSet<FastifyRequest['raw']>()
  app.server.on('checkContinue', (request, response) => {
    waiting.add(request)
    app.server.emit('request', request, response)
  })
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (!request.is404 && waiting.delete(request.raw)) reply.raw.writeContinue()
    done(null, payload)
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    // Whether the body comes all the same nobody knows: what follows on this connection could be it.
    if (waiting.has(request.raw)) reply.header('connection', 'close')
    done(null, payload)
  })
})
