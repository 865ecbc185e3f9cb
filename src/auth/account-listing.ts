import { col, fn, literal, Op, type OrderItem, type WhereOptions, where } from 'sequelize'
import type { Models } from '../models/index.ts'
import type { Doer } from './doer.ts'
import { isBlocked, type Owner, toOwner, type Visibility } from './owner.ts'
import type { Page, Window } from './page.ts'

/** What an administrator may filter and sort users by; nothing else reaches the query (security.md S5). */
export interface UserFilter {
  readonly q?: string | undefined
  readonly visibility?: Visibility | undefined
  readonly isActive?: boolean | undefined
  readonly isAdmin?: boolean | undefined
  readonly isRestricted?: boolean | undefined
  readonly prohibitLogin?: boolean | undefined
  readonly hasTwoFactor?: boolean | undefined
  readonly sort?: 'name' | 'created' | 'updated' | 'id' | undefined
  readonly order?: 'asc' | 'desc' | undefined
}

const sortColumns = { name: 'lowerName', created: 'createdAt', updated: 'updatedAt', id: 'id' } as const

/** Lists of accounts, for people: always from the database. */
export class AccountListing {
  readonly #models: Models

  constructor(models: Models) {
    this.#models = models
  }

  /** Every user that the filter lets through, for administrators. */
  async users(filter: UserFilter, window: Window): Promise<Page<Owner>> {
    const { q, sort = 'name', order = 'asc', hasTwoFactor } = filter
    const { visibility, isActive, isAdmin, isRestricted, prohibitLogin } = filter
    const columns = { visibility, isActive, isAdmin, isRestricted, prohibitLogin }
    const given = Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined))
    const conditions = [{ kind: 'user' }, given, signsInWithCodes(hasTwoFactor), matches(q)]
    return this.#page(conditions, window, [[sortColumns[sort], order]])
  }

  /** Users whose name contains `q`, or the one with the id, as far as the doer may know of them. */
  async searchUsers(doer: Doer, search: { q?: string; id?: number }, window: Window): Promise<Page<Owner>> {
    const byId = search.id === undefined ? {} : { id: search.id }
    return this.#page([{ kind: 'user' }, visibleUsers(doer), byId, matches(search.q)], window)
  }

  /** Members of an organization who show it to everybody, as far as the doer may know of them. */
  async publicMembers(org: Owner, doer: Doer, window: Window): Promise<Page<Owner>> {
    const seated = isIn('team_user', 'org_id', org.id)
    return this.#page([{ kind: 'user' }, isIn('public_member', 'org_id', org.id), seated, visibleUsers(doer)], window)
  }

  /** All members of an organization, for its members and administrators. */
  async members(org: Owner, window: Window): Promise<Page<Owner>> {
    return this.#page([{ kind: 'user' }, isIn('team_user', 'org_id', org.id)], window)
  }

  /** All members of a team, for whoever may see them. */
  async teamMembers(team: { id: number }, doer: Doer, window: Window): Promise<Page<Owner>> {
    const open = doer.scopes?.publicOnly === true ? visibleUsers(doer) : {}
    return this.#page([{ kind: 'user' }, isIn('team_user', 'team_id', team.id), open], window)
  }

  /** Organizations by visibility: what anybody like the doer may see. */
  async organizations(doer: Doer, window: Window): Promise<Page<Owner>> {
    return this.#page([{ kind: 'organization' }, { visibility: visibilities(doer) }], window)
  }

  /**
   * The user's organizations. Membership is nobody else's business: others see those they share and those of which he
   * shows that he is a member, administrators all.
   */
  async organizationsOf(user: Owner, doer: Doer, window: Window): Promise<Page<Owner>> {
    if (doer.user === null) return { rows: [], total: 0 }
    const id = await this.#orgIds(user.id)
    const all = doer.user.isAdmin || doer.user.id === user.id
    const shared = all ? id : (await this.#orgIds(doer.user.id)).filter((candidate) => id.includes(candidate))
    const open = doer.scopes?.publicOnly === true ? { visibility: 'public' as const } : {}
    const rows = await this.#models.publicMember.findAll({ where: { userId: user.id, orgId: id } })
    const shown = { id: rows.map((row) => row.orgId), visibility: visibilities(doer) }
    return this.#page([{ kind: 'organization' }, { [Op.or]: [{ id: shared }, shown] }, open], window)
  }

  async #orgIds(userId: number): Promise<number[]> {
    const seats = await this.#models.teamUser.findAll({ where: { userId }, attributes: ['orgId'] })
    return [...new Set(seats.map((seat) => seat.orgId))]
  }

  async #page(conditions: WhereOptions[], window: Window, order: OrderItem[] = []): Promise<Page<Owner>> {
    const found = await this.#models.user.findAndCountAll({
      where: { [Op.and]: conditions },
      order: [...order, ['lowerName', 'ASC']],
      offset: window.offset,
      limit: window.limit,
    })
    return { rows: found.rows.map(toOwner), total: found.count }
  }
}

/** The visibilities that are open to the doer without being a member. */
function visibilities(doer: Doer): Visibility[] {
  const { user } = doer
  if (user === null || isBlocked(user) || doer.scopes?.publicOnly === true) return ['public']
  if (user.isAdmin) return ['public', 'limited', 'private']
  return user.isRestricted ? ['public'] : ['public', 'limited']
}

/** Users whose visibility is open to the doer, and himself. */
function visibleUsers(doer: Doer): WhereOptions {
  const self = doer.user === null || doer.scopes?.publicOnly === true ? [] : [{ id: doer.user.id }]
  return { [Op.or]: [{ visibility: visibilities(doer) }, ...self] }
}

/** Users of whom a row of the table has that number in the column. */
function isIn(table: 'team_user' | 'public_member', column: 'org_id' | 'team_id', id: number): WhereOptions {
  return { id: { [Op.in]: literal(`(SELECT user_id FROM ${table} WHERE ${column} = ${id})`) } }
}

/** Users whose password needs a one-time code beside it, or does not; undefined: all. */
function signsInWithCodes(isWanted: boolean | undefined): WhereOptions {
  if (isWanted === undefined) return {}
  const some = literal('(SELECT user_id FROM two_factor WHERE confirmed_at IS NOT NULL)')
  return { id: { [isWanted ? Op.in : Op.notIn]: some } }
}

/** `q` anywhere in the name or full name; INSTR, because LIKE has wildcards. */
function matches(q: string | undefined): WhereOptions {
  if (q === undefined || q === '') return {}
  const contains = (column: ReturnType<typeof fn> | ReturnType<typeof col>) =>
    where(fn('instr', column, q.toLowerCase()), { [Op.gt]: 0 })
  return { [Op.or]: [contains(col('lower_name')), contains(fn('lower', col('full_name')))] }
}
