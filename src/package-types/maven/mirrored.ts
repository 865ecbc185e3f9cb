import { NotFound, UpstreamUnavailable } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { renderDocument } from '../../http/send-document.ts'
import type { NamePolicy } from '../../policies/name-policy.ts'
import { secondsLeft, type Verdicts } from '../../policies/verdicts.ts'
import type { Services } from '../../services.ts'
import { type Algorithm, digestsOf } from '../../storage/digest.ts'
import type { DocumentRequest } from '../../upstream/adapter.ts'
import type { OpenedArtifact } from '../../upstream/artifacts.ts'
import { cacheHeaders } from '../../upstream/cache-headers.ts'
import type { CacheStatus } from '../../upstream/cache-status.ts'
import type { HeldDocument } from '../../upstream/documents.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import {
  type DocumentPath,
  type FilePath,
  formatPath,
  isReplaceable,
  isSnapshot,
  type MetadataPath,
  type RepositoryPath,
  type SnapshotMetadataPath,
} from './coordinates.ts'
import { renderRestrictedMetadata } from './metadata-xml.ts'
import { MirrorPolicy } from './mirror-policy.ts'
import type { MirroredDocuments } from './mirrored-documents.ts'
import { MirroredFile } from './mirrored-files.ts'
import type { ArtifactShare, ChecksumAnswer, DocumentAnswer, FileAnswer, MergeableMaven } from './source.ts'
import { optionsOf } from './upstream.ts'
import { isPage } from './upstream-checksums.ts'
import {
  checksumRequest,
  documentRequest,
  metadataRequest,
  stateRequest,
  type UpstreamDocument,
} from './upstream-documents.ts'
import { compareVersions } from './versions.ts'

/** XML of strangers may be a page with scripts; it must not run here. */
const INERT = { 'content-security-policy': "default-src 'none'; sandbox" }

/** Which upstream, and for whom. */
export interface MirroredArtifact {
  readonly upstream: Upstream
  readonly isPublic: boolean
  /** What rules say of the name; null: nothing. */
  readonly policy: NamePolicy | null
  readonly method: 'GET' | 'HEAD'
}

/** The packages of one upstream (maven.md §6). What clients say about caches is not heeded: Maven says it always. */
export class MirroredMaven implements MergeableMaven {
  readonly #services: Services
  readonly #documents: MirroredDocuments
  readonly #upstream: Upstream
  readonly #isPublic: boolean
  readonly #method: 'GET' | 'HEAD'
  readonly #namePolicy: NamePolicy | null
  readonly #policy: MirrorPolicy | null

  constructor(services: Services, documents: MirroredDocuments, source: MirroredArtifact) {
    this.#services = services
    this.#documents = documents
    this.#upstream = source.upstream
    this.#isPublic = source.isPublic
    this.#method = source.method
    this.#namePolicy = source.policy
    this.#policy = source.policy === null ? null : new MirrorPolicy(services, source.upstream, source.policy)
  }

  async file(path: FilePath): Promise<FileAnswer> {
    this.#refuseSnapshots(path)
    await this.#policy?.requireServed(path)
    const opened = await this.#open(path, await this.#stateOf(path), this.#method)
    const { sha256 } = opened
    return {
      source: opened.source,
      size: opened.size,
      etag: sha256 === null ? null : `"sha256:${sha256}"`,
      lastModified: opened.lastModified,
      digests: opened.digests,
      versionId: null,
      headers: { ...this.#headers(opened.status), ...this.#policy?.notice(path) },
      cacheControl: opened.isVerified ? this.#fileControl(path) : cacheControl.noStore,
    }
  }

  /** That of the bytes that are held or on their way; else what the upstream says, without fetching the file. */
  async checksum(path: FilePath, algorithm: Algorithm): Promise<ChecksumAnswer> {
    this.#refuseSnapshots(path)
    await this.#policy?.requireServed(path)
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
    if (path.kind === 'snapshot-metadata') await this.#policy?.requireServed(path)
    const request = documentRequest(path)
    const held = await this.#held(request)
    const verdicts = path.kind === 'metadata' ? await this.#verdicts(path, held) : null
    const key = `${this.#upstream.id}:${request.kind}:${request.key}:${held.version}:${verdicts?.stamp ?? ''}`
    const rendered = await this.#documents.get(key, async () => {
      const bytes = restrict(await held.accepted(), verdicts)
      const contentType = formatPath(path).endsWith('.txt') ? 'text/plain' : 'text/xml'
      const document = await renderDocument(bytes, { contentType, lastModified: held.lastModified })
      return { document, digests: digestsOf(bytes) }
    })
    return {
      ...rendered,
      headers: { ...this.#headers(held.status), ...INERT },
      cacheControl: this.#documentControl(path, secondsLeft(verdicts, this.#services.clock.now())),
    }
  }

