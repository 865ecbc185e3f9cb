import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ByteSource } from '../storage/byte-source.ts'
import { cacheControl } from './cache-control.ts'
import { decide, formatHttpDate } from './conditional.ts'
import { attachment } from './content-disposition.ts'
import { loggedPath } from './observe.ts'
import { transfer } from './transfer.ts'

/** What is said about a file. */
export interface FileHeaders {
  /** Strong, with quotes; null while the digest is unknown. */
  etag: string | null
  /** Ms. */
  lastModified: number | null
  contentType: string
  /** Null: no Content-Disposition. */
  fileName: string | null
  cacheControl: string
  /** The answer depends on who asks. */
  isPrivate: boolean
  /** More headers of 200, 206 and 304, names in lower case. */
  extra?: Record<string, string>
}

/**
 * Answers GET or HEAD with a file: 200, one range as 206, 304, 416. `size` null means unknown: chunked, no ranges. Only
 * a GET with a body opens the source, which is closed in any case. When the source fails before its first byte this
 * throws and nothing is sent; afterwards the connection is reset. Resolves when the transfer is over.
 */
export async function sendFile(
  request: FastifyRequest,
  reply: FastifyReply,
  source: ByteSource | (() => Promise<ByteSource>),
  size: number | null,
  headers: FileHeaders,
): Promise<FastifyReply> {
  const outcome = decide(request.method, request.headers, { ...headers, size })
  if (outcome.status === 304 || outcome.status === 416 || request.method === 'HEAD') {
    if (typeof source !== 'function') source.close()
    if (outcome.status === 304)
      return reply
        .code(304)
        .headers({ ...validators(headers), ...headers.extra })
        .send()
    if (outcome.status === 416) {
      return reply
        .code(416)
        .headers({ 'content-range': `bytes */${size}`, 'cache-control': cacheControl.noStore })
        .send()
    }
    return reply.code(200).headers(fullHeaders(headers, size)).send()
  }

  const opened = typeof source === 'function' ? await source() : source
  const range = outcome.status === 206 ? outcome.range : null
  const span = range === null ? { start: 0, length: size } : { start: range.start, length: range.end - range.start + 1 }
  const ending = await transfer(reply.raw, opened, span, () => {
    reply.hijack()
    const head = { ...reply.getHeaders(), ...fullHeaders(headers, span.length) }
    if (range !== null) head['content-range'] = `bytes ${range.start}-${range.end}/${size}`
    reply.raw.writeHead(outcome.status, head as Record<string, string>)
  })
  if (ending.how === 'broken')
    request.log.error({ err: ending.error, path: loggedPath(request.url) }, 'download broken off')
  // The client left before anything was sent: there is nobody to answer.
  return reply.sent ? reply : reply.hijack()
}

function fullHeaders(headers: FileHeaders, length: number | null): Record<string, string> {
  return {
    ...validators(headers),
    'content-type': headers.contentType,
    ...(headers.fileName === null ? {} : { 'content-disposition': attachment(headers.fileName) }),
    ...(length === null ? {} : { 'content-length': String(length), 'accept-ranges': 'bytes' }),
    // Uploaded files must not run in anybody's browser as if they were ours.
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; sandbox",
    ...headers.extra,
  }
}

function validators({ etag, lastModified, isPrivate, ...headers }: FileHeaders): Record<string, string> {
  return {
    ...(etag === null ? {} : { etag }),
    ...(lastModified === null ? {} : { 'last-modified': formatHttpDate(lastModified) }),
    'cache-control': headers.cacheControl,
    ...(isPrivate ? { vary: 'Authorization' } : {}),
  }
}
