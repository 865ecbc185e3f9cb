import { Unprocessable } from '../errors.ts'
import { type AddressGuard, AddressRefused } from '../outbound/address-guard.ts'
import type { AllowsPrivate } from '../webhooks/allowed-hosts.ts'

/** Characters of an issuer. */
const LONGEST = 255

/** Decides which URLs of issuers may be contacted: https alone, but for the hosts that the operator has named. */
export class IssuerUrls {
  readonly #guard: AddressGuard
  readonly #allows: AllowsPrivate

  constructor(guard: AddressGuard, allows: AllowsPrivate) {
    this.#guard = guard
    this.#allows = allows
  }

  /** Throws Unprocessable for what no issuer can be called: it is compared as text, so only its normal form will do. */
  checkIssuer(issuer: string): void {
    const url = issuer.length <= LONGEST && URL.canParse(issuer) ? new URL(issuer) : null
    if (url === null || (url.href !== issuer && url.href !== `${issuer}/`) || /[?#]/.test(issuer)) {
      throw new Unprocessable('[Issuer]: must be an https URL, as in the claim iss of its tokens')
    }
    try {
      this.check(url)
    } catch (error) {
      throw new Unprocessable(`[Issuer]: ${(error as Error).message}`)
    }
  }

  /** Throws AddressRefused for a URL that must not be contacted; names are looked up, and looked at, when they are. */
  check(url: URL): void {
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const isOpen = url.protocol === 'https:' || (url.protocol === 'http:' && this.#allows(host, host))
    if (!isOpen) throw new AddressRefused('only https may be used')
    if (url.username !== '' || url.password !== '') throw new AddressRefused('credentials in a URL are not sent')
    this.#guard.checkUrl(url)
  }
}

/** Where an issuer describes itself (OpenID Connect Discovery 1.0 §4). */
export function discoveryUrl(issuer: string): URL {
  return new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
}
