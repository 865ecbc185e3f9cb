import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { AccessName } from '../models/access-name.ts'
import type { Models } from '../models/index.ts'

/** none, read, write, admin, owner. */
export type AccessMode = 0 | 1 | 2 | 3 | 4

/** What all of a user's teams in one organization give together. */
export interface Membership {
  /** Of packages: the teams' permission, or their mode in the unit `repo.packages` where that is more. */
  readonly packages: AccessMode
  /** In a team with permission `owner`. */
  readonly isOwner: boolean
}

const modes: Record<AccessName, AccessMode> = { none: 0, read: 1, write: 2, admin: 3, owner: 4 }
const PACKAGES_UNIT = 'repo.packages'

/** Who is in which organization; cached per user, because every request with a credential may ask. */
export class Memberships {
  readonly #models: Models
  readonly #byUser: Cache<ReadonlyMap<number, Membership>>

  constructor(models: Models, notices: Notices) {
    this.#models = models
    this.#byUser = new Cache({ name: 'memberships', max: 10_000, ttl: 60_000 }, notices)
  }

  /** The user's memberships by organization id. */
  async of(userId: number): Promise<ReadonlyMap<number, Membership>> {
    return this.#byUser.get(String(userId), () => this.#load(userId))
  }

  /** To be called after the commit that changed the teams of one user, or (null) of many. */
  changed(userId: number | null): void {
    if (userId === null) this.#byUser.clear()
    else this.#byUser.invalidate(String(userId))
  }

  async #load(userId: number): Promise<ReadonlyMap<number, Membership>> {
    const seats = await this.#models.teamUser.findAll({ where: { userId } })
    if (seats.length === 0) return new Map()
    const teamIds = seats.map((seat) => seat.teamId)
    const [teams, units] = await Promise.all([
      this.#models.team.findAll({ where: { id: teamIds } }),
      this.#models.teamUnit.findAll({ where: { teamId: teamIds, unit: PACKAGES_UNIT } }),
    ])
    const result = new Map<number, Membership>()
    for (const team of teams) {
      const before = result.get(team.orgId)
      const unit = units.find((candidate) => candidate.teamId === team.id)
      const packages = Math.max(
        before?.packages ?? 0,
        modes[team.permission],
        unit === undefined ? 0 : modes[unit.mode],
      )
      const isOwner = before?.isOwner === true || team.permission === 'owner'
      result.set(team.orgId, { packages: packages as AccessMode, isOwner })
    }
    return result
  }
}
