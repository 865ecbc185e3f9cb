import type { HookKind, Webhook } from '../models/webhook.ts'

export type { HookKind } from '../models/webhook.ts'

/** A hook as everybody but its delivery sees it: without secrets. */
export interface Hook {
  readonly id: number
  readonly kind: HookKind
  /** 0: the site's. */
  readonly ownerId: number
  readonly name: string
  readonly url: string
  readonly contentType: 'json' | 'form'
  readonly events: readonly string[]
  readonly branchFilter: string
  readonly hasAuthorization: boolean
  readonly isActive: boolean
  /** Ms. */
  readonly createdAt: number
  readonly updatedAt: number
}

/** Whose hooks are meant; an id of somebody else's hook is no hook of his (security.md S13). */
export interface HookPlace {
  readonly ownerId: number
  readonly kinds: readonly HookKind[]
}

/** The only event that happens here. */
export const PACKAGE_EVENT = 'package'

/** What Gitea's hooks can ask for; the others are ignored (rest-api.md §8). */
const EVENTS = [
  ...['create', 'delete', 'fork', 'push', 'issues', 'issue_assign', 'issue_label', 'issue_milestone', 'issue_comment'],
  ...['pull_request', 'pull_request_assign', 'pull_request_label', 'pull_request_milestone', 'pull_request_comment'],
  ...['pull_request_review_approved', 'pull_request_review_rejected', 'pull_request_review_comment'],
  ...['pull_request_review_request', 'pull_request_sync', 'wiki', 'repository', 'release', PACKAGE_EVENT, 'status'],
  ...['workflow_run', 'workflow_job'],
]

/** Those that there are; without any it is `push`, as in Gitea. */
export function readEvents(asked: readonly string[] | undefined): string[] {
  const wanted = asked === undefined || asked.length === 0 ? ['push'] : asked
  return EVENTS.filter((event) => wanted.includes(event))
}

/** The public part of a row. */
export function toHook(row: Webhook): Hook {
  return {
    id: row.id,
    kind: row.kind,
    ownerId: row.ownerId,
    name: row.name,
    url: row.url,
    contentType: row.contentType,
    events: row.events === '' ? [] : row.events.split(','),
    branchFilter: row.branchFilter,
    hasAuthorization: row.sealedAuthorization !== '',
    isActive: row.isActive,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  }
}
