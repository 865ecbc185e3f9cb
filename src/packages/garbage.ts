import { QueryTypes, type Transaction } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import type { PackageEvents } from './events.ts'
import { expireInternalFiles } from './internal-files.ts'
import { forUpdate, lockPackage } from './locks.ts'
import { refType } from './package-descriptor.ts'
import type { BlobRow, PackageRow } from './package-info.ts'
import type { PackageLookup } from './package-lookup.ts'
import { blobTable, packageTable, type Raw } from './rows.ts'
import type { UploadSessions } from './upload-sessions.ts'

/** Ms. */
const OLDER_THAN = 24 * 60 * 60 * 1000
/** Ms: a content that came within this time may be about to be referred to (pull-through.md §4.2). */
const YOUNG = 60 * 60 * 1000
/** Rows per transaction: few, because uploads of exactly these bytes wait for it (in SQLite all uploads do). */
const BATCH = 20

const UNREFERENCED = `NOT EXISTS (SELECT 1 FROM package_file f WHERE f.blob_id = b.id)
  AND NOT EXISTS (SELECT 1 FROM upstream_document d WHERE d.blob_id = b.id)`
const EMPTY = 'NOT EXISTS (SELECT 1 FROM package_version v WHERE v.package_id = p.id)'

/** What a collection has freed. */
export interface Freed {
  readonly blobs: number
  /** Of contents, as many as were there. */
  readonly bytes: number
}

/** How far a collection is, step by step in this order. */
export interface GarbageProgress {
  readonly step: 'uploads' | 'files' | 'packages' | 'blobs'
  /** Deleted in this step so far. */
  readonly deleted: number
  /** Looked at in this step so far, and in all. */
  readonly seen: number
  readonly total: number
}

/** How to collect. */
export interface GarbageOptions {
  /** Ms. */
  readonly olderThan?: number
  /** Hears at least once of every step. */
  readonly onProgress?: (progress: GarbageProgress) => void
}

/** What garbage collection works on. */
export interface GarbageParts {
  readonly db: Database
  readonly models: Models
  readonly clock: Clock
  readonly blobs: BlobStore
  readonly lookup: PackageLookup
  readonly events: PackageEvents
  readonly uploads: UploadSessions
  readonly onError: (error: unknown, message: string) => void
}

/**
 * Deletes what is older than `olderThan` ms (default 24 h): uploads that nobody goes on with, files of internal versions,
 * blobs that no file and no document refers to; and versions and packages that are empty then (gitea-model.md §11, §12,
 * container.md §14). Nobody else ever deletes a content. One that cannot be deleted now is
 * reported and left for the next time.
 *
 * The lock of its row guards a content, across processes too. A blob goes in one transaction that locks the row, looks
 * again whether anything refers to it, deletes content and row, and only then commits. An upload of the same bytes has
 * put its content before and then needs that row: if it has the lock first, its reference is seen here; otherwise it
 * waits for the commit, finds the content missing and puts it again (see BlobRows). If the commit fails, a row without
 * content is left that nothing refers to: harmless, since every upload puts its content, and collected the next time.
 */
export async function collectGarbage(
  parts: GarbageParts,
  { olderThan = OLDER_THAN, onProgress }: GarbageOptions = {},
): Promise<Freed> {
  const before = parts.clock.now() - olderThan
  const isDone = (step: GarbageProgress['step'], deleted: number) =>
    onProgress?.({ step, deleted, seen: deleted, total: deleted })
  isDone('uploads', await parts.uploads.expire(before))
  isDone('files', await expireInternalFiles(parts, before))
  isDone('packages', await deleteEmptyPackages(parts))
  const total = onProgress === undefined ? 0 : await countBlobs(parts.db, before)
  let freed: Freed = { blobs: 0, bytes: 0 }
  let last = 0
  for (let seen = 0; ; ) {
    onProgress?.({ step: 'blobs', deleted: freed.blobs, seen, total })
    const candidates = await findBlobs(parts.db, before, last)
    if (candidates.length === 0) return freed
    last = candidates.at(-1)!.id
    seen += candidates.length
    const deleted = await parts.db.inTransaction((transaction) => deleteBlobs(parts, candidates, transaction))
    freed = { blobs: freed.blobs + deleted.blobs, bytes: freed.bytes + deleted.bytes }
  }
}

