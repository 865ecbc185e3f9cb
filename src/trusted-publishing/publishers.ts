import type { Transaction } from 'sequelize'
import type { AccessTokens } from '../auth/access-tokens.ts'
import type { Owner } from '../auth/owner.ts'
import type { Page, Window } from '../auth/page.ts'
import { Restriction } from '../auth/restriction.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { NotFound, Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { TrustedPublisher } from '../models/trusted-publisher.ts'
import { type ClaimRules, checkRules } from './claims.ts'
import type { IssuerUrls } from './issuer-url.ts'

/** Of one owner. */
const MOST = 50

/** Packages of the owner: of a type, with names that fit a pattern, in which `*` is any text. */
export interface PublishedPackage {
  readonly type: string
  readonly name: string
}

/** What its maker decides. */
export interface PublisherInput {
  readonly name: string
  readonly issuer: string
  readonly claims: ClaimRules
  /** Null: all packages of the owner. */
  readonly packages: readonly PublishedPackage[] | null
  /** Seconds that a token is valid. */
  readonly lifetime: number
}

/** Jobs that may publish an owner's packages. */
export interface Publisher extends PublisherInput {
  readonly id: number
  readonly ownerId: number
  /** Id of a user, who may be gone. */
  readonly createdBy: number
  /** Ms since the epoch. */
  readonly createdAt: number
  /** 0: never. */
  readonly lastUsedAt: number
}

/** What can be changed; what is undefined stays. */
export type PublisherChanges = { readonly [K in keyof PublisherInput]?: PublisherInput[K] | undefined }

/** The trusted publishers that are stored, by owner: an id of another owner's is none of his (security.md S13). */
export class Publishers {
  readonly #parts: {
    db: Database
    models: Models
    clock: Clock
    accessTokens: AccessTokens
    urls: IssuerUrls
  }

  constructor(parts: { db: Database; models: Models; clock: Clock; accessTokens: AccessTokens; urls: IssuerUrls }) {
    this.#parts = parts
  }

  /** Oldest first. */
  async list(owner: Owner, window: Window): Promise<Page<Publisher>> {
    const { rows, count } = await this.#parts.models.trustedPublisher.findAndCountAll({
      where: { ownerId: owner.id },
      order: ['id'],
      offset: window.offset,
      limit: window.limit,
    })
    return { rows: rows.map(toPublisher), total: count }
  }

  /** Throws NotFound. */
  async get(owner: Owner, id: number): Promise<Publisher> {
    return toPublisher(await this.#row(owner, id))
  }

  /** Unprocessable for what cannot be, for a name that the owner has used, and for one publisher too many. */
  async create(owner: Owner, maker: Owner, input: PublisherInput): Promise<Publisher> {
    this.#check(owner, input)
    const { db, models, clock } = this.#parts
    return db.inTransaction(async (transaction) => {
      const lock = transaction.LOCK.UPDATE
      // Who deletes the owner meanwhile comes before or after, and then takes it along.
      if ((await models.user.findByPk(owner.id, { lock, transaction })) === null) throw new NotFound('owner')
      await this.#requireFree(owner, input.name, transaction)
      if ((await models.trustedPublisher.count({ where: { ownerId: owner.id }, transaction })) >= MOST) {
        throw new Unprocessable(`there are ${MOST} trusted publishers already`)
      }
      const origin = { ownerId: owner.id, createdBy: maker.id, createdAt: clock.now() }
      return toPublisher(await models.trustedPublisher.create({ ...toColumns(input), ...origin }, { transaction }))
    })
  }

  /**
   * Throws NotFound, and Unprocessable as `create`. Tokens that its jobs hold end with the commit, unless nothing but the
   * name is another.
   */
  async update(owner: Owner, id: number, changes: PublisherChanges): Promise<Publisher> {
    const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
    return this.#ending(owner, id, async (row, transaction) => {
      const before = toPublisher(row)
      const input: PublisherInput = { ...before, ...given }
      this.#check(owner, input)
      if (input.name !== before.name) await this.#requireFree(owner, input.name, transaction)
      row.set(toColumns(input))
      const ends = (['issuer', 'claims', 'packages', 'lifetime'] as const).some((column) => row.changed(column))
      return { result: toPublisher(await row.save({ transaction })), ends }
    })
  }

  /** Tokens that its jobs hold end with the commit. Throws NotFound. */
  async delete(owner: Owner, id: number): Promise<void> {
    await this.#ending(owner, id, async (row, transaction) => {
      await row.destroy({ transaction })
      return { result: undefined, ends: true }
    })
  }

  /** Who exchanges an id-token waits for the row, or has made a token that is found here. */
  async #ending<T>(
    owner: Owner,
    id: number,
    change: (row: TrustedPublisher, transaction: Transaction) => Promise<{ result: T; ends: boolean }>,
  ): Promise<T> {
    const { db, accessTokens } = this.#parts
    const { result, revoked } = await db.inTransaction(async (transaction) => {
      const { result, ends } = await change(await this.#row(owner, id, transaction), transaction)
      return { result, revoked: ends ? await accessTokens.revokeOfPublisher(owner.id, id, transaction) : [] }
    })
    accessTokens.forget(revoked)
    return result
  }

  #check(owner: Owner, { issuer, claims, packages }: PublisherInput): void {
    this.#parts.urls.checkIssuer(issuer)
    checkRules(issuer, claims)
    restrictionOf(owner, [packages])
  }

  async #requireFree({ id: ownerId }: Owner, name: string, transaction: Transaction): Promise<void> {
    const taken = await this.#parts.models.trustedPublisher.count({ where: { ownerId, name }, transaction })
    if (taken > 0) throw new Unprocessable('[Name]: there is a trusted publisher of that name')
  }

  async #row({ id: ownerId }: Owner, id: number, transaction?: Transaction): Promise<TrustedPublisher> {
    const locked = transaction && { transaction, lock: transaction.LOCK.UPDATE }
    const row = await this.#parts.models.trustedPublisher.findOne({ where: { ownerId, id }, ...locked })
    if (row === null) throw new NotFound('publisher')
    return row
  }
}

/** What several publishers may write together; see Restriction. */
export function restrictionOf(owner: Owner, lists: readonly (readonly PublishedPackage[] | null)[]): Restriction {
  if (lists.includes(null)) return new Restriction({ owners: [owner.lowerName] })
  const packages = lists.flatMap((list) => list ?? []).map(({ type, name }) => ({ owner: owner.lowerName, type, name }))
  return new Restriction({ packages })
}

/** As everything above the database sees it. */
export function toPublisher(row: TrustedPublisher): Publisher {
  const { id, ownerId, name, issuer, claims, packages, lifetime, createdBy, createdAt, lastUsedAt } = row
  return {
    ...{ id, ownerId, name, issuer, lifetime, createdBy, createdAt, lastUsedAt },
    claims: JSON.parse(claims) as ClaimRules,
    packages: packages === null ? null : (JSON.parse(packages) as PublishedPackage[]),
  }
}

function toColumns({ name, issuer, claims, packages, lifetime }: PublisherInput) {
  return {
    ...{ name, issuer, lifetime },
    claims: JSON.stringify(claims),
    packages: packages === null ? null : JSON.stringify(packages.map(({ type, name }) => ({ type, name }))),
  }
}
