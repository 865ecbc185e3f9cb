import type { Transaction } from 'sequelize'
import type { Owner } from '../auth/owner.ts'
import type { SpoolEntry } from '../storage/spool-entry.ts'
import type { RepositoryRow } from './repository.ts'

/** A named text on a package, version or file; names may repeat (gitea-model.md §2 lists those in use). */
export interface Property {
  readonly name: string
  readonly value: string
}

/** Which version of which package is meant; `name` and `version` as the client spells them. */
export interface PackageInfo {
  owner: Owner
  type: string
  name: string
  version: string
}

/** What is needed when the package or version does not exist yet. */
export interface PackageCreationInfo extends PackageInfo {
  /** Who uploads: kept with the version, sender of the event; a site admin is exempt from quotas. */
  creator: Owner | null
  /** Every version of the package parses as semver. */
  semverCompatible: boolean
  /** Kept as JSON; null for types without metadata. */
  metadata: unknown
  /** The version is one for the server's own use: not found by look-ups, not counted, announced or bound. */
  isInternal?: boolean
  /** The name may be one that came from an upstream so far: it is the owner's from now on. Left out: nobody can say so. */
  confirmsShadow?: boolean
  /** The package is private, if it is new. */
  isPrivate?: boolean
  /** Written only when the package is new. */
  packageProperties?: readonly Property[]
  /** Written only when the version is new. */
  versionProperties?: readonly Property[]
}

/** What is known of an artifact of an upstream; what is left out is empty. */
export type CachedFileInfo = PackageInfo & Partial<Omit<PackageCreationInfo, keyof PackageInfo>>

/** A file of a version, whatever its bytes. */
export interface FileNaming {
  filename: string
  /** Tells apart files of one version with equal names; empty by default. */
  compositeKey?: string
  /** Only GETs of lead files count as downloads. */
  isLead: boolean
  /** Replaces a file of that name instead of refusing it. */
  overwrite?: boolean
  properties?: readonly Property[]
}

/** A file to be uploaded; `content` is finished, and stays its maker's to discard. */
export interface PackageFileCreationInfo extends FileNaming {
  content: SpoolEntry
}

/** A file whose bytes are those of a blob that is there already. */
export interface ExistingBlobFile extends FileNaming {
  blob: Pick<BlobRow, 'hashSha256' | 'size'>
}

/** A row of `package`. */
export interface PackageRow {
  readonly id: number
  readonly ownerId: number
  readonly repoId: number
  readonly type: string
  /** Spelled as first uploaded. */
  readonly name: string
  /** The key: lower case, except for owners of kind mirror, whose names are case-sensitive. */
  readonly lowerName: string
  readonly semverCompatible: boolean
  readonly isInternal: boolean
  /** Not for everybody who may read the owner's packages. */
  readonly isPrivate: boolean
}

/** A row of `package_version`; times in ms. */
export interface VersionRow {
  readonly id: number
  readonly packageId: number
  /** 0: nobody, as for all that is cached. */
  readonly creatorId: number
  readonly version: string
  readonly lowerVersion: string
  readonly createdAt: number
  readonly isInternal: boolean
  readonly metadataJson: string
  /** Up to date in descriptors only; look-ups answer from their caches. */
  readonly downloadCount: number
  readonly lastDownloadedAt: number
}

/** A row of `package_file`. */
export interface FileRow {
  readonly id: number
  readonly versionId: number
  readonly blobId: number
  readonly name: string
  readonly lowerName: string
  readonly compositeKey: string
  readonly isLead: boolean
  readonly createdAt: number
}

/** A row of `package_blob`; hashes are lower-case hex. */
export interface BlobRow {
  readonly id: number
  /** Bytes. */
  readonly size: number
  readonly hashMd5: string
  readonly hashSha1: string
  readonly hashSha256: string
  readonly hashSha512: string
  readonly createdAt: number
}

/** A file with all that it belongs to. */
export interface FileRecord {
  readonly package: PackageRow
  readonly version: VersionRow
  readonly file: FileRow
  readonly blob: BlobRow
}

/**
 * More work in the transaction that files something. It may run several times (a transaction is repeated when it loses
 * a race), so it must do nothing but write rows with `transaction`.
 */
export type AlsoInTransaction<T = FileRecord> = (created: T & { transaction: Transaction }) => Promise<void>

/** A version with everything about it, as REST shows it. */
export interface PackageDescriptor {
  readonly owner: Owner
  /** Null when there was none or the account is gone. */
  readonly creator: Owner | null
  readonly package: PackageRow
  /** That the package is linked to; null: none. Not everybody who may read the package may see it. */
  readonly repository: RepositoryRow | null
  readonly version: VersionRow
  /** By lower-case name, then age. */
  readonly files: readonly {
    readonly file: FileRow
    readonly blob: BlobRow
    readonly properties: readonly Property[]
  }[]
  readonly packageProperties: readonly Property[]
  readonly versionProperties: readonly Property[]
  /** Parsed; null for types without metadata. */
  readonly metadata: unknown
}
