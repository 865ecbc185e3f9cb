import { QueryTypes } from 'sequelize'
import type { Database } from '../db/connect.ts'
import type { FileTarget } from '../packages/package-removal.ts'
import { fileTable, packageTable, type Raw, versionTable } from '../packages/rows.ts'
import type { Upstream } from '../upstream/upstreams.ts'

/** `last_used_at` of what the previous release stored. */
const UNKNOWN = 1

/** An artifact that an upstream's cache holds. */
export interface Candidate {
  /** Of its row in `upstream_digest`. */
  readonly id: number
  /** As its row says, ms since the epoch. */
  readonly lastUsedAt: number
  /** The same, or a better guess. */
  readonly usedAt: number
  /** Bytes. */
  readonly size: number
  /** null: its file was removed otherwise. */
  readonly file: FileTarget | null
}

/** Where a search goes on. */
export interface Cursor {
  readonly lastUsedAt: number
  readonly id: number
}

/** The next artifacts of an upstream that were last used before `before`, longest ago first. */
export async function findCandidates(
  db: Database,
  { id: upstreamId, owner }: Upstream,
  { before, after, limit }: { before: number; after: Cursor; limit: number },
): Promise<Candidate[]> {
  const rows = await db.sequelize.query<Raw>(
    `SELECT d.id AS d_id, d.last_used_at AS d_last_used_at, d.size AS d_size,
       ${packageTable.columns}, ${versionTable.columns}, ${fileTable.columns}
     FROM upstream_digest d
     LEFT JOIN package_file f ON f.id = d.file_id
     LEFT JOIN package_version v ON v.id = f.version_id
     LEFT JOIN package p ON p.id = v.package_id
     WHERE d.upstream_id = $1 AND d.last_used_at >= $2 AND d.last_used_at > 0 AND d.last_used_at < $3
       AND (d.last_used_at > $2 OR d.id > $4)
     ORDER BY d.last_used_at, d.id LIMIT ${limit}`,
    { type: QueryTypes.SELECT, bind: [upstreamId, after.lastUsedAt, before, after.id] },
  )
  return rows.map((raw) => {
    const [row, version, file] = [packageTable.read(raw), versionTable.read(raw), fileTable.read(raw)]
    const lastUsedAt = Number(raw['d_last_used_at'])
    const isKnown = lastUsedAt !== UNKNOWN || file === null || version === null
    return {
      id: Number(raw['d_id']),
      lastUsedAt,
      usedAt: isKnown ? lastUsedAt : Math.max(file.createdAt, version.lastDownloadedAt),
      size: Number(raw['d_size']),
      file: row === null || version === null || file === null ? null : { owner, package: row, version, file },
    }
  })
}

/** Writes when artifacts were really used, where their rows say something earlier. */
export async function correctUses(db: Database, uses: readonly Pick<Candidate, 'id' | 'usedAt'>[]): Promise<void> {
  if (uses.length === 0) return
  await db.inTransaction(async (transaction) => {
    for (const { id, usedAt } of uses) {
      const sql = 'UPDATE upstream_digest SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2'
      await db.sequelize.query(sql, { bind: [id, usedAt], transaction })
    }
  })
}

/** Files are gone: what they held is not held any more, unless it has come again. */
export async function noteRemoved(db: Database, fileIds: readonly number[]): Promise<void> {
  if (fileIds.length === 0) return
  await db.inTransaction((transaction) =>
    db.sequelize.query('UPDATE upstream_digest SET last_used_at = 0, file_id = 0 WHERE file_id IN (:fileIds)', {
      replacements: { fileIds },
      transaction,
    }),
  )
}

/** The same for artifacts whose files somebody else has removed. */
export async function noteLost(db: Database, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return
  await db.inTransaction((transaction) =>
    db.sequelize.query(
      `UPDATE upstream_digest SET last_used_at = 0, file_id = 0
       WHERE id IN (:ids) AND NOT EXISTS (SELECT 1 FROM package_file f WHERE f.id = upstream_digest.file_id)`,
      { replacements: { ids }, transaction },
    ),
  )
}
