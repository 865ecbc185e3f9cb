import { QueryTypes } from 'sequelize'
import type { Database } from '../../db/connect.ts'
import type { FileRecord } from '../../packages/package-info.ts'
import { blobTable, fileTable, packageTable, type Raw, versionTable } from '../../packages/rows.ts'
import type { Digest } from '../../storage/digest.ts'
import { CONTAINER, property } from './names.ts'

/** A blob as one repository knows it. */
export interface RepositoryBlob {
  readonly sha256: string
  /** Bytes. */
  readonly size: number
  /** As a manifest of the repository calls it; null when none does. */
  readonly mediaType: string | null
}

/** One repository, by its owner and its name without it. */
export interface Repository {
  readonly ownerId: number
  readonly name: string
}

/** A blob that any file of the repository has, those that no manifest names included; null when none has. */
export async function findRepositoryBlob(
  db: Database,
  { ownerId, name }: Repository,
  digest: Digest,
): Promise<RepositoryBlob | null> {
  const [row] = await db.sequelize.query<{ sha256: string; size: number | string; media_type: string | null }>(
    `SELECT b.hash_sha256 AS sha256, b.size AS size, m.value AS media_type FROM package_blob b
     JOIN package_file f ON f.blob_id = b.id
     JOIN package_version v ON v.id = f.version_id
     JOIN package p ON p.id = v.package_id
     LEFT JOIN package_property m ON m.ref_type = 1 AND m.ref_id = f.id AND m.name = '${property.mediaType}'
     WHERE ${hashColumn(digest)} = $1 AND p.owner_id = $2 AND p.type = '${CONTAINER}' AND p.lower_name = $3
     ORDER BY v.is_internal, f.id LIMIT 1`,
    { type: QueryTypes.SELECT, bind: [digest.hex, ownerId, name] },
  )
  if (row === undefined) return null
  return Object.freeze({ sha256: row.sha256, size: Number(row.size), mediaType: row.media_type })
}

/** Every file of the repository that has the blob. */
export async function findBlobFiles(
  db: Database,
  { ownerId, name }: Repository,
  digest: Digest,
): Promise<FileRecord[]> {
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${packageTable.columns}, ${versionTable.columns}, ${fileTable.columns}, ${blobTable.columns}
     FROM package_blob b
     JOIN package_file f ON f.blob_id = b.id
     JOIN package_version v ON v.id = f.version_id
     JOIN package p ON p.id = v.package_id
     WHERE ${hashColumn(digest)} = $1 AND p.owner_id = $2 AND p.type = '${CONTAINER}' AND p.lower_name = $3
     ORDER BY f.id`,
    { type: QueryTypes.SELECT, bind: [digest.hex, ownerId, name] },
  )
  return rows.map((raw) => ({
    package: packageTable.read(raw)!,
    version: versionTable.read(raw)!,
    file: fileTable.read(raw)!,
    blob: blobTable.read(raw)!,
  }))
}

/** Repositories that have the blob, `limit` at most, those of one owner first. */
export async function findRepositoriesOf(
  db: Database,
  digest: Digest,
  firstOwnerId: number,
  limit: number,
): Promise<Repository[]> {
  const rows = await db.sequelize.query<{ owner_id: number | string; name: string }>(
    // The limit in the text: a prepared statement of MySQL takes no placeholder of type DOUBLE there.
    `SELECT p.owner_id AS owner_id, p.lower_name AS name FROM package p
     WHERE p.type = '${CONTAINER}' AND p.id IN (
       SELECT v.package_id FROM package_blob b
       JOIN package_file f ON f.blob_id = b.id
       JOIN package_version v ON v.id = f.version_id
       WHERE ${hashColumn(digest)} = $1)
     ORDER BY CASE WHEN p.owner_id = $2 THEN 0 ELSE 1 END, p.id LIMIT ${limit}`,
    { type: QueryTypes.SELECT, bind: [digest.hex, firstOwnerId] },
  )
  return rows.map(({ owner_id, name }) => ({ ownerId: Number(owner_id), name }))
}

function hashColumn({ algorithm }: Digest): string {
  return algorithm === 'sha512' ? 'b.hash_sha512' : 'b.hash_sha256'
}
