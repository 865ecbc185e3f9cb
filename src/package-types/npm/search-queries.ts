import { QueryTypes } from 'sequelize'
import type { NameRule } from '../../auth/restriction.ts'
import type { Database } from '../../db/connect.ts'
import { matchesAnyRule } from '../../packages/name-rules.ts'
import type { PackageRow, VersionRow } from '../../packages/package-info.ts'
import { packageTable, type Raw, versionTable } from '../../packages/rows.ts'
import type { TagRow } from './queries.ts'

/** Names are no longer; SQLite refuses very long patterns. */
const MAX_WORD = 255
const MAX_WORDS = 10

/** Which packages of an owner are wanted. */
export interface PackageSearch {
  readonly ownerId: number
  /** Each must be part of the name, in any case. */
  readonly words: readonly string[]
  /** Texts that the metadata of some version must contain; the caller checks what they mean there. */
  readonly metadataTexts: readonly string[]
  /** Only packages that any of these means; null: all. */
  readonly rules: readonly NameRule[] | null
  /** Private ones too. */
  readonly showsPrivate: boolean
  readonly offset: number
  readonly limit: number
}

/** Packages that have a version, by name, and how many there are on all pages. */
export async function findPackages(
  db: Database,
  { ownerId, words, metadataTexts, rules, showsPrivate, offset, limit }: PackageSearch,
): Promise<{ rows: PackageRow[]; total: number }> {
  const texts = [...words, ...metadataTexts]
  if (texts.length > MAX_WORDS || texts.some((text) => text.length > MAX_WORD)) return { rows: [], total: 0 }
  const bind: unknown[] = [ownerId]
  const place = (text: string) => `$${bind.push(`%${escapeLike(text)}%`)} ESCAPE '!'`
  // Not EXISTS: SQLite 3.52 makes a join of it and then counts a package's versions one by one for OFFSET.
  const exists = (more: string) =>
    `(SELECT MAX(v.id) FROM package_version v WHERE v.package_id = p.id AND v.is_internal = 0${more}) IS NOT NULL`
  const conditions = [
    exists(''),
    ...(showsPrivate ? [] : ['p.is_private = 0']),
    ...(rules === null ? [] : [matchesAnyRule(rules, (value) => `$${bind.push(value)}`)]),
    ...words.map((word) => `p.lower_name LIKE ${place(word.toLowerCase())}`),
    ...metadataTexts.map((text) => exists(` AND v.metadata_json LIKE ${place(text)}`)),
  ]
  const from = `FROM package p WHERE p.owner_id = $1 AND p.type = 'npm' AND p.is_internal = 0 AND ${conditions.join(' AND ')}`
  const options = { type: QueryTypes.SELECT as const, bind }
  const [counted] = await db.sequelize.query<{ total: number }>(`SELECT COUNT(*) AS total ${from}`, options)
  // Numbers in the text: a prepared statement of MySQL takes no placeholder there.
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${packageTable.columns} ${from} ORDER BY p.lower_name LIMIT ${limit} OFFSET ${offset}`,
    options,
  )
  return { rows: rows.map((raw) => packageTable.read(raw)!), total: Number(counted!.total) }
}

/** Ids, numbers and `latest` tags of all versions of some packages, without their metadata. */
export async function readVersionNumbers(
  db: Database,
  packageIds: readonly number[],
): Promise<{ versions: { id: number; packageId: number; version: string }[]; tags: TagRow[] }> {
  const ids = packageIds.map(Number).join(', ')
  const versions = await db.sequelize.query<{ id: number; packageId: number; version: string }>(
    `SELECT id, package_id AS packageId, version FROM package_version
     WHERE package_id IN (${ids}) AND is_internal = 0 ORDER BY id`,
    { type: QueryTypes.SELECT },
  )
  const tags = await db.sequelize.query<{ id: number }>(
    `SELECT t.ref_id AS id FROM package_version v
     JOIN package_property t ON t.ref_type = 0 AND t.ref_id = v.id AND t.name = 'npm.tag'
     WHERE v.package_id IN (${ids}) AND t.value = 'latest'`,
    { type: QueryTypes.SELECT },
  )
  return {
    versions: versions.map(({ id, packageId, version }) => ({ id: Number(id), packageId: Number(packageId), version })),
    tags: tags.map(({ id }) => ({ versionId: Number(id), tag: 'latest' })),
  }
}

/** Whole versions by id, in no order. */
export async function readVersions(db: Database, ids: readonly number[]): Promise<VersionRow[]> {
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${versionTable.columns} FROM package_version v WHERE v.id IN (${ids.map(Number).join(', ')})`,
    { type: QueryTypes.SELECT },
  )
  return rows.map((raw) => versionTable.read(raw)!)
}

/** For `LIKE … ESCAPE '!'`: wildcards in a search mean themselves. */
function escapeLike(text: string): string {
  return text.replace(/[!%_]/g, '!$&')
}
