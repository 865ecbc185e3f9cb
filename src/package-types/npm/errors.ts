import { Blocked } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { asksForCredentials, type RenderError } from '../../http/error-handler.ts'

/**
 * An error as npm clients read it: `{"error": text}`, which npm prints after status and URL. A caller without access
 * gets 401, as in Gitea, so that clients ask for credentials. No element of the challenge may be `otp`, and no 401
 * text may speak of one-time passwords: npm would ask for one (npm.md §2).
 */
export const renderError: RenderError = (error, request) => {
  const isUnauthorized = asksForCredentials(error)
  const headers: Record<string, string> = {}
  if (isUnauthorized) headers['www-authenticate'] = 'Basic realm="Entrepot npm registry"'
  if (error instanceof Blocked) headers['npm-notice'] = toHeader(error.message)
  // On a mirror an absence holds for a while; here the package may be published in the next second.
  if (error.status === 404 && request.target?.owner.kind !== 'mirror') headers['cache-control'] = cacheControl.noStore
  return { status: isUnauthorized ? 401 : error.status, headers, body: { error: error.message } }
}

function toHeader(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 500)
}
