import { QueryTypes } from 'sequelize'
import type { Database } from '../db/connect.ts'

/** A version and the bytes of its files. */
export interface UsedVersion {
  readonly type: string
  readonly name: string
  readonly version: string
  readonly size: number
}

/** Bytes of an owner's files, equal ones counted each time, and its versions; internal ones take space and do not count. */
export async function usageOf(db: Database, ownerId: number): Promise<{ size: number; count: number }> {
  const [row] = await db.sequelize.query<{ size: number | string | null; count: number | string }>(
    `SELECT
       (SELECT SUM(b.size) FROM package p JOIN package_version v ON v.package_id = p.id
        JOIN package_file f ON f.version_id = v.id JOIN package_blob b ON b.id = f.blob_id
        WHERE p.owner_id = $1) AS size,
       (SELECT COUNT(*) FROM package p JOIN package_version v ON v.package_id = p.id AND v.is_internal = 0
        WHERE p.owner_id = $1) AS count`,
    { type: QueryTypes.SELECT, bind: [ownerId] },
  )
  return { size: Number(row?.size ?? 0), count: Number(row?.count ?? 0) }
}

/** The versions of an owner with the most bytes, one page of them. */
export async function largestVersions(
  db: Database,
  ownerId: number,
  { limit, offset }: { limit: number; offset: number },
): Promise<{ rows: UsedVersion[]; total: number }> {
  const rows = await db.sequelize.query<UsedVersion & { size: number | string }>(
    `SELECT p.type AS type, p.name AS name, v.version AS version, COALESCE(SUM(b.size), 0) AS size
     FROM package p JOIN package_version v ON v.package_id = p.id AND v.is_internal = 0
     LEFT JOIN package_file f ON f.version_id = v.id LEFT JOIN package_blob b ON b.id = f.blob_id
     WHERE p.owner_id = $1 GROUP BY v.id, p.type, p.name, v.version
     ORDER BY size DESC, v.id LIMIT ${limit} OFFSET ${offset}`,
    { type: QueryTypes.SELECT, bind: [ownerId] },
  )
  const { count: total } = await usageOf(db, ownerId)
  return { rows: rows.map((row) => ({ ...row, size: Number(row.size) })), total }
}
