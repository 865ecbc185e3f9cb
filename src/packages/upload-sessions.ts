import { randomBytes, randomUUID } from 'node:crypto'
import { Op, type Transaction } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Invalid, NotFound, RangeNotSatisfiable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { ByteSource } from '../storage/byte-source.ts'
import type { Digests } from '../storage/digest.ts'
import type { Spool, SpoolEntry } from '../storage/spool.ts'
import type { UploadParts } from '../storage/upload-parts.ts'

const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** Each is a file and a line of its row, which is written anew with every part. */
const MAX_PARTS = 10_000
const COPY_BYTES = 256 * 1024

/** Whose upload it is, and where to; nobody else can reach it, and it leads nowhere else. */
export interface UploadBinding {
  /** 0: nobody signed in. */
  readonly userId: number
  readonly ownerId: number
  /** Of the package. */
  readonly name: string
}

/** An upload that is not finished, as it was when it was read. */
export interface UploadSession extends UploadBinding {
  /** A UUID. */
  readonly id: string
  /** Bytes received. */
  readonly size: number
  readonly parts: readonly Part[]
}

/** One request's bytes. What all parts are together must be hashed anew, so digests are kept of a part alone only. */
interface Part {
  readonly name: string
  readonly size: number
  readonly digests?: Digests
}

/** What UploadSessions works on. */
export interface UploadSessionsParts {
  readonly db: Database
  readonly models: Models
  readonly clock: Clock
  readonly spool: Spool
  readonly uploadParts: UploadParts
  readonly onError: (error: unknown, message: string) => void
}

/**
 * Uploads that come in several requests (container.md §4). Everything about one is in its row and its parts, so any
 * process on the same database and storage goes on with it, also after a crash. A part is stored before the row tells
 * of it, and the row changes only from the state that was read: of two who append at once, one has done nothing.
 */
export class UploadSessions {
  readonly #parts: UploadSessionsParts

  constructor(parts: UploadSessionsParts) {
    this.#parts = parts
  }

  /** An empty session. NotFound when the owner is gone. */
  async open({ userId, ownerId, name }: UploadBinding): Promise<UploadSession> {
    const { db, models, clock } = this.#parts
    const id = randomUUID()
    const now = clock.now()
    const row = { id, userId, ownerId, name, size: 0, parts: '[]', createdAt: now, updatedAt: now }
    await db.inTransaction(async (transaction) => {
      // Who deletes the owner comes before or after.
      const owner = await models.user.findByPk(ownerId, { lock: transaction.LOCK.SHARE, transaction })
      if (owner === null) throw new NotFound('owner')
      await models.packageBlobUpload.create(row, { transaction })
    })
    return { id, userId, ownerId, name, size: 0, parts: [] }
  }

  /** The session if it is bound to exactly that; NotFound('upload') for everybody else, and for what is no id. */
  async get(id: string, { userId, ownerId, name }: UploadBinding): Promise<UploadSession> {
    const row = ID.test(id) ? await this.#parts.models.packageBlobUpload.findByPk(id, { raw: true }) : null
    if (row === null || Number(row.userId) !== userId || Number(row.ownerId) !== ownerId || row.name !== name) {
      throw notFound()
    }
    return { id, userId, ownerId, name, size: Number(row.size), parts: JSON.parse(row.parts) as Part[] }
  }

  /**
   * Adds the bytes of a finished entry, which stays its maker's to discard; they survive a power cut once this
   * resolves. RangeNotSatisfiable('upload') when somebody else has added to the session since it was read,
   * NotFound('upload') when it has ended, InsufficientStorage; in all of these nothing has changed.
   */
  async append(session: UploadSession, entry: SpoolEntry): Promise<UploadSession> {
    if (session.parts.length >= MAX_PARTS) throw new Invalid(`an upload has ${MAX_PARTS} parts at most`, 'upload')
    const { uploadParts } = this.#parts
    const { id } = session
    const name = `${session.size}-${randomBytes(8).toString('hex')}`
    try {
      await uploadParts.put(id, name, entry)
    } catch (error) {
      await this.#withdraw(id, name)
      throw error
    }
    // When this fails nobody knows whether the row tells of the part: it stays for as long as the session.
    const changed = await this.#record(session, { name, size: entry.size, digests: entry.digests })
    if (changed !== null) return changed
    await this.#withdraw(id, name)
    throw overtaken()
  }

