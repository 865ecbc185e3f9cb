import type { Accounts } from '../auth/accounts.ts'
import type { Owner } from '../auth/owner.ts'
import type { SecretBox } from '../auth/secret-box.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import { AddressGuard } from '../outbound/address-guard.ts'
import type { PackageEvents } from '../packages/events.ts'
import type { UpstreamEngine } from '../upstream/index.ts'
import { type AllowsPrivate, parseAllowedHosts } from './allowed-hosts.ts'
import { Attempts } from './attempt.ts'
import { Deliveries } from './deliveries.ts'
import { type HookPlace, PACKAGE_EVENT } from './hook.ts'
import { Hooks } from './hooks.ts'
import { renderTestPayload } from './payload.ts'
import { Poster } from './post.ts'
import { Recorder } from './recorder.ts'
import { HookTasks } from './tasks.ts'

/** What webhooks are made from. */
export interface WebhooksParts {
  readonly db: Database
  readonly models: Models
  readonly clock: Clock
  readonly config: Config
  readonly accounts: Accounts
  readonly upstream: UpstreamEngine
  readonly events: PackageEvents
  readonly box: SecretBox
  /** Of the product. */
  readonly version: string
  readonly onError: (error: unknown, message: string) => void
}

/** Tells others of package events (gitea-model.md §9): hooks, a queue that outlives the process, and its deliveries. */
export class Webhooks {
  readonly hooks: Hooks
  readonly tasks: HookTasks
  readonly deliveries: Deliveries
  readonly #parts: WebhooksParts
  readonly #poster: Poster
  readonly #recorder: Recorder | null

  /** Throws ConfigError. */
  constructor(parts: WebhooksParts) {
    const { config, models, clock, version, onError } = parts
    const allowsPrivate: AllowsPrivate = parseAllowedHosts(config.webhooks.allowedHosts)
    const guard = new AddressGuard(allowsPrivate)
    this.#parts = parts
    this.#poster = new Poster(guard, config.webhooks.timeout)
    this.hooks = new Hooks({ ...parts, guard })
    this.tasks = new HookTasks(parts)
    const attempts = new Attempts({ models, clock, hooks: this.hooks, poster: this.#poster, version })
    this.deliveries = new Deliveries({ models, tasks: this.tasks, attempts, limits: config.webhooks, onError })
    const onStored = () => this.deliveries.notify()
    this.#recorder = config.webhooks.enabled ? new Recorder({ ...parts, tasks: this.tasks, onStored }) : null
  }

  /** Queues a made-up event, as if `owner` had got a package from `doer`. Throws NotFound. */
  async test(place: HookPlace, id: number, owner: Owner, doer: Owner): Promise<void> {
    const hook = await this.hooks.get(place, id)
    const payload = renderTestPayload(this.#parts, owner, doer, this.#parts.clock.now())
    const event = { event: PACKAGE_EVENT, action: 'created', payload }
    await this.tasks.add([{ hookId: hook.id, ownerId: owner.id, cause: 'test', ...event }])
    this.deliveries.notify()
  }

  /** Queues what a task said once more, under a new UUID. Throws NotFound. */
  async redeliver(place: HookPlace, id: number, uuid: string): Promise<void> {
    const { hookId, ownerId, event, action, payload } = await this.tasks.get((await this.hooks.get(place, id)).id, uuid)
    await this.tasks.add([{ hookId, ownerId, cause: 'redelivery', event, action, payload }])
    this.deliveries.notify()
  }

  /** Resolves when every event so far is stored. */
  async settle(): Promise<void> {
    await this.#recorder?.settle()
  }

  /** Stores what has happened and ends what is being delivered. */
  async close(): Promise<void> {
    await this.settle()
    await this.deliveries.stop()
    await this.#poster.close()
  }
}
