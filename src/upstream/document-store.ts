import { createHash } from 'node:crypto'
import { literal, Op, QueryTypes, type Transaction } from 'sequelize'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import type { Packages } from '../packages/index.ts'

/** Documents per transaction that goes for many. */
const BATCH = 200

/** What is known of a held document; `body` is its gzip until it is stored, then null. */
export interface DocumentRecord {
  readonly blobSha256: string
  readonly etag: string
  readonly lastModified: string
  /** SHA-256 of the decoded body, lower-case hex: the document's version. */
  readonly bodySha256: string
  /** Grows with each change of the body and with each invalidation; 0: not stored yet. */
  readonly seq: number
  readonly fetchedAt: number
  readonly verifiedAt: number
  /** When the upstream first denied the document; 0: it has it. */
  readonly goneAt: number
  readonly body: Buffer | null
}

/** Identity of a document in the database and in memory. */
export interface DocumentIdentity {
  readonly upstreamId: number
  readonly kind: string
  readonly key: string
}

/** The identity as a key of maps in memory. */
export function identityKey({ upstreamId, kind, key }: DocumentIdentity): string {
  return `${upstreamId}:${kind}:${key}`
}

/** Rows of `upstream_document` and the blobs behind them. */
export class DocumentStore {
  readonly #db: Database
  readonly #models: Models
  readonly #packages: Packages

  constructor(db: Database, models: Models, packages: Packages) {
    this.#db = db
    this.#models = models
    this.#packages = packages
  }

  /** The record of a document, or null. */
  async find(identity: DocumentIdentity): Promise<DocumentRecord | null> {
    const [row] = await this.#db.sequelize.query<Omit<DocumentRecord, 'body'>>(
      `SELECT b.hash_sha256 AS blobSha256, d.etag, d.last_modified AS lastModified, d.body_sha256 AS bodySha256, d.seq,
              d.fetched_at AS fetchedAt, d.verified_at AS verifiedAt, d.gone_at AS goneAt
         FROM upstream_document d JOIN package_blob b ON b.id = d.blob_id
        WHERE d.upstream_id = ? AND d.kind = ? AND d.key_sha256 = ?`,
      { replacements: [identity.upstreamId, identity.kind, hashKey(identity.key)], type: QueryTypes.SELECT },
    )
    return row === undefined ? null : { ...row, body: null }
  }

  /**
   * Stores a new body in place of the one that was held when it was asked for, of this `seq`; in place of any if that is
   * null. The record that is now true; null when the document changed meanwhile, or was invalidated: what was asked
   * before is not known to be newer (the fence of pull-through.md §4.3).
   */
  async save(identity: DocumentIdentity, record: DocumentRecord, seq: number | null): Promise<DocumentRecord | null> {
    const entry = this.#packages.spool.create()
    try {
      await entry.append(record.body!)
      await entry.finish()
      let stored: number | null = null
      await this.#packages.storeBlob(entry, { durable: false }, async ({ blob, transaction }) => {
        stored = await this.#upsert(identity, record, { blobId: blob.id, seq }, transaction)
      })
      return stored && { ...record, blobSha256: entry.digests.sha256, seq: stored, body: null }
    } finally {
      await entry.discard()
    }
  }

  /** Records that the upstream confirmed, or denied, what is held; false when that changed meanwhile, as above. */
  async touch(identity: DocumentIdentity, record: DocumentRecord): Promise<boolean> {
    const { etag, lastModified, verifiedAt, goneAt, seq } = record
    const [count] = await this.#db.inTransaction((transaction) =>
      this.#models.upstreamDocument.update(
        { etag, lastModified, verifiedAt, goneAt },
        { where: { ...where(identity), seq }, transaction },
      ),
    )
    return count > 0
  }

  /** The gzip of a stored body; null when the blob store has lost it. */
  async read(record: DocumentRecord): Promise<Buffer | null> {
    if (record.body !== null) return record.body
    const source = await this.#packages.blobs.open(record.blobSha256)
    if (source === null) return null
    try {
      const buffer = Buffer.allocUnsafe(source.size ?? 0)
      for (let position = 0; position < buffer.length; ) {
        const read = await source.read(buffer.subarray(position), position)
        if (read === 0) return null
        position += read
      }
      return buffer
    } finally {
      source.close()
    }
  }

  /**
   * Documents of an upstream, all or those of one key, count as last verified at `verifiedAt` at the latest, and what is
   * being asked of them now, by whatever replica, does not change that.
   */
  async expire(upstreamId: number, verifiedAt: number, key?: string): Promise<void> {
    const ofKey = key === undefined ? {} : { keySha256: hashKey(key) }
    const where = { upstreamId, verifiedAt: { [Op.gt]: verifiedAt }, ...ofKey }
    const values = { verifiedAt, seq: literal('seq + 1') as never }
    await this.#db.inTransaction((transaction) => this.#models.upstreamDocument.update(values, { where, transaction }))
  }

  /** Forgets documents of an upstream: all, or those of one key; their blobs wait for garbage collection. */
  async remove(upstreamId: number, key?: string): Promise<void> {
    const where = { upstreamId, ...(key === undefined ? {} : { keySha256: hashKey(key) }) }
    await this.#db.inTransaction((transaction) => this.#models.upstreamDocument.destroy({ where, transaction }))
  }

  /**
   * Forgets some documents, if there are any, that were last read before `before`; one that the upstream denies could
   * not come back, and stays.
   */
  async removeUnused(upstreamId: number, before: number): Promise<DocumentIdentity[]> {
    const old = { lastUsedAt: { [Op.lt]: before }, verifiedAt: { [Op.lt]: before }, goneAt: 0 }
    return this.#db.inTransaction(async (transaction) => {
      const rows = await this.#models.upstreamDocument.findAll({
        ...{ where: { upstreamId, ...old }, attributes: ['id', 'kind', 'documentKey'], limit: BATCH },
        ...{ order: [['lastUsedAt', 'ASC']], lock: true, raw: true, transaction },
      })
      await this.#models.upstreamDocument.destroy({ where: { id: rows.map(({ id }) => id) }, transaction })
      return rows.map(({ kind, documentKey }) => ({ upstreamId, kind, key: documentKey }))
    })
  }

  /** The new `seq`; null: the fence keeps the record out. */
  async #upsert(
    identity: DocumentIdentity,
    record: DocumentRecord,
    { blobId, seq }: { blobId: number; seq: number | null },
    transaction: Transaction,
  ): Promise<number | null> {
    const { etag, lastModified, bodySha256, fetchedAt, verifiedAt, goneAt } = record
    const values = { blobId, etag, lastModified, bodySha256, fetchedAt, verifiedAt, goneAt }
    const held = await this.#models.upstreamDocument.findOne({ where: where(identity), transaction })
    if (held === null) {
      const row = { ...values, ...where(identity), documentKey: identity.key, seq: 1 }
      await this.#models.upstreamDocument.create(row, { transaction })
      return 1
    }
    const next = held.seq + 1
    const [count] = await this.#models.upstreamDocument.update(
      { ...values, seq: next },
      { where: { id: held.id, seq: seq ?? held.seq }, transaction },
    )
    return count > 0 ? next : null
  }
}

function where({ upstreamId, kind, key }: DocumentIdentity) {
  return { upstreamId, kind, keySha256: hashKey(key) }
}

/** Keys are compared by hash: no collation aliases `Foo` and `foo`, and no index is too short (pull-through.md §1.2). */
export function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}
