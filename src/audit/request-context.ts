import { AsyncLocalStorage } from 'node:async_hooks'
import type { AuditActor } from './entry.ts'

/** What is remembered of a request while its handler runs, for events that know only whom they are from. */
export interface AuditContext {
  readonly actor: AuditActor
  /** Something of the request is in the log by itself: its route adds nothing. */
  isRecorded: boolean
}

const contexts = new AsyncLocalStorage<AuditContext>()

/** Runs `next`, and all that follows from it, in the context. */
export function inAuditContext(context: AuditContext, next: () => void): void {
  contexts.run(context, next)
}

/** The context of the request whose work this is; undefined: of none. */
export function auditContext(): AuditContext | undefined {
  return contexts.getStore()
}
