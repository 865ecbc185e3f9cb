import { QueryTypes, type Transaction } from 'sequelize'
import type { AccessTokens } from '../auth/access-tokens.ts'
import type { Accounts } from '../auth/accounts.ts'
import type { Owner } from '../auth/owner.ts'
import { renameInRestrictions } from '../auth/restriction-names.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import type { Packages } from './index.ts'
import { refType } from './package-descriptor.ts'

/** What OwnerRenames needs; the services have it. */
export interface OwnerRenamesParts {
  readonly db: Database
  readonly models: Models
  readonly accounts: Accounts
  readonly accessTokens: AccessTokens
  readonly packages: Packages
}

/**
 * Other names for users and organizations, with all that has the name in it (gitea-model.md §6). Whatever else belongs to
 * an owner goes by his id.
 */
export class OwnerRenames {
  readonly #parts: OwnerRenamesParts

  constructor(parts: OwnerRenamesParts) {
    this.#parts = parts
  }

  /** Unprocessable for a name that a new account could not take. */
  async rename(account: Owner, name: string): Promise<void> {
    const { models, accounts, accessTokens } = this.#parts
    let tokens: Awaited<ReturnType<typeof renameInRestrictions>> = []
    await accounts.rename(account, name, async (before, after, transaction) => {
      await this.#renameImages(account.id, before, after, transaction)
      tokens = await renameInRestrictions(models, before, after, transaction)
    })
    accessTokens.forget(tokens)
    await this.#forgetDocuments(account)
  }

  /** Rewrites the property `container.repository`, which is `<owner>/<image>`. */
  async #renameImages(ownerId: number, before: string, after: string, transaction: Transaction): Promise<void> {
    const { db } = this.#parts
    const rest = `SUBSTR(value, ${before.length + 1})`
    await db.sequelize.query(
      `UPDATE package_property SET value = ${db.dialect === 'sqlite' ? `$1 || ${rest}` : `CONCAT($1, ${rest})`}
       WHERE ref_type = ${refType.package} AND name = 'container.repository'
         AND ref_id IN (SELECT id FROM package WHERE owner_id = $2 AND type = 'container')`,
      { type: QueryTypes.UPDATE, bind: [after, ownerId], transaction },
    )
  }

  /** What is rendered has the owner's name in its URLs. */
  async #forgetDocuments({ id: ownerId }: Owner): Promise<void> {
    const { models, packages } = this.#parts
    const rows = await models.package.findAll({ where: { ownerId }, raw: true })
    for (const row of rows) {
      packages.lookup.forget(row)
      packages.events.emit({ action: 'changed', ownerId, type: row.type, lowerName: row.lowerName })
    }
  }
}