  get label(): string {
    return this.#upstream.settings.name
  }

  get isOffline(): boolean {
    return this.#upstream.mode === 'offline'
  }

  async share(path: MetadataPath): Promise<ArtifactShare> {
    const held = await this.#held(metadataRequest(path))
    const { metadata } = await held.accepted()
    const verdicts = (await this.#policy?.verdicts(path, held)) ?? null
    return {
      stamp: `${this.#upstream.id}.${held.version}.${verdicts?.stamp ?? ''}`,
      versions: metadata?.versions ?? [],
      lastUpdated: metadata?.lastUpdated?.replace('.', '') ?? null,
      refused: verdicts?.refused ?? new Map(),
      policy: this.#namePolicy,
      headers: this.#headers(held.status),
    }
  }

  /** Not every repository lists what it has: its POM, or the metadata of a snapshot, proves a version too. */
  async holds(path: FilePath | SnapshotMetadataPath): Promise<boolean> {
    const { group, artifact, version } = path
    if (belongsToSnapshot(path) && !optionsOf(this.#upstream).hasSnapshots) return false
    const lower = version.toLowerCase()
    try {
      const { versions } = await this.share({ kind: 'metadata', group, artifact })
      if (versions.some((one) => one.toLowerCase() === lower)) return true
    } catch (error) {
      if (!(error instanceof NotFound)) throw error
    }
    if (isSnapshot(version)) await this.#held(metadataRequest({ ...path, kind: 'snapshot-metadata' }))
    else {
      const filename = `${artifact}-${version}.pom`
      await this.#open({ kind: 'file', group, artifact, version, filename }, null, 'HEAD')
    }
    return true
  }

  /** null: there is no policy. Throws Blocked where it leaves nothing. */
  async #verdicts(path: MetadataPath, held: HeldDocument<UpstreamDocument>): Promise<Verdicts | null> {
    if (this.#policy === null) return null
    const verdicts = await this.#policy.verdicts(path, held)
    if (verdicts.refused.size > 0) this.#policy.requireSome(verdicts, (await held.accepted()).metadata?.versions ?? [])
    return verdicts
  }

  async #open(path: FilePath, state: string | null, method: 'GET' | 'HEAD'): Promise<OpenedArtifact> {
    const { artifacts } = this.#services.upstream
    const opened = await artifacts.open(this.#upstream, this.#request(path, state, method))
    if (method === 'GET' || opened.status.hit) return opened
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
  #documentControl(path: RepositoryPath, lasts?: number): string {
    return belongsToSnapshot(path) ? cacheControl.hosted(this.#isPublic) : cacheControl.document(this.#isPublic, lasts)
  }
}

/** The upstream's own bytes unless something of them is refused. */
function restrict({ bytes, metadata }: UpstreamDocument, verdicts: Verdicts | null): Buffer {
  if (metadata === null || verdicts === null || verdicts.refused.size === 0) return bytes
  const served = metadata.versions.filter((version) => !verdicts.refused.has(version))
  return renderRestrictedMetadata(metadata, served, compareVersions)
}

function belongsToSnapshot(path: RepositoryPath): boolean {
  return (path.kind === 'file' || path.kind === 'snapshot-metadata') && isSnapshot(path.version)
}
