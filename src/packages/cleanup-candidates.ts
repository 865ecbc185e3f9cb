import { QueryTypes } from 'sequelize'
import type { Database } from '../db/connect.ts'
import type { Candidate } from './cleanup-decision.ts'
import type { PackageRow, VersionRow } from './package-info.ts'
import { packageTable, type Raw, versionTable } from './rows.ts'

const PACKAGES = 100

/** A version that a rule may remove. */
export interface VersionCandidate extends Candidate {
  readonly versionId: number
  readonly version: string
  /** Of its files, equal ones counted each time; bytes. */
  readonly size: number
}

/** The packages of an owner and type after the id `after`, some at a time: there may be tens of thousands. */
export async function* packagesOf(db: Database, ownerId: number, type: string, after = 0): AsyncGenerator<PackageRow> {
  for (let last = after; ; ) {
    const rows = await db.sequelize.query<Raw>(
      `SELECT ${packageTable.columns} FROM package p
       WHERE p.owner_id = $1 AND p.type = $2 AND p.is_internal = 0 AND p.id > $3 ORDER BY p.id LIMIT ${PACKAGES}`,
      { type: QueryTypes.SELECT, bind: [ownerId, type, last] },
    )
    for (const raw of rows) yield packageTable.read(raw)!
    if (rows.length < PACKAGES) return
    last = Number(rows.at(-1)!['p_id'])
  }
}

/**
 * The versions of a package, those first that changed last: a snapshot or a tag that is uploaded again and again is as
 * young as its youngest file, whenever it was made.
 */
export async function candidatesOf(db: Database, packageId: number): Promise<VersionCandidate[]> {
  const rows = await db.sequelize.query<Raw>(
    `SELECT v.id AS id, v.version AS version, v.lower_version AS lower_version,
       COALESCE(MAX(f.created_at), v.created_at) AS changed_at, COALESCE(SUM(b.size), 0) AS size
     FROM package_version v
     LEFT JOIN package_file f ON f.version_id = v.id
     LEFT JOIN package_blob b ON b.id = f.blob_id
     WHERE v.package_id = $1 AND v.is_internal = 0
     GROUP BY v.id, v.version, v.lower_version, v.created_at ORDER BY changed_at DESC, v.id DESC`,
    { type: QueryTypes.SELECT, bind: [packageId] },
  )
  return rows.map((row) => ({
    versionId: Number(row['id']),
    version: String(row['version']),
    lowerVersion: String(row['lower_version']),
    changedAt: Number(row['changed_at']),
    size: Number(row['size']),
  }))
}

/** The row of a version; null when it is gone. */
export async function readVersion(db: Database, versionId: number): Promise<VersionRow | null> {
  const rows = await db.sequelize.query<Raw>(`SELECT ${versionTable.columns} FROM package_version v WHERE v.id = $1`, {
    type: QueryTypes.SELECT,
    bind: [versionId],
  })
  return rows[0] === undefined ? null : versionTable.read(rows[0])
}
