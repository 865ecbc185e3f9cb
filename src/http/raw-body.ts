import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Invalid, TooLarge } from '../errors.ts'

/** ms a client may send nothing. */
const IDLE = 60_000

/** In this scope `request.body` is the raw stream, whatever the content type; its reader sets the limit. */
export function useRawBody(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
}

/** The body as a stream; an empty one where the client sent none. */
export function rawBody(request: FastifyRequest): Readable {
  return (request.body as Readable | undefined) ?? request.raw
}

/**
 * Reads a small body whole, inflating `Content-Encoding: gzip`; more than `limit` bytes, either way, is TooLarge. A
 * body that breaks off, or from which nothing comes for a minute, is Invalid.
 */
export async function readBody(request: FastifyRequest, limit: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit)
  const encoding = request.headers['content-encoding']?.toLowerCase() ?? 'identity'
  if (encoding !== 'gzip' && encoding !== 'identity') throw new Invalid(`unknown content encoding ${encoding}`, 'body')
  const raw = rawBody(request)
  const gunzip = encoding === 'gzip' ? raw.pipe(createGunzip()) : null
  const stream = gunzip ?? raw
  raw.once('error', (error) => stream.destroy(error))
  const timer = setTimeout(() => raw.destroy(new Invalid('the body stopped', 'body')), IDLE)
  raw.on('data', () => timer.refresh())
  try {
    return await collect(stream, limit)
  } catch (error) {
    if (error instanceof TooLarge || error instanceof Invalid) throw error
    throw new Invalid('the body cannot be read', 'body', error)
  } finally {
    clearTimeout(timer)
    if (gunzip !== null) {
      raw.unpipe(gunzip)
      gunzip.destroy()
    }
    // Clients look at the answer when they have sent everything: the rest is read and dropped.
    raw.resume()
  }
}

async function collect(stream: Readable, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  // Leaving the loop early must not destroy the request: its socket still has to carry the answer.
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw tooLarge(limit)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function tooLarge(limit: number): TooLarge {
  return new TooLarge(`the body is over ${limit} bytes`, 'body')
}

/** Reads a small JSON body; Invalid when it is none. */
export async function readJson(request: FastifyRequest, limit: number): Promise<unknown> {
  const bytes = await readBody(request, limit)
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw new Invalid('the body is not valid JSON', 'body')
  }
}
