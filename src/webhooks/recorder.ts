import { setTimeout as sleep } from 'node:timers/promises'
import { Op } from 'sequelize'
import type { Accounts } from '../auth/accounts.ts'
import type { Config } from '../config/config.ts'
import type { Models } from '../models/index.ts'
import type { PackageEvents, VersionEvent } from '../packages/events.ts'
import { readRepositories } from '../packages/repository.ts'
import type { UpstreamEngine } from '../upstream/index.ts'
import { PACKAGE_EVENT, toHook } from './hook.ts'
import { renderPayload } from './payload.ts'
import type { HookTasks, NewTask } from './tasks.ts'

/** What Recorder is built from. */
export interface RecorderParts {
  readonly models: Models
  readonly accounts: Accounts
  readonly upstream: UpstreamEngine
  readonly config: Config
  readonly events: PackageEvents
  readonly tasks: HookTasks
  /** Called when something was stored. */
  readonly onStored: () => void
  readonly onError: (error: unknown, message: string) => void
}

const ATTEMPTS = 5
/** Events that are stored together: a package with thousands of versions may be deleted, and others write too. */
const BATCH = 100
const PAUSE = 1_000

/**
 * Stores a task for each package event and hook. Events come after their commit, and many may come at once: they are
 * stored in the order they came, many of those that wait together. What has happened is told also when the hook was made, or the
 * version changed again, in the moment between.
 */
export class Recorder {
  readonly #parts: RecorderParts
  readonly #waiting: VersionEvent[] = []
  #storing: Promise<void> | null = null

  constructor(parts: RecorderParts) {
    this.#parts = parts
    parts.events.on((event) => {
      if (event.action === 'created' || event.action === 'deleted') this.#record(event)
    })
  }

  /** Resolves when every event so far is stored. */
  async settle(): Promise<void> {
    await this.#storing
  }

  #record(event: VersionEvent): void {
    this.#waiting.push(event)
    this.#storing ??= this.#storeAll()
  }

  async #storeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const events = this.#waiting.splice(0, BATCH)
      for (let attempt = 1; ; attempt += 1) {
        try {
          await this.#store(events)
          break
        } catch (error) {
          if (attempt === ATTEMPTS) {
            this.#parts.onError(error, `webhooks will not hear of ${events.length} package events`)
            break
          }
          await sleep(PAUSE)
        }
      }
    }
    // At once with the last look at what waits: what comes later starts anew.
    this.#storing = null
  }

  async #store(events: readonly VersionEvent[]): Promise<void> {
    const { models, accounts, tasks, onStored } = this.#parts
    const ownerIds = [...new Set(events.map(({ owner }) => owner.id))]
    const rows = await models.webhook.findAll({
      where: { isActive: true, [Op.or]: [{ ownerId: ownerIds }, { ownerId: 0, kind: 'system' }] },
      order: ['id'],
    })
    const hooks = rows.map(toHook).filter((hook) => hook.events.includes(PACKAGE_EVENT))
    const added: NewTask[] = []
    const linkedIds = hooks.length === 0 ? [] : events.map((event) => event.rows.package.repoId)
    const repositories = await readRepositories(models, linkedIds)
    for (const event of events) {
      const { owner, action, rows } = event
      const heard = hooks.filter((hook) => hook.kind === 'system' || hook.ownerId === owner.id)
      if (heard.length === 0) continue
      const creator = await accounts.findById(rows.version.creatorId)
      const repository = repositories.get(rows.package.repoId) ?? null
      const payload = renderPayload(this.#parts, event, creator, repository)
      const task = { ownerId: owner.id, cause: 'event', event: PACKAGE_EVENT, action, payload } as const
      added.push(...heard.map(({ id }) => ({ ...task, hookId: id })))
    }
    if (added.length === 0) return
    await tasks.add(added)
    onStored()
  }
}
