import type { LightMyRequestResponse } from 'fastify'
import type { TestApp } from '../support/test-app.ts'

/** An answer as the browser shows it. */
export interface Shown {
  readonly status: number
  readonly url: string
  readonly headers: Headers
  readonly body: string
}

/**
 * A person's browser: it keeps cookies by host and path and follows redirects. What is below `baseUrl` goes to
 * `app`, which may be changed between two requests; the rest, and with null all, is fetched.
 */
export class Browser {
  app: TestApp | null
  address = '127.0.0.1'
  readonly #baseUrl: string
  readonly #cookies = new Map<string, { value: string; path: string; host: string }>()

  constructor(app: TestApp | null, baseUrl: string) {
    this.app = app
    this.#baseUrl = baseUrl
  }

  /** Goes to a URL and wherever it leads, or until `stop` says that the next place is not to be visited. */
  async open(url: string, stop: (next: string) => boolean = () => false): Promise<Shown> {
    let shown = await this.request('GET', url)
    for (let hops = 0; hops < 20 && shown.status >= 300 && shown.status < 400; hops += 1) {
      const next = new URL(shown.headers.get('location')!, shown.url).href
      if (stop(next)) return { ...shown, url: next }
      shown = await this.request('GET', next)
    }
    return shown
  }

  /** Sends a form as a page of this site would, unless `headers` say otherwise. */
  submit(
    url: string,
    fields: Record<string, string>,
    headers: Record<string, string> = { origin: new URL(this.#baseUrl).origin },
  ): Promise<Shown> {
    const type = { 'content-type': 'application/x-www-form-urlencoded' }
    return this.request('POST', url, { ...type, ...headers }, new URLSearchParams(fields).toString())
  }

  async request(
    method: 'GET' | 'POST' | 'HEAD',
    url: string,
    headers: Record<string, string> = {},
    body?: string,
  ): Promise<Shown> {
    const at = new URL(url)
    const cookie = this.#cookieHeader(at)
    const all = { ...headers, ...(cookie === '' ? {} : { cookie }) }
    const app = at.href.startsWith(this.#baseUrl) ? this.app : null
    const response = app
      ? await this.#inject(app, method, at, all, body)
      : await fetch(at, { method, headers: all, redirect: 'manual', ...(body !== undefined && { body }) })
    for (const line of response.headers.getSetCookie()) this.#keep(at, line)
    return { status: response.status, url: at.href, headers: response.headers, body: await response.text() }
  }

  /** Forgets every cookie, as another browser would have none. */
  forget(): void {
    this.#cookies.clear()
  }

  /** The value of a cookie of this site; undefined: none. */
  cookie(name: string): string | undefined {
    return [...this.#cookies].find(([key]) => key.endsWith(` ${name}`))?.[1].value
  }

  async #inject(
    app: TestApp,
    method: 'GET' | 'POST' | 'HEAD',
    at: URL,
    headers: Record<string, string>,
    payload?: string,
  ): Promise<Response> {
    const url = `${at.pathname}${at.search}`
    const options = { method, url, headers, remoteAddress: this.address }
    const answer: LightMyRequestResponse = await app.inject(payload === undefined ? options : { ...options, payload })
    const pairs = Object.entries(answer.headers).flatMap(([name, value]) =>
      [value].flat().map((one): [string, string] => [name, String(one)]),
    )
    const hasBody = ![204, 304].includes(answer.statusCode)
    return new Response(hasBody ? answer.body : null, { status: answer.statusCode, headers: pairs })
  }

  #cookieHeader({ host, pathname }: URL): string {
    return [...this.#cookies]
      .filter(([, cookie]) => cookie.host === host && pathname.startsWith(cookie.path))
      .map(([key, { value }]) => `${key.split(' ').at(-1)}=${value}`)
      .join('; ')
  }

  #keep({ host }: URL, line: string): void {
    const [pair = '', ...attributes] = line.split(';').map((part) => part.trim())
    const [name = '', value = ''] = pair.split(/=(.*)/s)
    const path = attributes.find((one) => /^path=/i.test(one))?.slice(5) ?? '/'
    const isGone = value === '' || attributes.some((one) => /^max-age=0$/i.test(one))
    const key = `${host}${path} ${name}`
    if (isGone) this.#cookies.delete(key)
    else this.#cookies.set(key, { value, path, host })
  }
}
