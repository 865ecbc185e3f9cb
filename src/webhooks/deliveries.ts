import { setTimeout as sleep } from 'node:timers/promises'
import type { HookTask } from '../models/hook-task.ts'
import type { Models } from '../models/index.ts'
import type { Attempts } from './attempt.ts'
import type { HookTasks } from './tasks.ts'

/** ms between looks for what another server left, and for what is to be tried again. */
const POLL = 5_000
/** ms that running attempts have when the server stops. */
const GRACE = 5_000
/** ms beyond the timeout of an attempt, for the work around it, and for servers whose clocks differ by a minute. */
const SLACK = 90_000

/** What Deliveries is built from. */
export interface DeliveriesParts {
  readonly models: Models
  readonly tasks: HookTasks
  readonly attempts: Attempts
  /** `config.webhooks`. */
  readonly limits: { readonly timeout: number; readonly concurrency: number }
  readonly onError: (error: unknown, message: string) => void
}

/**
 * Delivers what is due, at most `concurrency` at once and half of that to one host, so that a slow receiver leaves room
 * for the others; hooks take turns. At least once: a receiver may hear of something again when a server dies.
 */
export class Deliveries {
  readonly #parts: DeliveriesParts
  readonly #running = new Set<Promise<void>>()
  /** Running attempts by host. */
  readonly #hosts = new Map<string, number>()
  readonly #stopping = new AbortController()
  #pump: Promise<void> | null = null
  #isStopped = false
  #timer: NodeJS.Timeout | null = null
  #wake = () => {}

  constructor(parts: DeliveriesParts) {
    this.#parts = parts
  }

  /** Begins to deliver by itself. */
  start(): void {
    this.#timer ??= setInterval(() => this.notify(), POLL).unref()
    this.notify()
  }

  /** There may be something due; without `start` somebody else sees to it. */
  notify(): void {
    if (this.#timer === null || this.#isStopped) return
    void this.deliverDue().catch((error: unknown) => this.#parts.onError(error, 'webhooks are not delivered'))
  }

  /** Delivers until nothing is due any more. */
  deliverDue(): Promise<void> {
    this.#wake()
    this.#pump ??= this.#run()
    return this.#pump
  }

  /** Ends: what runs has five seconds, and is otherwise tried again later. */
  async stop(): Promise<void> {
    this.#isStopped = true
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#wake()
    const patience = sleep(GRACE, undefined, { signal: this.#stopping.signal, ref: false }).catch(() => {})
    await Promise.race([patience, Promise.all(this.#running)])
    this.#stopping.abort()
    await this.#pump?.catch(() => {})
    await Promise.all(this.#running)
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isStopped) {
        let isWoken = false
        const woken = new Promise<void>((resolve) => {
          this.#wake = () => {
            isWoken = true
            resolve()
          }
        })
        await this.#fill()
        if (this.#running.size === 0 && !isWoken) return
        await Promise.race([woken, ...this.#running])
      }
    } finally {
      this.#pump = null
    }
  }

  /** Begins as much as there is room for. */
  async #fill(): Promise<void> {
    const { models, tasks, limits } = this.#parts
    const room = () => limits.concurrency - this.#running.size
    if (room() <= 0) return
    const hookIds = await tasks.dueHooks()
    const rows = await models.webhook.findAll({ where: { id: hookIds }, attributes: ['id', 'url'] })
    const hosts = new Map(rows.map(({ id, url }) => [id, new URL(url).host]))
    for (const [index, hookId] of hookIds.entries()) {
      const host = hosts.get(hookId) ?? ''
      const share = Math.ceil(room() / (hookIds.length - index))
      const limit = Math.min(share, Math.ceil(limits.concurrency / 2) - (this.#hosts.get(host) ?? 0))
      if (limit <= 0) continue
      if (this.#isStopped) return
      for (const task of await tasks.claim(hookId, limit, limits.timeout + SLACK)) this.#begin(hookId, task, host)
    }
  }

  #begin(hookId: number, task: HookTask, host: string): void {
    this.#hosts.set(host, (this.#hosts.get(host) ?? 0) + 1)
    const running: Promise<void> = this.#attempt(hookId, task).finally(() => {
      this.#running.delete(running)
      const left = this.#hosts.get(host)! - 1
      if (left === 0) this.#hosts.delete(host)
      else this.#hosts.set(host, left)
    })
    this.#running.add(running)
  }

  async #attempt(hookId: number, task: HookTask): Promise<void> {
    try {
      const outcome = await this.#parts.attempts.run(hookId, task, this.#stopping.signal)
      await this.#parts.tasks.finish(task, outcome)
    } catch (error) {
      // It is due again when the claim is over.
      this.#parts.onError(error, `delivery ${task.uuid} of hook ${hookId} could not be tried`)
    }
  }
}
