import { QueryTypes, type Transaction } from 'sequelize'
import type { Database } from '../../db/connect.ts'
import { refType } from '../../packages/package-descriptor.ts'
import type { BlobRow, PackageRow, VersionRow } from '../../packages/package-info.ts'
import { blobTable, packageTable, type Raw, versionTable } from '../../packages/rows.ts'
import type { Digest } from '../../storage/digest.ts'
import type { Repository } from './blob-queries.ts'
import { CONTAINER, MANIFEST_FILE, property } from './names.ts'
import { formatDigest, type Reference } from './path.ts'

export type { Transaction } from 'sequelize'

/** A manifest as it is served. */
export interface ManifestRow {
  readonly versionId: number
  /** `version`: the digest under which the manifest was filed, or the tag. */
  readonly reference: string
  /** As it was last pushed under this reference. */
  readonly mediaType: string
  /** The digest by which a tag was last pushed, in whose algorithm it answers. */
  readonly digest: string
  readonly blob: BlobRow
  /** Ms. */
  readonly filedAt: number
}

/** Rows and digests per statement. */
const BATCH = 500

/** Of `package_version AS v`: digests and tags share one column, and only digests contain a colon. */
export const IS_DIGEST = `v.version LIKE '%:%'`
/** Of `package_file AS f`. */
export const IS_LEAD = `f.lower_name = '${MANIFEST_FILE}' AND f.composite_key = '' AND f.is_lead = 1`
/** Of `package AS p`, with owner and name as first values. */
export const OF_REPOSITORY = `p.owner_id = $1 AND p.type = '${CONTAINER}' AND p.lower_name = $2`
const LEADS = `FROM package p
  JOIN package_version v ON v.package_id = p.id AND v.is_internal = 0
  JOIN package_file f ON f.version_id = v.id AND ${IS_LEAD}
  JOIN package_blob b ON b.id = f.blob_id`

/** The manifest that a tag or a digest, of whichever algorithm, names; null without one. */
export async function findManifest(
  db: Database,
  { ownerId, name }: Repository,
  reference: Reference,
  transaction: Transaction | null = null,
): Promise<ManifestRow | null> {
  const [condition, value] = conditionOf(reference)
  const rows = await db.sequelize.query<Raw>(
    `SELECT v.id AS version_id, v.version AS reference, m.value AS media_type, d.value AS digest,
       f.created_at AS filed_at, ${blobTable.columns} ${LEADS}
     LEFT JOIN package_property m ON m.ref_type = ${refType.file} AND m.ref_id = f.id AND m.name = '${property.mediaType}'
     LEFT JOIN package_property d ON d.ref_type = ${refType.file} AND d.ref_id = f.id AND d.name = '${property.digest}'
     WHERE ${OF_REPOSITORY} AND ${condition} ORDER BY v.id, m.id, d.id`,
    { type: QueryTypes.SELECT, bind: [ownerId, name, value], transaction },
  )
  const [raw] = rows
  if (raw === undefined) return null
  const blob = blobTable.read(raw)!
  return {
    versionId: Number(raw['version_id']),
    reference: String(raw['reference']),
    mediaType: String(raw['media_type'] ?? 'application/octet-stream'),
    digest: String(raw['digest'] ?? `sha256:${blob.hashSha256}`),
    blob,
    filedAt: Number(raw['filed_at']),
  }
}