  /**
   * Everything received so far and `last` after it, finished. A part that is alone is not read again, and `last` alone
   * comes back itself; the caller discards the entry in any case. NotFound('upload') when the session has ended.
   */
  async content({ id, parts }: UploadSession, last: SpoolEntry): Promise<SpoolEntry> {
    const { spool, uploadParts } = this.#parts
    const [first] = parts
    if (first === undefined) return last
    if (first.digests !== undefined && last.size === 0) {
      return (await uploadParts.adopt(id, { ...first, digests: first.digests })) ?? raise(notFound())
    }
    const whole = spool.create()
    try {
      for (const { name } of parts) await copy((await uploadParts.open(id, name)) ?? raise(notFound()), whole)
      await copy(last.source(), whole)
      await whole.finish()
      return whole
    } catch (error) {
      await whole.discard()
      throw error
    }
  }

  /**
   * Ends the session in the transaction that makes its content something else; `release` follows the commit. Fails as
   * `append` does.
   */
  async end({ id, size }: UploadSession, transaction: Transaction): Promise<void> {
    const { packageBlobUpload } = this.#parts.models
    if ((await packageBlobUpload.destroy({ where: { id, size }, transaction })) > 0) return
    throw (await packageBlobUpload.count({ where: { id }, transaction })) > 0 ? overtaken() : notFound()
  }

  /** Gives up a session with all its bytes. NotFound('upload') when it has ended. */
  async cancel({ id }: UploadSession): Promise<void> {
    if (!(await this.#delete({ id }))) throw notFound()
    await this.release(id)
  }

  /** Deletes the bytes of a session that has ended. Never rejects: what stays is deleted by `expire`. */
  async release(id: string): Promise<void> {
    await this.#quietly(this.#parts.uploadParts.removeAll(id))
  }

  /** Deletes sessions to which nothing was added since `before` (ms), and bytes that no session knows; how many sessions. */
  async expire(before: number): Promise<number> {
    const { models, uploadParts } = this.#parts
    const idle = await models.packageBlobUpload.findAll({
      where: { updatedAt: { [Op.lt]: before } },
      attributes: ['id', 'updatedAt'],
      raw: true,
    })
    let deleted = 0
    for (const { id, updatedAt } of idle) {
      if (!(await this.#delete({ id, updatedAt }))) continue
      await this.release(id)
      deleted += 1
    }
    // A row is there before its first part: parts without one belong to a session that has ended.
    for (const id of await uploadParts.list()) if (!(await this.#exists(id))) await this.release(id)
    return deleted
  }

  /** Deletes a part that no row tells of. NotFound('upload') when the session has ended. */
  async #withdraw(id: string, name: string): Promise<void> {
    await this.#quietly(this.#parts.uploadParts.remove(id, name))
    if (await this.#exists(id)) return
    // Who ended it may have come too early for this part.
    await this.release(id)
    throw notFound()
  }

  /** Null when the session is not as it was read, or not there. */
  async #record(session: UploadSession, part: Part): Promise<UploadSession | null> {
    const { id, size } = session
    const all = [...session.parts, part]
    const parts = all.length === 1 ? all : all.map(({ name, size }) => ({ name, size }))
    const changed = { ...session, size: size + part.size, parts }
    const { db, models, clock } = this.#parts
    const values = { size: changed.size, parts: JSON.stringify(parts), updatedAt: clock.now() }
    const [count] = await db.inTransaction((transaction) =>
      models.packageBlobUpload.update(values, { where: { id, size }, transaction }),
    )
    return count === 0 ? null : changed
  }

  /** Whether there was such a session. */
  async #delete(where: { id: string; updatedAt?: number }): Promise<boolean> {
    const { db, models } = this.#parts
    const count = await db.inTransaction((transaction) => models.packageBlobUpload.destroy({ where, transaction }))
    return count > 0
  }

  async #exists(id: string): Promise<boolean> {
    return (await this.#parts.models.packageBlobUpload.count({ where: { id } })) > 0
  }

  async #quietly(work: Promise<void>): Promise<void> {
    await work.catch((error: unknown) => this.#parts.onError(error, 'parts of an upload could not be deleted'))
  }
}

/** Appends a source, which it closes. */
async function copy(source: ByteSource, target: SpoolEntry): Promise<void> {
  try {
    for (let position = 0; ; ) {
      // A new buffer each time: the entry keeps it.
      const buffer = Buffer.allocUnsafeSlow(COPY_BYTES)
      const bytes = await source.read(buffer, position)
      if (bytes === 0) return
      position += bytes
      await target.append(buffer.subarray(0, bytes))
    }
  } finally {
    source.close()
  }
}

function notFound(): NotFound {
  return new NotFound('upload')
}

function overtaken(): RangeNotSatisfiable {
  return new RangeNotSatisfiable('another request has added to this upload: ask how far it is', 'upload')
}

function raise(error: Error): never {
  throw error
}
