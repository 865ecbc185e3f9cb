import { createHash } from 'node:crypto'
import { QueryTypes } from 'sequelize'
import type { Database } from '../db/connect.ts'
import type { BlobStore, StoredBlob } from '../storage/blob-store.ts'
import { algorithms } from '../storage/digest.ts'
import type { BlobRow } from './package-info.ts'
import { blobTable, type Raw } from './rows.ts'

/** Rows, or names of contents, per statement. */
const BATCH = 500
/** Contents that are opened at once. */
const OPEN = 8
const CHUNK = 1024 * 1024

/** What an audit looks at. */
export interface AuditParts {
  readonly db: Database
  readonly blobs: BlobStore
}

/** A row whose content is not what the row says. */
export interface FaultyBlob {
  readonly blob: BlobRow
  readonly fault: 'missing' | 'unreadable' | 'wrong size' | 'wrong digest'
  /** What was found instead; empty for what is missing. */
  readonly detail: string
}

/** A file of a package, or a document of a mirror, that needs a blob. */
export interface BlobUse {
  readonly kind: 'file' | 'document'
  readonly owner: string
  readonly isMirror: boolean
  /** `npm left-pad 1.3.0`, or the document's key. */
  readonly what: string
}

/** How many blobs there are by their rows, and what they weigh. */
export async function measureBlobs({ db }: AuditParts): Promise<{ count: number; bytes: number }> {
  const [row] = await select(db, 'SELECT COUNT(*) AS count, COALESCE(SUM(size), 0) AS bytes FROM package_blob', [])
  return { count: Number(row!['count']), bytes: Number(row!['bytes']) }
}

/**
 * Compares every row with its content: it is there, opens, and has its size; with `verify` also its four digests, for
 * which all of it is read. Works beside a running server: what is deleted meanwhile is no fault.
 */
export async function* auditBlobs(
  parts: AuditParts,
  { verify, onSeen }: { verify: boolean; onSeen: (blobs: number, bytes: number) => void },
): AsyncGenerator<FaultyBlob> {
  for (let last = 0; ; ) {
    const sql = `SELECT ${blobTable.columns} FROM package_blob b WHERE b.id > $1 ORDER BY b.id LIMIT ${BATCH}`
    const rows = (await select(parts.db, sql, [last])).map((raw) => blobTable.read(raw)!)
    if (rows.length === 0) return
    last = rows.at(-1)!.id
    for (let start = 0; start < rows.length; start += OPEN) {
      const some = rows.slice(start, start + OPEN)
      const found = await Promise.all(some.map((blob) => examine(parts.blobs, blob, verify)))
      for (const fault of found) if (fault !== null && (await isThere(parts.db, fault.blob))) yield fault
      onSeen(some.length, verify ? 0 : sizeOf(some))
    }
  }

  async function examine(blobs: BlobStore, blob: BlobRow, verify: boolean): Promise<FaultyBlob | null> {
    try {
      const source = await blobs.open(blob.hashSha256)
      if (source === null) return { blob, fault: 'missing', detail: '' }
      try {
        if (source.size !== blob.size) return { blob, fault: 'wrong size', detail: `${source.size} bytes` }
        return verify ? await compareDigests(blob, source, (bytes) => onSeen(0, bytes)) : null
      } finally {
        source.close()
      }
    } catch (error) {
      return { blob, fault: 'unreadable', detail: (error as Error).message }
    }
  }
}

/** Who needs a blob, at most `limit` of them; none: it is garbage. */
export async function usesOf({ db }: AuditParts, { id }: BlobRow, limit: number): Promise<BlobUse[]> {
  const files = await select(
    db,
    `SELECT u.name AS owner, u.kind AS kind, p.type AS type, p.name AS name, v.version AS version
     FROM package_file f JOIN package_version v ON v.id = f.version_id JOIN package p ON p.id = v.package_id
     JOIN user u ON u.id = p.owner_id WHERE f.blob_id = $1 ORDER BY f.id LIMIT ${limit}`,
    [id],
  )
  const documents = await select(
    db,
    `SELECT u.name AS owner, d.kind AS type, d.document_key AS name FROM upstream_document d
     JOIN upstream s ON s.id = d.upstream_id JOIN user u ON u.id = s.owner_id
     WHERE d.blob_id = $1 ORDER BY d.id LIMIT ${limit}`,
    [id],
  )
  return [
    ...files.map(({ owner, kind, type, name, version }) => ({
      ...{ kind: 'file' as const, owner: String(owner), isMirror: kind === 'mirror' },
      what: `${type} ${name} ${version}`,
    })),
    ...documents.map(({ owner, type, name }) => ({
      ...{ kind: 'document' as const, owner: String(owner), isMirror: true },
      what: `${type} ${name}`,
    })),
  ].slice(0, limit)
}

/**
 * Contents that no row knows, stored before `before` (ms): an upload puts its content first and makes the row after
 * that. `onSeen` hears how much of all has been looked at, 0 to 1.
 */
export async function* findOrphans(
  { db, blobs }: AuditParts,
  before: number,
  onSeen: (share: number) => void,
): AsyncGenerator<StoredBlob> {
  let batch: StoredBlob[] = []
  const unknown = async () => {
    const names = batch.map(({ sha256 }) => `'${sha256}'`).join(', ')
    const rows = await select(db, `SELECT hash_sha256 AS sha256 FROM package_blob WHERE hash_sha256 IN (${names})`, [])
    const known = new Set(rows.map(({ sha256 }) => sha256))
    return batch.filter(({ sha256 }) => !known.has(sha256))
  }
  for await (const blob of blobs.list()) {
    if (blob.storedAt < before) batch.push(blob)
    if (batch.length < BATCH) continue
    yield* await unknown()
    batch = []
    // Digests are spread evenly.
    onSeen(Number.parseInt(blob.sha256.slice(0, 4), 16) / 0x1_00_00)
  }
  if (batch.length > 0) yield* await unknown()
}

async function compareDigests(
  blob: BlobRow,
  source: { read(buffer: Buffer, position: number): Promise<number> },
  onRead: (bytes: number) => void,
): Promise<FaultyBlob | null> {
  const hashes = algorithms.map((algorithm) => ({ algorithm, hash: createHash(algorithm) }))
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK, blob.size || 1))
  for (let position = 0; ; ) {
    const bytes = await source.read(buffer, position)
    if (bytes === 0) break
    for (const { hash } of hashes) hash.update(buffer.subarray(0, bytes))
    position += bytes
    onRead(bytes)
  }
  const expected = { md5: blob.hashMd5, sha1: blob.hashSha1, sha256: blob.hashSha256, sha512: blob.hashSha512 }
  const wrong = hashes.flatMap(({ algorithm, hash }) => {
    const actual = hash.digest('hex')
    return actual === expected[algorithm] ? [] : [`${algorithm} ${actual}`]
  })
  // All four differ when the content does; the one that names it says enough then.
  const detail = wrong.find((text) => text.startsWith('sha256')) ?? `the row has another ${wrong[0]?.split(' ')[0]}`
  return wrong.length === 0 ? null : { blob, fault: 'wrong digest', detail }
}

async function isThere(db: Database, { id }: BlobRow): Promise<boolean> {
  return (await select(db, 'SELECT id FROM package_blob WHERE id = $1', [id])).length > 0
}

function select(db: Database, sql: string, bind: unknown[]): Promise<Raw[]> {
  return db.sequelize.query<Raw>(sql, { type: QueryTypes.SELECT, bind })
}

function sizeOf(blobs: readonly BlobRow[]): number {
  return blobs.reduce((sum, { size }) => sum + size, 0)
}
