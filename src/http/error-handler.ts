import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import {
  Forbidden,
  InsufficientStorage,
  Invalid,
  RegistryError,
  TooLarge,
  TooManyRequests,
  UpstreamUnavailable,
} from '../errors.ts'
import { failureHeaders } from '../upstream/cache-headers.ts'
import { clientRequest } from '../upstream/client-request.ts'
import { cacheControl } from './cache-control.ts'
import { loggedPath } from './observe.ts'

/** What an ecosystem's clients understand of an error. */
export interface RenderedError {
  status: number
  headers?: Record<string, string>
  /** Reason phrase of the status line, for clients that show nothing else; what it cannot carry becomes `?`. */
  reason?: string
  /** An object is sent as JSON. */
  body: string | object
  contentType?: string
}

/** Turns an error into the answer of one ecosystem; `message` of an unknown error is hidden before. */
export type RenderError = (error: RegistryError, request: FastifyRequest) => RenderedError

/** Reason phrases are cut here. */
const LONGEST_REASON = 200

/**
 * Whether the answer is 401: the caller's credentials are missing, wrong, or those of somebody without access, who is
 * asked for others, as Gitea does (gitea-model.md §4).
 */
export function asksForCredentials(error: RegistryError): boolean {
  return error.status === 401 || (error instanceof Forbidden && error.subject === 'access')
}

/** A failure nobody foresaw; its text stays in the log. */
class InternalError extends RegistryError {
  readonly kind = 'internal'
  readonly status = 500
}

/** The only place where an error becomes a response; each scope gives its own form. */
export function createErrorHandler(render: RenderError) {
  return (failure: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const error = toRegistryError(failure)
    const answer = render(error, request)
    logFailure(request, answer.status, error, failure)
    if (answer.reason !== undefined) reply.raw.statusMessage = toPrintable(answer.reason)
    if (error instanceof TooManyRequests) reply.header('retry-after', String(error.retryAfter))
    if (error instanceof UpstreamUnavailable && error.retryAfter !== undefined) {
      reply.header('retry-after', String(error.retryAfter))
    }
    reply.headers(failureHeaders(error))
    // Those that are set anew too: the order of the headers would tell how far the request had come.
    for (const name of ['etag', 'last-modified', ...Object.keys(answer.headers ?? {})]) reply.removeHeader(name)
    return reply
      .code(answer.status)
      .header('cache-control', isTrueAbsence(answer.status) ? cacheControl.notFound : cacheControl.noStore)
      .header('x-content-type-options', 'nosniff')
      .headers(answer.headers ?? {})
      .type(
        answer.contentType ??
          (typeof answer.body === 'string' ? 'text/plain; charset=utf-8' : 'application/json; charset=utf-8'),
      )
      .send(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body))
  }
}

/** What an offline mirror does not hold may be there all the same. */
function isTrueAbsence(status: number): boolean {
  return status === 404 && clientRequest()?.taken?.status.detail !== 'OFFLINE'
}

/** Downloads that fail are in the line of the request; of an upload that was refused somebody will ask why. */
function logFailure(request: FastifyRequest, status: number, error: RegistryError, failure: FastifyError): void {
  const path = loggedPath(request.url)
  if (status >= 500) request.log.error({ err: failure, path }, 'request failed')
  // 401 is where every client without credentials begins.
  else if (status !== 401 && request.method === 'PUT')
    request.log.info({ path, status, reason: toPrintable(error.message) }, 'upload refused')
}

/** What neither ends a status line or a log line early nor disturbs a terminal: messages quote what clients send. */
function toPrintable(text: string): string {
  return text.slice(0, LONGEST_REASON).replace(/[^\x20-\x7e]/g, '?')
}

function toRegistryError(failure: FastifyError): RegistryError {
  if (failure instanceof RegistryError) return failure
  if (failure.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new TooLarge('the body is too large', 'body')
  if (failure.code === 'ENOSPC' || failure.code === 'EDQUOT') {
    return new InsufficientStorage('the server has no space left', undefined, failure)
  }
  const status = failure.statusCode ?? 500
  if (status >= 400 && status < 500) return new Invalid(failure.message, 'body', failure)
  return new InternalError('internal error', undefined, failure)
}
