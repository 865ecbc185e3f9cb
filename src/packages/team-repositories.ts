import { literal, Op } from 'sequelize'
import type { Page, Window } from '../auth/page.ts'
import { lockTeam, type TeamRow } from '../auth/team-rows.ts'
import type { Database } from '../db/connect.ts'
import { NotFound } from '../errors.ts'
import type { Models } from '../models/index.ts'
import { type RepositoryRow, toRepositoryRow } from './repository.ts'

/**
 * Which repositories of its organization a team is about (rest-api.md §7): all, or those it was given. Nobody's rights
 * depend on it; packages have theirs from the team's units.
 */
export class TeamRepositories {
  readonly #db: Database
  readonly #models: Models

  constructor({ db, models }: { db: Database; models: Models }) {
    this.#db = db
    this.#models = models
  }

  /** By name. */
  async list(team: TeamRow, showsPrivate: boolean, { offset, limit }: Window): Promise<Page<RepositoryRow>> {
    const given = { id: { [Op.in]: literal(`(SELECT repo_id FROM team_repository WHERE team_id = ${team.id})`) } }
    const { rows, count } = await this.#models.repository.findAndCountAll({
      where: {
        ownerId: team.orgId,
        ...(team.includesAllRepositories ? {} : given),
        ...(showsPrivate ? {} : { isPrivate: false }),
      },
      order: ['lowerName'],
      offset,
      limit,
    })
    return { rows: rows.map(toRepositoryRow), total: count }
  }

  /** Whether the team is about this repository of its organization. */
  async has(team: TeamRow, { id: repoId }: RepositoryRow): Promise<boolean> {
    if (team.includesAllRepositories) return true
    return (await this.#models.teamRepository.count({ where: { teamId: team.id, repoId } })) > 0
  }

  /** Does nothing when the team has it. NotFound when the team or the repository is gone. */
  async add(team: TeamRow, { id: repoId }: RepositoryRow): Promise<void> {
    await this.#db.inTransaction(async (transaction) => {
      const where = { teamId: team.id, repoId }
      await lockTeam(this.#models, team.id, transaction)
      const lock = transaction.LOCK.UPDATE
      if ((await this.#models.repository.findByPk(repoId, { lock, transaction })) === null) {
        throw new NotFound('repository')
      }
      if ((await this.#models.teamRepository.count({ where, transaction })) > 0) return
      await this.#models.teamRepository.create(where, { transaction })
    })
  }

  /** Does nothing when the team does not have it. */
  async remove(team: TeamRow, { id: repoId }: RepositoryRow): Promise<void> {
    await this.#db.inTransaction((transaction) =>
      this.#models.teamRepository.destroy({ where: { teamId: team.id, repoId }, transaction }),
    )
  }
}
