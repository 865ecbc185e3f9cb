import type { Owner } from '../../auth/owner.ts'
import { NotFound, UpstreamUnavailable } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import type { Decision } from '../../policies/decision.ts'
import type { Algorithm } from '../../storage/digest.ts'
import { joinHeaders } from '../../upstream/cache-headers.ts'
import type { DocumentPath, FilePath, MetadataPath, SnapshotMetadataPath } from './coordinates.ts'
import { packageName } from './coordinates.ts'
import { renderMetadata } from './hosted-document.ts'
import { renderRestrictedMetadata } from './metadata-xml.ts'
import type { MirroredDocuments } from './mirrored-documents.ts'
import type {
  ArtifactShare,
  ChecksumAnswer,
  DocumentAnswer,
  FileAnswer,
  MavenSource,
  MergeableMaven,
} from './source.ts'
import { compareVersions } from './versions.ts'

/** Whose versions make one artifact, for whom. */
export interface MergedArtifact {
  readonly owner: Owner
  /** In the order in which they count: the owner's own, then upstreams. */
  readonly sources: readonly [MergeableMaven, ...MergeableMaven[]]
  readonly isPublic: boolean
}

/**
 * An artifact that an organization's own versions and those of upstreams make together (pull-through.md §7). A version
 * is the first source's that has it, with all its files; while one that must be asked does not answer, none after it is
 * believed.
 */
export class MergedMaven implements MavenSource {
  readonly #documents: MirroredDocuments
  readonly #merged: MergedArtifact

  constructor(documents: MirroredDocuments, merged: MergedArtifact) {
    this.#documents = documents
    this.#merged = merged
  }

  async file(path: FilePath): Promise<FileAnswer> {
    return (await this.#holderOf(path)).file(path)
  }

  async checksum(path: FilePath, algorithm: Algorithm): Promise<ChecksumAnswer> {
    return (await this.#holderOf(path)).checksum(path, algorithm)
  }

  async document(path: DocumentPath): Promise<DocumentAnswer> {
    if (path.kind === 'snapshot-metadata') return (await this.#holderOf(path)).document(path)
    const shares = path.kind === 'metadata' ? await this.#shares(path) : []
    // What no source lists versions of may be a group of ours.
    if (path.kind !== 'metadata' || shares.length === 0) return this.#merged.sources[0].document(path)
    const stamps = shares.map(({ stamp }) => stamp).join()
    const key = `merged:${this.#merged.owner.id}:${packageName(path)}:${stamps}`
    const rendered = await this.#documents.get(key, async () => renderMetadata(render(path, shares)))
    return {
      ...rendered,
      headers: joinHeaders(shares.map(({ headers }) => headers)),
      cacheControl: cacheControl.hosted(this.#merged.isPublic),
    }
  }

  /** The first source that has a version. Throws NotFound; UpstreamUnavailable when one before it cannot say. */
  async #holderOf(path: FilePath | SnapshotMetadataPath): Promise<MergeableMaven> {
    let offline: MergeableMaven | null = null
    for (const source of this.#merged.sources) {
      if (offline !== null) throw cannotSay(offline)
      const isHolder = await source.holds(path).catch(orAbsent(source))
      if (isHolder === true) return source
      if (isHolder === null && source.isOffline) offline = source
    }
    throw new NotFound('file')
  }

  async #shares(path: MetadataPath): Promise<ArtifactShare[]> {
    const { sources } = this.#merged
    const all = await Promise.all(sources.map((source) => source.share(path).catch(orAbsent(source))))
    const unsure = sources.findIndex((source, index) => source.isOffline && all[index] === null)
    if (unsure !== -1 && unsure < sources.length - 1) throw cannotSay(sources[unsure]!)
    return all.filter((share) => share !== null)
  }
}

/** The versions of all; of one that several have, in whatever case, the first one's counts, also when it is refused. */
function render({ group, artifact }: MetadataPath, shares: readonly ArtifactShare[]): Buffer {
  const holders = new Map<string, { version: string; share: ArtifactShare }>()
  for (const share of shares) {
    for (const version of share.versions) {
      const lower = version.toLowerCase()
      if (!holders.has(lower)) holders.set(lower, { version, share })
    }
  }
  const served: string[] = []
  let refusal: { decision: Decision; share: ArtifactShare } | null = null
  for (const { version, share } of holders.values()) {
    const decision = share.refused.get(version)
    if (decision === undefined) served.push(version)
    else refusal = { decision, share }
  }
  if (served.length === 0 && refusal !== null) refusal.share.policy!.enforce(refusal.decision)
  const updated = shares.flatMap(({ lastUpdated }) => lastUpdated ?? []).sort()
  const about = { groupId: group, artifactId: artifact, version: null, snapshot: null, plugins: [] }
  const metadata = { ...about, versions: served, lastUpdated: updated.at(-1) ?? null }
  return renderRestrictedMetadata(metadata, served.sort(compareVersions), compareVersions)
}

function cannotSay({ label }: MergeableMaven, cause?: unknown): UpstreamUnavailable {
  const retryAfter = cause instanceof UpstreamUnavailable ? cause.retryAfter : undefined
  const message = `upstream ${label} could not say what it has of a merged package`
  return new UpstreamUnavailable(message, { status: 503, retryAfter: retryAfter ?? 5, cause })
}

/** Makes null of absence; anything else that is thrown is no answer, and the next source must not give it. */
function orAbsent(source: MergeableMaven): (error: unknown) => null {
  return (error) => {
    if (error instanceof NotFound) return null
    throw cannotSay(source, error)
  }
}
