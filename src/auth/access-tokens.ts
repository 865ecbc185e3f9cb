import { createHash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { Op, type Transaction } from 'sequelize'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Invalid, Unauthenticated } from '../errors.ts'
import type { AccessToken } from '../models/access-token.ts'
import type { Models } from '../models/index.ts'
import type { Page, Window } from './page.ts'
import type { Restriction } from './restriction.ts'
import { Scopes } from './scopes.ts'
import { packLimits, type TokenLimits, unpackLimits } from './token-limits.ts'

/** A token as everything above the database sees it: the secret cannot be had again. */
export interface AccessTokenRow {
  readonly id: number
  readonly userId: number
  readonly name: string
  /** SHA-256 of the secret, lower-case hex. */
  readonly tokenHash: string
  readonly tokenLastEight: string
  /** Normalised, comma-joined. */
  readonly scopes: string
  /** Ms since the epoch. */
  readonly createdAt: number
  /** 0: never. */
  readonly lastUsedAt: number
  /** Ms since the epoch; null: never. */
  readonly expiresAt: number | null
  readonly restriction: Restriction | null
  /** Whether a CI job got it for its id-token: the token of an owner, who may be an organization. */
  readonly isJob: boolean
}

/** What identifies a token in memory. */
type TokenKeys = Pick<AccessTokenRow, 'id' | 'tokenHash'>

const SECRET = /^[0-9a-f]{40}$/
const MOST_REMEMBERED = 20_000
/** Ms between two notes of a token's use. */
const TOUCH_INTERVAL = 60_000
/** Ms that an expired token stays in its user's list. */
const SHOWN_EXPIRED = 30 * 86_400_000
/** Of 255 characters; the rest tells the tokens of one job from the next. */
const LONGEST_JOB_NAME = 240

