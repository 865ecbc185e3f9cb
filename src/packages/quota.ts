import { QueryTypes, type Transaction } from 'sequelize'
import type { Owner } from '../auth/owner.ts'
import type { Database } from '../db/connect.ts'
import { NotFound, QuotaExceeded, Unprocessable } from '../errors.ts'
import type { RulesByType } from './package-rules.ts'
import type { OwnerLimits } from './quota-limits.ts'
import { largestVersions, type UsedVersion, usageOf } from './usage.ts'

const OVER_TYPE_LIMIT = 'maximum allowed package type size exceeded'
/** Unfinished uploads of one owner, however small. */
const MAX_UPLOADS = 1_000
const OVER_TOTAL_SIZE = 'maximum allowed package storage quota exceeded'

/**
 * Limits on what an owner may store (gitea-model.md §7). Site admins who upload and mirrors are exempt. Every check
 * throws QuotaExceeded. The totals are exact however many upload at once if `lock` comes first in the transaction.
 */
export class Quota {
  /** What holds for whom. */
  readonly limits: OwnerLimits
  readonly #db: Database
  readonly #rules: RulesByType

  constructor(db: Database, limits: OwnerLimits, rules: RulesByType) {
    this.#db = db
    this.limits = limits
    this.#rules = rules
  }

  /** Bytes that one file of the type may have; Infinity when unlimited. */
  async typeLimit(owner: Owner, type: string, transaction: Transaction | null = null): Promise<number> {
    const { limits } = await this.limits.of(owner.id, transaction)
    const limit = Object.hasOwn(limits, type) ? limits[type]! : -1
    return limit < 0 ? Number.POSITIVE_INFINITY : limit
  }

  /** Throws Unprocessable when there are no packages of that type. */
  checkType(type: string): void {
    if (!this.#rules.has(type)) throw new Unprocessable(`[Type]: there are no packages of type ${type}`)
  }

  /** What the owner's packages take: bytes of all files, and versions. */
  usage(owner: Owner): Promise<{ size: number; count: number }> {
    return usageOf(this.#db, owner.id)
  }

  /** The owner's versions with the most bytes, one page of them, and how many there are. */
  largest(owner: Owner, page: { limit: number; offset: number }): Promise<{ rows: UsedVersion[]; total: number }> {
    return largestVersions(this.#db, owner.id, page)
  }

  /**
   * Bytes that one file more may have, and what to say of more: for a body that does not tell its length. Unfinished
   * uploads take their room already; `received` bytes of them are of this very file.
   */
  async room(
    creator: Owner | null,
    owner: Owner,
    type: string,
    received = 0,
  ): Promise<{ limit: number; limitMessage: string }> {
    if (isExempt(creator, owner)) return { limit: Number.POSITIVE_INFINITY, limitMessage: '' }
    const ofType = await this.typeLimit(owner, type)
    const { limitTotalOwnerSize: total } = await this.limits.of(owner.id)
    const taken = async () => (await this.#used(owner, null)) + (await this.#uploading(owner)) - received
    const left = total < 0 ? Number.POSITIVE_INFINITY : total - (await taken())
    return ofType <= left
      ? { limit: ofType, limitMessage: OVER_TYPE_LIMIT }
      : { limit: left, limitMessage: OVER_TOTAL_SIZE }
  }

  /** Whether the owner may have one unfinished upload more. */
  async checkUploads(creator: Owner | null, owner: Owner): Promise<void> {
    if (isExempt(creator, owner)) return
    const count = await this.#total(
      'SELECT COUNT(*) AS total FROM package_blob_upload WHERE owner_id = $1',
      owner,
      null,
    )
    if (count >= MAX_UPLOADS) throw new QuotaExceeded(`there are ${MAX_UPLOADS} unfinished uploads: end or cancel some`)
  }

  /**
   * Makes the deletion of this owner wait for the end of the transaction and, when a total has to be kept, his other
   * uploads too. NotFound when he is gone.
   */
  async lock(creator: Owner | null, owner: Owner, transaction: Transaction): Promise<void> {
    const sql = `SELECT id FROM user WHERE id = $1${await this.#lockFor(creator, owner, transaction)}`
    const rows = await this.#db.sequelize.query(sql, { type: QueryTypes.SELECT, bind: [owner.id], transaction })
    if (rows.length === 0) throw new NotFound('owner', owner.name)
  }

  async #lockFor(creator: Owner | null, owner: Owner, transaction: Transaction): Promise<string> {
    if (this.#db.dialect === 'sqlite') return ''
    const shared = ' LOCK IN SHARE MODE'
    if (isExempt(creator, owner)) return shared
    const { limitTotalOwnerCount, limitTotalOwnerSize } = await this.limits.of(owner.id, transaction)
    return limitTotalOwnerCount < 0 && limitTotalOwnerSize < 0 ? shared : ' FOR UPDATE'
  }

  /** Whether the owner may have one version more. */
  async checkCount(creator: Owner | null, owner: Owner, transaction: Transaction | null): Promise<void> {
    if (isExempt(creator, owner)) return
    const { limitTotalOwnerCount: limit } = await this.limits.of(owner.id, transaction)
    if (limit < 0) return
    const count = await this.#total(
      `SELECT COUNT(*) AS total FROM package p
       JOIN package_version v ON v.package_id = p.id AND v.is_internal = 0
       WHERE p.owner_id = $1`,
      owner,
      transaction,
    )
    if (count + 1 > limit) throw new QuotaExceeded('maximum allowed package count exceeded')
  }

  /**
   * Whether the owner may have one file more, of `size` bytes. Equal bytes in two files count twice; files of internal
   * versions take as much space as others, and count.
   */
  async checkFile(
    creator: Owner | null,
    owner: Owner,
    type: string,
    size: number,
    transaction: Transaction | null,
  ): Promise<void> {
    if (isExempt(creator, owner)) return
    if (size > (await this.typeLimit(owner, type, transaction))) throw new QuotaExceeded(OVER_TYPE_LIMIT)
    const { limitTotalOwnerSize: limit } = await this.limits.of(owner.id, transaction)
    if (limit < 0) return
    if ((await this.#used(owner, transaction)) + size > limit) throw new QuotaExceeded(OVER_TOTAL_SIZE)
  }

  #used(owner: Owner, transaction: Transaction | null): Promise<number> {
    return this.#total(
      `SELECT SUM(b.size) AS total FROM package p
       JOIN package_version v ON v.package_id = p.id
       JOIN package_file f ON f.version_id = v.id
       JOIN package_blob b ON b.id = f.blob_id
       WHERE p.owner_id = $1`,
      owner,
      transaction,
    )
  }

  #uploading(owner: Owner): Promise<number> {
    return this.#total('SELECT SUM(size) AS total FROM package_blob_upload WHERE owner_id = $1', owner, null)
  }

  async #total(sql: string, owner: Owner, transaction: Transaction | null): Promise<number> {
    const rows = await this.#db.sequelize.query<{ total: number | string | null }>(sql, {
      type: QueryTypes.SELECT,
      bind: [owner.id],
      transaction,
    })
    return Number(rows[0]?.total ?? 0)
  }
}

function isExempt(creator: Owner | null, owner: Owner): boolean {
  return owner.kind === 'mirror' || creator?.isAdmin === true
}
