import { createHash } from 'node:crypto'
import { decodeJwt, errors, type JWTPayload, jwtVerify } from 'jose'
import type { Clock } from '../clock.ts'
import { RegistryError, Unauthenticated } from '../errors.ts'
import type { Claims } from './claims.ts'
import type { IssuerKeys } from './issuer-keys.ts'

/** Characters; more than any issuer's. */
const LONGEST = 16_384
/** Seconds since it was issued; that clocks may differ by; that one is remembered after it has ended. */
const OLDEST = 3_600
const SKEW = 30
const REMEMBERED_AFTER = 300
const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]

/** An id-token whose every word is its issuer's. */
export interface VerifiedToken {
  readonly issuer: string
  readonly claims: Claims
  /** Tells it from all others; SHA-256, lower-case hex. */
  readonly hash: string
  /** Ms since the epoch; from then on it is refused anyway. */
  readonly forgetAt: number
}

/** Reads id-tokens of CI jobs (OpenID Connect Core 1.0 §2; security.md S14, S15). */
export class IdTokens {
  readonly #keys: IssuerKeys
  readonly #clock: Clock

  constructor(parts: { keys: IssuerKeys; clock: Clock }) {
    this.#keys = parts.keys
    this.#clock = parts.clock
  }

  /** What a token says, which anybody may have written. Throws Unauthenticated for what is no JWT or names no issuer. */
  read(token: string): Claims & { iss: string } {
    try {
      const { iss, ...claims } = token.length > LONGEST ? {} : decodeJwt(token)
      if (typeof iss === 'string') return { ...claims, iss }
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error
    }
    throw new Unauthenticated('this is no id-token', 'token')
  }

  /**
   * Throws Unauthenticated unless the issuer has signed it for one of the audiences and no other, within the last hour,
   * and it has not ended; UpstreamUnavailable when the issuer's keys cannot be had.
   */
  async verify(token: string, issuer: string, audiences: readonly string[]): Promise<VerifiedToken> {
    const claims = await this.#check(token, issuer)
    const named = [claims.aud ?? []].flat()
    const [audience = ''] = named
    if (named.length !== 1 || !audiences.includes(audience.replace(/\/$/, ''))) {
      throw new Unauthenticated(`the id-token is for another audience; it must be ${audiences.join(' or ')}`, 'token')
    }
    const { jti, exp, iat } = claims as Required<Pick<JWTPayload, 'exp' | 'iat'>> & JWTPayload
    const signed = token.slice(0, token.lastIndexOf('.'))
    const identity = typeof jti === 'string' && jti !== '' ? ['jti', issuer, jti] : ['token', signed]
    return {
      issuer,
      claims,
      hash: createHash('sha256').update(JSON.stringify(identity)).digest('hex'),
      forgetAt: Math.ceil(Math.min(exp, iat + OLDEST) + SKEW + REMEMBERED_AFTER) * 1_000,
    }
  }

  async #check(token: string, issuer: string): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(token, (...asked) => this.#keys.find(issuer, ...asked), {
        algorithms: ALGORITHMS,
        issuer,
        requiredClaims: ['aud', 'exp', 'iat'],
        maxTokenAge: OLDEST,
        clockTolerance: SKEW,
        currentDate: new Date(this.#clock.now()),
      })
      return payload
    } catch (error) {
      if (error instanceof RegistryError) throw error
      if (error instanceof errors.JWTExpired) throw new Unauthenticated('the id-token has expired', 'token', error)
      // Also what the keys of an issuer, who may be anybody, make the cryptography throw.
      throw new Unauthenticated('the id-token is not valid', 'token', error)
    }
  }
}
