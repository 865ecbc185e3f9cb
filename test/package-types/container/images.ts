import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { expect } from 'vitest'
import { buildImage, type Content, type ImageInput, type Manifest } from '../../support/builders/image.ts'
import type { TestApp } from '../../support/test-app.ts'

type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
type Headers = Record<string, string>

/** One repository on a test server, asked as somebody. */
export class Images {
  readonly server: TestApp
  readonly authorization: string | null
  /** With its owner. */
  readonly repository: string

  constructor(server: TestApp, repository: string, authorization: string | null) {
    this.server = server
    this.repository = repository
    this.authorization = authorization
  }

  /** The same repository, asked by somebody else; null: anonymously. */
  as(authorization: string | null): Images {
    return new Images(this.server, this.repository, authorization)
  }

  request(
    method: Method,
    path: string,
    headers: Headers = {},
    payload?: InjectOptions['payload'],
  ): Promise<LightMyRequestResponse> {
    return this.server.inject({
      method,
      url: `/v2/${this.repository}/${path}`,
      headers: { ...(this.authorization === null ? {} : { authorization: this.authorization }), ...headers },
      ...(payload === undefined ? {} : { payload }),
    })
  }

  get(path: string, headers: Headers = {}): Promise<LightMyRequestResponse> {
    return this.request('GET', path, headers)
  }

  manifest(reference: string, headers: Headers = {}): Promise<LightMyRequestResponse> {
    return this.get(`manifests/${reference}`, headers)
  }

  delete(reference: string): Promise<LightMyRequestResponse> {
    return this.request('DELETE', `manifests/${reference}`)
  }

  /** Uploads blobs that are not there yet. */
  async upload(blobs: readonly Content[]): Promise<void> {
    for (const { bytes, digest } of blobs) {
      const headers = { 'content-type': 'application/octet-stream' }
      const response = await this.request('POST', `blobs/uploads/?digest=${digest}`, headers, bytes)
      expect(response.statusCode, response.body).toBe(201)
    }
  }

  /** PUTs a manifest alone. */
  put(reference: string, { bytes, mediaType }: Content, headers: Headers = {}): Promise<LightMyRequestResponse> {
    return this.request('PUT', `manifests/${reference}`, { 'content-type': mediaType, ...headers }, bytes)
  }

  /** Uploads the blobs and PUTs the manifest, which must be accepted. */
  async push(reference: string, manifest: Manifest): Promise<LightMyRequestResponse> {
    await this.upload(manifest.blobs)
    const response = await this.put(reference, manifest)
    expect(response.statusCode, response.body).toBe(201)
    return response
  }

  /** Pushes an image that is told apart by its text. */
  async pushImage(reference: string, text: string, input: ImageInput = {}): Promise<Manifest> {
    const image = buildImage({ layers: [text], ...input })
    await this.push(reference, image)
    return image
  }

  async tags(query = ''): Promise<string[]> {
    const response = await this.get(`tags/list${query}`)
    expect(response.statusCode, response.body).toBe(200)
    return (response.json() as { tags: string[] }).tags
  }
}

/** Code of an error in the form of the distribution-spec. */
export function codeOf(response: LightMyRequestResponse): string | undefined {
  return (response.json() as { errors?: { code: string }[] }).errors?.[0]?.code
}

/** Status and code of an error. */
export function failure(response: LightMyRequestResponse): [status: number, code: string | undefined] {
  return [response.statusCode, codeOf(response)]
}
