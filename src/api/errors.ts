import type { RenderError } from '../http/error-handler.ts'

/** Errors as Gitea's REST API words them: `{"message", "url"}` (rest-api.md §2). */
export const renderApiError: RenderError = (error, request) => ({
  status: isUnknownMediaType(error.cause) ? 415 : error.status,
  // A client that has just published must not be told for another half minute that there is nothing.
  headers: { 'cache-control': 'no-store' },
  body: { message: error.message, url: `${request.server.services.config.baseUrl}/api/swagger` },
})

function isUnknownMediaType(cause: unknown): boolean {
  return (cause as { code?: string } | undefined)?.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE'
}
