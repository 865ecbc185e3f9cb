import { Op, type WhereOptions } from 'sequelize'
import type { Page, Window } from '../auth/page.ts'
import type { Database } from '../db/connect.ts'
import type { AuditEvent } from '../models/audit-event.ts'
import type { Models } from '../models/index.ts'

/** Rows of one statement, where there may be very many. */
const BATCH = 1_000

/** Which events; what is left out does not matter. */
export interface AuditFilter {
  /** Ms since the epoch, both included. */
  readonly since?: number | undefined
  readonly until?: number | undefined
  /** Also who acted through sudo. */
  readonly actorName?: string | undefined
  readonly action?: string | undefined
  readonly ownerId?: number | undefined
  readonly ownerName?: string | undefined
}

/** An event as it was recorded; ids of 0 and empty texts are null. */
export interface AuditRecord {
  readonly id: number
  /** Ms since the epoch. */
  readonly createdAt: number
  readonly action: string
  readonly actor: { id: number; name: string } | null
  readonly sudoer: { id: number; name: string } | null
  readonly token: { id: number; name: string } | null
  readonly address: string
  readonly owner: { id: number; name: string } | null
  readonly type: string
  readonly name: string
  readonly version: string
  readonly details: object
}

/** Reads the log. */
export class AuditQueries {
  readonly #models: Models

  constructor(models: Models) {
    this.#models = models
  }

  /** Newest first. */
  async list(filter: AuditFilter, window: Window): Promise<Page<AuditRecord>> {
    const { rows, count } = await this.#models.auditEvent.findAndCountAll({
      where: toWhere(filter),
      order: [['id', 'DESC']],
      offset: window.offset,
      limit: window.limit,
    })
    return { rows: rows.map(toRecord), total: count }
  }

  /** All that there were when it began, oldest first; a thousand in memory at a time. */
  async *all(filter: AuditFilter): AsyncGenerator<AuditRecord[]> {
    const last = ((await this.#models.auditEvent.max('id')) as number | null) ?? 0
    for (let after = 0; ; ) {
      const id = { [Op.gt]: after, [Op.lte]: last }
      const where = { [Op.and]: [toWhere(filter), { id }] }
      const rows = await this.#models.auditEvent.findAll({ where, order: ['id'], limit: BATCH })
      if (rows.length > 0) yield rows.map(toRecord)
      if (rows.length < BATCH) return
      after = rows.at(-1)!.id
    }
  }

  /** Deletes what is older than `before`, in batches; returns how many went. */
  async removeBefore(db: Database, before: number): Promise<number> {
    const { auditEvent } = this.#models
    const where = { createdAt: { [Op.lt]: before } }
    for (let removed = 0; ; ) {
      const rows = await auditEvent.findAll({ where, attributes: ['id'], order: ['id'], limit: BATCH })
      if (rows.length === 0) return removed
      const id = rows.map((row) => row.id)
      removed += await db.inTransaction((transaction) => auditEvent.destroy({ where: { id }, transaction }))
    }
  }
}

function toWhere({ since, until, actorName, action, ownerId, ownerName }: AuditFilter): WhereOptions {
  const conditions: WhereOptions[] = []
  if (since !== undefined) conditions.push({ createdAt: { [Op.gte]: since } })
  if (until !== undefined) conditions.push({ createdAt: { [Op.lte]: until } })
  if (actorName !== undefined) conditions.push({ [Op.or]: [{ actorName }, { sudoerName: actorName }] })
  if (action !== undefined) conditions.push({ action })
  if (ownerId !== undefined) conditions.push({ ownerId })
  if (ownerName !== undefined) conditions.push({ ownerName })
  return { [Op.and]: conditions }
}

function toRecord(row: AuditEvent): AuditRecord {
  return {
    id: row.id,
    createdAt: row.createdAt,
    action: row.action,
    actor: named(row.actorId, row.actorName),
    sudoer: named(row.sudoerId, row.sudoerName),
    token: named(row.tokenId, row.tokenName),
    address: row.address,
    owner: named(row.ownerId, row.ownerName),
    type: row.type,
    name: row.name,
    version: row.version,
    details: JSON.parse(row.details) as object,
  }
}

function named(id: number, name: string): { id: number; name: string } | null {
  return id === 0 && name === '' ? null : { id, name }
}
