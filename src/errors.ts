/** What a failure is about; a slice uses it to choose its own code (container: MANIFEST_UNKNOWN or BLOB_UNKNOWN). */
export type Subject =
  | 'access'
  | 'blob'
  | 'body'
  | 'delivery'
  | 'digest'
  | 'file'
  | 'hook'
  | 'manifest'
  | 'manifest-blob'
  | 'name'
  | 'one-time-code'
  | 'organization'
  | 'owner'
  | 'package'
  | 'paging'
  | 'pin'
  | 'policy'
  | 'public-only'
  | 'publisher'
  | 'repository'
  | 'route'
  | 'scope'
  | 'size'
  | 'tag'
  | 'task'
  | 'team'
  | 'token'
  | 'upload'
  | 'upstream'
  | 'user'
  | 'version'

/** Every way to fail that a client may see. Code throws one; `http/error-handler.ts` alone answers with it. */
export abstract class RegistryError extends Error {
  abstract readonly kind: string
  /** The HTTP status unless the ecosystem demands another. */
  abstract readonly status: number
  readonly subject: Subject | undefined

  constructor(message: string, subject?: Subject, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.subject = subject
  }
}

/** Definite absence; never used for a failing upstream. */
export class NotFound extends RegistryError {
  readonly kind = 'not-found'
  readonly status = 404
  constructor(subject: Subject, id?: string) {
    super(id === undefined ? `${subject} not found` : `${subject} ${id} not found`, subject)
  }
}

/** The thing exists already, or another state forbids the change. */
export class Conflict extends RegistryError {
  readonly kind = 'conflict'
  readonly status = 409
  constructor(subject: Subject, message: string) {
    super(message, subject)
  }
}

/** Input that no retry will make right. */
export class Invalid extends RegistryError {
  readonly kind = 'invalid'
  readonly status: number = 400
  constructor(message: string, subject?: Subject, cause?: unknown) {
    super(message, subject, cause)
  }
}

/** Well-formed input that breaks a rule of the REST API (Gitea answers 422 for these). */
export class Unprocessable extends Invalid {
  override readonly status = 422
}

/** A body or parameter over its limit. */
export class TooLarge extends RegistryError {
  readonly kind = 'too-large'
  readonly status = 413
}

/** A range that does not fit what is there. */
export class RangeNotSatisfiable extends RegistryError {
  readonly kind = 'range-not-satisfiable'
  readonly status = 416
}

/** No credentials, or unusable ones. */
export class Unauthenticated extends RegistryError {
  readonly kind = 'unauthenticated'
  readonly status = 401
}

/**
 * A known caller without the right. Subject `access`: the owner's packages are closed to this caller (package routes
 * answer 401 to it, as Gitea does); subject `public-only`: the token is restricted to public owners.
 */
export class Forbidden extends RegistryError {
  readonly kind = 'forbidden'
  readonly status = 403
  /** The caller may not even know that the owner exists; an ecosystem may answer as if it did not. */
  readonly hidesOwner: boolean

  constructor(message: string, subject?: Subject, { hidesOwner = false }: { hidesOwner?: boolean } = {}) {
    super(message, subject)
    this.hidesOwner = hidesOwner
  }
}

/** A quota of the owner or a size limit of the type would be exceeded. */
export class QuotaExceeded extends RegistryError {
  readonly kind = 'quota-exceeded'
  readonly status = 403
}

/** The bytes are not those that were promised. */
export class DigestMismatch extends RegistryError {
  readonly kind = 'digest-mismatch'
  readonly status = 400
}

/** The method cannot work here, whoever asks (publishing to a mirror). */
export class MethodNotAllowed extends RegistryError {
  readonly kind = 'method-not-allowed'
  readonly status = 405
}

/** An administrator's policy refuses this; 403 with its reason in every ecosystem, never 401 or 404. */
export class Blocked extends RegistryError {
  readonly kind = 'blocked'
  readonly status = 403
}

/** An upstream withholds it for legal reasons. */
export class LegallyUnavailable extends RegistryError {
  readonly kind = 'legally-unavailable'
  readonly status = 451
}

/** The server's own storage cannot take the bytes now. */
export class InsufficientStorage extends RegistryError {
  readonly kind = 'insufficient-storage'
  readonly status = 507
}

/** This caller asks too often, or has failed to sign in too often. */
export class TooManyRequests extends RegistryError {
  readonly kind = 'too-many-requests'
  readonly status = 429
  /** Seconds after which asking again makes sense. */
  readonly retryAfter: number

  constructor(message: string, retryAfter: number) {
    super(message)
    this.retryAfter = Math.max(1, retryAfter)
  }
}

/** Too much of this at once; asking again in a moment will work. */
export class Overloaded extends RegistryError {
  readonly kind = 'overloaded'
  readonly status = 503
}

/** The request came from this server (RFC 8586). */
export class LoopDetected extends RegistryError {
  readonly kind = 'loop-detected'
  readonly status = 508
}

/** The upstream failed and nothing that is held can answer: 502 bad answer, 503 not asked, 504 too slow. */
export class UpstreamUnavailable extends RegistryError {
  readonly kind = 'upstream-unavailable'
  readonly status: 502 | 503 | 504
  /** Seconds after which asking again makes sense. */
  readonly retryAfter: number | undefined
  /** For `Cache-Status`: BAD_DIGEST, TRUNCATED, FOREIGN_HOST … */
  readonly detail: string | undefined

  constructor(
    message: string,
    options: { status?: 502 | 503 | 504; retryAfter?: number | undefined; detail?: string; cause?: unknown } = {},
  ) {
    super(message, 'upstream', options.cause)
    this.status = options.status ?? 502
    this.retryAfter = options.retryAfter
    this.detail = options.detail
  }
}
