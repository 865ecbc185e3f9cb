import { col, fn, literal, Op, type Transaction, type WhereOptions, where } from 'sequelize'
import type { Database } from '../db/connect.ts'
import { NotFound, Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { Visibility } from '../models/user.ts'
import { definedOnly } from './account-columns.ts'
import type { Memberships } from './memberships.ts'
import type { Owner } from './owner.ts'
import type { Page, Window } from './page.ts'
import { lockTeam, type TeamRow, toTeamRows } from './team-rows.ts'
import { changeRights, type TeamRights, type WantedRights } from './team-units.ts'

export type { TeamRow } from './team-rows.ts'

/** What may change of a team; undefined: as it is. */
export interface TeamChanges extends WantedRights {
  readonly name?: string | undefined
  readonly description?: string | undefined
  readonly includesAllRepositories?: boolean | undefined
  readonly canCreateOrgRepo?: boolean | undefined
  readonly visibility?: Visibility | undefined
}

/** What to find among the teams of an organization. */
export interface TeamSearch {
  /** Anywhere in the name, whatever the case; empty: all. */
  readonly q: string
  /** In the description as well. */
  readonly inDescriptions: boolean
}

/** The teams of organizations: through them alone somebody is a member and has rights (gitea-model.md §10). */
export class Teams {
  readonly #db: Database
  readonly #models: Models
  readonly #memberships: Memberships

  constructor({ db, models, memberships }: { db: Database; models: Models; memberships: Memberships }) {
    this.#db = db
    this.#models = models
    this.#memberships = memberships
  }

  /** The team of that id; null: none. */
  async find(id: number): Promise<TeamRow | null> {
    const team = await this.#models.team.findByPk(id)
    return team === null ? null : (await toTeamRows(this.#models, [team]))[0]!
  }

  /** The organization's team of that name, in any case; null: none. */
  async findByName(org: Owner, name: string): Promise<TeamRow | null> {
    const team = await this.#models.team.findOne({ where: { orgId: org.id, lowerName: name.toLowerCase() } })
    return team === null ? null : (await toTeamRows(this.#models, [team]))[0]!
  }

  /** Teams of an organization, owners first: all of them, or only what `member` may know of. */
  async list(org: Owner, member: { id: number } | null, search: TeamSearch, window: Window): Promise<Page<TeamRow>> {
    const shown = member === null ? {} : { [Op.or]: [{ visibility: ['limited', 'public'] }, hasSeat(member)] }
    return this.#page([{ orgId: org.id }, shown as WhereOptions, matches(search)], window)
  }

  /** The teams that the user is in, of all organizations. */
  async listOf(user: Owner, window: Window): Promise<Page<TeamRow>> {
    return this.#page([hasSeat(user)], window)
  }

  /** Unprocessable for a name that is reserved or taken, and for no rights at all. */
  async create(org: Owner, name: string, input: TeamChanges): Promise<TeamRow> {
    const models = this.#models
    const rights = changeRights({ permission: 'none', units: {} }, input)
    return this.#db.inTransaction(async (transaction) => {
      // Against a deletion of the organization at the same time, which then takes the team along.
      const row = await models.user.findByPk(org.id, { lock: transaction.LOCK.UPDATE, transaction })
      if (row === null) throw new NotFound('organization', org.name)
      await this.#requireNameFree(org.id, name, transaction)
      const columns = { ...ownColumns(input), permission: rights.permission }
      const team = await models.team.create(
        { ...columns, orgId: org.id, name, lowerName: name.toLowerCase() },
        { transaction },
      )
      await this.#writeUnits(team, rights, transaction)
      return (await toTeamRows(models, [team], transaction))[0]!
    })
  }

  /**
   * Unprocessable for a name that is reserved or taken, for rights that make no sense, and for anything about the owner
   * team but its description; NotFound when it is gone.
   */
  async update({ id }: TeamRow, changes: TeamChanges): Promise<TeamRow> {
    const models = this.#models
    const changed = await this.#db.inTransaction(async (transaction) => {
      const team = await lockTeam(models, id, transaction)
      const before = (await toTeamRows(models, [team], transaction))[0]!
      if (before.permission === 'owner') refuseOwnerTeam(before, changes)
      const { name = team.name } = changes
      const lowerName = name.toLowerCase()
      if (lowerName !== team.lowerName) await this.#requireNameFree(team.orgId, name, transaction)
      const rights = before.permission === 'owner' ? before : changeRights(before, changes)
      await team.update({ ...ownColumns(changes), name, lowerName, permission: rights.permission }, { transaction })
      if (rights !== before) await this.#writeUnits(team, rights, transaction)
      return (await toTeamRows(models, [team], transaction))[0]!
    })
    this.#memberships.changed(null)
    return changed
  }

  /** Who is in no other team of the organization is no member any more. Unprocessable for the owner team. */
  async remove({ id, orgId }: TeamRow): Promise<void> {
    const models = this.#models
    await this.#db.inTransaction(async (transaction) => {
      const team = await lockTeam(models, id, transaction)
      if (team.permission === 'owner') throw new Unprocessable('the owner team cannot be deleted')
      await team.destroy({ transaction })
      await models.teamUnit.destroy({ where: { teamId: id }, transaction })
      await models.teamUser.destroy({ where: { teamId: id }, transaction })
      await models.teamRepository.destroy({ where: { teamId: id }, transaction })
      const members = literal(`(SELECT user_id FROM team_user WHERE org_id = ${orgId})`)
      await models.publicMember.destroy({ where: { orgId, userId: { [Op.notIn]: members } }, transaction })
    })
    this.#memberships.changed(null)
  }

  async #writeUnits(team: { id: number; orgId: number }, rights: TeamRights, transaction: Transaction): Promise<void> {
    await this.#models.teamUnit.destroy({ where: { teamId: team.id }, transaction })
    const rows = Object.entries(rights.units).map(([unit, mode]) => ({
      teamId: team.id,
      orgId: team.orgId,
      unit,
      mode,
    }))
    await this.#models.teamUnit.bulkCreate(rows, { transaction })
  }

  /** Who loses a race for the name is repeated by inTransaction, and then finds what the winner made. */
  async #requireNameFree(orgId: number, name: string, transaction: Transaction): Promise<void> {
    const lowerName = name.toLowerCase()
    if (lowerName === 'new') throw new Unprocessable(`team name is reserved [name: ${name}]`)
    if ((await this.#models.team.count({ where: { orgId, lowerName }, transaction })) > 0) {
      throw new Unprocessable(`team already exists [org_id: ${orgId}, name: ${name}]`)
    }
  }

  async #page(conditions: WhereOptions[], window: Window): Promise<Page<TeamRow>> {
    const { rows, count } = await this.#models.team.findAndCountAll({
      where: { [Op.and]: conditions },
      order: [literal("CASE WHEN permission = 'owner' THEN 0 ELSE 1 END"), ['lowerName', 'ASC'], ['id', 'ASC']],
      offset: window.offset,
      limit: window.limit,
    })
    return { rows: await toTeamRows(this.#models, rows), total: count }
  }
}

