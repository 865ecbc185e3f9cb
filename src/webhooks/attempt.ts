import { isBlocked, toOwner } from '../auth/owner.ts'
import { SecretUnreadable } from '../auth/secret-box.ts'
import type { Clock } from '../clock.ts'
import type { HookTask } from '../models/hook-task.ts'
import type { Models } from '../models/index.ts'
import type { Webhook } from '../models/webhook.ts'
import { delayAfter } from './back-off.ts'
import { toHook } from './hook.ts'
import type { HookSecrets, Hooks } from './hooks.ts'
import type { Poster } from './post.ts'
import { buildRequest, createRedaction, MASK } from './request.ts'
import { LONGEST_WAIT, type TaskOutcome } from './tasks.ts'

/** What Attempts is built from. */
export interface AttemptsParts {
  readonly models: Models
  readonly clock: Clock
  readonly hooks: Hooks
  readonly poster: Poster
  /** Of the product. */
  readonly version: string
}

/** Single attempts to deliver: the rights are those of the moment, not of the event (security.md S7). */
export class Attempts {
  readonly #parts: AttemptsParts

  constructor(parts: AttemptsParts) {
    this.#parts = parts
  }

  /** Delivers, or says why not; throws only what the database throws. */
  async run(hookId: number, task: HookTask, signal: AbortSignal): Promise<TaskOutcome> {
    if (this.#parts.clock.now() - task.createdAt > LONGEST_WAIT) {
      return { status: 'failed', error: 'it could not be delivered within a day' }
    }
    const row = await this.#parts.models.webhook.findByPk(hookId)
    const refusal = row === null ? 'there is no such hook any more' : await this.#refusal(row, task)
    if (row === null || refusal !== null) return { status: 'cancelled', error: refusal ?? '' }
    try {
      return await this.#send(row, this.#parts.hooks.openSecrets(row), task, signal)
    } catch (error) {
      if (!(error instanceof SecretUnreadable)) throw error
      // Unsigned it would be another's word.
      return { status: 'failed', error: `the secret of the hook cannot be read: ${error.message}` }
    }
  }

  async #refusal(row: Webhook, task: HookTask): Promise<string | null> {
    const hook = toHook(row)
    const isWanted = hook.isActive && hook.events.includes(task.event)
    if (task.cause === 'event' && !isWanted) return 'the hook does not ask for it any more'
    if (hook.kind !== 'organization' && hook.kind !== 'user') return null
    // Not from memory: what another server has just taken away must not be given.
    const account = await this.#parts.models.user.findByPk(hook.ownerId)
    const owner = account === null ? null : toOwner(account)
    if (owner?.kind !== hook.kind || task.ownerId !== owner.id) return 'the package is not its owner’s'
    if (owner.kind === 'user' ? isBlocked(owner) : !owner.isActive) return 'the owner of the hook is not active'
    return null
  }

  async #send(row: Webhook, secrets: HookSecrets, task: HookTask, signal: AbortSignal): Promise<TaskOutcome> {
    const { poster, clock, version } = this.#parts
    const { kind, contentType, url } = row
    const { uuid, event, payload } = task
    const { headers, body } = buildRequest({ uuid, event, payload, kind, contentType, ...secrets, version })
    const attemptedAt = clock.now()
    const result = await poster.post(url, headers, body, signal)
    const redact = createRedaction(secrets)
    const shown = secrets.authorization === '' ? headers : { ...headers, Authorization: MASK }
    const sent = { attemptedAt, duration: result.duration, requestUrl: url, requestHeaders: JSON.stringify(shown) }
    const nothing = { responseStatus: 0, responseHeaders: '{}', responseBody: '' }
    if (result.status === 0 && signal.aborted) {
      // Nobody has refused it: it does not count.
      const error = 'the server was stopped'
      return { ...sent, ...nothing, status: 'pending', nextAttemptAt: clock.now(), error }
    }
    const isDelivered = result.status >= 200 && result.status < 300
    const delay = delayAfter(task.attempts)
    const isOver = delay === null || ('isFinal' in result && result.isFinal)
    const next = isDelivered
      ? ({ status: 'delivered' } as const)
      : isOver
        ? ({ status: 'failed' } as const)
        : ({ status: 'pending', nextAttemptAt: clock.now() + delay } as const)
    if (result.status === 0) {
      return { ...sent, ...next, ...nothing, error: 'error' in result ? result.error : '' }
    }
    const { status, headers: answered, body: answer } = result as Extract<typeof result, { body: string }>
    const seen = Object.entries(answered).map(([name, value]) => [name, redact(value)])
    const responseHeaders = JSON.stringify(Object.fromEntries(seen))
    return { ...sent, ...next, responseStatus: status, responseHeaders, responseBody: redact(answer), error: '' }
  }
}