/**
 * Deletes those of the blobs that nothing refers to any more and that are older than an hour, in the same way and at
 * once: the space that a cache gives up is wanted now. How many bytes that freed.
 */
export async function collectBlobs(parts: GarbageParts, ids: readonly number[]): Promise<number> {
  const before = parts.clock.now() - YOUNG
  let bytes = 0
  for (let start = 0; start < ids.length; start += BATCH) {
    const rows = await parts.db.sequelize.query<Raw>(
      `SELECT ${blobTable.columns} FROM package_blob b
       WHERE b.id IN (:ids) AND b.created_at < :before AND ${UNREFERENCED} ORDER BY b.hash_sha256`,
      { type: QueryTypes.SELECT, replacements: { ids: ids.slice(start, start + BATCH), before } },
    )
    const candidates = rows.map((raw) => blobTable.read(raw)!)
    if (candidates.length === 0) continue
    const freed = await parts.db.inTransaction((transaction) => deleteBlobs(parts, candidates, transaction))
    bytes += freed.bytes
  }
  return bytes
}

async function countBlobs(db: Database, before: number): Promise<number> {
  const [row] = await db.sequelize.query<Raw>(
    `SELECT COUNT(*) AS total FROM package_blob b WHERE b.created_at < $1 AND ${UNREFERENCED}`,
    { type: QueryTypes.SELECT, bind: [before] },
  )
  return Number(row!['total'])
}

/** The next candidates after the id `last`. */
async function findBlobs(db: Database, before: number, last: number): Promise<BlobRow[]> {
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${blobTable.columns} FROM package_blob b
     WHERE b.id > $1 AND b.created_at < $2 AND ${UNREFERENCED} ORDER BY b.id LIMIT ${BATCH}`,
    { type: QueryTypes.SELECT, bind: [last, before] },
  )
  return rows.map((raw) => blobTable.read(raw)!)
}

async function deleteBlobs(parts: GarbageParts, candidates: BlobRow[], transaction: Transaction): Promise<Freed> {
  const { db, models } = parts
  const deleted: number[] = []
  let bytes = 0
  for (const { id, createdAt, hashSha256 } of candidates) {
    const select = (sql: string, bind: unknown[]) =>
      db.sequelize.query(sql, { type: QueryTypes.SELECT, bind, transaction })
    // By the key that uploads use: two ways to one row would lock it and its index in opposite orders.
    await select(`SELECT b.id FROM package_blob b WHERE b.hash_sha256 = $1${forUpdate(db)}`, [hashSha256])
    // In a statement of its own: one that had to wait for the lock may still show what was before.
    const found = await select(
      `SELECT b.id FROM package_blob b WHERE b.id = $1 AND b.created_at = $2 AND ${UNREFERENCED}`,
      [id, createdAt],
    )
    const freed = found.length > 0 ? await deleteContent(parts, hashSha256) : null
    if (freed === null) continue
    deleted.push(id)
    bytes += freed
  }
  await models.packageBlob.destroy({ where: { id: deleted }, transaction })
  return { blobs: deleted.length, bytes }
}

/** How many bytes that freed; null when it could not be deleted. */
async function deleteContent({ blobs, onError }: GarbageParts, sha256: string): Promise<number | null> {
  try {
    return await blobs.delete(sha256)
  } catch (error) {
    onError(error, `the content ${sha256} could not be deleted`)
    return null
  }
}

/** How many there were. */
async function deleteEmptyPackages({ db, models, lookup }: GarbageParts): Promise<number> {
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${packageTable.columns} FROM package p WHERE ${EMPTY} ORDER BY p.id`,
    { type: QueryTypes.SELECT },
  )
  let deleted = 0
  for (const raw of rows) {
    const found = packageTable.read(raw)!
    const isDeleted = await db.inTransaction((transaction) => deleteIfEmpty(db, models, found, transaction))
    if (!isDeleted) continue
    lookup.forget(found)
    deleted += 1
  }
  return deleted
}

async function deleteIfEmpty(
  db: Database,
  models: Models,
  row: PackageRow,
  transaction: Transaction,
): Promise<boolean> {
  if (!(await lockPackage(db, row, transaction))) return false
  const packageId = row.id
  if ((await models.packageVersion.count({ where: { packageId }, transaction })) > 0) return false
  await models.packageProperty.destroy({ where: { refType: refType.package, refId: packageId }, transaction })
  await models.package.destroy({ where: { id: packageId }, transaction })
  return true
}