/** The columns that are neither rights nor the name. */
function ownColumns({ description, includesAllRepositories, canCreateOrgRepo, visibility }: TeamChanges) {
  return definedOnly({ description, includesAllRepositories, canCreateOrgRepo, visibility })
}

/** Gitea's clients send fields back as they got them; only what would change something is refused. */
function refuseOwnerTeam(team: TeamRow, changes: TeamChanges): void {
  const { permission, units = [], unitsMap = {}, name = team.name, visibility = team.visibility } = changes
  const hasRights = permission !== undefined || units.length > 0 || Object.keys(unitsMap).length > 0
  const loses = changes.includesAllRepositories === false || changes.canCreateOrgRepo === false
  if (hasRights || loses || name !== team.name || visibility !== team.visibility) {
    throw new Unprocessable('of the owner team only the description can be changed')
  }
}

function hasSeat({ id }: { id: number }): WhereOptions {
  return { id: { [Op.in]: literal(`(SELECT team_id FROM team_user WHERE user_id = ${id})`) } }
}

/** INSTR, because LIKE has wildcards. */
function matches({ q, inDescriptions }: TeamSearch): WhereOptions {
  if (q === '') return {}
  const contains = (column: ReturnType<typeof fn> | ReturnType<typeof col>) =>
    where(fn('instr', column, q.toLowerCase()), { [Op.gt]: 0 })
  const inName = contains(col('lower_name'))
  return { [Op.or]: inDescriptions ? [inName, contains(fn('lower', col('description')))] : [inName] }
}
