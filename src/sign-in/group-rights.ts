import type { AuditActor } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { Accounts } from '../auth/accounts.ts'
import type { Members } from '../auth/members.ts'
import type { Owner } from '../auth/owner.ts'
import type { TeamRow, Teams } from '../auth/teams.ts'
import { RegistryError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { ProviderSettings } from './provider-settings.ts'

/** Teams that somebody may be in. */
const MOST_TEAMS = 100_000

/** What the groups of an identity provider decide here. */
export interface GroupRightsParts {
  readonly accounts: Accounts
  readonly teams: Teams
  readonly members: Members
  readonly audit: Audit
  readonly log: Log
}

/**
 * Makes rights what the groups of a person say, those that were lost included (security.md S12): tokens have the rights
 * of their user, so they change with him. Teams that the configuration does not name stay as they are.
 */
export class GroupRights {
  readonly #parts: GroupRightsParts

  constructor(parts: GroupRightsParts) {
    this.#parts = parts
  }

  /** What cannot be done, as taking the last owner out of an organization, is logged. */
  async apply(settings: ProviderSettings, user: Owner, groups: ReadonlySet<string>, actor: AuditActor): Promise<void> {
    const isIn = (any: readonly string[]) => any.some((group) => groups.has(group))
    if (settings.adminGroups.length > 0) await this.#setAdmin(settings, user, isIn(settings.adminGroups), actor)
    if (settings.teams.length === 0) return
    const { rows } = await this.#parts.teams.listOf(user, { offset: 0, limit: MOST_TEAMS })
    const held = new Set(rows.map(({ id }) => id))
    const changes: (() => Promise<void>)[] = []
    for (const { org, team, groups: any } of settings.teams) {
      const found = await this.#find(settings, org, team)
      if (found === null || isIn(any) === held.has(found.row.id)) continue
      const change = () => this.#setMember(settings, user, found, isIn(any), actor)
      // Rights that are lost go first.
      if (isIn(any)) changes.push(change)
      else changes.unshift(change)
    }
    for (const change of changes) await change()
  }

  async #setAdmin({ name }: ProviderSettings, user: Owner, isAdmin: boolean, actor: AuditActor): Promise<void> {
    if (user.isAdmin === isAdmin) return
    await this.#attempt(name, { user: user.name, isAdmin }, async () => {
      await this.#parts.accounts.updateUser(user, { isAdmin })
      this.#parts.audit.record(actor, 'user.updated', { owner: user }, { to: { admin: isAdmin }, provider: name })
    })
  }

  async #setMember(
    { name }: ProviderSettings,
    user: Owner,
    { row, org }: { row: TeamRow; org: Owner },
    isMember: boolean,
    actor: AuditActor,
  ): Promise<void> {
    const { members, audit } = this.#parts
    await this.#attempt(name, { user: user.name, org: org.name, team: row.name, isMember }, async () => {
      await (isMember ? members.join(row, user) : members.leave(row, user))
      const details = { username: user.name, provider: name }
      audit.record(actor, `team.member.${isMember ? 'added' : 'removed'}`, { owner: org, name: row.name }, details)
    })
  }

  async #find({ name }: ProviderSettings, org: string, team: string): Promise<{ row: TeamRow; org: Owner } | null> {
    const owner = await this.#parts.accounts.find(org)
    const row = owner?.kind === 'organization' ? await this.#parts.teams.findByName(owner, team) : null
    if (row !== null) return { row, org: owner! }
    this.#parts.log.warn(
      { provider: name, org, team },
      'a team that groups of an identity provider fill does not exist',
    )
    return null
  }

  async #attempt(provider: string, change: object, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      const reason = error.message
      this.#parts.log.warn({ provider, ...change, reason }, 'a right could not be made what the groups say')
    }
  }
}
