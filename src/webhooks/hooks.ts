import { createHash, timingSafeEqual } from 'node:crypto'
import type { Transaction } from 'sequelize'
import { type SecretBox, SecretUnreadable } from '../auth/secret-box.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { NotFound, Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { Webhook } from '../models/webhook.ts'
import { type AddressGuard, AddressRefused } from '../outbound/address-guard.ts'
import { type Hook, type HookKind, type HookPlace, toHook } from './hook.ts'

/** Hooks of one owner; more would let one upload cause too much. */
const MOST = 50

/** What its maker decides; no secret and no authorization: empty. */
export interface HookInput extends Pick<Hook, 'name' | 'url' | 'contentType' | 'events' | 'branchFilter' | 'isActive'> {
  readonly kind: HookKind
  readonly secret: string
  readonly authorization: string
}

/** What can be changed; what is undefined stays. */
export type HookChanges = { readonly [K in keyof Omit<HookInput, 'kind' | 'secret'>]?: HookInput[K] | undefined }

/** What is secret of a hook; empty where there is none. */
export interface HookSecrets {
  readonly secret: string
  readonly authorization: string
}

/** What Hooks is built from. */
export interface HooksParts {
  readonly db: Database
  readonly models: Models
  readonly clock: Clock
  readonly box: SecretBox
  readonly guard: AddressGuard
}

/** The hooks that are stored. Their secrets are encrypted, and leave only to be used. */
export class Hooks {
  readonly #parts: HooksParts

  constructor(parts: HooksParts) {
    this.#parts = parts
  }

  /** Oldest first. */
  async list(place: HookPlace, page?: { offset: number; limit: number }): Promise<{ total: number; hooks: Hook[] }> {
    const { rows, count } = await this.#parts.models.webhook.findAndCountAll({
      where: whereOf(place),
      order: ['id'],
      ...page,
    })
    return { total: count, hooks: rows.map(toHook) }
  }

  /** Throws NotFound. */
  async get(place: HookPlace, id: number): Promise<Hook> {
    return toHook(await this.#row(place, id))
  }

  /** Throws Unprocessable for a URL that cannot be called, and for one hook too many. */
  async create({ ownerId }: Pick<HookPlace, 'ownerId'>, input: HookInput): Promise<Hook> {
    this.#checkUrl(input.url)
    const { db, models, clock, box } = this.#parts
    const { secret, authorization, events, ...columns } = input
    return db.inTransaction(async (transaction) => {
      // Who deletes the owner meanwhile comes before or after, and then takes the hook along.
      const lock = transaction.LOCK.UPDATE
      if (ownerId !== 0 && (await models.user.findByPk(ownerId, { lock, transaction })) === null) {
        throw new NotFound('owner')
      }
      if ((await models.webhook.count({ where: { ownerId }, transaction })) >= MOST) {
        throw new Unprocessable(`there are ${MOST} hooks already`)
      }
      const times = { createdAt: clock.now(), updatedAt: clock.now() }
      const values = {
        ...columns,
        ...times,
        ownerId,
        events: events.join(','),
        sealedSecret: '',
        sealedAuthorization: '',
      }
      const row = await models.webhook.create(values, { transaction })
      // Its id is part of what they are sealed for.
      const sealedSecret = seal(box, secret, 'secret', row.id)
      const sealedAuthorization = seal(box, authorization, 'authorization', row.id)
      return toHook(await row.update({ sealedSecret, sealedAuthorization }, { transaction }))
    })
  }

  /** Throws NotFound, and Unprocessable as of `create`. */
  async update(place: HookPlace, id: number, changes: HookChanges): Promise<Hook> {
    if (changes.url !== undefined) this.#checkUrl(changes.url)
    const { db, clock, box } = this.#parts
    const { authorization, events, ...columns } = changes
    const given = Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined))
    return db.inTransaction(async (transaction) => {
      const row = await this.#row(place, id, transaction)
      row.set({ ...given, updatedAt: clock.now() })
      if (events !== undefined) row.events = events.join(',')
      if (authorization !== undefined) row.sealedAuthorization = seal(box, authorization, 'authorization', id)
      return toHook(await row.save({ transaction }))
    })
  }

  /** With what was to be delivered to it. Throws NotFound. */
  async delete(place: HookPlace, id: number): Promise<void> {
    const { db, models } = this.#parts
    await db.inTransaction(async (transaction) => {
      const row = await this.#row(place, id, transaction)
      await models.hookTask.destroy({ where: { hookId: row.id }, transaction })
      await row.destroy({ transaction })
    })
  }

  /** Whether the hook has this secret; one that cannot be read is no secret anybody knows. Throws NotFound. */
  async hasSecret(place: HookPlace, id: number, secret: string): Promise<boolean> {
    const row = await this.#row(place, id)
    try {
      return timingSafeEqual(hash(this.openSecrets(row).secret), hash(secret))
    } catch (error) {
      if (error instanceof SecretUnreadable) return false
      throw error
    }
  }

  /** Throws SecretUnreadable. */
  openSecrets({ id, sealedSecret, sealedAuthorization }: Webhook): HookSecrets {
    const { box } = this.#parts
    const open = (sealed: string, what: string) => (sealed === '' ? '' : box.unseal(sealed, purposeOf(what, id)))
    return { secret: open(sealedSecret, 'secret'), authorization: open(sealedAuthorization, 'authorization') }
  }

  /** Names are looked up when they are called; addresses can be refused at once. */
  #checkUrl(text: string): void {
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null || !/^https?:$/.test(url.protocol)) throw new Unprocessable('Invalid url')
    // It is shown to everybody who may see the hook.
    if (url.username !== '' || url.password !== '') {
      throw new Unprocessable('Invalid url: put credentials into authorization_header')
    }
    try {
      this.#parts.guard.checkUrl(url)
    } catch (error) {
      throw error instanceof AddressRefused ? new Unprocessable(`Invalid url: ${error.message}`) : error
    }
  }

  async #row(place: HookPlace, id: number, transaction?: Transaction): Promise<Webhook> {
    const where = { ...whereOf(place), id }
    const locked = transaction && { transaction, lock: transaction.LOCK.UPDATE }
    const row = await this.#parts.models.webhook.findOne({ where, ...locked })
    if (row === null) throw new NotFound('hook')
    return row
  }
}

function whereOf({ ownerId, kinds }: HookPlace) {
  return { ownerId, kind: [...kinds] }
}

function seal(box: SecretBox, text: string, what: string, id: number): string {
  return text === '' ? '' : box.seal(text, purposeOf(what, id))
}

function purposeOf(what: string, id: number): string {
  return `webhook/${id}/${what}`
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
