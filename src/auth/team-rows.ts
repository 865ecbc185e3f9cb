import type { Transaction } from 'sequelize'
import { NotFound } from '../errors.ts'
import type { AccessName } from '../models/access-name.ts'
import type { Models } from '../models/index.ts'
import type { Team } from '../models/team.ts'
import type { Visibility } from '../models/user.ts'
import { allUnits, type UnitKey, type UnitModes, unitKeys } from './team-units.ts'

/** A team as everything above the database sees it. */
export interface TeamRow {
  readonly id: number
  readonly orgId: number
  readonly name: string
  readonly description: string
  /** `owner` is the team "Owners" of each organization; members of `admin` teams may do everything with packages. */
  readonly permission: AccessName
  readonly units: UnitModes
  readonly includesAllRepositories: boolean
  readonly canCreateOrgRepo: boolean
  /** Beyond its members and the owners: `limited` all members of the organization, `public` all who see that. */
  readonly visibility: Visibility
}

/** Rows with their units; those of owners and administrators are not stored. */
export async function toTeamRows(models: Models, teams: Team[], transaction?: Transaction): Promise<TeamRow[]> {
  const teamId = teams.map((team) => team.id)
  const units = await models.teamUnit.findAll({ where: { teamId }, ...(transaction && { transaction }) })
  return teams.map((team) => {
    const { permission } = team
    const isOwner = permission === 'owner'
    const stored = units.filter((unit) => unit.teamId === team.id)
    return Object.freeze({
      id: team.id,
      orgId: team.orgId,
      name: team.name,
      description: team.description,
      permission,
      units: isOwner || permission === 'admin' ? allUnits(permission) : readUnits(stored),
      includesAllRepositories: isOwner || team.includesAllRepositories,
      canCreateOrgRepo: isOwner || team.canCreateOrgRepo,
      visibility: team.visibility,
    })
  })
}

/** The team's row, locked until the transaction ends; NotFound when it is gone. */
export async function lockTeam(models: Models, id: number, transaction: Transaction): Promise<Team> {
  const team = await models.team.findByPk(id, { lock: transaction.LOCK.UPDATE, transaction })
  if (team === null) throw new NotFound('team')
  return team
}

/** What was not one of ours when it was written has no meaning. */
function readUnits(rows: { unit: string; mode: AccessName }[]): UnitModes {
  const modes = new Map(rows.map(({ unit, mode }) => [unit, mode]))
  const known = unitKeys.filter((key) => modes.has(key))
  return Object.fromEntries(known.map((key): [UnitKey, AccessName] => [key, modes.get(key)!]))
}
