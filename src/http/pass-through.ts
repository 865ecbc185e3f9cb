import { pipeline, type Readable, Transform } from 'node:stream'
import replyFrom from '@fastify/reply-from'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { UpstreamUnavailable } from '../errors.ts'
import type { DispatchOptions } from '../upstream/connections.ts'
import { Observation } from '../upstream/observation.ts'
import { countReceived } from '../upstream/received-bytes.ts'
import type { Upstream } from '../upstream/upstreams.ts'

/** Statuses that would tell the client of our credentials, or of our place in the network, instead of its own. */
const REFUSED = new Set([401, 403, 407])
const TIMEOUT = 30_000
/** Bytes of an answer that is passed on; whoever sends more of what is never stored is no registry. */
const LARGEST = 10 * 1024 * 1024
/** What an upstream may know of the client's request; credentials and addresses are not among it. */
const FORWARDED = ['accept', 'accept-encoding', 'content-type']
/** What of the upstream's answer is the client's business. */
const RETURNED = ['content-type', 'content-encoding', 'content-length', 'etag', 'last-modified', 'npm-notice']

/** Makes `reply.from` available; only `passThrough` uses it. */
export const passThroughSupport = fp(async (app) => {
  await app.register(replyFrom, {
    // The defaults retry a GET ten times, with Retry-After taken as milliseconds.
    retryMethods: [],
    maxRetriesOn503: 0,
    disableRequestLogging: true,
    // The upstream's own connections: timeouts, proxy and address checks are theirs.
    undici: {
      request: (options: DispatchOptions, callback: never) =>
        app.services.upstream.dispatcherOf(String(options.origin)).request(options, callback),
    } as never,
  })
})

/**
 * Sends a request that is never stored (search, audit) on to an upstream, without the client's credentials, and its
 * answer back. `path` is below the upstream's URL, query included; `body` is JSON. (pull-through.md §6.1)
 */
export async function passThrough(
  request: FastifyRequest,
  reply: FastifyReply,
  upstream: Upstream,
  path: string,
  body?: Buffer,
): Promise<FastifyReply> {
  const { name, url: base } = upstream.settings
  if (upstream.mode !== 'online') {
    throw new UpstreamUnavailable(`upstream ${name} is switched ${upstream.mode}`, { status: 503 })
  }
  const url = new URL(path, base)
  upstream.client.checkUrl(url)
  const exchange = { reqId: request.id, method: request.method, url, class: 'pass', waited: 0 } as const
  const observation = new Observation(request.server.services)
  const start = performance.now()
  return reply.from(url.href, {
    method: request.method,
    timeout: TIMEOUT,
    ...(body === undefined ? {} : { body: body as never, contentType: 'application/json' }),
    rewriteRequestHeaders: (_request, headers) => ({
      ...pick(headers as Headers, FORWARDED),
      host: url.host,
      'user-agent': `Entrepot/${request.server.services.version}`,
      'cdn-loop': request.server.services.upstream.loops.outbound,
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(body.length) }),
    }),
    rewriteHeaders: (headers) => ({
      ...pick(headers as Headers, RETURNED),
      'cache-control': 'no-store',
      'cache-status': 'Entrepot; fwd=bypass',
      'x-cache': 'BYPASS',
      'x-upstream': name,
      // Whatever an upstream says must not run in anybody's browser as if we said it.
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox",
    }),
    onResponse: (_request, _reply, response) => {
      const { statusCode, headers, stream } = response as unknown as RawAnswer
      const toHeaders = performance.now() - start
      const received = countReceived(stream)
      stream.once('close', () => {
        const ms = performance.now() - start
        observation.exchange(upstream.settings, { ...exchange, status: statusCode, toHeaders, ms, bytes: received() })
      })
      const isTooLarge = Number(headers['content-length'] ?? 0) > LARGEST
      const isPassedOn = statusCode < 300 || (statusCode >= 400 && !REFUSED.has(statusCode))
      if (isPassedOn && !isTooLarge) return reply.send(limit(stream))
      stream.on('error', () => {}).destroy()
      reply.removeHeader('content-encoding').removeHeader('content-length')
      const what = isTooLarge ? `sent more than ${LARGEST} bytes` : `answered ${statusCode}`
      return reply.send(new UpstreamUnavailable(`upstream ${name} ${what}`))
    },
    onError: (_reply, { error }) => {
      const ms = performance.now() - start
      observation.exchange(upstream.settings, { ...exchange, status: null, toHeaders: ms, ms, bytes: 0 })
      reply.send(new UpstreamUnavailable(`upstream ${name} did not answer`, { cause: error }))
    },
  })
}

interface RawAnswer {
  readonly statusCode: number
  readonly headers: Headers
  readonly stream: Readable
}

/** The same bytes, which end in an error when they are too many. */
function limit(stream: Readable): Readable {
  let left = LARGEST
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length
      if (left < 0) done(new Error('the answer of the upstream is too large'))
      else done(null, chunk)
    },
  })
  // Whoever reads hears of the error.
  return pipeline(stream, counter, () => {})
}

type Headers = Record<string, string | string[] | undefined>

function pick(headers: Headers, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]])),
  )
}
