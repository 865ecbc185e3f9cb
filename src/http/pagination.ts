import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'

const DEFAULT_LIMIT = 30
const MAX_LIMIT = 50
/** Keeps the offset a safe integer. */
const MAX_PAGE = 1_000_000_000

/** The query parameters of every paged list, to be spread into its query schema. */
export const pagingParameters = {
  page: Type.Optional(Type.Integer({ description: 'From 1.' })),
  limit: Type.Optional(
    Type.Integer({ description: `Rows per page; ${DEFAULT_LIMIT} by default, ${MAX_LIMIT} at most.` }),
  ),
}

/** One page of a list. */
export interface Paging {
  /** From 1. */
  readonly page: number
  readonly limit: number
  readonly offset: number
}

/** Reads `page` and `limit` leniently, as Gitea does: what is missing or not positive is the default (rest-api.md §2). */
export function readPaging(query: { page?: number; limit?: number }): Paging {
  const page = Math.min(Math.max(query.page ?? 1, 1), MAX_PAGE)
  const asked = query.limit ?? 0
  const limit = asked <= 0 ? DEFAULT_LIMIT : Math.min(asked, MAX_LIMIT)
  return { page, limit, offset: (page - 1) * limit }
}

/** Sets `X-Total-Count` and, where there is another page, `Link`. */
export function setPagingHeaders(
  request: FastifyRequest,
  reply: FastifyReply,
  { page, limit }: Paging,
  total: number,
): void {
  const { baseUrl } = request.server.services.config
  const link = formatLink(baseUrl, request.url, { page, limit, total })
  reply.header('x-total-count', String(total)).header('access-control-expose-headers', 'Link, X-Total-Count')
  if (link !== '') reply.header('link', link)
}

/**
 * The `Link` value: next, last, first, prev, joined without blanks; empty on a single page (rest-api.md §2). URLs are
 * the configured base and the request's path with another `page`: nothing of the Host header gets in.
 */
export function formatLink(
  baseUrl: string,
  requestUrl: string,
  { page, limit, total }: { page: number; limit: number; total: number },
): string {
  const [target = '', query = ''] = requestUrl.split(/\?(.*)/s, 2)
  // A request may name the whole URL; only its path is ours.
  const path = target
    .replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '')
    .replace(/[^\w\-.~!$&'()*+;=:@%/]/g, encodeURIComponent)
  const last = Math.max(1, Math.ceil(total / limit))
  const current = Math.min(page, last)
  const link = (target: number, rel: string) => {
    const parameters = new URLSearchParams(query)
    parameters.set('page', String(target))
    return `<${baseUrl}${path}?${parameters.toString()}>; rel="${rel}"`
  }
  return [
    ...(current < last ? [link(current + 1, 'next'), link(last, 'last')] : []),
    ...(current > 1 ? [link(1, 'first'), link(current - 1, 'prev')] : []),
  ].join(',')
}
