import { QueryTypes, type Sequelize } from 'sequelize'
import { type Owner, toOwner } from '../auth/owner.ts'
import type { Models } from '../models/index.ts'
import type { PackageDescriptor, Property } from './package-info.ts'
import { readRepositories } from './repository.ts'
import { blobTable, fileTable, packageTable, type Raw, versionTable } from './rows.ts'

/** Reference types of `package_property` (gitea-model.md §1). */
export const refType = { version: 0, file: 1, package: 2 } as const

/**
 * Loads versions with owner, creator, files, blobs, properties and repository in at most five queries, in the order of
 * the ids. Versions that are gone, or whose owner is gone, are left out.
 */
export async function describeVersions(
  sequelize: Sequelize,
  models: Models,
  versionIds: readonly number[],
): Promise<PackageDescriptor[]> {
  if (versionIds.length === 0) return []
  const select = (sql: string, replacements: Record<string, unknown>) =>
    sequelize.query<Raw>(sql, { type: QueryTypes.SELECT, replacements })
  const [versionRows, fileRows] = await Promise.all([
    select(
      `SELECT ${packageTable.columns}, ${versionTable.columns} FROM package_version v
       JOIN package p ON p.id = v.package_id WHERE v.id IN (:versionIds)`,
      { versionIds },
    ),
    select(
      `SELECT ${fileTable.columns}, ${blobTable.columns} FROM package_file f
       JOIN package_blob b ON b.id = f.blob_id WHERE f.version_id IN (:versionIds)
       ORDER BY f.lower_name, f.created_at, f.id`,
      { versionIds },
    ),
  ])
  const versions = versionRows.map((raw) => ({ package: packageTable.read(raw)!, version: versionTable.read(raw)! }))
  const files = fileRows.map((raw) => ({ file: fileTable.read(raw)!, blob: blobTable.read(raw)! }))
  const [properties, owners, repositories] = await Promise.all([
    readProperties(
      select,
      versions.map(({ version }) => version.id),
      files.map(({ file }) => file.id),
      versions.map((version) => version.package.id),
    ),
    readOwners(
      models,
      versions.flatMap((row) => [row.package.ownerId, row.version.creatorId]),
    ),
    readRepositories(
      models,
      versions.map((row) => row.package.repoId),
    ),
  ])
  const propertiesOf = (type: number, id: number) => properties.get(`${type}/${id}`) ?? []
  const filesOf = new Map<number, typeof files>()
  for (const row of files) {
    const list = filesOf.get(row.file.versionId)
    if (list === undefined) filesOf.set(row.file.versionId, [row])
    else list.push(row)
  }
  const descriptors = new Map<number, PackageDescriptor>()
  for (const row of versions) {
    const owner = owners.get(row.package.ownerId)
    if (owner === undefined) continue
    descriptors.set(row.version.id, {
      owner,
      creator: owners.get(row.version.creatorId) ?? null,
      package: row.package,
      repository: repositories.get(row.package.repoId) ?? null,
      version: row.version,
      files: (filesOf.get(row.version.id) ?? []).map(({ file, blob }) => ({
        file,
        blob,
        properties: propertiesOf(refType.file, file.id),
      })),
      packageProperties: propertiesOf(refType.package, row.package.id),
      versionProperties: propertiesOf(refType.version, row.version.id),
      metadata: parseMetadata(row.version.metadataJson),
    })
  }
  return versionIds.flatMap((id) => descriptors.get(id) ?? [])
}

async function readProperties(
  select: (sql: string, replacements: Record<string, unknown>) => Promise<Raw[]>,
  versionIds: number[],
  fileIds: number[],
  packageIds: number[],
): Promise<Map<string, Property[]>> {
  const result = new Map<string, Property[]>()
  // 0 is no id: an empty list is no SQL.
  const rows = await select(
    `SELECT ref_type, ref_id, name, value FROM package_property
     WHERE (ref_type = ${refType.version} AND ref_id IN (:versionIds))
        OR (ref_type = ${refType.file} AND ref_id IN (:fileIds))
        OR (ref_type = ${refType.package} AND ref_id IN (:packageIds))
     ORDER BY id`,
    { versionIds: [0, ...versionIds], fileIds: [0, ...fileIds], packageIds: [0, ...packageIds] },
  )
  for (const row of rows) {
    const key = `${row['ref_type']}/${row['ref_id']}`
    const property = Object.freeze({ name: String(row['name']), value: String(row['value']) })
    const list = result.get(key)
    if (list === undefined) result.set(key, [property])
    else list.push(property)
  }
  return result
}

async function readOwners(models: Models, ids: number[]): Promise<Map<number, Owner>> {
  const rows = await models.user.findAll({ where: { id: [...new Set(ids)] } })
  return new Map(rows.map((row) => [Number(row.id), toOwner(row)]))
}

function parseMetadata(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return null
  }
}