/** The rows of the version that a reference names; null without one. */
export async function findVersion(
  db: Database,
  { ownerId, name }: Repository,
  reference: Reference,
): Promise<{ package: PackageRow; version: VersionRow } | null> {
  const [condition, value] = conditionOf(reference)
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${packageTable.columns}, ${versionTable.columns} ${LEADS}
     WHERE ${OF_REPOSITORY} AND ${condition} ORDER BY v.id LIMIT 1`,
    { type: QueryTypes.SELECT, bind: [ownerId, name, value] },
  )
  const [raw] = rows
  return raw === undefined ? null : { package: packageTable.read(raw)!, version: versionTable.read(raw)! }
}

/**
 * Those of the blobs that the repository has, by digest. In a transaction they stay until its end: their rows are
 * locked, and garbage collection needs that lock.
 */
export async function findBlobs(
  db: Database,
  { ownerId, name }: Repository,
  digests: readonly Digest[],
  transaction: Transaction | null,
): Promise<Map<string, BlobRow>> {
  const suffix = transaction === null || db.dialect === 'sqlite' ? '' : ' FOR UPDATE'
  return byDigest(digests, (condition) =>
    db.sequelize.query<Raw>(
      `SELECT ${blobTable.columns} FROM package_blob b WHERE ${condition} AND EXISTS (
         SELECT 1 FROM package_file f JOIN package_version v ON v.id = f.version_id
         JOIN package p ON p.id = v.package_id WHERE f.blob_id = b.id AND ${OF_REPOSITORY})${suffix}`,
      { type: QueryTypes.SELECT, bind: [ownerId, name], transaction },
    ),
  )
}

/** Those of the manifests that the repository has, by digest, each with the id of its version. */
export async function findManifests(
  db: Database,
  { ownerId, name }: Repository,
  digests: readonly Digest[],
  transaction: Transaction | null,
): Promise<Map<string, { versionId: number; size: number }>> {
  const versionIds = new Map<number, number>()
  const found = await byDigest(digests, async (condition) => {
    const rows = await db.sequelize.query<Raw>(
      `SELECT v.id AS version_id, ${blobTable.columns} ${LEADS} WHERE ${OF_REPOSITORY} AND ${IS_DIGEST} AND ${condition}`,
      { type: QueryTypes.SELECT, bind: [ownerId, name], transaction },
    )
    for (const row of rows) versionIds.set(Number(row['b_id']), Number(row['version_id']))
    return rows
  })
  return new Map([...found].map(([digest, { id, size }]) => [digest, { versionId: versionIds.get(id)!, size }]))
}

/** Bytes of all files, by version. */
export async function sumSizes(db: Database, versionIds: readonly number[]): Promise<Map<number, number>> {
  const sizes = new Map<number, number>()
  for (const ids of batches(versionIds)) {
    const rows = await db.sequelize.query<{ id: number; size: number | string }>(
      `SELECT f.version_id AS id, SUM(b.size) AS size FROM package_file f JOIN package_blob b ON b.id = f.blob_id
       WHERE f.version_id IN (${ids.join(', ')}) GROUP BY f.version_id`,
      { type: QueryTypes.SELECT },
    )
    for (const { id, size } of rows) sizes.set(Number(id), Number(size))
  }
  return sizes
}

function conditionOf(reference: Reference): [sql: string, value: string] {
  if ('tag' in reference) return ['v.lower_version = $3', reference.tag]
  const { algorithm, hex } = reference.digest
  return [`b.hash_${algorithm} = $3 AND ${IS_DIGEST}`, hex]
}

/** What `select` finds for conditions on `b`, by the digests that were asked for. */
async function byDigest(
  digests: readonly Digest[],
  select: (condition: string) => Promise<Raw[]>,
): Promise<Map<string, BlobRow>> {
  const found = new Map<string, BlobRow>()
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const hexes = new Set(digests.filter((digest) => digest.algorithm === algorithm).map(({ hex }) => hex))
    for (const batch of batches([...hexes])) {
      // Hexadecimal digits, so that no placeholder is needed: every number of them would be another statement.
      const rows = await select(`b.hash_${algorithm} IN (${batch.map((hex) => `'${hex}'`).join(', ')})`)
      for (const raw of rows) {
        const blob = blobTable.read(raw)!
        const hex = algorithm === 'sha256' ? blob.hashSha256 : blob.hashSha512
        found.set(formatDigest({ algorithm, hex }), blob)
      }
    }
  }
  return found
}

/** Pieces that one statement can take. */
export function batches<T>(items: readonly T[]): T[][] {
  const result: T[][] = []
  for (let start = 0; start < items.length; start += BATCH) result.push(items.slice(start, start + BATCH))
  return result
}
