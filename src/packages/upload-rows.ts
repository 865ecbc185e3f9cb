import { QueryTypes, type Transaction } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import type { UploadKeys } from './keys.ts'
import { forUpdate } from './locks.ts'
import { refType } from './package-descriptor.ts'
import type { BlobRow, CachedFileInfo, FileNaming, FileRow, PackageRow, Property, VersionRow } from './package-info.ts'
import { blobTable, fileTable, packageTable, type Raw, versionTable } from './rows.ts'

/** A file to be filed, with the keys of its rows. */
export interface Upload<File extends FileNaming = FileNaming> {
  readonly info: CachedFileInfo
  readonly file: File
  readonly keys: UploadKeys
  /** Of the bytes. */
  readonly sha256: string
  /** Bytes. */
  readonly size: number
}

/** What is there already of an upload's rows. */
export interface UploadState {
  readonly package: PackageRow | null
  readonly version: VersionRow | null
  readonly file: FileRow | null
  readonly blob: BlobRow | null
  /** Upstream id of the name's binding, 0: hosted; null: unbound. */
  readonly binding: number | null
}

/** Properties gathered for one insert. */
export type PropertyValues = Property & { refType: 0 | 1 | 2; refId: number }

/** The properties of one row. */
export function propertiesOf(type: 0 | 1 | 2, refId: number, properties: readonly Property[] = []): PropertyValues[] {
  return properties.map(({ name, value }) => ({ refType: type, refId, name, value }))
}

/** The package of an upload, to be inserted. */
export function newPackage({ info, keys }: Upload): Omit<PackageRow, 'id'> {
  return {
    ownerId: info.owner.id,
    repoId: 0,
    type: info.type,
    name: info.name,
    lowerName: keys.lowerName,
    semverCompatible: info.semverCompatible ?? false,
    isInternal: false,
    isPrivate: info.isPrivate ?? false,
  }
}

/** The version of an upload, to be inserted. */
export function newVersion({ info, keys }: Upload, packageId: number, now: number): Omit<VersionRow, 'id'> {
  return {
    packageId,
    creatorId: info.creator?.id ?? 0,
    version: info.version,
    lowerVersion: keys.lowerVersion,
    createdAt: now,
    isInternal: info.isInternal ?? false,
    metadataJson: JSON.stringify(info.metadata ?? null),
    downloadCount: 0,
    lastDownloadedAt: 0,
  }
}

/** The file of an upload, to be inserted. */
export function newFile({ file, keys }: Upload, versionId: number, blobId: number, now: number): Omit<FileRow, 'id'> {
  return {
    versionId,
    blobId,
    name: file.filename,
    lowerName: keys.lowerFilename,
    compositeKey: keys.compositeKey,
    isLead: file.isLead,
    createdAt: now,
  }
}

/** The statements of an upload. */
export class UploadRows {
  readonly #db: Database
  readonly #models: Models
  readonly #clock: Clock

  constructor(db: Database, models: Models, clock: Clock) {
    this.#db = db
    this.#models = models
    this.#clock = clock
  }

  /**
   * All in one query. In a transaction it locks what it finds: uploads to one package wait for each other here, and
   * for the removal of any of these rows.
   */
  async readState({ info, keys, sha256 }: Upload, transaction: Transaction | null): Promise<UploadState> {
    const rows = await this.#db.sequelize.query<Raw>(
      `SELECT ${packageTable.columns}, ${versionTable.columns}, ${fileTable.columns}, ${blobTable.columns},
         n.upstream_id AS binding
       FROM (SELECT 1 AS one) AS always
       LEFT JOIN package p ON p.owner_id = $1 AND p.type = $2 AND p.lower_name = $3
       LEFT JOIN package_version v ON v.package_id = p.id AND v.lower_version = $4
       LEFT JOIN package_file f ON f.version_id = v.id AND f.lower_name = $5 AND f.composite_key = $6
       LEFT JOIN package_blob b ON b.hash_sha256 = $7
       LEFT JOIN name_binding n ON n.owner_id = $1 AND n.type = $2 AND n.lower_name = $3
       ${transaction === null ? '' : forUpdate(this.#db)}`,
      {
        type: QueryTypes.SELECT,
        bind: [
          ...[info.owner.id, info.type, keys.lowerName, keys.lowerVersion, keys.lowerFilename],
          ...[keys.compositeKey, sha256],
        ],
        transaction,
      },
    )
    const raw = rows[0]!
    return {
      package: packageTable.read(raw),
      version: versionTable.read(raw),
      file: fileTable.read(raw),
      blob: blobTable.read(raw),
      binding: raw['binding'] === null ? null : Number(raw['binding']),
    }
  }

  insertPackage(upload: Upload, transaction: Transaction): Promise<PackageRow> {
    return packageTable.insert(this.#db.sequelize, newPackage(upload), transaction)
  }

  insertVersion(upload: Upload, packageId: number, transaction: Transaction): Promise<VersionRow> {
    return versionTable.insert(this.#db.sequelize, newVersion(upload, packageId, this.#clock.now()), transaction)
  }

  insertFile(upload: Upload, versionId: number, blobId: number, transaction: Transaction): Promise<FileRow> {
    return fileTable.insert(this.#db.sequelize, newFile(upload, versionId, blobId, this.#clock.now()), transaction)
  }

  /** The file counts as new. */
  async renewFile(file: FileRow, transaction: Transaction): Promise<FileRow> {
    const createdAt = this.#clock.now()
    await this.#db.sequelize.query('UPDATE package_file SET created_at = $1 WHERE id = $2', {
      bind: [createdAt, file.id],
      transaction,
    })
    return Object.freeze({ ...file, createdAt })
  }

  async insertProperties(properties: PropertyValues[], transaction: Transaction): Promise<void> {
    if (properties.length > 0) await this.#models.packageProperty.bulkCreate(properties, { transaction })
  }

  /** The name is hosted from now on, also when its packages are gone one day (pull-through.md §7). */
  async bindName({ info, keys }: Upload, transaction: Transaction): Promise<void> {
    await this.#db.sequelize.query(
      'INSERT INTO name_binding (owner_id, type, lower_name, upstream_id, created_at) VALUES ($1, $2, $3, 0, $4)',
      { bind: [info.owner.id, info.type, keys.lowerName, this.#clock.now()], transaction },
    )
  }

  /** The name is hosted from now on, although it came from an upstream: somebody has confirmed that (§7). */
  async rebindName({ info, keys }: Upload, transaction: Transaction): Promise<void> {
    await this.#db.sequelize.query(
      'UPDATE name_binding SET upstream_id = 0 WHERE owner_id = $1 AND type = $2 AND lower_name = $3',
      { bind: [info.owner.id, info.type, keys.lowerName], transaction },
    )
  }

  async deleteFile(file: FileRow, transaction: Transaction): Promise<void> {
    await this.#models.packageProperty.destroy({ where: { refType: refType.file, refId: file.id }, transaction })
    await this.#models.packageFile.destroy({ where: { id: file.id }, transaction })
  }

  async findUpstreamName(upstreamId: number, transaction: Transaction | null): Promise<string> {
    const upstream = await this.#models.upstream.findByPk(upstreamId, { transaction })
    return upstream?.name ?? String(upstreamId)
  }
}
