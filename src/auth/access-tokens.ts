import { createHash, randomBytes } from 'node:crypto'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Invalid } from '../errors.ts'
import type { AccessToken } from '../models/access-token.ts'
import type { Models } from '../models/index.ts'
import type { Page, Window } from './page.ts'
import type { Scopes } from './scopes.ts'

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
}

const SECRET = /^[0-9a-f]{40}$/
/** Ms between two notes of a token's use. */
const TOUCH_INTERVAL = 60_000

/** Personal access tokens (rest-api.md §5): 20 random bytes in hex, of which only the SHA-256 is kept. */
export class AccessTokens {
  readonly #parts: { db: Database; models: Models; clock: Clock; onError: (error: unknown, message: string) => void }
  readonly #byHash: Cache<AccessTokenRow>
  readonly #byId: Cache<AccessTokenRow>
  /** Token id → when its use was last noted here. */
  readonly #touched = new Map<number, number>()
  readonly #writing = new Set<Promise<void>>()

  /** `onError` hears of a use that could not be noted; nobody waits for these. */
  constructor(parts: {
    db: Database
    models: Models
    notices: Notices
    clock: Clock
    onError: (error: unknown, message: string) => void
  }) {
    this.#parts = parts
    this.#byHash = new Cache({ name: 'access-tokens', max: 20_000, ttl: 60_000 }, parts.notices)
    this.#byId = new Cache({ name: 'access-token-ids', max: 20_000, ttl: 60_000 }, parts.notices)
  }

  /** Makes a token; `secret` is shown to its user once. Invalid when the user has one of that name. */
  async create(
    user: { readonly id: number },
    name: string,
    scopes: Scopes,
  ): Promise<{ row: AccessTokenRow; secret: string }> {
    const { db, models, clock } = this.#parts
    const secret = randomBytes(20).toString('hex')
    const row = await db.inTransaction(async (transaction) => {
      if ((await models.accessToken.count({ where: { userId: user.id, name }, transaction })) > 0) {
        throw new Invalid('access token name has been used already', 'token')
      }
      return models.accessToken.create(
        {
          userId: user.id,
          name,
          tokenHash: hashSecret(secret),
          tokenLastEight: secret.slice(-8),
          scopes: scopes.toStored(),
          createdAt: clock.now(),
        },
        { transaction },
      )
    })
    return { row: toRow(row), secret }
  }

  /** The user's tokens, newest first. */
  async list(userId: number, window: Window): Promise<Page<AccessTokenRow>> {
    const { rows, count } = await this.#parts.models.accessToken.findAndCountAll({
      where: { userId },
      order: [
        ['createdAt', 'DESC'],
        ['id', 'DESC'],
      ],
      offset: window.offset,
      limit: window.limit,
    })
    return { rows: rows.map(toRow), total: count }
  }

  /** The token with that secret; null for what is no token. Compared by hash look-up; no SQL when warm. */
  async findBySecret(secret: string): Promise<AccessTokenRow | null> {
    if (!SECRET.test(secret)) return null
    const tokenHash = hashSecret(secret)
    return remember(this.#byHash, tokenHash, () => this.#parts.models.accessToken.findOne({ where: { tokenHash } }))
  }

  /** A token of that user, by id or, for a text with a non-digit, by its exact name; null: none. */
  async find(userId: number, idOrName: string): Promise<AccessTokenRow | null> {
    // SQL text ends at a NUL in SQLite.
    if (idOrName.includes('\0')) return null
    const where = /^\d{1,15}$/.test(idOrName) ? { userId, id: Number(idOrName) } : { userId, name: idOrName }
    const row = await this.#parts.models.accessToken.findOne({ where })
    return row === null ? null : toRow(row)
  }

  /** A token by id; null: revoked meanwhile. */
  async findById(id: number): Promise<AccessTokenRow | null> {
    const row = await this.#parts.models.accessToken.findByPk(id)
    return row === null ? null : toRow(row)
  }

  /** As `findById`, from memory when warm: its last use may be older than the row's. */
  async recall(id: number): Promise<AccessTokenRow | null> {
    return remember(this.#byId, String(id), () => this.#parts.models.accessToken.findByPk(id))
  }

  /** From now on the secret opens nothing here, and soon nothing on other replicas. */
  async revoke(token: AccessTokenRow): Promise<void> {
    const { db, models } = this.#parts
    await db.inTransaction((transaction) => models.accessToken.destroy({ where: { id: token.id }, transaction }))
    this.#byHash.invalidate(token.tokenHash)
    this.#byId.invalidate(String(token.id))
    this.#touched.delete(token.id)
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
}

class UnknownToken extends Error {}

async function remember(
  cache: Cache<AccessTokenRow>,
  key: string,
  load: () => Promise<AccessToken | null>,
): Promise<AccessTokenRow | null> {
  try {
    return await cache.get(key, async () => {
      const row = await load()
      // Thrown, because what is not there must not be remembered: anybody can invent secrets.
      if (row === null) throw new UnknownToken()
      return toRow(row)
    })
  } catch (error) {
    if (error instanceof UnknownToken) return null
    throw error
  }
}

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
    scopes: row.scopes,
    createdAt: row.createdAt,
    lastUsedAt: row.lastUsedAt,
  })
}
