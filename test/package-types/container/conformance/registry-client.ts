import { request } from 'node:http'

/** What a registry answered. */
export interface Answer {
  readonly status: number
  /** The first line of that name, as Go's `Header.Get` reads it; null without one. */
  header(name: string): string | null
  /** All lines of that name. */
  headers(name: string): string[]
  readonly body: Buffer
  /** Where the next request of an upload goes, or where the content is; fails without a Location. */
  readonly location: string
}

/** What goes along with a request. */
export interface Sent {
  headers?: Record<string, string>
  body?: Buffer
  /** Added to whatever query the address has already. */
  query?: Record<string, string | readonly string[]>
}

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/**
 * Speaks HTTP to a registry as the conformance suites do: without credentials first; then it obeys the first
 * `WWW-Authenticate` line, signs in at its realm with Basic credentials and asks again with what it was given there.
 */
export class RegistryClient {
  readonly base: string
  readonly #basic: string
  /** By repository and direction; null: every request signs in anew, as suite 1.1.1 does it. */
  readonly #tokens: Map<string, string> | null

  constructor(base: string, basic: string, options: { keepsTokens: boolean }) {
    this.base = base
    this.#basic = basic
    this.#tokens = options.keepsTokens ? new Map() : null
  }

  /** `address` is a path, or a Location in any form. */
  async send(method: Method, address: string, sent: Sent = {}): Promise<Answer> {
    const url = new URL(address, this.base)
    for (const [name, values] of Object.entries(sent.query ?? {})) {
      for (const value of [values].flat()) url.searchParams.append(name, value)
    }
    const key = tokenKey(method, url)
    const held = this.#tokens?.get(key)
    const answer = await exchange(method, url, sent, held)
    if (answer.status !== 401) return answer
    const authorization = await this.#signIn(answer)
    this.#tokens?.set(key, authorization)
    return exchange(method, url, sent, authorization)
  }

  async #signIn(refused: Answer): Promise<string> {
    const challenge = readChallenge(refused.header('www-authenticate') ?? '')
    if (challenge.scheme === 'basic') return this.#basic
    if (challenge.scheme !== 'bearer')
      throw new Error(`no scheme in ${refused.headers('www-authenticate').join(' | ')}`)
    // The realm names the configured base URL, which a test server does not listen on.
    const url = new URL(new URL(challenge.realm).pathname, this.base)
    url.searchParams.set('service', challenge.service)
    if (challenge.scope !== '') url.searchParams.set('scope', challenge.scope)
    const answer = await exchange('GET', url, { headers: { accept: 'application/json' } }, this.#basic)
    if (answer.status !== 200) throw new Error(`the realm answered ${answer.status}: ${answer.body}`)
    const { access_token, token } = JSON.parse(answer.body.toString()) as { access_token?: string; token?: string }
    return `Bearer ${access_token ?? token}`
  }
}

/** What both suites read out of one line: the last of the two words in it, and quoted parameters only. */
export function readChallenge(line: string): { scheme: string; realm: string; service: string; scope: string } {
  const scheme = /.*(bearer|basic).*/i.exec(line)?.[1]?.toLowerCase() ?? ''
  const parameters = new Map<string, string>()
  for (const [, name, value] of line.matchAll(/([a-z]+)="(.+?)"/gi)) parameters.set(name!.toLowerCase(), value!)
  const parameter = (name: string) => parameters.get(name) ?? ''
  return { scheme, realm: parameter('realm'), service: parameter('service'), scope: parameter('scope') }
}

function tokenKey(method: Method, url: URL): string {
  const repository = /^\/v2\/(.+)\/(?:blobs|manifests|tags|referrers)\//.exec(url.pathname)?.[1] ?? ''
  const direction = method === 'GET' || method === 'HEAD' ? 'pull' : method === 'DELETE' ? 'delete' : 'push'
  return `${repository} ${direction}`
}

/** Headers and bytes exactly as given: `fetch` would add a type, join header lines and follow what it likes. */
function exchange(method: Method, url: URL, sent: Sent, authorization: string | undefined): Promise<Answer> {
  const bodyless = sent.body === undefined && method !== 'GET' && method !== 'HEAD'
  const headers = {
    ...(bodyless ? { 'content-length': '0' } : {}),
    ...(authorization === undefined ? {} : { authorization }),
    'accept-encoding': 'gzip',
    ...sent.headers,
  }
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const lines = (name: string) =>
          response.rawHeaders.filter((_, i, all) => i % 2 === 1 && all[i - 1]!.toLowerCase() === name)
        resolve({
          status: response.statusCode!,
          header: (name) => lines(name)[0] ?? null,
          headers: lines,
          body: Buffer.concat(chunks),
          get location() {
            const location = lines('location')[0]
            if (location === undefined || location === '') throw new Error(`${method} ${url}: no Location`)
            return new URL(location, url).href
          },
        })
      })
    })
    outgoing.on('error', reject)
    outgoing.end(sent.body)
  })
}
