import { createHash } from 'node:crypto'
import { type Answer, FakeUpstream, type RecordedRequest } from './fake-upstream.ts'

/** How the registry differs from an open one; may be changed at any time. */
export interface RegistryBehaviour {
  /** Every request needs a Bearer token of `/token`, whose scope names the repository. */
  tokens: boolean
  /** Blobs are answered by a redirect to the other port, which refuses credentials. */
  redirects: boolean
  /** `Docker-Content-Digest` is sent. */
  digestHeader: boolean
  /** The referrers API exists. */
  referrers: boolean
  /** Tags per page of a list; null: all at once. */
  pageSize: number | null
}

/** A manifest or blob with its digest. */
export interface Content {
  readonly bytes: Buffer
  readonly digest: string
}

/** Bytes of a manifest with what the registry says of them. */
export interface PushedManifest extends Content {
  readonly mediaType: string
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const CONFIG = 'application/vnd.oci.image.config.v1+json'
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'

/** A container registry with a token endpoint and a CDN, over two scripted servers that can be made to fail. */
export class FakeContainerRegistry {
  readonly upstream: FakeUpstream
  readonly cdn: FakeUpstream
  readonly behaviour: RegistryBehaviour
  readonly #tags = new Map<string, Map<string, string>>()
  #issued = 0

  private constructor(upstream: FakeUpstream, cdn: FakeUpstream, behaviour: Partial<RegistryBehaviour>) {
    this.upstream = upstream
    this.cdn = cdn
    this.behaviour = {
      ...{ tokens: true, redirects: true, digestHeader: true, referrers: true, pageSize: null },
      ...behaviour,
    }
    upstream.on('/token', (request) => this.#token(request))
    upstream.fallback = () => this.#unknown('NAME_UNKNOWN', 404)
  }

  static async start(behaviour: Partial<RegistryBehaviour> = {}): Promise<FakeContainerRegistry> {
    return new FakeContainerRegistry(await FakeUpstream.start(), await FakeUpstream.start(), behaviour)
  }

  get url(): string {
    return `${this.upstream.url}/`
  }

  /** Serves a blob below a repository. */
  addBlob(repository: string, bytes: Buffer, harm: Partial<Answer> = {}): Content {
    const content = { bytes, digest: digestOf(bytes) }
    const path = `/v2/${repository}/blobs/${content.digest}`
    const answer: Answer = {
      headers: { 'content-type': 'application/octet-stream', 'docker-content-digest': content.digest },
      body: bytes,
      ranges: true,
      ...harm,
    }
    this.upstream.on(path, (request) =>
      this.#guarded(request, repository, () =>
        this.behaviour.redirects
          ? { status: 307, headers: { location: `${this.cdn.url}${path}?signature=1` } }
          : answer,
      ),
    )
    this.cdn.on(path, (request) =>
      request.headers.authorization === undefined && request.method === 'GET' ? answer : { status: 400 },
    )
    return content
  }

  /** Serves manifest bytes by digest and, if given, under a tag, which moves. */
  addManifest(repository: string, bytes: Buffer, mediaType: string, tag?: string): PushedManifest {
    const manifest = { bytes, digest: digestOf(bytes), mediaType }
    const serve = (request: RecordedRequest) => this.#guarded(request, repository, () => this.#manifest(manifest))
    this.upstream.on(`/v2/${repository}/manifests/${manifest.digest}`, serve)
    const tags = this.#tags.get(repository) ?? new Map<string, string>()
    this.#tags.set(repository, tags)
    if (tag !== undefined) {
      tags.set(tag, manifest.digest)
      this.upstream.on(`/v2/${repository}/manifests/${tag}`, serve)
    }
    this.upstream.on(`/v2/${repository}/tags/list`, (request) =>
      this.#guarded(request, repository, () => this.#tagList(repository, request)),
    )
    return manifest
  }

  /** An image of one layer; `content` makes it unique. */
  addImage(repository: string, tag: string, content: string | Buffer = `${repository}:${tag}`) {
    const layer = this.addBlob(repository, Buffer.from(content))
    const config = this.addBlob(
      repository,
      Buffer.from(
        JSON.stringify({
          architecture: 'arm64',
          os: 'linux',
          config: { Labels: { maintainer: 'somebody' } },
          rootfs: { type: 'layers', diff_ids: [layer.digest] },
        }),
      ),
    )
    const manifest = this.addManifest(
      repository,
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: MANIFEST,
          config: { mediaType: CONFIG, digest: config.digest, size: config.bytes.length },
          layers: [{ mediaType: LAYER, digest: layer.digest, size: layer.bytes.length }],
        }),
      ),
      MANIFEST,
      tag,
    )
    return { layer, config, manifest }
  }

  /** Requests for manifests of a repository by GET, which Docker Hub counts. */
  pulls(repository: string): number {
    return this.upstream.requests.filter(
      ({ method, path }) => method === 'GET' && path.startsWith(`/v2/${repository}/manifests/`),
    ).length
  }

  /** Forgets a tag. */
  untag(repository: string, tag: string): void {
    this.#tags.get(repository)?.delete(tag)
    this.upstream.off(`/v2/${repository}/manifests/${tag}`)
  }

  async close(): Promise<void> {
    await Promise.all([this.upstream.close(), this.cdn.close()])
  }

  #manifest({ bytes, digest, mediaType }: PushedManifest): Answer {
    return {
      headers: {
        'content-type': mediaType,
        ...(this.behaviour.digestHeader && { 'docker-content-digest': digest }),
        'ratelimit-remaining': '99;w=21600',
      },
      body: bytes,
    }
  }

  #tagList(repository: string, { query }: RecordedRequest): Answer {
    const all = [...(this.#tags.get(repository)?.keys() ?? [])].sort()
    const last = new URLSearchParams(query).get('last')
    const rest = last === null ? all : all.filter((tag) => tag > last)
    const page = rest.slice(0, this.behaviour.pageSize ?? rest.length)
    const next = page.length < rest.length ? `</v2/${repository}/tags/list?last=${page.at(-1)}>; rel="next"` : null
    return {
      headers: { 'content-type': 'application/json', ...(next !== null && { link: next }) },
      body: JSON.stringify({ name: repository, tags: page }),
    }
  }

  #guarded(request: RecordedRequest, repository: string, answer: () => Answer): Answer {
    if (!this.behaviour.tokens) return answer()
    const token = /^Bearer \d+\.(.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
    if (Buffer.from(token, 'base64url').toString() === `repository:${repository}:pull`) return answer()
    const parameters = `realm="${this.upstream.url}/token",service="fake",scope="repository:${repository}:pull"`
    return { ...this.#unknown('UNAUTHORIZED', 401), headers: { 'www-authenticate': `Bearer ${parameters}` } }
  }

  #token({ query }: RecordedRequest): Answer {
    this.#issued += 1
    const scope = new URLSearchParams(query).get('scope') ?? ''
    const body = JSON.stringify({
      token: `${this.#issued}.${Buffer.from(scope).toString('base64url')}`,
      expires_in: 300,
    })
    return { headers: { 'content-type': 'application/json' }, body }
  }

  #unknown(code: string, status: number): Answer {
    return {
      status,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ errors: [{ code, message: code }] }),
    }
  }
}

/** `sha256:<hex>`. */
export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
