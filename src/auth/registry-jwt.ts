import { errors, type JWTPayload, type JWTVerifyOptions, jwtVerify, SignJWT } from 'jose'
import type { Clock } from '../clock.ts'
import { Unauthenticated } from '../errors.ts'
import { type Action, Grants } from './grants.ts'
import type { SigningKeys } from './signing-keys.ts'

/** What a JWT of the registry is good for: requests, or getting another one. Neither passes for the other. */
export type JwtUse = 'access' | 'refresh'

/** The rights that a JWT stands for. */
export interface RegistryClaims {
  /** Null: of nobody in particular. */
  readonly userId: number | null
  /** The access token behind it; null: a password, or nobody. */
  readonly tokenId: number | null
  /** Of the password behind it. */
  readonly passwordMark: string | null
  readonly grants: Grants
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

/** Longer ones are not ours; Node takes no more of a header. */
const MAX_LENGTH = 16_384

/** Signs and reads the registry's JWTs: HS256, for one installation and one use each (security.md S14, S15). */
export class RegistryJwts {
  readonly #keys: SigningKeys
  readonly #clock: Clock
  readonly #issuer: string

  /** `issuer` is the installation's base URL. */
  constructor(parts: { keys: SigningKeys; clock: Clock; issuer: string }) {
    this.#keys = parts.keys
    this.#clock = parts.clock
    this.#issuer = parts.issuer
  }

  async sign(use: JwtUse, claims: RegistryClaims): Promise<string> {
    const { kid, secret } = await this.#keys.current()
    const { userId, tokenId, passwordMark, grants, expiresAt } = claims
    const payload: JWTPayload = {
      sub: userId === null ? '' : String(userId),
      ...(tokenId === null ? {} : { tokenId }),
      ...(passwordMark === null ? {} : { passwordMark }),
      access: grants.repositories.map(({ name, actions }) => ({ type: 'repository', name, actions })),
      ...(grants.catalog ? { catalog: true } : {}),
    }
    return new SignJWT(payload)
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid })
      .setIssuer(this.#issuer)
      .setAudience(this.#audience(use))
      .setIssuedAt(Math.floor(this.#clock.now() / 1_000))
      .setExpirationTime(expiresAt)
      .sign(secret)
  }

  /** Throws Unauthenticated('token') for anything that this installation has not signed for this use, or that is over. */
  async verify(use: JwtUse, token: string): Promise<RegistryClaims> {
    if (token.length > MAX_LENGTH) throw invalid()
    try {
      const { payload } = await jwtVerify(token, ({ kid }) => this.#secret(kid), this.#conditions(use))
      return toClaims(payload)
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new Unauthenticated('the token has expired', 'token')
      if (error instanceof errors.JOSEError) throw invalid(error)
      throw error
    }
  }

  /** What a header calls `kid` may be anything. */
  async #secret(kid: unknown) {
    const secret = typeof kid === 'string' ? await this.#keys.find(kid) : null
    if (secret === null) throw invalid()
    return secret
  }

  #conditions(use: JwtUse): JWTVerifyOptions {
    return {
      algorithms: ['HS256'],
      issuer: this.#issuer,
      audience: this.#audience(use),
      requiredClaims: ['sub', 'exp'],
      currentDate: new Date(this.#clock.now()),
    }
  }

  /** Where it may be used. */
  #audience(use: JwtUse): string {
    return use === 'access' ? `${this.#issuer}/v2` : `${this.#issuer}/v2/token`
  }
}

/** What `sign` has made of them; the signature was good, so the shape is. */
function toClaims(payload: JWTPayload): RegistryClaims {
  const { sub, exp, tokenId, passwordMark, access, catalog } = payload as Required<Pick<JWTPayload, 'sub' | 'exp'>> & {
    tokenId?: number
    passwordMark?: string
    access: { name: string; actions: Action[] }[]
    catalog?: true
  }
  return {
    userId: sub === '' ? null : Number(sub),
    tokenId: tokenId ?? null,
    passwordMark: passwordMark ?? null,
    grants: new Grants({
      repositories: access.map(({ name, actions }) => ({ name, actions })),
      catalog: catalog === true,
    }),
    expiresAt: exp,
  }
}

function invalid(cause?: unknown): Unauthenticated {
  return new Unauthenticated('the token is not valid', 'token', cause)
}
