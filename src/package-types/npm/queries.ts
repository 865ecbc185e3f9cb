import { QueryTypes, type Transaction } from 'sequelize'
import type { Database } from '../../db/connect.ts'
import type { VersionRow } from '../../packages/package-info.ts'
import { type Raw, versionTable } from '../../packages/rows.ts'

export type { Transaction } from 'sequelize'

/** A dist-tag and the version it points to. */
export interface TagRow {
  readonly versionId: number
  readonly tag: string
}

/** What a package document is made from, as of one moment. */
export interface PackageRows {
  /** In the order of publication. */
  readonly versions: readonly VersionRow[]
  readonly tags: readonly TagRow[]
  /** When a tag moved, or a version was published or deprecated, last; ms, 0 when not recorded. */
  readonly changedAt: number
}

const VERSION = 0
const PACKAGE = 2

/** Properties of ours: a tag of a version (Gitea's name), the readme of a version, the last change of a package. */
const TAG = 'npm.tag'
/** Kept apart from the metadata: a document shows one readme but all versions. */
export const README = 'npm.readme'
const CHANGED = 'npm.changed'

/** Everything of a package but its readmes. With a transaction, other changes of the package wait for its end. */
export async function readPackage(db: Database, packageId: number, transaction?: Transaction): Promise<PackageRows> {
  if (transaction !== undefined) await lockPackage(db, packageId, transaction)
  const options = { type: QueryTypes.SELECT as const, bind: [packageId], transaction: transaction ?? null }
  const versions = await db.sequelize.query<Raw>(
    `SELECT ${versionTable.columns} FROM package_version v
     WHERE v.package_id = $1 AND v.is_internal = 0 ORDER BY v.id`,
    options,
  )
  const tags = await db.sequelize.query<{ id: number; tag: string }>(
    `SELECT t.ref_id AS id, t.value AS tag FROM package_version v
     JOIN package_property t ON t.ref_type = ${VERSION} AND t.ref_id = v.id AND t.name = '${TAG}'
     WHERE v.package_id = $1 ORDER BY t.id`,
    options,
  )
  const changes = await db.sequelize.query<{ at: string }>(
    `SELECT value AS at FROM package_property
     WHERE ref_type = ${PACKAGE} AND ref_id = $1 AND name = '${CHANGED}' ORDER BY id`,
    options,
  )
  return {
    versions: versions.map((raw) => versionTable.read(raw)!),
    tags: tags.map(({ id, tag }) => ({ versionId: Number(id), tag })),
    changedAt: Number(changes.at(-1)?.at ?? 0),
  }
}

/** The readme of a version; empty when it has none. */
export async function readReadme(db: Database, versionId: number): Promise<string> {
  const rows = await db.sequelize.query<{ value: string }>(
    `SELECT value FROM package_property WHERE ref_type = ${VERSION} AND ref_id = $1 AND name = '${README}'`,
    { type: QueryTypes.SELECT, bind: [versionId] },
  )
  return rows[0]?.value ?? ''
}

/**
 * Lets each tag point to this version and to no other of the package. The first version of a package also becomes
 * `latest` when no tag says so: clients fail without. The package's row must be locked.
 */
export async function moveTags(
  db: Database,
  { id, packageId }: Pick<VersionRow, 'id' | 'packageId'>,
  tags: readonly string[],
  transaction: Transaction,
): Promise<void> {
  const held = await readTags(db, packageId, transaction)
  const isFirst = held.length === 0 && (await countVersions(db, packageId, transaction)) === 1
  for (const tag of new Set(isFirst ? ['latest', ...tags] : tags)) {
    const [row, ...others] = held.filter(({ value }) => value === tag)
    if (row === undefined) await insertProperty(db, VERSION, id, TAG, tag, transaction)
    else {
      const bind = [id, row.id]
      await db.sequelize.query('UPDATE package_property SET ref_id = $1 WHERE id = $2', { bind, transaction })
    }
    await deleteProperties(db, others, transaction)
  }
}

/** Takes a tag away from whichever version has it; whether one had it. */
export async function deleteTag(
  db: Database,
  packageId: number,
  tag: string,
  transaction: Transaction,
): Promise<boolean> {
  const held = (await readTags(db, packageId, transaction)).filter(({ value }) => value === tag)
  await deleteProperties(db, held, transaction)
  return held.length > 0
}

/** Replaces the metadata of a version. */
export async function writeMetadata(
  db: Database,
  versionId: number,
  metadata: object,
  transaction: Transaction,
): Promise<void> {
  await db.sequelize.query('UPDATE package_version SET metadata_json = $1 WHERE id = $2', {
    bind: [JSON.stringify(metadata), versionId],
    transaction,
  })
}

/** Notes when the package changed last: no column of the model says so. */
export async function noteChange(db: Database, packageId: number, at: number, transaction: Transaction): Promise<void> {
  await db.sequelize.query(
    `DELETE FROM package_property WHERE ref_type = ${PACKAGE} AND ref_id = $1 AND name = '${CHANGED}'`,
    { bind: [packageId], transaction },
  )
  await insertProperty(db, PACKAGE, packageId, CHANGED, String(at), transaction)
}

/** Makes other changes of the package wait for the end of the transaction. SQLite has one writer at a time anyway. */
export async function lockPackage(db: Database, packageId: number, transaction: Transaction): Promise<void> {
  if (db.dialect === 'sqlite') return
  await db.sequelize.query('SELECT id FROM package WHERE id = $1 FOR UPDATE', {
    type: QueryTypes.SELECT,
    bind: [packageId],
    transaction,
  })
}

/** Ids of the properties that are the package's tags: MariaDB would run a subquery of DELETE for every tag there is. */
function readTags(db: Database, packageId: number, transaction: Transaction): Promise<{ id: number; value: string }[]> {
  return db.sequelize.query<{ id: number; value: string }>(
    `SELECT t.id AS id, t.value AS value FROM package_version v
     JOIN package_property t ON t.ref_type = ${VERSION} AND t.ref_id = v.id AND t.name = '${TAG}'
     WHERE v.package_id = $1 ORDER BY t.id`,
    { type: QueryTypes.SELECT, bind: [packageId], transaction },
  )
}

async function countVersions(db: Database, packageId: number, transaction: Transaction): Promise<number> {
  const rows = await db.sequelize.query<{ total: number }>(
    'SELECT COUNT(*) AS total FROM package_version WHERE package_id = $1 AND is_internal = 0',
    { type: QueryTypes.SELECT, bind: [packageId], transaction },
  )
  return Number(rows[0]!.total)
}

async function deleteProperties(
  db: Database,
  rows: readonly { id: number }[],
  transaction: Transaction,
): Promise<void> {
  for (const { id } of rows) {
    await db.sequelize.query('DELETE FROM package_property WHERE id = $1', { bind: [id], transaction })
  }
}

async function insertProperty(
  db: Database,
  refType: number,
  refId: number,
  name: string,
  value: string,
  transaction: Transaction,
): Promise<void> {
  await db.sequelize.query('INSERT INTO package_property (ref_type, ref_id, name, value) VALUES ($1, $2, $3, $4)', {
    type: QueryTypes.INSERT,
    bind: [refType, refId, name, value],
    transaction,
  })
}
