import { QueryTypes } from 'sequelize'
import type { Database } from '../db/connect.ts'
import type { VersionParts } from '../upstream/adapter.ts'
import type { Upstream } from '../upstream/upstreams.ts'

/** What decides about a version besides itself. */
export interface Family {
  /** When it was last used, or its parts, or what it belongs to or what belongs to it. */
  readonly usedAt: number
  /** By what else it is called: tags, and the names of what it belongs to. */
  readonly references: readonly string[]
}

/** Versions, by id, that need a part, by its composite key. */
export type Heirs = ReadonlyMap<string, readonly number[]>

/** What is known of some versions of an upstream whose type has parts and children. */
export interface Families {
  /** By the id of the version. */
  readonly byVersion: ReadonlyMap<number, Family>
  readonly heirs: Heirs
}

interface Relative {
  versionId: number
  otherId: number
  reference: string
  usedAt: number | null
}

/** Of versions, by id. Statements go over the mirror's versions, so it is to be asked for many at once. */
export async function findFamilies(
  db: Database,
  { owner, settings }: Upstream,
  { part, child }: VersionParts,
  ids: readonly number[],
): Promise<Families> {
  if (ids.length === 0) return { byVersion: new Map(), heirs: new Map() }
  const select = <Row extends object>(sql: string, values: object) =>
    db.sequelize.query<Row>(sql, { type: QueryTypes.SELECT, replacements: { ids, part, child, ...values } })
  const parts = await select<{ versionId: number; digest: string; usedAt: number }>(
    `SELECT f.version_id AS versionId, f.composite_key AS digest, d.last_used_at AS usedAt
     FROM package_file f JOIN upstream_digest d ON d.file_id = f.id WHERE f.version_id IN (:ids) AND f.is_lead = 0`,
    {},
  )
  const heirs = new Map<string, number[]>()
  if (parts.length > 0) {
    const needed = await select<{ digest: string; versionId: number }>(
      `SELECT r.value AS digest, r.ref_id AS versionId FROM package_property r
       JOIN package_version v ON v.id = r.ref_id JOIN package p ON p.id = v.package_id
       WHERE r.ref_type = 0 AND r.name = :part AND r.value IN (:digests) AND p.owner_id = :ownerId AND p.type = :type
       ORDER BY r.ref_id`,
      { digests: [...new Set(parts.map(({ digest }) => digest))], ownerId: owner.id, type: settings.type },
    )
    for (const { digest, versionId } of needed) heirs.set(digest, [...(heirs.get(digest) ?? []), Number(versionId)])
  }
  const children = await select<Relative>(
    `SELECT me.id AS versionId, other.id AS otherId, other.version AS reference, d.last_used_at AS usedAt
     FROM package_version me
     JOIN package_property r ON r.ref_type = 0 AND r.ref_id = me.id AND r.name = :child
     JOIN package_version other ON other.package_id = me.package_id AND other.lower_version = r.value
     ${USE_OF_OTHER} WHERE me.id IN (:ids)`,
    {},
  )
  const parents = await select<Relative>(
    `SELECT me.id AS versionId, other.id AS otherId, other.version AS reference, d.last_used_at AS usedAt
     FROM package_version me
     JOIN package_version other ON other.package_id = me.package_id
     JOIN package_property r ON r.ref_type = 0 AND r.ref_id = other.id AND r.name = :child AND r.value = me.version
     ${USE_OF_OTHER} WHERE me.id IN (:ids)`,
    {},
  )
  const tags = await select<{ versionId: number; tag: string }>(
    `SELECT me.id AS versionId, t.version AS tag FROM package_version me
     JOIN package_file f ON f.version_id = me.id AND f.is_lead = 1
     JOIN package_file g ON g.blob_id = f.blob_id AND g.is_lead = 1 AND g.id <> f.id
     JOIN package_version t ON t.id = g.version_id AND t.package_id = me.package_id
     WHERE me.id IN (:withParents)`,
    { withParents: [...ids, ...parents.map(({ otherId }) => otherId)] },
  )
  const tagsOf = (versionId: number) => tags.filter((row) => Number(row.versionId) === versionId).map(({ tag }) => tag)
  const byVersion = new Map(
    ids.map((id) => {
      const isMine = ({ versionId }: { versionId: number }) => Number(versionId) === id
      const own = parents.filter(isMine)
      // What another version needs too is no reason to keep this one: it is handed on.
      const alone = parts.filter((row) => isMine(row) && !heirs.get(row.digest)?.some((heir) => heir !== id))
      const uses = [...alone, ...own, ...children.filter(isMine)].map(({ usedAt }) => Number(usedAt ?? 0))
      const references = [...tagsOf(id), ...own.flatMap((row) => [row.reference, ...tagsOf(Number(row.otherId))])]
      return [id, { usedAt: Math.max(0, ...uses), references }]
    }),
  )
  return { byVersion, heirs }
}

const USE_OF_OTHER = `LEFT JOIN package_file f ON f.version_id = other.id AND f.is_lead = 1
     LEFT JOIN upstream_digest d ON d.file_id = f.id`
