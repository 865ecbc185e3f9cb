import { TestApp } from '../../../support/test-app.ts'
import { type Content, digestOf, type Manifest, mediaType } from './content.ts'
import { type Answer, RegistryClient, type Sent } from './registry-client.ts'

const octets = { 'content-type': mediaType.octets }

/** One repository, addressed as the OCI distribution-spec does it. */
export class Repository {
  readonly client: RegistryClient
  readonly name: string

  constructor(client: RegistryClient, name: string) {
    this.client = client
    this.name = name
  }

  path(rest: string): string {
    return `/v2/${this.name}/${rest}`
  }

  get(rest: string, sent: Sent = {}): Promise<Answer> {
    return this.client.send('GET', this.path(rest), sent)
  }

  head(rest: string, sent: Sent = {}): Promise<Answer> {
    return this.client.send('HEAD', this.path(rest), sent)
  }

  delete(rest: string): Promise<Answer> {
    return this.client.send('DELETE', this.path(rest))
  }

  startUpload(query: Record<string, string> = {}): Promise<Answer> {
    return this.client.send('POST', this.path('blobs/uploads/'), { query })
  }

  /** All bytes in the request that would start an upload. */
  postBlob(bytes: Buffer, digest: string): Promise<Answer> {
    return this.client.send('POST', this.path('blobs/uploads/'), { query: { digest }, headers: octets, body: bytes })
  }

  /** A chunk with its place; without `start`, a stream. */
  patch(location: string, bytes: Buffer, start: number | null = null): Promise<Answer> {
    return this.client.send('PATCH', location, { headers: { ...octets, ...range(bytes, start) }, body: bytes })
  }

  /** Ends an upload, with what is still missing. */
  finish(location: string, digest: string, bytes?: Buffer, start: number | null = null): Promise<Answer> {
    if (bytes === undefined) return this.client.send('PUT', location, { headers: octets, query: { digest } })
    const headers = { ...octets, ...range(bytes, start) }
    return this.client.send('PUT', location, { headers, query: { digest }, body: bytes })
  }

  /** Answer of the PUT that ends it. */
  async pushBlob(bytes: Buffer, digest = digestOf(bytes)): Promise<Answer> {
    return this.finish((await this.startUpload()).location, digest, bytes)
  }

  putManifest(reference: string, bytes: Buffer, type: string, tags: readonly string[] = []): Promise<Answer> {
    return this.client.send('PUT', this.path(`manifests/${reference}`), {
      headers: { 'content-type': type },
      query: tags.length === 0 ? {} : { tag: tags },
      body: bytes,
    })
  }

  putByDigest({ descriptor, bytes }: Manifest, tags: readonly string[] = []): Promise<Answer> {
    return this.putManifest(descriptor.digest, bytes, descriptor.mediaType, tags)
  }

  /** Pushes all blobs, all manifests by digest, then the tags; tells the answers to the manifests. */
  async push(content: Content): Promise<Answer[]> {
    for (const [digest, bytes] of content.blobs) expectStatus(201, await this.pushBlob(bytes, digest))
    const answers: Answer[] = []
    for (const manifest of content.manifests) answers.push(await this.putByDigest(manifest))
    for (const [tag, { bytes, descriptor }] of content.tags) {
      answers.push(await this.putManifest(tag, bytes, descriptor.mediaType))
    }
    for (const answer of answers) expectStatus(201, answer)
    return answers
  }

  async tags(query: Record<string, string> = {}): Promise<string[]> {
    const answer = await this.get('tags/list', { query })
    expectStatus(200, answer)
    return (JSON.parse(answer.body.toString()) as { tags: string[] }).tags
  }
}

/** A listening server with an organization that belongs to the one who pushes. */
export async function startRegistry(options: {
  visibility: 'public' | 'private'
  keepsTokens: boolean
}): Promise<{ server: TestApp; client: RegistryClient }> {
  const server = await TestApp.start()
  const pusher = await server.createUser('pusher')
  await server.createOrganization('acme', pusher, options.visibility)
  return { server, client: new RegistryClient(await server.listen(), pusher, options) }
}

function range(bytes: Buffer, start: number | null): Record<string, string> {
  return start === null ? {} : { 'content-range': `${start}-${start + bytes.length - 1}` }
}

function expectStatus(status: number, answer: Answer): void {
  if (answer.status !== status) throw new Error(`expected ${status}, got ${answer.status}: ${answer.body}`)
}
