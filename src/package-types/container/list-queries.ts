import { QueryTypes } from 'sequelize'
import { type Owner, toOwner } from '../../auth/owner.ts'
import type { NameRule } from '../../auth/restriction.ts'
import type { Database } from '../../db/connect.ts'
import type { Models } from '../../models/index.ts'
import { matchesAnyRule } from '../../packages/name-rules.ts'
import type { Repository } from './blob-queries.ts'
import { batches, IS_DIGEST, IS_LEAD, OF_REPOSITORY } from './manifest-queries.ts'
import { CONTAINER, property } from './names.ts'

/** A manifest with a subject. */
export interface ReferrerRow {
  readonly versionId: number
  readonly digest: string
  /** Bytes. */
  readonly size: number
  /** Of its bytes. */
  readonly sha256: string
  readonly metadataJson: string
}

/** An owner whose repositories are wanted: all of them (rules null), or those that any of the rules means. */
export interface ListedOwner {
  readonly id: number
  readonly rules: readonly NameRule[] | null
  /** Private ones too. */
  readonly showsPrivate: boolean
}

const SELECT = { type: QueryTypes.SELECT } as const

/** Tags in byte order: `limit` at most, all after `last`. */
export async function readTags(
  db: Database,
  { ownerId, name }: Repository,
  last: string | null,
  limit: number,
): Promise<string[]> {
  const rows = await db.sequelize.query<{ tag: string }>(
    `SELECT v.version AS tag FROM package p
     JOIN package_version v ON v.package_id = p.id AND v.is_internal = 0 AND NOT (${IS_DIGEST})
     WHERE ${OF_REPOSITORY} AND v.lower_version > $3 ORDER BY v.lower_version LIMIT ${limit}`,
    { ...SELECT, bind: [ownerId, name, last ?? ''] },
  )
  return rows.map(({ tag }) => tag)
}

/**
 * Manifests whose subject is this digest, in the order of their filing, all after the manifest `last` (null: from the
 * first), until they take more than `maxLength` bytes, either they or their metadata; at least one.
 */
export async function readReferrers(
  db: Database,
  { ownerId, name }: Repository,
  subject: string,
  last: string | null,
  maxLength: number,
): Promise<{ rows: ReferrerRow[]; hasMore: boolean }> {
  const all = await db.sequelize.query<{ id: number; digest: string; size: number; sha256: string; length: number }>(
    `SELECT v.id AS id, v.version AS digest, b.size AS size, b.hash_sha256 AS sha256, LENGTH(v.metadata_json) AS length FROM package p
     JOIN package_version v ON v.package_id = p.id AND v.is_internal = 0 AND ${IS_DIGEST}
     JOIN package_property s ON s.ref_type = 0 AND s.ref_id = v.id AND s.name = '${property.subject}' AND s.value = $3
     JOIN package_file f ON f.version_id = v.id AND ${IS_LEAD}
     JOIN package_blob b ON b.id = f.blob_id
     WHERE ${OF_REPOSITORY} ORDER BY v.id`,
    { ...SELECT, bind: [ownerId, name, subject] },
  )
  const rest = last === null ? all : all.slice(all.findIndex(({ digest }) => digest === last) + 1)
  let length = 0
  const page = rest.filter((row, index) => {
    length += Math.max(Number(row.length), Number(row.size))
    return index === 0 || length <= maxLength
  })
  const metadata = new Map<number, string>()
  for (const ids of batches(page.map(({ id }) => id))) {
    const rows = await db.sequelize.query<{ id: number; json: string }>(
      `SELECT id, metadata_json AS json FROM package_version WHERE id IN (${ids.join(', ')})`,
      SELECT,
    )
    for (const { id, json } of rows) metadata.set(Number(id), json)
  }
  const rows = page.map(({ id, digest, size, sha256 }) => ({
    versionId: Number(id),
    digest,
    size: Number(size),
    sha256,
    metadataJson: metadata.get(Number(id)) ?? 'null',
  }))
  return { rows, hasMore: page.length < rest.length }
}

/** All who have images, and how their names sort before those. */
export async function readImageOwners(db: Database): Promise<{ id: number; prefix: string }[]> {
  const rows = await db.sequelize.query<{ id: number; name: string }>(
    `SELECT u.id AS id, u.lower_name AS name FROM user u WHERE EXISTS (
       SELECT 1 FROM package p WHERE p.owner_id = u.id AND p.type = '${CONTAINER}')`,
    SELECT,
  )
  return rows.map(({ id, name }) => ({ id: Number(id), prefix: `${name}/` }))
}

/** Accounts by their ids, in one query. */
export async function readOwners(models: Models, ids: readonly number[]): Promise<Owner[]> {
  return (await models.user.findAll({ where: { id: [...ids] } })).map(toOwner)
}

/**
 * `<owner>/<name>` of the repositories of these owners that have a manifest, in byte order: `limit` at most, all after
 * `last`.
 */
export async function readRepositories(
  db: Database,
  owners: readonly ListedOwner[],
  last: string,
  limit: number,
): Promise<string[]> {
  if (owners.length === 0) return []
  const bind = [last]
  const place = (value: string) => `$${bind.push(value)}`
  const isVisible = (showsPrivate: boolean) => (showsPrivate ? '' : ' AND p.is_private = 0')
  const conditions = [
    ...[true, false].flatMap((shown) => {
      const ids = owners
        .filter(({ rules, showsPrivate }) => rules === null && showsPrivate === shown)
        .map(({ id }) => id)
      return ids.length === 0 ? [] : [`(p.owner_id IN (${ids.join(', ')})${isVisible(shown)})`]
    }),
    ...owners.flatMap(({ id, rules, showsPrivate }) =>
      rules === null ? [] : [`(p.owner_id = ${id}${isVisible(showsPrivate)} AND ${matchesAnyRule(rules, place)})`],
    ),
  ]
  const path =
    db.dialect === 'sqlite' ? `u.lower_name || '/' || p.lower_name` : `CONCAT(u.lower_name, '/', p.lower_name)`
  const rows = await db.sequelize.query<{ path: string }>(
    `SELECT ${path} AS path FROM package p JOIN user u ON u.id = p.owner_id
     WHERE p.type = '${CONTAINER}' AND (${conditions.join(' OR ')}) AND ${path} > $1
       AND EXISTS (SELECT 1 FROM package_version v WHERE v.package_id = p.id AND v.is_internal = 0)
     ORDER BY path LIMIT ${limit}`,
    { ...SELECT, bind },
  )
  return rows.map(({ path }) => path)
}
