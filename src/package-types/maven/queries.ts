import { QueryTypes, type Transaction } from 'sequelize'
import type { Database } from '../../db/connect.ts'
import { forUpdate } from '../../packages/locks.ts'
import type { BlobRow, PackageRow } from '../../packages/package-info.ts'
import { blobTable, packageTable, type Raw } from '../../packages/rows.ts'
import { type FilePath, MAVEN, packageName, type SnapshotMetadataPath } from './coordinates.ts'

export type { Transaction } from 'sequelize'

/** Versions read at once, with all their files. */
const VERSIONS = 20

const VERSION = 0
const PACKAGE = 2

/** Properties of ours: a build of a snapshot that a client has announced; how a group's metadata calls a plugin. */
const BUILD = 'maven.build'
const PLUGIN = 'maven.plugin'

/** A package and the text of its property that calls it a plugin, if it has one. */
export interface PluginRow {
  readonly package: PackageRow
  readonly value: string | null
}

/** The bytes of a file as of now, past every cache; null when there is no such file. */
export async function findBlob(db: Database, ownerId: number, path: FilePath): Promise<BlobRow | null> {
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${blobTable.columns} FROM package p
     JOIN package_version v ON v.package_id = p.id AND v.lower_version = $4 AND v.is_internal = 0
     JOIN package_file f ON f.version_id = v.id AND f.lower_name = $5 AND f.composite_key = ''
     JOIN package_blob b ON b.id = f.blob_id
     WHERE p.owner_id = $1 AND p.type = $2 AND p.lower_name = $3 AND p.is_internal = 0`,
    {
      type: QueryTypes.SELECT,
      bind: [
        ...[ownerId, MAVEN, packageName(path)!.toLowerCase()],
        ...[path.version.toLowerCase(), path.filename.toLowerCase()],
      ],
    },
  )
  return rows[0] === undefined ? null : blobTable.read(rows[0])
}

/** The versions of a package, in the order of their creation; `createdAt` in ms. */
export async function readVersions(db: Database, packageId: number): Promise<{ version: string; createdAt: number }[]> {
  const rows = await db.sequelize.query<{ version: string; at: number | string }>(
    'SELECT version, created_at AS at FROM package_version WHERE package_id = $1 AND is_internal = 0 ORDER BY id',
    { type: QueryTypes.SELECT, bind: [packageId] },
  )
  return rows.map(({ version, at }) => ({ version, createdAt: Number(at) }))
}

/** Names of the files of a version, and the builds announced for it. */
export async function readSnapshot(
  db: Database,
  versionId: number,
): Promise<{ filenames: string[]; announced: Set<string> }> {
  const options = { type: QueryTypes.SELECT as const, bind: [versionId] }
  // Builds first: one that is announced has its files.
  const builds = await db.sequelize.query<{ value: string }>(
    `SELECT value FROM package_property WHERE ref_type = ${VERSION} AND ref_id = $1 AND name = '${BUILD}'`,
    options,
  )
  const files = await db.sequelize.query<{ name: string }>(
    'SELECT name FROM package_file WHERE version_id = $1 ORDER BY id',
    options,
  )
  return { filenames: files.map(({ name }) => name), announced: new Set(builds.map(({ value }) => value)) }
}

/** Notes that a build of a snapshot is complete. The package; null when that was known, or the version is not there. */
export async function announceBuild(
  db: Database,
  ownerId: number,
  path: SnapshotMetadataPath,
  build: string,
  transaction: Transaction,
): Promise<PackageRow | null> {
  // Locked, or two who announce the same build would both find it new.
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${packageTable.columns}, v.id AS version_id FROM package p
     JOIN package_version v ON v.package_id = p.id AND v.lower_version = $4 AND v.is_internal = 0
     WHERE p.owner_id = $1 AND p.type = $2 AND p.lower_name = $3 AND p.is_internal = 0${forUpdate(db)}`,
    {
      type: QueryTypes.SELECT,
      bind: [ownerId, MAVEN, packageName(path)!.toLowerCase(), path.version.toLowerCase()],
      transaction,
    },
  )
  if (rows[0] === undefined) return null
  const versionId = Number(rows[0]['version_id'])
  const known = await db.sequelize.query(
    `SELECT id FROM package_property
     WHERE ref_type = ${VERSION} AND ref_id = $1 AND name = '${BUILD}' AND value = $2`,
    { type: QueryTypes.SELECT, bind: [versionId, build], transaction },
  )
  if (known.length > 0) return null
  await insertProperty(db, VERSION, versionId, BUILD, build, transaction)
  return packageTable.read(rows[0])
}

