import type { Owner } from '../../auth/owner.ts'
import { NotFound } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { isPublicPackage } from '../../http/package-visibility.ts'
import type { FileRecord } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import type { Algorithm } from '../../storage/digest.ts'
import {
  type DocumentPath,
  type FilePath,
  groupOf,
  isSnapshot,
  MAVEN,
  type MetadataPath,
  packageName,
  type SnapshotMetadataPath,
} from './coordinates.ts'
import { digestsOfBlob } from './files.ts'
import { renderMetadata } from './hosted-document.ts'
import { formatTime, renderArtifactMetadata, renderSnapshotMetadata } from './metadata-xml.ts'
import { readSnapshot, readVersions } from './queries.ts'
import { newestFiles, parseBuildFile } from './snapshots.ts'
import type {
  ArtifactShare,
  ChecksumAnswer,
  DigestedDocument,
  DocumentAnswer,
  FileAnswer,
  MergeableMaven,
} from './source.ts'

/** What was rendered, or that there is nothing to render. */
interface Rendered {
  readonly document: DigestedDocument | null
}

/** The metadata of a group, and whether it is that to everybody; null: there is none. */
export type FindGroup = (group: string) => Promise<{ document: DigestedDocument; isPublic: boolean } | null>

const NOTHING: Rendered = Object.freeze({ document: null })
/** Characters that a document in memory costs beside its bytes. */
const OVERHEAD = 1_000

/** The packages that an owner has published here. A warm answer runs no SQL and renders nothing. */
export class HostedMaven implements MergeableMaven {
  readonly isOffline = false
  readonly #services: Services
  readonly #findGroup: FindGroup
  readonly #owner: Owner

  constructor(services: Services, findGroup: FindGroup, owner: Owner) {
    this.#services = services
    this.#findGroup = findGroup
    this.#owner = owner
  }

  async file(path: FilePath): Promise<FileAnswer> {
    const { file, blob, version } = await this.#find(path)
    return {
      source: async () => {
        const source = await this.#services.packages.blobs.open(blob.hashSha256)
        if (source === null) throw new Error(`blob ${blob.hashSha256} is missing in the blob store`)
        return source
      },
      size: blob.size,
      etag: `"sha256:${blob.hashSha256}"`,
      lastModified: file.createdAt,
      digests: digestsOfBlob(blob),
      versionId: file.isLead ? version.id : null,
      ...(await this.#headers(path, isImmutable(path))),
    }
  }

  async checksum(path: FilePath, algorithm: Algorithm): Promise<ChecksumAnswer> {
    const { blob } = await this.#find(path)
    return { hex: digestsOfBlob(blob)[algorithm], ...(await this.#headers(path, isImmutable(path))) }
  }

  async document(path: DocumentPath): Promise<DocumentAnswer> {
    if (path.kind === 'root') throw new NotFound('file')
    const document = path.kind === 'metadata' ? await this.#artifactMetadata(path) : await this.#snapshotMetadata(path)
    if (document !== null) return { ...document, ...(await this.#headers(path, false)) }
    const group = path.kind === 'metadata' ? await this.#findGroup(groupOf(path)) : null
    if (group === null) throw new NotFound('file')
    return { ...group.document, headers: {}, cacheControl: cacheControl.hosted(group.isPublic) }
  }

  get label(): string {
    return this.#owner.name
  }

  async share(path: MetadataPath): Promise<ArtifactShare> {
    const { lookup } = this.#services.packages
    const name = packageName(path)!
    const { versions } = await lookup.remember(
      { ownerId: this.#owner.id, type: MAVEN, name },
      'listed-versions',
      [],
      async () => {
        const row = await lookup.findPackage(this.#owner.id, MAVEN, name)
        return { versions: row === null ? [] : await readVersions(this.#services.db, row.id) }
      },
    )
    if (versions.length === 0) throw new NotFound('file')
    const newest = versions.reduce((latest, { createdAt }) => Math.max(latest, createdAt), 0)
    return {
      stamp: versions.map(({ version, createdAt }) => `${version}@${createdAt}`).join('/'),
      versions: versions.map(({ version }) => version),
      lastUpdated: formatTime(newest),
      ...{ refused: new Map(), policy: null, headers: {} },
    }
  }

  async holds(path: FilePath | SnapshotMetadataPath): Promise<boolean> {
    const { lookup } = this.#services.packages
    return (await lookup.findVersion(this.#owner.id, MAVEN, packageName(path)!, path.version)) !== null
  }

  async #find(path: FilePath): Promise<FileRecord> {
    const { lookup } = this.#services.packages
    const name = packageName(path)!
    const record = await lookup.findFile(this.#owner.id, MAVEN, name, path.version, path.filename)
    if (record === null) throw new NotFound('file')
    return record
  }

  #artifactMetadata(path: MetadataPath): Promise<DigestedDocument | null> {
    const { lookup } = this.#services.packages
    return this.#remember(path, 'metadata', [], async (name) => {
      const row = await lookup.findPackage(this.#owner.id, MAVEN, name)
      const versions = row === null ? [] : await readVersions(this.#services.db, row.id)
      return versions.length === 0 ? null : renderArtifactMetadata({ ...path, versions })
    })
  }

  #snapshotMetadata(path: SnapshotMetadataPath): Promise<DigestedDocument | null> {
    const { lookup } = this.#services.packages
    return this.#remember(path, 'snapshot-metadata', [path.version], async (name) => {
      const version = await lookup.findVersion(this.#owner.id, MAVEN, name, path.version)
      if (version === null) return null
      const { filenames, announced } = await readSnapshot(this.#services.db, version.id)
      const files = filenames.flatMap((filename) => parseBuildFile({ ...path, filename }) ?? [])
      return files.length === 0 ? null : renderSnapshotMetadata({ ...path, files: newestFiles(files, announced) })
    })
  }

  /** Absence is remembered too: a client asks each of its repositories for everything. */
  async #remember(
    path: MetadataPath | SnapshotMetadataPath,
    what: string,
    rest: readonly string[],
    find: (name: string) => Promise<Buffer | null>,
  ): Promise<DigestedDocument | null> {
    const name = packageName(path)
    if (name === null) return null
    const rendered = await this.#services.packages.lookup.remember<Rendered>(
      { ownerId: this.#owner.id, type: MAVEN, name },
      what,
      rest,
      async () => {
        const bytes = await find(name)
        return bytes === null ? NOTHING : { document: await renderMetadata(bytes) }
      },
      weightOf,
    )
    return rendered.document
  }

  async #headers(path: FilePath | MetadataPath | SnapshotMetadataPath, isForEver: boolean) {
    const isPublic = await isPublicPackage(this.#services, this.#owner, MAVEN, packageName(path)!)
    return {
      headers: {},
      cacheControl: isForEver ? cacheControl.artifact(isPublic) : cacheControl.hosted(isPublic),
    }
  }
}

/** Versions are found in any case: `1.0-snapshot` shows files of `1.0-SNAPSHOT`. */
function isImmutable({ version }: FilePath): boolean {
  return !isSnapshot(version.toUpperCase())
}

function weightOf({ document }: Rendered): number {
  if (document === null) return 0
  const { gzip, identity } = document.document
  return OVERHEAD + Math.ceil((gzip.length + (identity?.length ?? 0)) / 2)
}
