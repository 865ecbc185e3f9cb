import { Blocked } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { asksForCredentials, type RenderError } from '../../http/error-handler.ts'

/**
 * An error as npm clients read it: `{"error": text}`, which npm prints after status and URL. A caller without access
 * gets 401, as in Gitea, so that clients ask for credentials. By the challenge `OTP` npm asks its user for a one-time
 * code and repeats the request with `npm-otp`; otherwise no element of the challenge may be that, and no 401 text may
 * speak of one-time passwords (npm.md §2).
 */
export const renderError: RenderError = (error, request) => {
  const isUnauthorized = asksForCredentials(error)
  const headers: Record<string, string> = {}
  const needsCode = isUnauthorized && error.subject === 'one-time-code'
  if (isUnauthorized) headers['www-authenticate'] = needsCode ? 'OTP' : 'Basic realm="Entrepot npm registry"'
  if (error instanceof Blocked) headers['npm-notice'] = toNotice(error.message)
  // On a mirror an absence holds for a while; here the package may be published in the next second.
  if (error.status === 404 && request.target?.owner.kind !== 'mirror') headers['cache-control'] = cacheControl.noStore
  return { status: isUnauthorized ? 401 : error.status, headers, body: { error: error.message } }
}

/** A text as npm shows it to its user (`npm-notice`). */
export function toNotice(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 500)
}
