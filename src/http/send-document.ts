import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { createGunzip, gzip as gzipWithCallback } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { noteSent } from '../upstream/client-request.ts'
import { acceptsGzip } from './accept-encoding.ts'
import { formatHttpDate, isNotModified, matchesEtag } from './conditional.ts'

const gzip = promisify(gzipWithCallback)

// Real clients accept gzip; the plain form of a large document would be most of a cache's memory.
const IDENTITY_BYTES = 64 * 1024
const CHUNK = 64 * 1024

/** A document as it goes out, kept in memory and immutable: one per package and form (performance.md §3.1). */
export interface RenderedDocument {
  /** Strong, with quotes, of the plain form. */
  readonly etag: string
  readonly gzipEtag: string
  readonly contentType: string
  /** Ms. */
  readonly lastModified: number | null
  readonly gzip: Buffer
  /** Bytes of the plain form. */
  readonly size: number
  /** Null: dropped because it is large; inflated while it is sent, so that a hundred clients do not cost a hundred copies. */
  readonly identity: Buffer | null
}

/** Compresses a document outside the event loop. */
export async function renderDocument(
  bytes: Buffer,
  { contentType, lastModified }: { contentType: string; lastModified: number | null },
): Promise<RenderedDocument> {
  const digest = createHash('sha256').update(bytes).digest('base64url')
  return Object.freeze({
    etag: `"${digest}"`,
    gzipEtag: `"${digest}-gzip"`,
    contentType,
    lastModified,
    gzip: await gzip(bytes),
    size: bytes.length,
    identity: bytes.length <= IDENTITY_BYTES ? bytes : null,
  })
}

/** Answers GET or HEAD with a document, 304 where the client holds either form of it. */
export async function sendDocument(
  request: FastifyRequest,
  reply: FastifyReply,
  document: RenderedDocument,
  cacheControl: string,
): Promise<FastifyReply> {
  const { headers } = request
  const compressed = acceptsGzip(headers['accept-encoding'])
  const etag = compressed ? document.gzipEtag : document.etag
  const vary = cacheControl.startsWith('private') ? 'Accept, Accept-Encoding, Authorization' : 'Accept, Accept-Encoding'
  reply.header('cache-control', cacheControl).header('vary', vary)
  if (document.lastModified !== null) reply.header('last-modified', formatHttpDate(document.lastModified))

  if (isNotModified(headers, { etag, lastModified: document.lastModified }))
    return reply.code(304).header('etag', etag).send()
  const other = compressed ? document.etag : document.gzipEtag
  const noneMatch = headers['if-none-match']
  if (noneMatch !== undefined && matchesEtag(noneMatch, other)) return reply.code(304).header('etag', other).send()

  reply.header('etag', etag).header('content-type', document.contentType).header('x-content-type-options', 'nosniff')
  if (compressed) reply.header('content-encoding', 'gzip')
  const bytes = compressed ? document.gzip.length : document.size
  reply.header('content-length', String(bytes))
  if (request.method === 'HEAD') return reply.send()
  noteSent(bytes)
  return reply.send(compressed ? document.gzip : (document.identity ?? inflate(document.gzip)))
}

function inflate(compressed: Buffer): Readable {
  const plain = createGunzip({ chunkSize: CHUNK })
  plain.end(compressed)
  return plain
}
