import type { Transaction } from 'sequelize'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { NotFound, Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { PackageRule } from '../models/package-rule.ts'
import type { Action, Place } from './rule.ts'
import { type Adapters, checkRule, compileRule, isPattern, type RuleInput, type RuleRecord } from './rule-input.ts'
import { RuleSet } from './rule-set.ts'

/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000
const MOST_RULES = 10_000
/** Of an organization: each request of its view compares a name with all of them. */
const MOST_PATTERNS = 200

/** What Rules is built from. */
export interface RulesParts {
  readonly db: Database
  readonly models: Models
  readonly notices: Notices
  readonly clock: Clock
}

/** The rules of policies as they are kept, and as they are used. */
export class Rules {
  readonly #parts: RulesParts
  readonly #sets: Cache<RuleSet>
  #adapters: Adapters = new Map()

  constructor(parts: RulesParts) {
    this.#parts = parts
    this.#sets = new Cache({ name: 'package-rules', max: 10_000, ttl: NOTICE_LOST }, parts.notices)
  }

  /** How the types read names and versions; to be called before the first rule is read. */
  declare(adapters: Adapters): void {
    this.#adapters = adapters
  }

  /** The rules of a place, ready to be asked. */
  of(place: Place): Promise<RuleSet> {
    return this.#sets.get(keyOf(place), async () => {
      const rows = await this.#parts.models.packageRule.findAll({ where: whereOf(place), raw: true })
      return new RuleSet(rows.flatMap((row) => compileRule(toRecord(row), this.#adapters) ?? []))
    })
  }

  /** A page of the rules of a place, or of all places (null), oldest first, and how many there are. */
  async list(place: Place | null, page: { offset: number; limit: number }) {
    const where = place === null ? {} : whereOf(place)
    const { rows, count } = await this.#parts.models.packageRule.findAndCountAll({ where, order: ['id'], ...page })
    return { rules: rows.map(toRecord), total: count }
  }

  /** A rule of a place, or of any (null). Throws NotFound. */
  async get(place: Place | null, id: number): Promise<RuleRecord> {
    return toRecord(await this.#row(place, id))
  }

  /** The first rule of a place that says exactly this, or null. */
  async findSame(place: Place, input: RuleInput): Promise<RuleRecord | null> {
    const row = await this.#parts.models.packageRule.findOne({ where: { ...whereOf(place), ...input }, order: ['id'] })
    return row === null ? null : toRecord(row)
  }

  /** Makes a rule. Throws Unprocessable for one that says nothing, and where there are too many. */
  async create(place: Place, input: RuleInput, author: string): Promise<RuleRecord> {
    const { db, models, clock } = this.#parts
    checkRule(input, this.#adapters)
    const now = clock.now()
    if (input.expiresAt !== 0 && input.expiresAt <= now) throw new Unprocessable('[Expires]: it has passed')
    const row = await db.inTransaction(async (transaction) => {
      await this.#requireRoom(place, input, transaction)
      const values = { ...input, ...whereOf(place), author, createdAt: now, updatedAt: now }
      return models.packageRule.create(values, { transaction })
    })
    this.#sets.invalidate(keyOf(place))
    return toRecord(row)
  }

  /** Changes a rule of a place, or of any (null). Throws NotFound and Unprocessable. */
  async update(place: Place | null, id: number, changes: Partial<RuleInput>): Promise<RuleRecord> {
    const { db, clock } = this.#parts
    const record = await db.inTransaction(async (transaction) => {
      const row = await this.#row(place, id, transaction)
      const changed = { ...toRecord(row), ...changes }
      checkRule(changed, this.#adapters)
      if (changes.name !== undefined) await this.#requireRoom(changed, changed, transaction, id)
      // The time tells one state of a rule from the next, also for two changes within one ms.
      await row.update({ ...changes, updatedAt: Math.max(clock.now(), Number(row.updatedAt) + 1) }, { transaction })
      return toRecord(row)
    })
    this.#sets.invalidate(keyOf(record))
    return record
  }

  /** Throws NotFound. */
  async delete(place: Place | null, id: number): Promise<void> {
    const row = await this.#row(place, id)
    await row.destroy()
    this.#sets.invalidate(keyOf(row))
  }

  async #row(place: Place | null, id: number, transaction?: Transaction): Promise<PackageRule> {
    const where = { id, ...(place === null ? {} : whereOf(place)) }
    const lock = transaction === undefined ? {} : { transaction, lock: transaction.LOCK.UPDATE }
    const row = await this.#parts.models.packageRule.findOne({ where, ...lock })
    if (row === null) throw new NotFound('policy', String(id))
    return row
  }

  async #requireRoom(place: Place, input: RuleInput, transaction: Transaction, except = 0): Promise<void> {
    const { models } = this.#parts
    if (place.scope === 'organization') {
      // Its lock makes rules that are made at once take turns.
      await models.user.findByPk(place.scopeId, { lock: transaction.LOCK.UPDATE, transaction })
    }
    const rows = await models.packageRule.findAll({
      where: whereOf(place),
      attributes: ['id', 'type', 'name'],
      raw: true,
      transaction,
    })
    const others = rows.filter(({ id }) => Number(id) !== except)
    if (others.length >= MOST_RULES) throw new Unprocessable(`there are ${MOST_RULES} policies already`)
    if (place.scope !== 'organization' || !isPattern(input, this.#adapters)) return
    if (others.filter((row) => isPattern(row, this.#adapters)).length < MOST_PATTERNS) return
    throw new Unprocessable(`[Name]: there are ${MOST_PATTERNS} policies with patterns of names already`)
  }
}

function keyOf({ scope, scopeId }: Place): string {
  return `${scope}:${scopeId}`
}

function whereOf({ scope, scopeId }: Place) {
  return { scope, scopeId }
}

function toRecord(row: PackageRule): RuleRecord {
  const { id, scope, scopeId, action, type, name, versions, reason, author } = row
  return {
    ...{ id: Number(id), scope, scopeId: Number(scopeId), action: action as Action, type, name, versions },
    ...{ reason, author, untrustedOnly: Boolean(row.untrustedOnly) },
    ...{ minAge: Number(row.minAge), notAfter: Number(row.notAfter), expiresAt: Number(row.expiresAt) },
    ...{ createdAt: Number(row.createdAt), updatedAt: Number(row.updatedAt) },
  }
}
