import { createHash } from 'node:crypto'

/** A client that can be watched closer than the real ones: it asks for a token when it must, as they do. */
export class RegistryClient {
  readonly #url: string
  #token: string | null = null

  /** `url` without a slash at its end. */
  constructor(url: string) {
    this.#url = url
  }

  /** Asks for a path below `/v2/`; with a new token if that is what the answer wants. */
  async ask(path: string, options: RequestInit = {}): Promise<Response> {
    const response = await this.#ask(path, options)
    const challenge = response.headers.get('www-authenticate')
    if (response.status !== 401 || challenge === null) return response
    await response.body?.cancel()
    this.#token = await this.#askToken(challenge)
    return this.#ask(path, options)
  }

  /** A manifest of a repository, parsed. Throws unless the answer is 200. */
  async manifest(repository: string, reference: string): Promise<Manifest> {
    const response = await this.ask(`${repository}/manifests/${reference}`)
    if (!response.ok) throw new Error(`${reference}: ${response.status} ${await response.text()}`)
    return (await response.json()) as Manifest
  }

  /** Downloads a blob; resolves to its digest. `onBytes` hears of all bytes so far. Throws when it breaks off. */
  async blob(
    repository: string,
    digest: string,
    onBytes: (received: number) => void = () => undefined,
  ): Promise<string> {
    const response = await this.ask(`${repository}/blobs/${digest}`)
    if (!response.ok) throw new Error(`${digest}: ${response.status} ${await response.text()}`)
    const hash = createHash('sha256')
    let received = 0
    for await (const chunk of response.body!) {
      hash.update(chunk)
      received += chunk.length
      onBytes(received)
    }
    return `sha256:${hash.digest('hex')}`
  }

  #ask(path: string, options: RequestInit): Promise<Response> {
    const headers = new Headers(options.headers)
    if (this.#token !== null) headers.set('authorization', `Bearer ${this.#token}`)
    return fetch(`${this.#url}/v2/${path}`, { ...options, headers, redirect: 'error' })
  }

  async #askToken(challenge: string): Promise<string> {
    const parameters = Object.fromEntries(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
    )
    const { realm = '', service = '', scope = '' } = parameters as Record<string, string>
    const response = await fetch(`${realm}?${new URLSearchParams({ service, scope })}`)
    if (!response.ok) throw new Error(`token: ${response.status} ${await response.text()}`)
    return ((await response.json()) as { token: string }).token
  }
}

/** An image's manifest, or an index. */
export interface Manifest {
  readonly manifests?: readonly { readonly digest: string }[]
  readonly config?: { readonly digest: string }
  readonly layers?: readonly { readonly digest: string }[]
}
