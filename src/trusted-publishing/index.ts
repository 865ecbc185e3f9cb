import type { Config } from '../config/config.ts'
import { Forbidden } from '../errors.ts'
import { AddressGuard } from '../outbound/address-guard.ts'
import { parseAllowedHosts } from '../webhooks/allowed-hosts.ts'
import { Exchange, type ExchangedToken, type ExchangeParts } from './exchange.ts'
import { JsonGetter } from './get-json.ts'
import { IdTokens } from './id-tokens.ts'
import { IssuerKeys } from './issuer-keys.ts'
import { IssuerUrls } from './issuer-url.ts'
import { Publishers } from './publishers.ts'

/** What a job sends; see ExchangeRequest. */
export interface JobRequest {
  readonly idToken: string
  readonly owner?: string | undefined
  readonly address: string
}

/** CI without stored secrets: jobs of issuers whom an owner trusts get tokens that soon end. */
export class TrustedPublishing {
  readonly publishers: Publishers
  readonly #config: Config
  readonly #getter: JsonGetter
  readonly #exchange: Exchange

  /** Throws ConfigError. */
  constructor(parts: ExchangeParts & { config: Config; onError: (error: unknown, message: string) => void }) {
    const { config, clock, onError } = parts
    const allows = parseAllowedHosts(config.trustedPublishing.allowedHosts, 'trustedPublishing.allowedHosts')
    const guard = new AddressGuard(allows)
    const urls = new IssuerUrls(guard, allows)
    this.#config = config
    this.#getter = new JsonGetter(urls, guard)
    const keys = new IssuerKeys({ get: (url) => this.#getter.get(url), clock, onError })
    this.publishers = new Publishers({ ...parts, urls })
    this.#exchange = new Exchange({ ...parts, idTokens: new IdTokens({ keys, clock }) })
  }

  /** Throws Forbidden where it is switched off. */
  requireOpen(): void {
    if (!this.#config.trustedPublishing.enabled) throw new Forbidden('trusted publishing is disabled here', 'token')
  }

  /** A token for an id-token whose audience is this installation's base URL. Throws what `Exchange.exchange` does. */
  async exchange({ idToken, owner, address }: JobRequest): Promise<ExchangedToken> {
    this.requireOpen()
    const audiences = [this.#config.baseUrl]
    return this.#exchange.exchange({ idToken, audiences, owner: owner ?? null, package: null, address })
  }

  /**
   * The same as npm asks for it: for a package, whose owner it does not name, and with an audience of its own,
   * `npm:<host>` (npm 11, lib/utils/oidc.js).
   */
  async exchangeForNpm(idToken: string, name: string, address: string): Promise<ExchangedToken> {
    this.requireOpen()
    const { baseUrl } = this.#config
    const audiences = [baseUrl, `npm:${new URL(baseUrl).hostname}`]
    return this.#exchange.exchange({ idToken, audiences, owner: null, package: { type: 'npm', name }, address })
  }

  /** Deletes what is known of id-tokens that have ended; returns how many. */
  async forgetEnded(): Promise<number> {
    return this.#exchange.forgetEnded()
  }

  async close(): Promise<void> {
    await this.#getter.close()
  }
}
