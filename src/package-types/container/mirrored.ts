import { NotFound, TooLarge, UpstreamUnavailable } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import type { NamePolicy } from '../../policies/name-policy.ts'
import type { Services } from '../../services.ts'
import type { Digest } from '../../storage/digest.ts'
import type { OpenedArtifact } from '../../upstream/artifacts.ts'
import { cacheHeaders } from '../../upstream/cache-headers.ts'
import type { CacheStatus } from '../../upstream/cache-status.ts'
import type { DocumentOptions } from '../../upstream/documents.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import { bufferSource, readAll } from './bytes.ts'
import { acceptedManifests } from './media-types.ts'
import type { MirrorMemory, NamedBy } from './mirror-memory.ts'
import { MirrorPolicy } from './mirror-policy.ts'
import { LARGEST_MANIFEST, MirroredRows } from './mirrored-rows.ts'
import { formatDigest, type Reference, requireDigest } from './path.ts'
import type { ContainerSource, ContentAnswer, NamePage, Page, Referrers } from './source.ts'
import { referrersRequest, referrersTagRequest, tagListRequest, tagRequest } from './upstream.ts'

/** Whose images, and for whom. */
export interface MirroredRepository {
  readonly upstream: Upstream
  readonly isPublic: boolean
  /** What rules say of the repository; null: nothing. */
  readonly policy: NamePolicy | null
  /** What the client wants of the cache. */
  readonly wishes: DocumentOptions
}

/** The images of one upstream (container.md §13). */
export class MirroredImages implements ContainerSource {
  readonly #services: Services
  readonly #upstream: Upstream
  readonly #isPublic: boolean
  readonly #rows: MirroredRows
  readonly #policy: MirrorPolicy | null
  readonly #wishes: DocumentOptions

  constructor(services: Services, memory: MirrorMemory, name: string, source: MirroredRepository) {
    this.#services = services
    this.#upstream = source.upstream
    this.#isPublic = source.isPublic
    this.#wishes = source.wishes
    this.#rows = new MirroredRows(services, memory, source.upstream)
    const place = { sightings: services.policies.sightings, memory, upstreamId: source.upstream.id, name }
    this.#policy = source.policy === null ? null : new MirrorPolicy(source.policy, place)
  }

