import * as client from 'openid-client'
import type { Clock } from '../clock.ts'
import { Forbidden, Invalid, type RegistryError, UpstreamUnavailable } from '../errors.ts'
import type { Claims } from './person.ts'
import type { ProviderSettings } from './provider-settings.ts'

/** What the answer must fit to; kept until it comes. */
export interface Checks {
  readonly state: string
  readonly nonce: string
  /** Of PKCE (RFC 7636). */
  readonly verifier: string
}

/** ms that the provider's endpoints are believed without asking again. */
const FRESH = 3_600_000
/** Seconds that its clock may differ. */
const TOLERANCE = 60

/**
 * One identity provider, spoken to as OpenID Connect Core §3.1 has it: authorization code with PKCE (S256), state and
 * nonce; ID tokens are verified by the provider's keys however they came. Its endpoints are found when somebody first
 * signs in: a provider that is down stops no start.
 */
export class Provider {
  readonly settings: ProviderSettings
  readonly #clock: Clock
  readonly #fetch: client.CustomFetch
  #found: { readonly config: Promise<client.Configuration>; readonly until: number } | null = null

  constructor(settings: ProviderSettings, { clock, fetch }: { clock: Clock; fetch: client.CustomFetch }) {
    this.settings = settings
    this.#clock = clock
    this.#fetch = fetch
  }

  /** Where to send the browser, and what to keep of it. Throws UpstreamUnavailable. */
  async begin(redirectUri: string): Promise<{ url: URL; checks: Checks }> {
    return this.#explained(false, async () => {
      const config = await this.#discover()
      const checks = {
        state: client.randomState(),
        nonce: client.randomNonce(),
        verifier: client.randomPKCECodeVerifier(),
      }
      const url = client.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope: this.settings.scopes,
        state: checks.state,
        nonce: checks.nonce,
        code_challenge: await client.calculatePKCECodeChallenge(checks.verifier),
        code_challenge_method: 'S256',
      })
      return { url, checks }
    })
  }

  /**
   * The claims of who has signed in, from the ID token and, for those it lacks, from the provider's user info. `answer`
   * is the redirect URI with what the provider added. Invalid when it does not belong to this sign-in, Forbidden when
   * the provider refused it, UpstreamUnavailable when the provider fails.
   */
  async finish(answer: URL, { state, nonce, verifier }: Checks): Promise<Claims> {
    return this.#explained(true, async () => {
      const config = await this.#discover()
      const tokens = await client.authorizationCodeGrant(config, answer, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      })
      const claims = tokens.claims()!
      const { nameClaim, groupsClaim } = this.settings
      const isWhole = claims[nameClaim] !== undefined && claims[groupsClaim] !== undefined
      if (isWhole || config.serverMetadata().userinfo_endpoint === undefined) return claims
      return { ...(await client.fetchUserInfo(config, tokens.access_token, claims.sub)), ...claims }
    })
  }

  #discover(): Promise<client.Configuration> {
    const now = this.#clock.now()
    if (this.#found !== null && now < this.#found.until) return this.#found.config
    const found = { config: this.#ask(), until: now + FRESH }
    this.#found = found
    found.config.catch(() => {
      if (this.#found === found) this.#found = null
    })
    return found.config
  }

  async #ask(): Promise<client.Configuration> {
    const { issuer, clientId, clientSecret } = this.settings
    const isPlain = issuer.protocol === 'http:'
    const config = await client.discovery(
      issuer,
      clientId,
      { [client.clockTolerance]: TOLERANCE },
      clientSecret === null ? client.None() : secretAuth(clientSecret),
      { [client.customFetch]: this.#fetch, execute: isPlain ? [client.allowInsecureRequests] : [] },
    )
    client.enableNonRepudiationChecks(config)
    return config
  }

  async #explained<T>(isAnswer: boolean, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw explain(error as LibraryError, this.settings.title, isAnswer)
    }
  }
}

/** By Basic, the default of OpenID Connect Core §9, unless the provider says that it takes the form only. */
function secretAuth(secret: string): client.ClientAuth {
  const [basic, post] = [client.ClientSecretBasic(secret), client.ClientSecretPost(secret)]
  return (server, ...rest) => {
    const methods = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
    const isPost = methods.includes('client_secret_post') && !methods.includes('client_secret_basic')
    return isPost ? post(server, ...rest) : basic(server, ...rest)
  }
}

/** The library's errors carry requests and tokens along: only codes and its own words are kept. */
class ProviderFailure extends Error {}

interface LibraryError extends Error {
  readonly code?: string
  /** As the provider calls it. */
  readonly error?: unknown
}

const UNAVAILABLE = /^(server_error|temporarily_unavailable)$/
/** Parameters that do not fit, and an ID token that is not for this sign-in or not the provider's. */
const FOREIGN = /^OAUTH_(INVALID_RESPONSE|JWT_CLAIM_COMPARISON_FAILED)$/

function explain(failure: LibraryError, title: string, isAnswer: boolean): RegistryError {
  const { code = '', message, error } = failure
  const reason = failure.cause instanceof Error ? (failure.cause as LibraryError) : null
  const said = typeof error === 'string' ? error.replace(/[^\x20-\x7e]/g, '?').slice(0, 100) : ''
  const words = [title, code, message, reason?.message, said].filter((word) => word !== undefined && word !== '')
  const cause = new ProviderFailure(words.join(': '))
  if (failure instanceof client.AuthorizationResponseError && !UNAVAILABLE.test(said)) {
    return new Forbidden(`${title} did not let you in: ${said}`, 'user')
  }
  if (said === 'invalid_grant' || (isAnswer && FOREIGN.test(code))) {
    return new Invalid(`the answer of ${title} does not belong to this sign-in; begin again`, 'token', cause)
  }
  const isSlow = /timeout|abort/i.test([code, reason?.name, reason?.code].join())
  const what = isSlow ? 'does not answer' : 'cannot be used now'
  return new UpstreamUnavailable(`${title} ${what}; try again in a while`, { status: isSlow ? 504 : 502, cause })
}
