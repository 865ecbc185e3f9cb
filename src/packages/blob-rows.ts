import { QueryTypes, type Transaction } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import type { SpoolEntry } from '../storage/spool-entry.ts'
import { forUpdate } from './locks.ts'
import type { AlsoInTransaction, BlobRow } from './package-info.ts'
import { blobTable } from './rows.ts'

/** The content was put and is gone again: garbage collection came between. Nobody outside this folder sees it. */
class ContentVanished extends Error {}

const PUTS = 4

/**
 * Keeps rows of `package_blob` and the contents of the blob store together. The content is put before the transaction.
 * Garbage collection deletes a content only while it holds the lock of its row (garbage.ts), so whoever holds that
 * lock, because he has found the row `FOR UPDATE` or has just inserted it, sees for good whether the content is there.
 */
export class BlobRows {
  readonly #db: Database
  readonly #blobs: BlobStore
  readonly #clock: Clock
  readonly #onError: (error: unknown, message: string) => void

  constructor(db: Database, blobs: BlobStore, clock: Clock, onError: (error: unknown, message: string) => void) {
    this.#db = db
    this.#blobs = blobs
    this.#clock = clock
    this.#onError = onError
  }

  /**
   * Puts the content and runs `work` in a transaction, from the start when the content has vanished meanwhile. `work`
   * must call `keep`. When it fails the content gets a row all the same, for garbage collection to find it by.
   */
  async withContent<T>(
    content: SpoolEntry,
    { durable }: { durable: boolean },
    work: (transaction: Transaction) => Promise<T>,
  ): Promise<T> {
    // Once put, the bytes belong to the store; this keeps them readable should they have to be put again.
    const release = content.hold()
    try {
      for (let attempt = 1; ; attempt += 1) {
        await this.#blobs.put(content, { durable })
        try {
          return await this.#db.inTransaction(work)
        } catch (error) {
          if (error instanceof ContentVanished && attempt < PUTS) continue
          await this.#leaveToGarbage(content)
          throw error
        }
      }
    } finally {
      release()
    }
  }

  /**
   * Runs `work` in a transaction over a content that is there already, forced to disk first. `work` must call
   * `keepExisting`. Null when the content is not there or goes meanwhile.
   */
  async withExisting<T>(sha256: string, work: (transaction: Transaction) => Promise<T>): Promise<T | null> {
    // It may have come as a cached artifact, which nobody forced to disk.
    if (!(await this.#blobs.sync(sha256))) return null
    try {
      return await this.#db.inTransaction(work)
    } catch (error) {
      if (error instanceof ContentVanished) return null
      throw error
    }
  }

  /** The row that was found `FOR UPDATE` in a transaction of `withExisting`. */
  async keepExisting(held: BlobRow | null): Promise<BlobRow> {
    if (held === null) throw new ContentVanished('the blob is gone')
    await this.requireContent(held)
    return held
  }

  /** The row for the content, in a transaction of `withContent`; `held` is the row if it was found `FOR UPDATE`. */
  async keep(content: SpoolEntry, held: BlobRow | null, transaction: Transaction): Promise<BlobRow> {
    const row = held ?? (await this.#insert(content, transaction))
    await this.requireContent(row)
    return row
  }

  /** Throws when the content is not there, although it was put; only for whoever holds the lock of the row. */
  async requireContent(row: BlobRow): Promise<void> {
    if (!(await this.#blobs.has(row.hashSha256))) throw new ContentVanished(row.hashSha256)
  }

  /**
   * Puts a content that no package file refers to (a document of an upstream) and returns its row. The row counts as
   * new, so that garbage collection leaves time to refer to it; `alsoInTransaction` can do so at once.
   */
  async store(
    content: SpoolEntry,
    { durable }: { durable: boolean },
    alsoInTransaction?: AlsoInTransaction<{ blob: BlobRow }>,
  ): Promise<BlobRow> {
    return this.withContent(content, { durable }, async (transaction) => {
      const held = await this.#find(content.digests.sha256, transaction)
      const blob = await this.keep(content, held, transaction)
      if (held !== null) {
        await this.#db.sequelize.query('UPDATE package_blob SET created_at = $1 WHERE id = $2', {
          bind: [this.#clock.now(), blob.id],
          transaction,
        })
      }
      await alsoInTransaction?.({ blob, transaction })
      return blob
    })
  }

  /** Content without a row would stay for ever: nothing lists the store. */
  async #leaveToGarbage(content: SpoolEntry): Promise<void> {
    try {
      await this.#db.inTransaction(async (transaction) => {
        if ((await this.#find(content.digests.sha256, transaction)) === null) await this.#insert(content, transaction)
      })
    } catch (error) {
      this.#onError(error, `the content ${content.digests.sha256} was stored and no row refers to it`)
    }
  }

  async #find(sha256: string, transaction: Transaction): Promise<BlobRow | null> {
    const rows = await this.#db.sequelize.query<Record<string, unknown>>(
      `SELECT ${blobTable.columns} FROM package_blob b WHERE b.hash_sha256 = $1${forUpdate(this.#db)}`,
      { type: QueryTypes.SELECT, bind: [sha256], transaction },
    )
    return rows[0] === undefined ? null : blobTable.read(rows[0])
  }

  #insert(content: SpoolEntry, transaction: Transaction): Promise<BlobRow> {
    return blobTable.insert(this.#db.sequelize, newBlob(content, this.#clock.now()), transaction)
  }
}

/** The blob of a finished entry, to be inserted. */
export function newBlob(content: SpoolEntry, now: number): Omit<BlobRow, 'id'> {
  const { md5, sha1, sha256, sha512 } = content.digests
  return {
    size: content.size,
    hashMd5: md5,
    hashSha1: sha1,
    hashSha256: sha256,
    hashSha512: sha512,
    createdAt: now,
  }
}