/** Personal access tokens (rest-api.md §5): 20 random bytes in hex, of which only the SHA-256 is kept. */
export class AccessTokens {
  readonly #parts: {
    db: Database
    models: Models
    clock: Clock
    maxLifetime: number
    onError: (error: unknown, message: string) => void
  }
  readonly #byHash: Cache<AccessTokenRow>
  readonly #byId: Cache<AccessTokenRow>
  /** Token id → when its use was last noted here. */
  readonly #touched = new LRUCache<number, number>({ max: MOST_REMEMBERED })
  readonly #writing = new Set<Promise<void>>()

  /** `maxLifetime` in ms, 0: none. `onError` hears of a use that could not be noted; nobody waits for these. */
  constructor(parts: {
    db: Database
    models: Models
    notices: Notices
    clock: Clock
    maxLifetime: number
    onError: (error: unknown, message: string) => void
  }) {
    this.#parts = parts
    this.#byHash = new Cache({ name: 'access-tokens', max: MOST_REMEMBERED, ttl: 60_000 }, parts.notices)
    this.#byId = new Cache({ name: 'access-token-ids', max: MOST_REMEMBERED, ttl: 60_000 }, parts.notices)
  }

  /** When a token that is made now has to end, ms since the epoch; Infinity where the site sets no limit. */
  latestExpiry(): number {
    const { clock, maxLifetime } = this.#parts
    return maxLifetime === 0 ? Number.POSITIVE_INFINITY : clock.now() + maxLifetime
  }

  /**
   * Makes a token; `secret` is shown to its user once. It ends when the site wants it, if not before. Invalid when the
   * user has one of that name, Unauthenticated when the token with which it is made has been revoked meanwhile.
   */
  async create(
    user: { readonly id: number },
    name: string,
    scopes: Scopes,
    { restriction = null, expiresAt = null, parentId = null }: Partial<TokenLimits> & { parentId?: number | null } = {},
  ): Promise<{ row: AccessTokenRow; secret: string }> {
    const { db, models, clock } = this.#parts
    const secret = randomBytes(20).toString('hex')
    const end = Math.min(expiresAt ?? Number.POSITIVE_INFINITY, this.latestExpiry())
    const limits = { restriction, expiresAt: end === Number.POSITIVE_INFINITY ? null : end }
    const row = await db.inTransaction(async (transaction) => {
      // Locked: who revokes the parent finds this one, or has made it impossible.
      const lock = transaction.LOCK.UPDATE
      if (parentId !== null && (await models.accessToken.findByPk(parentId, { lock, transaction })) === null) {
        throw new Unauthenticated('the access token is not valid', 'token')
      }
      if ((await models.accessToken.count({ where: { userId: user.id, name }, transaction })) > 0) {
        throw new Invalid('access token name has been used already', 'token')
      }
      return models.accessToken.create(
        {
          userId: user.id,
          name,
          tokenHash: hashSecret(secret),
          tokenLastEight: secret.slice(-8),
          ...packLimits(scopes, limits),
          createdAt: clock.now(),
          parentId,
        },
        { transaction },
      )
    })
    return { row: toRow(row), secret }
  }

  /**
   * Makes a token that writes packages, for a CI job, as part of the caller's transaction. It acts for the owner himself,
   * so that nobody who leaves takes it along, and ends with the trusted publishers that made it.
   */
  async createForJob(
    owner: { readonly id: number },
    job: { name: string; restriction: Restriction; expiresAt: number; publisherIds: readonly number[] },
    transaction: Transaction,
  ): Promise<{ row: AccessTokenRow; secret: string }> {
    const { models, clock } = this.#parts
    const secret = randomBytes(20).toString('hex')
    const { restriction, expiresAt } = job
    const limits = { restriction, expiresAt: Math.min(expiresAt, this.latestExpiry()) }
    const row = await models.accessToken.create(
      {
        userId: owner.id,
        // Names are unique; this tells nothing of the secret.
        name: `${[...job.name].slice(0, LONGEST_JOB_NAME).join('')} ${hashSecret(secret).slice(0, 8)}`,
        tokenHash: hashSecret(secret),
        tokenLastEight: secret.slice(-8),
        ...packLimits(Scopes.parse(['write:package']), limits),
        createdAt: clock.now(),
        publisherIds: job.publisherIds.join(','),
      },
      { transaction },
    )
    return { row: toRow(row), secret }
  }

  /**
   * Deletes what `createForJob` made for a publisher of the owner, as part of the caller's transaction, who has its
   * result forgotten after the commit.
   */
  async revokeOfPublisher(ownerId: number, publisherId: number, transaction: Transaction): Promise<TokenKeys[]> {
    const { models } = this.#parts
    const lock = transaction.LOCK.UPDATE
    const where = { userId: ownerId, publisherIds: { [Op.ne]: null } }
    const rows = await models.accessToken.findAll({ where, lock, transaction })
    const revoked = rows.filter((row) => row.publisherIds!.split(',').includes(String(publisherId)))
    await models.accessToken.destroy({ where: { id: revoked.map(({ id }) => id) }, transaction })
    return revoked
  }

  /** To be called after the commit that deleted these tokens, or changed their limits. */
  forget(tokens: readonly TokenKeys[]): void {
    for (const { id, tokenHash } of tokens) {
      this.#byHash.invalidate(tokenHash)
      this.#byId.invalidate(String(id))
      this.#touched.delete(id)
    }
  }

  /** The user's tokens but those of jobs, newest first. */
  async list(userId: number, window: Window): Promise<Page<AccessTokenRow>> {
    const { rows, count } = await this.#parts.models.accessToken.findAndCountAll({
      where: { userId, publisherIds: null },
      order: [
        ['createdAt', 'DESC'],
        ['id', 'DESC'],
      ],
      offset: window.offset,
      limit: window.limit,
    })
    return { rows: rows.map(toRow), total: count }
  }

  /** The token with that secret; null for what is no token, or none any more. Compared by hash look-up; no SQL when warm. */
  async findBySecret(secret: string): Promise<AccessTokenRow | null> {
    if (!SECRET.test(secret)) return null
    const tokenHash = hashSecret(secret)
    return this.#remember(this.#byHash, tokenHash, () =>
      this.#parts.models.accessToken.findOne({ where: { tokenHash } }),
    )
  }

  /** A token of that user, by id or, for a text with a non-digit, by its exact name; null: none. */
  async find(userId: number, idOrName: string): Promise<AccessTokenRow | null> {
    // SQL text ends at a NUL in SQLite.
    if (idOrName.includes('\0')) return null
    const where = /^\d{1,15}$/.test(idOrName) ? { userId, id: Number(idOrName) } : { userId, name: idOrName }
    const row = await this.#parts.models.accessToken.findOne({ where })
    return row === null ? null : toRow(row)
  }

  /** A token by id, expired or not; null: revoked meanwhile. */
  async findById(id: number): Promise<AccessTokenRow | null> {
    const row = await this.#parts.models.accessToken.findByPk(id)
    return row === null ? null : toRow(row)
  }

  /** A token by id, from memory when warm: its last use may be older than the row's. Null: revoked or expired. */
  async recall(id: number): Promise<AccessTokenRow | null> {
    return this.#remember(this.#byId, String(id), () => this.#parts.models.accessToken.findByPk(id))
  }

  /**
   * From now on the secret opens nothing here, and soon nothing on other replicas; nor do those of tokens that were made
   * with it, and with these (security.md S8).
   */
  async revoke(token: AccessTokenRow): Promise<void> {
    const { db, models } = this.#parts
    const revoked = await db.inTransaction(async (transaction) => {
      await models.accessToken.findByPk(token.id, { lock: transaction.LOCK.UPDATE, transaction })
      const all: TokenKeys[] = []
      for (let next: TokenKeys[] = [token]; next.length > 0; ) {
        all.push(...next)
        const parentId = next.map(({ id }) => id)
        next = await models.accessToken.findAll({ where: { parentId }, lock: transaction.LOCK.UPDATE, transaction })
      }
      await models.accessToken.destroy({ where: { id: all.map(({ id }) => id) }, transaction })
      return all
    })
    this.forget(revoked)
  }

  /** Deletes tokens that have been expired for 30 days, and those of jobs that are expired; returns how many. */
  async removeExpired(): Promise<number> {
    const { db, models, clock } = this.#parts
    const now = clock.now()
    const shown = { expiresAt: { [Op.lt]: now - SHOWN_EXPIRED } }
    const ofJobs = { publisherIds: { [Op.ne]: null }, expiresAt: { [Op.lt]: now } }
    const where = { [Op.or]: [shown, ofJobs] }
    return db.inTransaction((transaction) => models.accessToken.destroy({ where, transaction }))
  }

  /** Notes that the token was used, at most once a minute and without making anybody wait. */
  touch(token: AccessTokenRow): void {
    const now = this.#parts.clock.now()
    if (now - Math.max(token.lastUsedAt, this.#touched.get(token.id) ?? 0) < TOUCH_INTERVAL) return
    this.#touched.set(token.id, now)
    const { db, models, onError } = this.#parts
    const writing = db
      .inTransaction((transaction) =>
        models.accessToken.update({ lastUsedAt: now }, { where: { id: token.id }, transaction }),
      )
      .then(
        () => {},
        (error: unknown) => onError(error, 'the use of an access token could not be noted'),
      )
      .finally(() => this.#writing.delete(writing))
    this.#writing.add(writing)
  }

  /** Resolves when all uses are noted; to be called before the database closes. */
  async close(): Promise<void> {
    await Promise.all(this.#writing)
  }

  async #remember(
    cache: Cache<AccessTokenRow>,
    key: string,
    load: () => Promise<AccessToken | null>,
  ): Promise<AccessTokenRow | null> {
    try {
      const token = await cache.get(key, async () => {
        const row = await load()
        // Thrown, because what is not there must not be remembered: anybody can invent secrets.
        if (row === null) throw new UnknownToken()
        return toRow(row)
      })
      return token.expiresAt !== null && token.expiresAt <= this.#parts.clock.now() ? null : token
    } catch (error) {
      if (error instanceof UnknownToken) return null
      throw error
    }
  }
}

class UnknownToken extends Error {}

function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

function toRow(row: AccessToken): AccessTokenRow {
  return Object.freeze({
    id: row.id,
    userId: row.userId,
    name: row.name,
    tokenHash: row.tokenHash,
    tokenLastEight: row.tokenLastEight,
    createdAt: row.createdAt,
    lastUsedAt: row.lastUsedAt,
    isJob: row.publisherIds !== null && row.publisherIds !== undefined,
    ...unpackLimits(row),
  })
}