/** Ids of the next snapshot versions after the id `last`, of whichever owner; none after the last. */
export async function readSnapshotVersions(db: Database, last: number): Promise<number[]> {
  const rows = await db.sequelize.query<{ id: number }>(
    `SELECT v.id AS id FROM package_version v JOIN package p ON p.id = v.package_id AND p.type = '${MAVEN}'
     WHERE v.id > $1 AND v.is_internal = 0 AND v.version LIKE '%SNAPSHOT' ORDER BY v.id LIMIT ${VERSIONS}`,
    { type: QueryTypes.SELECT, bind: [last] },
  )
  return rows.map(({ id }) => Number(id))
}

/** Takes back that a build was announced. */
export async function forgetBuild(db: Database, versionId: number, build: string): Promise<void> {
  await db.sequelize.query(
    `DELETE FROM package_property WHERE ref_type = ${VERSION} AND ref_id = $1 AND name = '${BUILD}' AND value = $2`,
    { bind: [versionId, build] },
  )
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

/** Whether any name of the group belongs to the owner for good, in whatever versions it is there now. */
export async function hasGroup(db: Database, ownerId: number, group: string): Promise<boolean> {
  const rows = await db.sequelize.query(
    `SELECT id FROM name_binding
     WHERE owner_id = $1 AND type = $2 AND lower_name >= $3 AND lower_name < $4 AND upstream_id = 0 LIMIT 1`,
    { type: QueryTypes.SELECT, bind: [ownerId, MAVEN, ...rangeOf(group)] },
  )
  return rows.length > 0
}

/** The packages of a group that have versions and are known as plugins, by name. */
export function readPlugins(db: Database, ownerId: number, group: string): Promise<PluginRow[]> {
  return selectPackages(
    db,
    `JOIN package_property t ON t.ref_type = ${PACKAGE} AND t.ref_id = p.id AND t.name = '${PLUGIN}'
     WHERE p.owner_id = $1 AND p.type = $2 AND p.lower_name >= $3 AND p.lower_name < $4 AND p.is_internal = 0
       AND EXISTS (SELECT 1 FROM package_version v WHERE v.package_id = p.id AND v.is_internal = 0)
     ORDER BY p.lower_name, t.id`,
    [ownerId, MAVEN, ...rangeOf(group)],
  )
}

/** A package of ours, plugin or not, with its row locked until the transaction ends. */
export async function findPlugin(
  db: Database,
  ownerId: number,
  name: string,
  transaction: Transaction,
): Promise<PluginRow | null> {
  const rows = await selectPackages(
    db,
    `LEFT JOIN package_property t ON t.ref_type = ${PACKAGE} AND t.ref_id = p.id AND t.name = '${PLUGIN}'
     WHERE p.owner_id = $1 AND p.type = $2 AND p.lower_name = $3 AND p.is_internal = 0
     ORDER BY t.id${forUpdate(db)}`,
    [ownerId, MAVEN, name.toLowerCase()],
    transaction,
  )
  return rows.at(-1) ?? null
}

/** Replaces what is known of a package as a plugin. The package's row must be locked. */
export async function writePlugin(
  db: Database,
  packageId: number,
  value: string,
  transaction: Transaction,
): Promise<void> {
  await db.sequelize.query(
    `DELETE FROM package_property WHERE ref_type = ${PACKAGE} AND ref_id = $1 AND name = '${PLUGIN}'`,
    { bind: [packageId], transaction },
  )
  await insertProperty(db, PACKAGE, packageId, PLUGIN, value, transaction)
}

async function selectPackages(
  db: Database,
  rest: string,
  bind: unknown[],
  transaction: Transaction | null = null,
): Promise<PluginRow[]> {
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${packageTable.columns}, t.value AS plugin FROM package p ${rest}`,
    { type: QueryTypes.SELECT, bind, transaction },
  )
  return rows.map((raw) => ({ package: packageTable.read(raw)!, value: (raw['plugin'] as string | null) ?? null }))
}

/** The names of a group lie between these: `;` is what follows `:`. A pattern would take `_` for any character. */
function rangeOf(group: string): [string, string] {
  return [`${group.toLowerCase()}:`, `${group.toLowerCase()};`]
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
