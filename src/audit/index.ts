import type { InferCreationAttributes } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Log } from '../log.ts'
import type { AuditEvent } from '../models/audit-event.ts'
import type { Models } from '../models/index.ts'
import type { PackageEvents } from '../packages/events.ts'
import { type AuditActor, type AuditDetails, type AuditTarget, theServer } from './entry.ts'
import { AuditQueries } from './queries.ts'
import { auditContext } from './request-context.ts'

type Row = InferCreationAttributes<AuditEvent, { omit: 'id' }>

const DAY = 86_400_000
/** ms that events wait for company. */
const DELAY = 200
/** Rows of one statement. */
const BATCH = 500
/** Rows that wait while the database is away; more go to the log of the process. */
const MOST = 20_000
const ATTEMPTS = 5
const PAUSE = 1_000
const LONGEST_TEXT = 255

/**
 * Who did what to which package, token, right or policy, from where. Events are stored in batches, within a second and
 * without making anybody wait; what cannot be stored is logged. A process that is killed loses those of its last
 * moments.
 */
export class Audit {
  readonly queries: AuditQueries
  readonly #db: Database
  readonly #models: Models
  readonly #clock: Clock
  readonly #log: Log
  #waiting: Row[] = []
  #timer: NodeJS.Timeout | null = null
  #storing = Promise.resolve()

  constructor(parts: { db: Database; models: Models; clock: Clock; log: Log }) {
    this.#db = parts.db
    this.#models = parts.models
    this.#clock = parts.clock
    this.#log = parts.log
    this.queries = new AuditQueries(parts.models)
  }

  /** Adds an event that has happened; never throws and never waits. `details` hold no secret. */
  record(actor: AuditActor, action: string, target: AuditTarget = {}, details: AuditDetails = {}): void {
    const row = toRow(this.#clock.now(), actor, action, target, details)
    if (this.#waiting.length < MOST) this.#waiting.push(row)
    else this.#give([row], new Error('too many events wait'))
    this.#timer ??= setTimeout(() => this.#begin(), DELAY).unref()
  }

  /** From now on packages that come and go are recorded, with the request that made them if one did. */
  follow(events: PackageEvents): void {
    events.on((event) => {
      if (event.action !== 'created' && event.action !== 'deleted' && event.action !== 'shadowed') return
      const { owner, type, name, doer } = event
      const context = auditContext()
      if (context !== undefined) context.isRecorded = true
      const user = doer === null ? null : { id: doer.id, name: doer.name }
      // Work that requests share must not be put down to the address of another.
      const isOurs = context !== undefined && context.actor.user?.id === user?.id
      const actor = isOurs ? context.actor : { ...theServer, user }
      if (event.action === 'shadowed') {
        const details = { from: event.upstream, source: 'hosted' }
        this.record(actor, 'name-binding.changed', { owner, type, name }, details)
        return
      }
      const { version } = event
      const details = event.rows.package.isPrivate ? { visibility: 'private' } : {}
      this.record(actor, `package.${event.action}`, { owner, type, name, version }, details)
    })
  }

  /** Resolves when every event so far is stored, or has been logged. */
  async settle(): Promise<void> {
    this.#begin()
    await this.#storing
  }

  /** Removes days that ended more than so many days ago; -1: none. Returns how many events went. */
  async prune(days: number): Promise<number> {
    if (days === -1) return 0
    const now = this.#clock.now()
    const before = now - (now % DAY) - days * DAY
    const removed = await this.queries.removeBefore(this.#db, before)
    if (removed > 0) this.record(theServer, 'audit.pruned', {}, { before: new Date(before).toISOString(), removed })
    return removed
  }

  #begin(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#storing = this.#storing.then(() => this.#storeAll())
  }

  async #storeAll(): Promise<void> {
    while (this.#waiting.length > 0) await this.#store(this.#waiting.splice(0, BATCH))
  }

  async #store(rows: Row[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#db.inTransaction((transaction) => this.#models.auditEvent.bulkCreate(rows, { transaction }))
        return
      } catch (error) {
        if (attempt === ATTEMPTS) return this.#give(rows, error)
        await new Promise((resolve) => setTimeout(resolve, PAUSE))
      }
    }
  }

  #give(rows: readonly Row[], err: unknown): void {
    this.#log.error({ err }, 'audit events could not be stored; they follow')
    for (const audit of rows) this.#log.error({ audit }, 'audit event')
  }
}

function toRow(now: number, actor: AuditActor, action: string, target: AuditTarget, details: AuditDetails): Row {
  const { user, sudoer, token } = actor
  return {
    createdAt: now,
    action: short(action),
    actorId: user?.id ?? 0,
    actorName: user?.name ?? '',
    sudoerId: sudoer?.id ?? 0,
    sudoerName: sudoer?.name ?? '',
    tokenId: token?.id ?? 0,
    tokenName: short(token?.name ?? ''),
    address: short(actor.address),
    ownerId: target.owner?.id ?? 0,
    ownerName: short(target.owner?.name ?? ''),
    type: short(target.type ?? ''),
    name: target.name ?? '',
    version: target.version ?? '',
    details: JSON.stringify(details),
  }
}

function short(text: string): string {
  return [...text].slice(0, LONGEST_TEXT).join('')
}
