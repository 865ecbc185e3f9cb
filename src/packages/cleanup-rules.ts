import type { Transaction } from 'sequelize'
import { type Owner, toOwner } from '../auth/owner.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Conflict, NotFound } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { PackageCleanupRule } from '../models/package-cleanup-rule.ts'
import type { Cleanup } from './cleanup.ts'
import type { CleanupPolicy } from './cleanup-decision.ts'

/** A rule of an owner for one type; times in ms. */
export interface CleanupRule extends CleanupPolicy {
  readonly type: string
  readonly enabled: boolean
  readonly createdAt: number
  readonly updatedAt: number
}

/** What its maker decides. */
export type CleanupRuleInput = CleanupPolicy & Pick<CleanupRule, 'type' | 'enabled'>

/** What CleanupRules is built from. */
export interface CleanupRulesParts {
  readonly db: Database
  readonly models: Models
  readonly clock: Clock
  readonly cleanup: Cleanup
  readonly onError: (error: unknown, message: string) => void
}

/** The cleanup rules that are stored, at most one for an owner and type. */
export class CleanupRules {
  readonly #parts: CleanupRulesParts

  constructor(parts: CleanupRulesParts) {
    this.#parts = parts
  }

  /** By type. */
  async list(owner: Owner): Promise<CleanupRule[]> {
    const rows = await this.#parts.models.packageCleanupRule.findAll({
      where: { ownerId: owner.id },
      order: ['type'],
    })
    return rows.map(toRule)
  }

  /** Throws NotFound. */
  async get(owner: Owner, type: string): Promise<CleanupRule> {
    return toRule(await this.#row(owner, type))
  }

  /** Throws Conflict when the owner has a rule for the type, Unprocessable for what Cleanup.check refuses. */
  async create(owner: Owner, input: CleanupRuleInput): Promise<CleanupRule> {
    const { db, models, clock, cleanup } = this.#parts
    cleanup.check(input.type, input)
    const where = { ownerId: owner.id, type: input.type }
    return db.inTransaction(async (transaction) => {
      // Its lock makes two rules that are made at once take turns.
      await models.user.findByPk(owner.id, { lock: transaction.LOCK.UPDATE, transaction })
      if ((await models.packageCleanupRule.count({ where, transaction })) > 0) {
        throw new Conflict('package', `${owner.name} has a cleanup rule for ${input.type} already`)
      }
      const times = { createdAt: clock.now(), updatedAt: clock.now() }
      return toRule(await models.packageCleanupRule.create({ ...input, ...where, ...times }, { transaction }))
    })
  }

  /** Throws NotFound, and Unprocessable for what Cleanup.check refuses. */
  async update(owner: Owner, type: string, changes: Partial<CleanupRuleInput>): Promise<CleanupRule> {
    const { db, clock, cleanup } = this.#parts
    return db.inTransaction(async (transaction) => {
      const row = await this.#row(owner, type, transaction)
      cleanup.check(type, { ...toRule(row), ...changes })
      return toRule(await row.update({ ...changes, type, updatedAt: clock.now() }, { transaction }))
    })
  }

  /** Throws NotFound. */
  async delete(owner: Owner, type: string): Promise<void> {
    await this.#parts.db.inTransaction(async (transaction) => {
      const row = await this.#row(owner, type, transaction)
      await row.destroy({ transaction })
    })
  }

  /** Runs every enabled rule; how many versions went. A rule that fails is reported, and the others go on. */
  async runAll(): Promise<{ rules: number; versions: number }> {
    const { models, cleanup, onError } = this.#parts
    const rows = await models.packageCleanupRule.findAll({ where: { enabled: true }, order: ['id'] })
    let versions = 0
    for (const row of rows) {
      const { type, ...policy } = toRule(row)
      try {
        const account = await models.user.findByPk(row.ownerId)
        if (account !== null) versions += await cleanup.run(toOwner(account), type, policy)
      } catch (error) {
        onError(error, `the cleanup rule of owner ${row.ownerId} for ${type} failed`)
      }
    }
    return { rules: rows.length, versions }
  }

  /** In a transaction nobody else can change it until the end. */
  async #row(owner: Owner, type: string, transaction?: Transaction): Promise<PackageCleanupRule> {
    const where = { ownerId: owner.id, type }
    const locked = transaction && { transaction, lock: transaction.LOCK.UPDATE }
    const row = await this.#parts.models.packageCleanupRule.findOne({ where, ...locked })
    if (row === null) throw new NotFound('package', `cleanup rule of ${owner.name} for ${type}`)
    return row
  }
}

function toRule(row: PackageCleanupRule): CleanupRule {
  return {
    type: row.type,
    enabled: row.enabled,
    keepCount: row.keepCount,
    keepPattern: row.keepPattern,
    removeDays: row.removeDays,
    removePattern: row.removePattern,
    matchFullName: row.matchFullName,
    createdAt: Number(row.createdAt),
    updatedAt: Number(row.updatedAt),
  }
}
