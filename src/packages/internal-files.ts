import { Op, QueryTypes, type Transaction } from 'sequelize'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import type { PackageEvents } from './events.ts'
import { lockPackage, lockVersion } from './locks.ts'
import { refType } from './package-descriptor.ts'
import type { PackageRow, VersionRow } from './package-info.ts'
import type { PackageLookup } from './package-lookup.ts'
import { packageTable, type Raw, versionTable } from './rows.ts'

/** Ids per statement. */
const BATCH = 1_000

interface ExpiryParts {
  readonly db: Database
  readonly models: Models
  readonly lookup: PackageLookup
  readonly events: PackageEvents
}

/**
 * Deletes files of internal versions that were last uploaded before `before` (ms): they wait for something that names
 * them, and it has not come. Internal versions without files go too. How many files there were.
 */
export async function expireInternalFiles(parts: ExpiryParts, before: number): Promise<number> {
  const { db, lookup, events } = parts
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${packageTable.columns}, ${versionTable.columns} FROM package_version v
     JOIN package p ON p.id = v.package_id
     WHERE v.is_internal = 1
       AND (NOT EXISTS (SELECT 1 FROM package_file f WHERE f.version_id = v.id)
         OR EXISTS (SELECT 1 FROM package_file f WHERE f.version_id = v.id AND f.created_at < $1))
     ORDER BY v.id`,
    { type: QueryTypes.SELECT, bind: [before] },
  )
  let deleted = 0
  for (const raw of rows) {
    const row = packageTable.read(raw)!
    const version = versionTable.read(raw)!
    const fileIds = await db.inTransaction((transaction) => deleteOld(parts, row, version, before, transaction))
    if (fileIds.length === 0) continue
    deleted += fileIds.length
    lookup.forget(row)
    for (const fileId of fileIds) events.emit({ action: 'file-removed', fileId })
    events.emit({ action: 'changed', ownerId: row.ownerId, type: row.type, lowerName: row.lowerName })
  }
  return deleted
}

/** The ids of the files it has deleted. */
async function deleteOld(
  { db, models }: ExpiryParts,
  row: PackageRow,
  version: VersionRow,
  before: number,
  transaction: Transaction,
): Promise<number[]> {
  // The package too, as uploads do: what takes a file from here to a version of its own holds that lock.
  if (!(await lockPackage(db, row, transaction)) || !(await lockVersion(db, version, transaction))) return []
  const versionId = version.id
  const old = await models.packageFile.findAll({
    where: { versionId, createdAt: { [Op.lt]: before } },
    attributes: ['id'],
    raw: true,
    transaction,
  })
  const ids = old.map(({ id }) => Number(id))
  for (let start = 0; start < ids.length; start += BATCH) {
    const batch = ids.slice(start, start + BATCH)
    await models.packageProperty.destroy({ where: { refType: refType.file, refId: batch }, transaction })
    await models.packageFile.destroy({ where: { id: batch }, transaction })
  }
  if ((await models.packageFile.count({ where: { versionId }, transaction })) === 0) {
    await models.packageProperty.destroy({ where: { refType: refType.version, refId: versionId }, transaction })
    await models.packageVersion.destroy({ where: { id: versionId }, transaction })
  }
  return ids
}
