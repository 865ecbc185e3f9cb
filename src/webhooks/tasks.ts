import { randomUUID } from 'node:crypto'
import { literal, Op, QueryTypes, type WhereOptions } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { NotFound } from '../errors.ts'
import type { HookTask, HookTaskCause, HookTaskStatus } from '../models/hook-task.ts'
import type { Models } from '../models/index.ts'

/** Rows per statement. */
const BATCH = 100
/** ms after the event that nobody wants to hear of it any more. */
export const LONGEST_WAIT = 86_400_000

/** What is to be delivered. */
export interface NewTask {
  readonly hookId: number
  /** Who owns the package. */
  readonly ownerId: number
  readonly cause: HookTaskCause
  readonly event: string
  readonly action: string
  readonly payload: string
}

/** What became of an attempt; see HookTask. */
export interface TaskOutcome
  extends Partial<
    Pick<
      HookTask,
      | ('requestUrl' | 'requestHeaders' | 'responseStatus' | 'responseHeaders' | 'responseBody')
      | ('attemptedAt' | 'duration' | 'error')
    >
  > {
  readonly status: HookTaskStatus
  /** Ms; for `pending`. */
  readonly nextAttemptAt?: number
}

/**
 * The queue of deliveries, which is also their log. A task is claimed by moving its next attempt to the time when the
 * attempt must be over: whoever does so first has it, and if he dies, it is due again by then.
 */
export class HookTasks {
  readonly #db: Database
  readonly #models: Models
  readonly #clock: Clock

  constructor({ db, models, clock }: { db: Database; models: Models; clock: Clock }) {
    this.#db = db
    this.#models = models
    this.#clock = clock
  }

  /** Stores tasks that are due at once, all or none. */
  async add(tasks: readonly NewTask[]): Promise<void> {
    const now = this.#clock.now()
    const rows = tasks.map((task) => ({ ...task, uuid: randomUUID(), createdAt: now, nextAttemptAt: now }))
    await this.#db.inTransaction(async (transaction) => {
      for (let start = 0; start < rows.length; start += BATCH) {
        await this.#models.hookTask.bulkCreate(rows.slice(start, start + BATCH), { transaction })
      }
    })
  }

  /** Those of a hook, newest first. */
  async list(
    hookId: number,
    { offset, limit }: { offset: number; limit: number },
  ): Promise<{ total: number; tasks: HookTask[] }> {
    const { rows, count } = await this.#models.hookTask.findAndCountAll({
      where: { hookId },
      // The list shows no texts, and these are long.
      attributes: { exclude: ['payload', 'responseBody', 'responseHeaders', 'requestHeaders'] },
      order: [['id', 'DESC']],
      offset,
      limit,
    })
    return { total: count, tasks: rows }
  }

  /** Throws NotFound, also for tasks of other hooks (security.md S13). */
  async get(hookId: number, uuid: string): Promise<HookTask> {
    const task = await this.#models.hookTask.findOne({ where: { hookId, uuid } })
    if (task === null) throw new NotFound('delivery')
    return task
  }

  /** The ids of hooks that something is due for, the longest waiting first. */
  async dueHooks(): Promise<number[]> {
    // One look into the index for each hook: there may be a million tasks behind it.
    const rows = await this.#db.sequelize.query<{ hookId: number }>(
      `SELECT h.hookId FROM (
         SELECT w.id AS hookId,
           (SELECT MIN(t.next_attempt_at) FROM hook_task t WHERE t.hook_id = w.id AND t.status = 'pending') AS due
         FROM webhook w
       ) AS h WHERE h.due <= $1 ORDER BY h.due, h.hookId`,
      { type: QueryTypes.SELECT, bind: [this.#clock.now()] },
    )
    return rows.map(({ hookId }) => Number(hookId))
  }

  /** Takes what is due for a hook, at most `limit`, oldest first; each is this caller's alone for `lease` ms. */
  async claim(hookId: number, limit: number, lease: number): Promise<HookTask[]> {
    const now = this.#clock.now()
    const due = await this.#models.hookTask.findAll({
      where: { hookId, status: 'pending', nextAttemptAt: { [Op.lte]: now } },
      order: ['nextAttemptAt', 'id'],
      limit,
    })
    const claimed: HookTask[] = []
    for (const task of due) {
      const { id, nextAttemptAt, attempts } = task
      const values = { nextAttemptAt: now + lease, attempts: attempts + 1 }
      if (await this.#update({ id, status: 'pending', nextAttemptAt, attempts }, values)) claimed.push(task.set(values))
    }
    return claimed
  }

  /** Writes what became of a claimed task; nothing when another has it by now, or it is gone. */
  async finish({ id, nextAttemptAt, attempts }: HookTask, outcome: TaskOutcome): Promise<void> {
    await this.#update({ id, status: 'pending', nextAttemptAt, attempts }, outcome)
  }

  /** Deletes what is older than `age` ms and not to be delivered any more, or is nobody's; how many went. */
  async prune(age: number): Promise<number> {
    const now = this.#clock.now()
    const isOver = { createdAt: { [Op.lt]: now - age }, status: { [Op.ne]: 'pending' as const } }
    // An event can be stored while its hook is deleted.
    const hookId = { [Op.notIn]: literal('(SELECT id FROM webhook)') }
    const isNobodys = { createdAt: { [Op.lt]: now - LONGEST_WAIT }, hookId }
    const where = { [Op.or]: [isOver, isNobodys] }
    for (let total = 0; ; ) {
      const rows = await this.#models.hookTask.findAll({ where, attributes: ['id'], limit: BATCH, raw: true })
      if (rows.length === 0) return total
      const id = rows.map((row) => row.id)
      total += await this.#db.inTransaction((transaction) =>
        this.#models.hookTask.destroy({ where: { id }, transaction }),
      )
    }
  }

  async #update(where: WhereOptions<HookTask>, values: Partial<HookTask> | TaskOutcome): Promise<boolean> {
    const [count] = await this.#db.inTransaction((transaction) =>
      this.#models.hookTask.update(values, { where, transaction }),
    )
    return count === 1
  }
}
