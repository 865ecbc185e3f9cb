import type { NameMatcher } from '../upstream/name-patterns.ts'

/** What a rule does, the strictest first (pull-through.md §8.1). */
export const ACTIONS = ['deny', 'quarantine', 'allow_only', 'pin', 'freeze', 'cooldown', 'warn', 'allow'] as const
export type Action = (typeof ACTIONS)[number]

/** Where a rule holds, the widest first: everywhere, at one upstream, or in the view of one organization. */
export const SCOPES = ['site', 'upstream', 'organization'] as const
export type Scope = (typeof SCOPES)[number]

/** A place that rules are kept for. */
export interface Place {
  readonly scope: Scope
  /** Of the upstream or organization; 0: the site. */
  readonly scopeId: number
}

/** Whether a version, a tag or a digest is meant; null: the text speaks of versions of another kind. */
export type VersionMatcher = (version: string) => boolean | null

/** A rule, ready to be asked. */
export interface Rule extends Place {
  readonly id: number
  readonly action: Action
  /** Empty: every package type. */
  readonly type: string
  readonly matchesName: NameMatcher
  /** null: every version, and the name as a whole. */
  readonly matchesVersion: VersionMatcher | null
  /** It says nothing of upstreams that are trusted. */
  readonly untrustedOnly: boolean
  /** ms that a version must be old; of `cooldown`. */
  readonly minAge: number
  /** ms since the epoch after which nothing may have been published; of `freeze`. */
  readonly notAfter: number
  /** For people, shown to clients; may be empty. */
  readonly reason: string
  /** ms since the epoch; 0: never. */
  readonly expiresAt: number
  /** Changes whenever the rule does. */
  readonly updatedAt: number
}

/** Whether a rule says anything at this moment (ms since the epoch). */
export function isInForce({ expiresAt }: Pick<Rule, 'expiresAt'>, now: number): boolean {
  return expiresAt === 0 || now < expiresAt
}
