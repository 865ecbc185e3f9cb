import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BodyFaults, forward, SignedAddresses } from './hub-cdn.ts'
import { type HubKind, type HubRequest, kindOf, record } from './hub-requests.ts'
import { HubTokens } from './hub-tokens.ts'

const SERVICE = 'registry.example'
const LIMIT = 100_000

/** What goes wrong; all of it can be changed at any time. */
export interface HubFaults extends BodyFaults {
  /** Every request to any of the three servers ends in a cut connection. */
  down: boolean
  /** Status of every answer to a GET of a manifest, such as 429. */
  manifestGets: number | null
  /** Status of every answer of the registry, such as 503. */
  registry: number | null
  /** Status of every answer of the token server, such as 401 or 403. */
  login: number | null
  /** ms before every answer. */
  delay: number
}

const healthy: HubFaults = {
  down: false,
  manifestGets: null,
  registry: null,
  login: null,
  delay: 0,
  holdBlobs: null,
  cutBlobsAt: null,
}

/**
 * Makes a plain registry behave like Docker Hub (container.md §12): tokens from a second server, blobs from a third
 * one at signed addresses that refuse `Authorization` and HEAD, limits on manifests. It counts all that it is asked.
 */
export class HubFront {
  readonly requests: HubRequest[] = []
  readonly tokens = new HubTokens()
  readonly faults: HubFaults = { ...healthy }
  readonly #backend: string
  readonly #addresses = new SignedAddresses()
  readonly #registry = this.#createServer((...exchange) => this.#answerRegistry(...exchange))
  readonly #realm = this.#createServer((...exchange) => this.#answerToken(...exchange))
  readonly #cdn = this.#createServer((...exchange) => this.#answerCdn(...exchange))
  #remaining = LIMIT

  private constructor(backend: string) {
    this.#backend = backend
  }

  /** Stands in front of the registry at a URL without a slash at its end. */
  static async start(backend: string): Promise<HubFront> {
    const front = new HubFront(backend)
    for (const server of [front.#registry, front.#realm, front.#cdn]) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
    }
    return front
  }

  /** `127.0.0.1:PORT` of the registry. */
  get host(): string {
    return hostOf(this.#registry)
  }

  /** `127.0.0.1:PORT` of the token server. */
  get realmHost(): string {
    return hostOf(this.#realm)
  }

  /** `127.0.0.1:PORT` of the CDN. */
  get cdnHost(): string {
    return hostOf(this.#cdn)
  }

  /** The requests of a kind, oldest first; `part` must be in their path. */
  asked(kind: HubKind, method?: string, part = ''): HubRequest[] {
    return this.requests.filter(
      (r) => r.kind === kind && (method === undefined || r.method === method) && r.path.includes(part),
    )
  }

  count(kind: HubKind, method?: string, part = ''): number {
    return this.asked(kind, method, part).length
  }

  /** Forgets the requests so far. */
  forget(): void {
    this.requests.length = 0
  }

  /** Ends all faults. */
  heal(): void {
    Object.assign(this.faults, healthy)
  }

  async close(): Promise<void> {
    for (const server of [this.#registry, this.#realm, this.#cdn]) {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    }
  }

  #createServer(answer: (incoming: IncomingMessage, response: ServerResponse, url: URL) => Promise<void>): Server {
    return createServer((incoming, response) => {
      response.on('error', () => undefined)
      const respond = async (): Promise<void> => {
        if (this.faults.delay > 0) await sleep(this.faults.delay)
        if (this.faults.down) response.socket?.resetAndDestroy()
        else await answer(incoming, response, new URL(incoming.url ?? '/', 'http://front'))
      }
      respond().catch(() => response.destroy())
    })
  }

  async #answerRegistry(incoming: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const path = decodeURIComponent(url.pathname)
    const [, repository = null, type, reference] =
      /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(path) ?? []
    const kind = kindOf(path, type)
    this.requests.push(record(kind, incoming, response, url))
    response.setHeader('docker-distribution-api-version', 'registry/2.0')
    if (this.faults.registry !== null) return refuse(response, this.faults.registry, 'UNAVAILABLE')
    const verdict = this.tokens.check(incoming.headers.authorization, repository)
    if (verdict !== 'ok') return this.#challenge(response, repository, verdict)
    if (incoming.method !== 'GET' && incoming.method !== 'HEAD') return refuse(response, 405, 'UNSUPPORTED')
    if (kind === 'manifest') {
      if (incoming.method === 'GET') this.#remaining--
      response.setHeader('ratelimit-limit', `${LIMIT};w=21600`)
      response.setHeader('ratelimit-remaining', `${this.#remaining};w=21600`)
      response.setHeader('docker-ratelimit-source', '127.0.0.1')
      if (incoming.method === 'GET' && this.faults.manifestGets !== null) {
        return refuse(response, this.faults.manifestGets, 'TOOMANYREQUESTS')
      }
    }
    if (kind === 'blob' && incoming.method === 'GET') {
      const found = await fetch(`${this.#backend}/v2/${repository}/blobs/${reference}`, { method: 'HEAD' })
      if (!found.ok) return refuse(response, found.status, 'BLOB_UNKNOWN')
      const location = `http://${this.cdnHost}${this.#addresses.sign(`${repository}/${reference}`)}`
      response.writeHead(307, { location, 'content-length': 0 }).end()
      return
    }
    forward(incoming, response, this.#backend + url.pathname + url.search)
  }

  #challenge(response: ServerResponse, repository: string | null, verdict: string): void {
    const parameters = [`realm="http://${this.realmHost}/token"`, `service="${SERVICE}"`]
    if (repository !== null) parameters.push(`scope="repository:${repository}:pull"`)
    if (verdict === 'expired') parameters.push('error="invalid_token"')
    if (verdict === 'insufficient') parameters.push('error="insufficient_scope"')
    response.setHeader('www-authenticate', `Bearer ${parameters.join(',')}`)
    refuse(response, 401, 'UNAUTHORIZED')
  }

  async #answerToken(incoming: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    this.requests.push(record('token', incoming, response, url))
    if (this.faults.login !== null) return refuse(response, this.faults.login, 'DENIED')
    if (incoming.method !== 'GET' || url.pathname !== '/token') return refuse(response, 404, 'UNSUPPORTED')
    if (url.searchParams.get('service') !== SERVICE) return refuse(response, 400, 'UNSUPPORTED')
    const token = this.tokens.give(url.searchParams, incoming.headers.authorization)
    if (token === null) return refuse(response, 401, 'UNAUTHORIZED')
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(token))
  }

  async #answerCdn(incoming: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    this.requests.push(record('cdn', incoming, response, url))
    if (incoming.headers.authorization !== undefined) return refuse(response, 400, 'InvalidArgument')
    if (incoming.method !== 'GET') return refuse(response, 403, 'SignatureDoesNotMatch')
    const target = this.#addresses.open(url)
    if (target === null) return refuse(response, 403, 'AccessDenied')
    forward(incoming, response, `${this.#backend}/v2/${target.replace(/\/([^/]+)$/, '/blobs/$1')}`, this.faults)
  }
}

function hostOf(server: Server): string {
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

function refuse(response: ServerResponse, status: number, code: string): void {
  const body = JSON.stringify({ errors: [{ code, message: 'the test says so' }] })
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length }).end(body)
}
