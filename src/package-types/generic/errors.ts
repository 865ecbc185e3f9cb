import { cacheControl } from '../../http/cache-control.ts'
import { asksForCredentials, type RenderError } from '../../http/error-handler.ts'

/** Plain text. A caller without access is asked for credentials, signed in or not, as Gitea does (gitea-model.md §4). */
export const renderError: RenderError = (error, request) => {
  const isUnauthorized = asksForCredentials(error)
  return {
    status: isUnauthorized ? 401 : error.status,
    headers: {
      ...(isUnauthorized ? { 'www-authenticate': 'Basic realm="Entrepot"' } : {}),
      // What is missing on a hosted owner may be uploaded in the next second.
      ...(request.target?.owner.kind === 'mirror' ? {} : { 'cache-control': cacheControl.noStore }),
    },
    body: `${error.message}\n`,
  }
}