  async manifest(name: string, reference: Reference, method: 'GET' | 'HEAD'): Promise<ContentAnswer> {
    if (!('tag' in reference)) await this.#policy?.requireDigest(formatDigest(reference.digest))
    const answer = await ('tag' in reference
      ? this.#tag(name, reference.tag, method)
      : this.#manifest(name, reference.digest, method))
    if (this.#policy === null) return answer
    const asked = 'tag' in reference ? reference.tag : formatDigest(reference.digest)
    return { ...answer, headers: { ...answer.headers, ...this.#policy.notice(asked) } }
  }

  async blob(name: string, digest: Digest, method: 'GET' | 'HEAD'): Promise<ContentAnswer> {
    const key = formatDigest(digest)
    await this.#policy?.requireDigest(key)
    const url = `v2/${name}/blobs/${key}`
    const named = await this.#findNamed(name, key)
    // Bytes are shared by all repositories: which of them may show the blob, a manifest of theirs tells, or the upstream.
    if (named === null && !(await this.#services.upstream.artifacts.confirm(this.#upstream, { path: url }))) {
      throw new NotFound('blob', key)
    }
    if (named !== null && method === 'HEAD') return this.#announce(digest, named.size)
    const opened = await this.#open('blob', {
      key,
      method,
      isLead: false,
      within: name,
      locate: async () => ({ url, digest }),
      file: (content, properties, also) =>
        this.#rows.fileBlob(name, key, named?.manifest ?? null, content, properties, also),
    })
    return this.#answer(opened, digest, 'application/octet-stream')
  }

  async tags(name: string, { n, last }: Page): Promise<NamePage> {
    const held = await this.#services.upstream.documents.get(this.#upstream, tagListRequest(name), this.#wishes)
    this.#policy?.requireName()
    const all = (await held.accepted()).filter((tag) => this.#policy?.lists(tag) ?? true)
    const rest = last === null ? all : all.filter((tag) => tag > last)
    return {
      names: n === null ? rest : rest.slice(0, n),
      hasMore: n !== null && rest.length > n,
      headers: this.#tagHeaders(held.status),
      cacheControl: this.#tagControl,
    }
  }

  async referrers(name: string, subject: Digest): Promise<Referrers> {
    const digest = formatDigest(subject)
    await this.#policy?.requireDigest(digest)
    const requests = [referrersRequest(name, digest), referrersTagRequest(name, digest)]
    for (const request of requests) {
      try {
        const held = await this.#services.upstream.documents.get(this.#upstream, request)
        return {
          manifests: (await held.accepted()).filter((one) => this.#policy?.lists(one.digest) ?? true),
          headers: cacheHeaders(held.status, this.#upstream.owner.name),
          cacheControl: cacheControl.document(this.#isPublic),
        }
      } catch (error) {
        if (!(error instanceof NotFound)) throw error
      }
    }
    return { manifests: [], headers: {}, cacheControl: cacheControl.document(this.#isPublic) }
  }

  /**
   * What the tag names now. A HEAD of a tag nobody has pulled yet fetches no manifest: Docker Hub counts those. But a
   * tag that moved is answered only with a manifest we can serve, else with the one it named before.
   */
  async #tag(name: string, tag: string, method: 'GET' | 'HEAD'): Promise<ContentAnswer> {
    const held = await this.#services.upstream.documents
      .get(this.#upstream, tagRequest(name, tag), this.#wishes)
      .catch((error: unknown) => {
        throw error instanceof NotFound ? new NotFound('manifest', `${name}:${tag}`) : error
      })
    const target = await held.accepted()
    const digest = (await this.#policy?.digestOfTag(tag, target.digest, held.fetchedAt)) ?? target.digest
    const known = await this.#rows.findTagged(name, tag)
    const how = { headers: this.#tagHeaders(held.status), cacheControl: this.#tagControl }
    if (method === 'HEAD' && digest === target.digest && (known === null || known === digest)) {
      const source = async () => bufferSource(Buffer.alloc(0))
      return { ...how, ...target, digest: requireDigest(digest), source, lastModified: null, versionId: null }
    }
    try {
      const answer = await this.#manifest(name, requireDigest(digest), 'GET')
      if (known !== digest) this.#rows.fileTag(name, tag, digest)
      return { ...answer, ...how }
    } catch (error) {
      const failure = this.#asFailure(error, `${name}:${tag}`)
      if (!(failure instanceof UpstreamUnavailable) || known === null || known === digest) throw failure
      if (this.#policy !== null && !(await this.#policy.serves(known))) throw failure
      this.#services.log.warn({ err: error, name, tag }, 'the tag moved and its manifest cannot be had')
      const answer = await this.#manifest(name, requireDigest(known), 'GET')
      const headers = this.#tagHeaders({ hit: true, detail: 'STALE_ERROR' })
      return { ...answer, headers, cacheControl: this.#tagControl }
    }
  }

  /** An upstream that has the tag and not its manifest is not to be believed: nothing is known to be absent. */
  #asFailure(error: unknown, what: string): unknown {
    if (!(error instanceof NotFound) || this.#upstream.mode === 'offline') return error
    return new UpstreamUnavailable(`upstream ${this.#upstream.settings.name} has no manifest for ${what}`, {
      cause: error,
    })
  }

  /** Who names a blob, from manifests that passed or else from those that are held. */
  async #findNamed(name: string, blob: string): Promise<NamedBy | null> {
    const named = this.#rows.namedBy(name, blob)
    if (named !== null) return named
    const manifest = await this.#rows.findManifestNaming(name, blob)
    if (manifest === null) return null
    await this.#manifest(name, requireDigest(manifest), 'GET')
    return this.#rows.namedBy(name, blob)
  }

  /** HEAD of a blob that a manifest names: it is there, and CDNs do not answer HEAD (container.md §12). */
  async #announce(digest: Digest, size: number): Promise<ContentAnswer> {
    const key = formatDigest(digest)
    const held = await this.#services.upstream.artifacts.heldSize(this.#upstream, key)
    if (held === null && this.#upstream.mode === 'offline') throw new NotFound('blob', key)
    const opened = { source: async () => bufferSource(Buffer.alloc(0)), lastModified: null }
    return this.#answer({ ...opened, size: held ?? size, status: { hit: true } }, digest, 'application/octet-stream')
  }

  async #manifest(name: string, digest: Digest, method: 'GET' | 'HEAD'): Promise<ContentAnswer> {
    const key = formatDigest(digest)
    const opened = await this.#open('manifest', {
      key: `${name}@${key}`,
      method,
      locate: async () => ({ url: `v2/${name}/manifests/${key}`, digest, accept: acceptedManifests, use: 'document' }),
      file: (content, properties, also) => this.#rows.fileManifest(name, key, content, properties, also),
    })
    if (method === 'HEAD' && !opened.status.hit) return this.#answer(opened, digest, opened.contentType ?? '')
    const facts = this.#rows.factsOf(name, key)
    if (facts !== null) return this.#answer(opened, digest, facts.mediaType)
    // The first time its blobs have to be known before the client asks for them.
    const bytes = await this.#readManifest(opened, name)
    const { mediaType } = this.#rows.learn(name, key, bytes)
    return this.#answer({ ...opened, size: bytes.length, source: async () => bufferSource(bytes) }, digest, mediaType)
  }

  async #readManifest(opened: OpenedArtifact, name: string): Promise<Buffer> {
    try {
      return await readAll(await opened.source(), LARGEST_MANIFEST)
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error
      throw new UpstreamUnavailable(`a manifest of ${name} has more than ${LARGEST_MANIFEST} bytes`, { cause: error })
    }
  }

  #answer(
    opened: Pick<OpenedArtifact, 'source' | 'size' | 'lastModified' | 'status'>,
    digest: Digest,
    mediaType: string,
  ): ContentAnswer {
    return {
      digest,
      mediaType,
      size: opened.size,
      source: opened.source,
      lastModified: opened.lastModified,
      versionId: null,
      headers: cacheHeaders(opened.status, this.#upstream.owner.name),
      cacheControl: cacheControl.artifact(this.#isPublic),
    }
  }

  async #open(
    subject: 'manifest' | 'blob',
    request: Parameters<Services['upstream']['artifacts']['open']>[1],
  ): Promise<OpenedArtifact> {
    try {
      return await this.#services.upstream.artifacts.open(this.#upstream, request)
    } catch (error) {
      throw error instanceof NotFound ? new NotFound(subject, request.key) : error
    }
  }

  #tagHeaders(status: CacheStatus): Record<string, string> {
    const vary = this.#isPublic ? 'Accept' : 'Accept, Authorization'
    return { ...cacheHeaders(status, this.#upstream.owner.name), vary }
  }

  get #tagControl(): string {
    return cacheControl.tag(this.#isPublic)
  }
}
