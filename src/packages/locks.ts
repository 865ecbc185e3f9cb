import { QueryTypes, type Transaction } from 'sequelize'
import type { Database } from '../db/connect.ts'
import type { PackageRow, VersionRow } from './package-info.ts'

// Uploads lock rows by their unique keys, in the order package, version, file, blob. Everybody else does the same: a
// row that is locked by its id has its index entries locked later, and then the two wait for each other.

/** Locks the rows of a SELECT until the transaction ends. SQLite has one writer, and inTransaction has made it us. */
export function forUpdate(db: Database): string {
  return db.dialect === 'sqlite' ? '' : ' FOR UPDATE'
}

/** Makes uploads to the package wait for the end of the transaction; false when it is gone. */
export async function lockPackage(db: Database, row: PackageRow, transaction: Transaction): Promise<boolean> {
  const rows = await db.sequelize.query<{ id: number }>(
    `SELECT p.id AS id FROM package p
     WHERE p.owner_id = $1 AND p.type = $2 AND p.lower_name = $3${forUpdate(db)}`,
    { type: QueryTypes.SELECT, bind: [row.ownerId, row.type, row.lowerName], transaction },
  )
  return Number(rows[0]?.id) === row.id
}

/** Makes uploads to the version wait for the end of the transaction; false when it is gone. */
export async function lockVersion(db: Database, row: VersionRow, transaction: Transaction): Promise<boolean> {
  const rows = await db.sequelize.query<{ id: number }>(
    `SELECT v.id AS id FROM package_version v WHERE v.package_id = $1 AND v.lower_version = $2${forUpdate(db)}`,
    { type: QueryTypes.SELECT, bind: [row.packageId, row.lowerVersion], transaction },
  )
  return Number(rows[0]?.id) === row.id
}
