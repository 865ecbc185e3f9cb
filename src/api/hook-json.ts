import { type Static, Type } from 'typebox'
import { formatTime, formatTimeOrNever } from '../json/time.ts'
import type { HookTask } from '../models/hook-task.ts'
import type { Hook } from '../webhooks/hook.ts'
import { MASK } from '../webhooks/request.ts'

/** Gitea's Hook; what is secret of it is not told (security.md S19): `authorization_header` only says that there is one. */
export const HookSchema = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    type: Type.String(),
    branch_filter: Type.String(),
    config: Type.Object({ url: Type.String(), content_type: Type.String() }),
    events: Type.Array(Type.String()),
    authorization_header: Type.String(),
    active: Type.Boolean(),
    updated_at: Type.String(),
    created_at: Type.String(),
  },
  { title: 'Hook' },
)

const summary = {
  uuid: Type.String(),
  event: Type.String(),
  action: Type.String(),
  cause: Type.String({ description: 'event, test or redelivery' }),
  status: Type.String({ description: 'pending, delivered, failed (given up) or cancelled' }),
  attempts: Type.Integer(),
  created_at: Type.String(),
  attempted_at: Type.String(),
  next_attempt_at: Type.String(),
  duration: Type.Integer({ description: 'Milliseconds of the last attempt.' }),
  response_status: Type.Integer({ description: '0: there was no answer.' }),
  error: Type.String(),
}

/** One event for one hook. */
export const DeliverySchema = Type.Object(summary, { title: 'HookDelivery' })

/** With what was sent and what came back at the last attempt. */
export const FullDeliverySchema = Type.Object(
  {
    ...summary,
    request: Type.Object({
      url: Type.String(),
      headers: Type.Record(Type.String(), Type.String()),
      payload: Type.String(),
    }),
    response: Type.Object({ headers: Type.Record(Type.String(), Type.String()), body: Type.String() }),
  },
  { title: 'HookDeliveryDetails' },
)

/** A hook without its secrets. */
export function toHookJson(hook: Hook): Static<typeof HookSchema> {
  return {
    id: hook.id,
    name: hook.name,
    type: 'gitea',
    branch_filter: hook.branchFilter,
    config: { url: hook.url, content_type: hook.contentType },
    events: [...hook.events],
    authorization_header: hook.hasAuthorization ? MASK : '',
    active: hook.isActive,
    updated_at: formatTime(hook.updatedAt),
    created_at: formatTime(hook.createdAt),
  }
}

/** A delivery as lists show it. */
export function toDeliveryJson(task: HookTask): Static<typeof DeliverySchema> {
  return {
    uuid: task.uuid,
    event: task.event,
    action: task.action,
    cause: task.cause,
    status: task.status,
    attempts: task.attempts,
    created_at: formatTime(task.createdAt),
    attempted_at: formatTimeOrNever(task.attemptedAt),
    next_attempt_at: formatTimeOrNever(task.status === 'pending' ? task.nextAttemptAt : 0),
    duration: task.duration,
    response_status: task.responseStatus,
    error: task.error,
  }
}

/** A delivery with all that is known of it. */
export function toFullDeliveryJson(task: HookTask): Static<typeof FullDeliverySchema> {
  const headersOf = (json: string) => JSON.parse(json) as Record<string, string>
  return {
    ...toDeliveryJson(task),
    request: { url: task.requestUrl, headers: headersOf(task.requestHeaders), payload: task.payload },
    response: { headers: headersOf(task.responseHeaders), body: task.responseBody },
  }
}
