import type { Transaction } from 'sequelize'
import type { Owner } from '../auth/owner.ts'
import type { Page, Window } from '../auth/page.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { NotFound, Unprocessable } from '../errors.ts'
import type { ExternalIdentity } from '../models/external-identity.ts'
import type { Models } from '../models/index.ts'
import { isSubject } from './person.ts'

/** Who a user is at an identity provider. */
export interface Identity {
  readonly id: number
  readonly userId: number
  readonly provider: string
  readonly subject: string
  /** Ms since the epoch. */
  readonly createdAt: number
  /** 0: never. */
  readonly lastSignInAt: number
}

/** Who is who: by provider and subject alone, never by a name or an e-mail address, which others can take. */
export class Identities {
  readonly #db: Database
  readonly #models: Models
  readonly #clock: Clock

  constructor({ db, models, clock }: { db: Database; models: Models; clock: Clock }) {
    this.#db = db
    this.#models = models
    this.#clock = clock
  }

  /** null: nobody here. */
  async find(provider: string, subject: string): Promise<Identity | null> {
    const row = await this.#models.externalIdentity.findOne({ where: { provider, subject } })
    return row === null ? null : toIdentity(row)
  }

  /** The user's identities, oldest first. */
  async list(user: Owner, { offset, limit }: Window): Promise<Page<Identity>> {
    const where = { userId: user.id }
    const { rows, count } = await this.#models.externalIdentity.findAndCountAll({
      ...{ where, order: ['id'], offset, limit },
    })
    return { rows: rows.map(toIdentity), total: count }
  }

  /** Unprocessable for a subject that cannot be, or that is somebody's already. */
  async link(user: Owner, provider: string, subject: string): Promise<Identity> {
    if (!isSubject(subject)) throw new Unprocessable('[Subject]: is up to 255 printable ASCII characters')
    return this.#db.inTransaction(async (transaction) => {
      // Against a deletion of the user at the same time, which then takes the identity along.
      const where = { id: user.id, kind: 'user' as const }
      const row = await this.#models.user.findOne({ where, lock: transaction.LOCK.UPDATE, transaction })
      if (row === null) throw new NotFound('user', user.name)
      if ((await this.#models.externalIdentity.count({ where: { provider, subject }, transaction })) > 0) {
        throw new Unprocessable('this identity belongs to a user already')
      }
      return this.add(user, provider, subject, transaction)
    })
  }

  /** Part of the transaction that makes the user. */
  async add(
    user: { readonly id: number },
    provider: string,
    subject: string,
    transaction: Transaction,
  ): Promise<Identity> {
    const columns = { provider, subject, userId: user.id, createdAt: this.#clock.now(), lastSignInAt: 0 }
    return toIdentity(await this.#models.externalIdentity.create(columns, { transaction }))
  }

  /** Who signs in with it from now on is nobody. NotFound when the user has no such identity. */
  async unlink(user: Owner, id: number): Promise<void> {
    const where = { id, userId: user.id }
    const removed = await this.#db.inTransaction((transaction) =>
      this.#models.externalIdentity.destroy({ where, transaction }),
    )
    if (removed === 0) throw new NotFound('user', `identity ${id} of ${user.name}`)
  }

  /** Notes a sign-in. */
  async touch(provider: string, subject: string): Promise<void> {
    const where = { provider, subject }
    const lastSignInAt = this.#clock.now()
    await this.#db.inTransaction((transaction) =>
      this.#models.externalIdentity.update({ lastSignInAt }, { where, transaction }),
    )
  }
}

function toIdentity({ id, userId, provider, subject, createdAt, lastSignInAt }: ExternalIdentity): Identity {
  return Object.freeze({ id, userId, provider, subject, createdAt, lastSignInAt })
}
