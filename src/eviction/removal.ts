import { QueryTypes, type Transaction } from 'sequelize'
import type { Database } from '../db/connect.ts'
import { lockVersion } from '../packages/locks.ts'
import type { PackageRemoval } from '../packages/package-removal.ts'
import { type Raw, versionTable } from '../packages/rows.ts'
import type { Heirs } from './families.ts'
import type { Victim } from './victims.ts'

/** A file that is gone. */
export interface RemovedFile {
  readonly id: number
  readonly blobId: number
  /** Bytes. */
  readonly size: number
}

interface Part extends RemovedFile {
  readonly compositeKey: string
}

/** Drops a victim in one transaction; the files that are gone then, none if somebody else was first. */
export async function removeVictim(
  db: Database,
  removal: PackageRemoval,
  { file, heirs }: Victim,
): Promise<RemovedFile[]> {
  let removed: RemovedFile[] = []
  const isRemoved =
    heirs === null
      ? await removal.removePackageFileAndVersionIfUnreferenced(file, null)
      : await removal.removePackageVersion(file, null, async (transaction) => {
          removed = await handOn(db, file.version.id, heirs, transaction)
          return false
        })
  if (!isRemoved) return []
  if (heirs !== null) return removed
  const { id, blobId } = file.file
  const [blob] = await db.sequelize.query<{ size: number }>('SELECT size FROM package_blob WHERE id = $1', {
    type: QueryTypes.SELECT,
    bind: [blobId],
  })
  return [{ id, blobId, size: Number(blob?.size ?? 0) }]
}

/** Gives the parts that other versions need too to one of those; what is left of the version. */
async function handOn(db: Database, versionId: number, heirs: Heirs, transaction: Transaction): Promise<RemovedFile[]> {
  const parts = await db.sequelize.query<Part>(
    `SELECT f.id AS id, f.blob_id AS blobId, f.composite_key AS compositeKey, b.size AS size
     FROM package_file f JOIN package_blob b ON b.id = f.blob_id WHERE f.version_id = $1 ORDER BY f.id`,
    { type: QueryTypes.SELECT, bind: [versionId], transaction },
  )
  const left: RemovedFile[] = []
  for (const part of parts) {
    const others = (heirs.get(part.compositeKey) ?? []).filter((heir) => heir !== versionId)
    if (await giveToOneOf(db, part, others, transaction)) continue
    left.push({ id: Number(part.id), blobId: Number(part.blobId), size: Number(part.size) })
  }
  return left
}

async function giveToOneOf(db: Database, part: Part, heirs: number[], transaction: Transaction): Promise<boolean> {
  for (const heir of heirs) {
    const [raw] = await db.sequelize.query<Raw>(
      `SELECT ${versionTable.columns} FROM package_version v WHERE v.id = $1 AND NOT EXISTS (
         SELECT 1 FROM package_file f WHERE f.version_id = v.id AND f.composite_key = $2)`,
      { type: QueryTypes.SELECT, bind: [heir, part.compositeKey], transaction },
    )
    // It may have been dropped before, or purged.
    if (raw === undefined || !(await lockVersion(db, versionTable.read(raw)!, transaction))) continue
    await db.sequelize.query('UPDATE package_file SET version_id = $2 WHERE id = $1', {
      bind: [part.id, heir],
      transaction,
    })
    return true
  }
  return false
}
