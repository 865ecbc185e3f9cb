import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import type { LightMyRequestResponse } from 'fastify'
import type { TestApp } from '../../support/test-app.ts'

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
type Headers = Record<string, string>

/** `sha256:<hex>` of the bytes, or that of another algorithm. */
export function digestOf(bytes: Buffer | string, algorithm: 'sha256' | 'sha512' = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

/** Pushes blobs to one repository in somebody's name. Bytes go with their length and no type, if not said otherwise. */
export class Pusher {
  readonly app: TestApp
  /** `<owner>/<image>`. */
  readonly repository: string
  readonly authorization: string

  constructor(app: TestApp, repository: string, authorization: string) {
    this.app = app
    this.repository = repository
    this.authorization = authorization
  }

  send(method: Method, url: string, headers: Headers = {}, payload?: Buffer | string): Promise<LightMyRequestResponse> {
    return this.app.inject({
      method,
      url,
      headers: { authorization: this.authorization, ...headers },
      ...(payload === undefined ? {} : { payload }),
    })
  }

  /** Of a blob, by its digest. */
  urlOf(digest: string): string {
    return `/v2/${this.repository}/blobs/${digest}`
  }

  post(query = '', headers: Headers = {}, payload?: Buffer | string): Promise<LightMyRequestResponse> {
    return this.send('POST', `/v2/${this.repository}/blobs/uploads/${query}`, headers, payload)
  }

  /** The location of a new upload. */
  async open(): Promise<string> {
    const response = await this.post('', { 'content-length': '0' })
    if (response.statusCode !== 202) throw new Error(`expected 202, got ${response.statusCode}: ${response.body}`)
    return response.headers.location as string
  }

  /** Bytes of an upload; those of a chunk begin at `start`. */
  patch(location: string, bytes: Buffer | string, start?: number, headers: Headers = {}) {
    return this.send('PATCH', location, { ...rangeOf(bytes, start), ...headers }, bytes)
  }

  put(location: string, digest: string, bytes?: Buffer | string, start?: number, headers: Headers = {}) {
    const query = `?digest=${encodeURIComponent(digest)}`
    return this.send('PUT', `${location}${query}`, { ...rangeOf(bytes ?? '', start), ...headers }, bytes)
  }

  /** How far an upload is, as its Range says; null: there is no such upload. */
  async progress(location: string): Promise<string | null> {
    const response = await this.send('GET', location)
    return response.statusCode === 204 ? (response.headers.range as string) : null
  }

  /** The digest of the bytes, which are a blob of the repository now. */
  async push(bytes: Buffer | string): Promise<string> {
    const digest = digestOf(bytes)
    const response = await this.post(`?digest=${digest}`, {}, bytes)
    if (response.statusCode !== 201) throw new Error(`expected 201, got ${response.statusCode}: ${response.body}`)
    return digest
  }

  /** Pushes an image of these layers under a tag; tells the digest of its manifest. */
  async pushImage(tag: string, layers: readonly { digest: string; size: number; mediaType?: string }[]) {
    const config = '{}'
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: {
        mediaType: 'application/vnd.oci.empty.v1+json',
        digest: await this.push(config),
        size: config.length,
      },
      layers: layers.map((layer) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...layer })),
    })
    const url = `/v2/${this.repository}/manifests/${tag}`
    const type = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
    const response = await this.send('PUT', url, type, manifest)
    if (response.statusCode !== 201) throw new Error(`expected 201, got ${response.statusCode}: ${response.body}`)
    return digestOf(manifest)
  }

  /** A request on a socket of its own, whose body the test writes; nothing is added to the headers. */
  async begin(method: Method, location: string, headers: Headers = {}): Promise<ClientRequest> {
    const url = new URL(location, await this.app.listen())
    const request = httpRequest(url, { method, headers: { authorization: this.authorization, ...headers } })
    request.on('error', () => {})
    request.flushHeaders()
    return request
  }
}

/** The answer to a request that was begun. */
export async function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
  return response
}

function rangeOf(bytes: Buffer | string, start?: number): Headers {
  return start === undefined ? {} : { 'content-range': `${start}-${start + bytes.length - 1}` }
}
