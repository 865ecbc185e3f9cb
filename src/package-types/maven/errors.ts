import { cacheControl } from '../../http/cache-control.ts'
import { asksForCredentials, type RenderError } from '../../http/error-handler.ts'

/**
 * Plain text. Maven shows its user the status and the reason phrase only, so that the phrase is the message; and it
 * sends its credentials only when a 401 asks for them (maven.md §2).
 */
export const renderError: RenderError = (error, request) => {
  const isUnauthorized = asksForCredentials(error)
  const isMirror = request.target?.owner.kind === 'mirror'
  return {
    status: isUnauthorized ? 401 : error.status,
    headers: {
      ...(isUnauthorized ? { 'www-authenticate': 'Basic realm="Entrepot"' } : {}),
      ...(error.status === 405 ? { allow: isMirror ? 'GET, HEAD' : 'GET, HEAD, PUT' } : {}),
      // What is missing on a hosted owner may be deployed in the next second.
      ...(isMirror ? {} : { 'cache-control': cacheControl.noStore }),
    },
    reason: error.message,
    body: `${error.message}\n`,
  }
}
