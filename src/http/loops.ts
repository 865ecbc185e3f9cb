import fp from 'fastify-plugin'

/** Answers 508 to requests that mirrors of ours have sent in a circle (RFC 8586). */
export const loops = fp(async (app) => {
  app.addHook('onRequest', (request, _reply, done) => {
    const header = request.headers['cdn-loop']
    app.services.upstream.loops.enter(Array.isArray(header) ? header.join(',') : header, done)
  })
})
