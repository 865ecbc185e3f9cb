import type { Owner } from '../../auth/owner.ts'
import { NotFound } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
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
import type { HostedGroups } from './groups.ts'
import { renderMetadata } from './hosted-document.ts'
import { renderArtifactMetadata, renderSnapshotMetadata } from './metadata-xml.ts'
import { readSnapshot, readVersions } from './queries.ts'
import { newestFiles, parseBuildFile } from './snapshots.ts'
import type { ChecksumAnswer, DigestedDocument, DocumentAnswer, FileAnswer, MavenSource } from './source.ts'

/** What was rendered, or that there is nothing to render. */
interface Rendered {
  readonly document: DigestedDocument | null
}

const NOTHING: Rendered = Object.freeze({ document: null })
/** Characters that a document in memory costs beside its bytes. */
const OVERHEAD = 1_000

/** The packages that an owner has published here. A warm answer runs no SQL and renders nothing. */
export class HostedMaven implements MavenSource {
  readonly #services: Services
  readonly #groups: HostedGroups | null
  readonly #owner: Owner

  /** `groups` null: there is no metadata of groups for the caller. */
  constructor(services: Services, groups: HostedGroups | null, owner: Owner) {
    this.#services = services
    this.#groups = groups
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
      ...this.#headers(isImmutable(path)),
    }
  }

  async checksum(path: FilePath, algorithm: Algorithm): Promise<ChecksumAnswer> {
    const { blob } = await this.#find(path)
    return { hex: digestsOfBlob(blob)[algorithm], ...this.#headers(isImmutable(path)) }
  }

  async document(path: DocumentPath): Promise<DocumentAnswer> {
    const document = await this.#document(path)
    if (document === null) throw new NotFound('file')
    return { ...document, ...this.#headers(false) }
  }

  async #find(path: FilePath): Promise<FileRecord> {
    const { lookup } = this.#services.packages
    const name = packageName(path)!
    const record = await lookup.findFile(this.#owner.id, MAVEN, name, path.version, path.filename)
    if (record === null) throw new NotFound('file')
    return record
  }

  async #document(path: DocumentPath): Promise<DigestedDocument | null> {
    if (path.kind === 'root') return null
    if (path.kind === 'snapshot-metadata') return this.#snapshotMetadata(path)
    const document = await this.#artifactMetadata(path)
    return document ?? (await this.#groups?.find(this.#owner.id, groupOf(path)))?.document ?? null
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

  #headers(isForEver: boolean) {
    const isPublic = this.#services.permissions.isPublic(this.#owner)
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
