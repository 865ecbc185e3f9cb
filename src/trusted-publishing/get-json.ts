import { Agent, request } from 'undici'
import type { AddressGuard } from '../outbound/address-guard.ts'
import { oneByOne } from '../outbound/one-by-one.ts'
import type { IssuerUrls } from './issuer-url.ts'

/** ms for everything, from the look-up of the name to the end of the answer. */
const TIMEOUT = 5_000
/** Bytes of a body. */
const LARGEST = 1024 * 1024

/**
 * Reads small JSON documents of issuers. Redirects are not followed, nothing that identifies this server is sent, and
 * addresses are checked when the socket connects (security.md S39, S40).
 */
export class JsonGetter {
  readonly #urls: IssuerUrls
  readonly #agent: Agent

  constructor(urls: IssuerUrls, guard: AddressGuard) {
    this.#urls = urls
    this.#agent = new Agent({
      allowH2: false,
      pipelining: 1,
      connections: 2,
      keepAliveTimeout: 4_000,
      maxResponseSize: LARGEST,
      connect: { timeout: TIMEOUT, lookup: oneByOne(guard.lookup) as never },
    })
  }

  /** The document as parsed. Throws for anything but 200 with JSON of at most 1 MiB within five seconds. */
  async get(url: URL): Promise<unknown> {
    this.#urls.check(url)
    const signal = AbortSignal.timeout(TIMEOUT)
    const headers = { accept: 'application/json' }
    const { statusCode, body } = await request(url, { dispatcher: this.#agent, headers, signal })
    if (statusCode !== 200) {
      // A body that is given up fails, and nobody else listens.
      body.on('error', () => {}).destroy()
      throw new Error(`${url.href} answered ${statusCode}`)
    }
    return body.json()
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}
