import {
  Blocked,
  Conflict,
  DigestMismatch,
  Forbidden,
  Invalid,
  LegallyUnavailable,
  MethodNotAllowed,
  NotFound,
  Overloaded,
  QuotaExceeded,
  RangeNotSatisfiable,
  type RegistryError,
  type Subject,
  TooLarge,
  TooManyRequests,
  UpstreamUnavailable,
} from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import type { RenderError } from '../../http/error-handler.ts'
import { challengeOf } from './challenge.ts'

/** Seconds, where an upstream that has had enough does not say when to come back. */
const RETRY_AFTER = '60'

const NOT_FOUND: { readonly [S in Subject]?: string } = {
  manifest: 'MANIFEST_UNKNOWN',
  tag: 'MANIFEST_UNKNOWN',
  version: 'MANIFEST_UNKNOWN',
  blob: 'BLOB_UNKNOWN',
  file: 'BLOB_UNKNOWN',
  upload: 'BLOB_UPLOAD_UNKNOWN',
  'manifest-blob': 'MANIFEST_BLOB_UNKNOWN',
  package: 'NAME_UNKNOWN',
  owner: 'NAME_UNKNOWN',
  route: 'NAME_UNKNOWN',
  upstream: 'NAME_UNKNOWN',
}
const INVALID: { readonly [S in Subject]?: string } = {
  name: 'NAME_INVALID',
  digest: 'DIGEST_INVALID',
  manifest: 'MANIFEST_INVALID',
  tag: 'MANIFEST_INVALID',
  size: 'SIZE_INVALID',
  upload: 'BLOB_UPLOAD_INVALID',
  body: 'BLOB_UPLOAD_INVALID',
  paging: 'PAGINATION_NUMBER_INVALID',
}

/** What is wrong with credentials that were sent; docker shows it to its user. */
const EXPLAINED: ReadonlySet<Subject> = new Set(['token', 'user', 'one-time-code'])

/**
 * An error in the form of the OCI distribution-spec (container.md §2). Anonymous callers are asked to sign in for owners
 * that do not exist as for closed ones, and who is signed in gets 404 for both unless he may know of the owner: no answer
 * tells which owners there are (security.md S4).
 */
export const renderError: RenderError = (error, request) => {
  const headers: Record<string, string> = { 'docker-distribution-api-version': 'registry/2.0' }
  const isAnonymous = (request.doer?.user ?? null) === null
  const isUnknownOwner = error instanceof NotFound && error.subject === 'owner'
  if (error.status === 401 || (isUnknownOwner && isAnonymous)) {
    headers['www-authenticate'] = challengeOf(request, error)
    const saysWhy = error.subject !== undefined && EXPLAINED.has(error.subject)
    return answer(401, 'UNAUTHORIZED', saysWhy ? error.message : 'authentication required', headers)
  }
  if (isUnknownOwner || (error instanceof Forbidden && error.hidesOwner)) {
    headers['cache-control'] = cacheControl.noStore
    return answer(404, 'NAME_UNKNOWN', 'repository name not known to registry', headers)
  }
  // On a mirror an absence holds for a while; here the image may be pushed in the next second.
  if (error.status === 404 && request.target?.owner.kind !== 'mirror') headers['cache-control'] = cacheControl.noStore
  if (error instanceof UpstreamUnavailable && error.detail === 'RATE_LIMITED') {
    headers['retry-after'] = error.retryAfter === undefined ? RETRY_AFTER : String(error.retryAfter)
    return answer(429, 'TOOMANYREQUESTS', error.message, headers)
  }
  return answer(error.status, codeOf(error), error.message, headers)
}

function answer(status: number, code: string, message: string, headers: Record<string, string>) {
  return { status, headers, body: { errors: [{ code, message }] } }
}

function codeOf(error: RegistryError): string {
  const { subject } = error
  if (error instanceof NotFound) return (subject && NOT_FOUND[subject]) ?? 'UNKNOWN'
  if (error instanceof Invalid) return (subject && INVALID[subject]) ?? 'UNKNOWN'
  if (error instanceof DigestMismatch) return 'DIGEST_INVALID'
  if (error instanceof RangeNotSatisfiable) return 'BLOB_UPLOAD_INVALID'
  if (error instanceof TooLarge) return subject === 'manifest' ? 'MANIFEST_INVALID' : 'SIZE_INVALID'
  if (error instanceof MethodNotAllowed) return 'UNSUPPORTED'
  if (DENIALS.some((denial) => error instanceof denial)) return 'DENIED'
  if (error instanceof TooManyRequests) return 'TOOMANYREQUESTS'
  if (error instanceof UpstreamUnavailable || error instanceof Overloaded) return 'UNAVAILABLE'
  return 'UNKNOWN'
}

const DENIALS = [Forbidden, Blocked, Conflict, QuotaExceeded, LegallyUnavailable]
