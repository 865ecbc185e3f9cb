import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Models } from '../models/index.ts'
import { isPossibleName } from './account-rules.ts'
import { type Owner, toOwner } from './owner.ts'

/** An account with what only sign-in may see. */
export interface AccountRecord {
  readonly owner: Owner
  /** Argon2id as PHC text; empty: no password. */
  readonly passwordHash: string
}

/**
 * Accounts by name and id, from memory when warm; that a name is free is remembered too. A notice from another
 * replica may get lost, so nothing is believed for longer than half a minute.
 */
export class AccountRecords {
  readonly #models: Models
  readonly #ids: Cache<{ id: number | null; renamedId: number | null }>
  readonly #records: Cache<{ record: AccountRecord | null }>

  constructor(models: Models, notices: Notices) {
    this.#models = models
    this.#ids = new Cache({ name: 'account-ids', max: 50_000, ttl: 30_000 }, notices)
    this.#records = new Cache({ name: 'accounts', max: 20_000, ttl: 30_000 }, notices)
  }

  /** Case-insensitive. */
  async find(name: string): Promise<AccountRecord | null> {
    if (!isPossibleName(name)) return null
    const { id } = await this.#idsOf(name.toLowerCase())
    return id === null ? null : this.findById(id)
  }

  /** Who had the name, in any case, before he got another; null while somebody has it. */
  async findRenamed(name: string): Promise<AccountRecord | null> {
    if (!isPossibleName(name)) return null
    const { id, renamedId } = await this.#idsOf(name.toLowerCase())
    return id !== null || renamedId === null ? null : this.findById(renamedId)
  }

  async findById(id: number): Promise<AccountRecord | null> {
    const { record } = await this.#records.get(String(id), async () => {
      const row = await this.#models.user.findByPk(id)
      return { record: row === null ? null : Object.freeze({ owner: toOwner(row), passwordHash: row.passwordHash }) }
    })
    return record
  }

  /** To be called after the commit that made, changed or deleted the account. */
  changed(account: { id: number; lowerName: string }): void {
    this.#ids.invalidate(account.lowerName)
    this.#records.invalidate(String(account.id))
  }

  #idsOf(lowerName: string): Promise<{ id: number | null; renamedId: number | null }> {
    return this.#ids.get(lowerName, async () => {
      const row = await this.#models.user.findOne({ where: { lowerName }, attributes: ['id'] })
      if (row !== null) return { id: row.id, renamedId: null }
      const redirect = await this.#models.accountRedirect.findOne({ where: { lowerName } })
      return { id: null, renamedId: redirect?.accountId ?? null }
    })
  }
}
