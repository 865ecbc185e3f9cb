import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { Op } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'

const DAY = 86_400_000
/** Days that the clocks of replicas may differ, to be on the safe side. */
const SLACK = 1

/** A secret for HS256 and the name it has in the header of what it signed. */
export interface SigningKey {
  readonly kid: string
  readonly secret: KeyObject
}

/**
 * The secrets that sign registry tokens: one for each UTC day, made when first needed, shared by all replicas through
 * the database, and deleted when nothing that they signed can be valid any more. Runs no SQL when warm.
 */
export class SigningKeys {
  readonly #parts: { db: Database; models: Models; clock: Clock; longestLife: number }
  /** Days as numbers are never many: older ones are dropped with their rows. */
  readonly #held = new Map<string, KeyObject>()

  /** `longestLife` ms is how long a token may be valid. */
  constructor(parts: { db: Database; models: Models; clock: Clock; longestLife: number }) {
    this.#parts = parts
  }

  /** The key to sign with now. */
  async current(): Promise<SigningKey> {
    const kid = String(this.#today())
    return { kid, secret: this.#held.get(kid) ?? (await this.#ensure(kid)) }
  }

  /** The key of that name; null when there is none. Asks the database at most once, and for possible names only. */
  async find(kid: string): Promise<KeyObject | null> {
    const held = this.#held.get(kid)
    if (held !== undefined) return held
    if (!this.#isPossible(kid)) return null
    const row = await this.#parts.models.signingKey.findByPk(kid)
    return row === null ? null : this.#hold(kid, row.secret)
  }

  async #ensure(kid: string): Promise<KeyObject> {
    const { db, models, clock } = this.#parts
    const secret = await db.inTransaction(async (transaction) => {
      const row = await models.signingKey.findByPk(kid, { transaction })
      if (row !== null) return row.secret
      await models.signingKey.destroy({ where: { createdAt: { [Op.lt]: this.#oldest() * DAY } }, transaction })
      // Who loses a race for the day is repeated by inTransaction, and then finds the winner's.
      const values = { kid, secret: randomBytes(32).toString('base64url'), createdAt: clock.now() }
      return (await models.signingKey.create(values, { transaction })).secret
    })
    for (const held of this.#held.keys()) if (!this.#isPossible(held)) this.#held.delete(held)
    return this.#hold(kid, secret)
  }

  #hold(kid: string, secret: string): KeyObject {
    const key = createSecretKey(secret, 'base64url')
    this.#held.set(kid, key)
    return key
  }

  #isPossible(kid: string): boolean {
    return /^\d{1,7}$/.test(kid) && Number(kid) >= this.#oldest() && Number(kid) <= this.#today() + SLACK
  }

  #today(): number {
    return Math.floor(this.#parts.clock.now() / DAY)
  }

  /** The first day whose tokens may be valid today. */
  #oldest(): number {
    return this.#today() - Math.ceil(this.#parts.longestLife / DAY) - SLACK
  }
}
