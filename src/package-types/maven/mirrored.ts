import { NotFound, UpstreamUnavailable } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { renderDocument } from '../../http/send-document.ts'
import type { Services } from '../../services.ts'
import { type Algorithm, digestsOf } from '../../storage/digest.ts'
import type { DocumentRequest } from '../../upstream/adapter.ts'
import type { OpenedArtifact } from '../../upstream/artifacts.ts'
import { type CacheStatus, cacheHeaders } from '../../upstream/cache-status.ts'
import type { HeldDocument } from '../../upstream/documents.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import {
  type DocumentPath,
  type FilePath,
  formatPath,
  isReplaceable,
  isSnapshot,
  type RepositoryPath,
} from './coordinates.ts'
import type { MirroredDocuments } from './mirrored-documents.ts'
import { MirroredFile } from './mirrored-files.ts'
import type { ChecksumAnswer, DocumentAnswer, FileAnswer, MavenSource } from './source.ts'
import { optionsOf } from './upstream.ts'
import { isPage } from './upstream-checksums.ts'
import { checksumRequest, documentRequest, stateRequest } from './upstream-documents.ts'

/** XML of strangers may be a page with scripts; it must not run here. */
const INERT = { 'content-security-policy': "default-src 'none'; sandbox" }

/** The packages of one upstream (maven.md §6). What clients say about caches is not heeded: Maven says it always. */
export class MirroredMaven implements MavenSource {
  readonly #services: Services
  readonly #documents: MirroredDocuments
  readonly #upstream: Upstream
  readonly #isPublic: boolean
  readonly #method: 'GET' | 'HEAD'

  constructor(
    services: Services,
    documents: MirroredDocuments,
    source: { upstream: Upstream; isPublic: boolean; method: 'GET' | 'HEAD' },
  ) {
    this.#services = services
    this.#documents = documents
    this.#upstream = source.upstream
    this.#isPublic = source.isPublic
    this.#method = source.method
  }

  async file(path: FilePath): Promise<FileAnswer> {
    this.#refuseSnapshots(path)
    const opened = await this.#open(path, await this.#stateOf(path))
    const { sha256 } = opened
    return {
      source: opened.source,
      size: opened.size,
      etag: sha256 === null ? null : `"sha256:${sha256}"`,
      lastModified: opened.lastModified,
      digests: opened.digests,
      versionId: null,
      headers: this.#headers(opened.status),
      cacheControl: opened.isVerified ? this.#fileControl(path) : cacheControl.noStore,
    }
  }

  /** That of the bytes that are held or on their way; else what the upstream says, without fetching the file. */
  async checksum(path: FilePath, algorithm: Algorithm): Promise<ChecksumAnswer> {
    this.#refuseSnapshots(path)
    const { key } = this.#request(path, await this.#stateOf(path), 'GET')
    const known = await this.#services.upstream.artifacts.digestOf(this.#upstream, key, algorithm)
    if (known !== null) {
      // What is only published of bytes on their way may turn out wrong, and be right the next time.
      const isHeld = (await this.#services.upstream.artifacts.heldSize(this.#upstream, key)) !== null
      return {
        hex: known,
        headers: this.#headers({ hit: true }),
        cacheControl: isHeld ? this.#fileControl(path) : this.#documentControl(path),
      }
    }
    const held = await this.#held(checksumRequest(path, algorithm))
    const hex = await held.accepted()
    return { hex, headers: this.#headers(held.status), cacheControl: this.#documentControl(path) }
  }

  async document(path: DocumentPath): Promise<DocumentAnswer> {
    this.#refuseSnapshots(path)
    const request = documentRequest(path)
    const held = await this.#held(request)
    const key = `${this.#upstream.id}:${request.kind}:${request.key}:${held.version}`
    const rendered = await this.#documents.get(key, async () => {
      const { bytes } = await held.accepted()
      const contentType = formatPath(path).endsWith('.txt') ? 'text/plain' : 'text/xml'
      const document = await renderDocument(bytes, { contentType, lastModified: held.lastModified })
      return { document, digests: digestsOf(bytes) }
    })
    return {
      ...rendered,
      headers: { ...this.#headers(held.status), ...INERT },
      cacheControl: this.#documentControl(path),
    }
  }

  async #open(path: FilePath, state: string | null): Promise<OpenedArtifact> {
    const { artifacts } = this.#services.upstream
    const opened = await artifacts.open(this.#upstream, this.#request(path, state, this.#method))
    if (this.#method === 'GET' || opened.status.hit) return opened
    // Nothing lists what is there: an upstream that tells nothing by HEAD must show the file itself.
    if (opened.contentType === null) return artifacts.open(this.#upstream, this.#request(path, state, 'GET'))
    if (!opened.isVerified && isPage({ 'content-type': opened.contentType })) {
      throw new UpstreamUnavailable(`upstream ${this.#upstream.settings.name} has a web page instead of the file`)
    }
    return opened
  }

  #request(path: FilePath, state: string | null, method: 'GET' | 'HEAD'): MirroredFile {
    return new MirroredFile(this.#services, this.#upstream, { path, state, method })
  }

  /** What is now under a name whose file is replaced now and then; null for files that never change. */
  async #stateOf(path: FilePath): Promise<string | null> {
    return isReplaceable(path) ? (await this.#held(stateRequest(path))).version : null
  }

  async #held<A extends NonNullable<unknown>>(request: DocumentRequest<A>): Promise<HeldDocument<A>> {
    try {
      return await this.#services.upstream.documents.get(this.#upstream, request)
    } catch (error) {
      if (!(error instanceof NotFound)) throw error
      const isOffline = this.#upstream.mode === 'offline'
      throw new NotFound('file', `${request.path}${isOffline ? ' (the mirror is offline and does not hold it)' : ''}`)
    }
  }

  #refuseSnapshots(path: RepositoryPath): void {
    if (!belongsToSnapshot(path) || optionsOf(this.#upstream).hasSnapshots) return
    throw new NotFound('file', `${formatPath(path)} (${this.#upstream.settings.name} has no snapshots)`)
  }

  #headers(status: CacheStatus): Record<string, string> {
    return cacheHeaders(status, this.#upstream.owner.name)
  }

  #fileControl(path: FilePath): string {
    return isSnapshot(path.version) ? cacheControl.hosted(this.#isPublic) : cacheControl.artifact(this.#isPublic)
  }

  /** A cache in between that keeps the builds of a snapshot leads clients to files that are gone (maven.md §5). */
  #documentControl(path: RepositoryPath): string {
    return belongsToSnapshot(path) ? cacheControl.hosted(this.#isPublic) : cacheControl.document(this.#isPublic)
  }
}

function belongsToSnapshot(path: RepositoryPath): boolean {
  return (path.kind === 'file' || path.kind === 'snapshot-metadata') && isSnapshot(path.version)
}
