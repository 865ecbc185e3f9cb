import type { Transaction } from 'sequelize'
import type { Database } from '../db/connect.ts'
import { NotFound, Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { Memberships } from './memberships.ts'
import type { Owner } from './owner.ts'
import { lockTeam, type TeamRow } from './team-rows.ts'

/** Seats in teams, and by them membership of organizations; for lists see `AccountListing`. */
export class Members {
  readonly #db: Database
  readonly #models: Models
  readonly #memberships: Memberships

  constructor({ db, models, memberships }: { db: Database; models: Models; memberships: Memberships }) {
    this.#db = db
    this.#models = models
    this.#memberships = memberships
  }

  /** Whether the user is in the team. */
  async isInTeam(team: TeamRow, user: { id: number }): Promise<boolean> {
    return (await this.#models.teamUser.count({ where: { teamId: team.id, userId: user.id } })) > 0
  }

  /** Whether the user is in any team of the organization. */
  async isMember(org: Owner, user: { id: number }): Promise<boolean> {
    return (await this.#models.teamUser.count({ where: { orgId: org.id, userId: user.id } })) > 0
  }

  /** Whether the user is a member and shows it. */
  async isPublic(org: Owner, user: { id: number }): Promise<boolean> {
    const shown = await this.#models.publicMember.count({ where: { orgId: org.id, userId: user.id } })
    return shown > 0 && (await this.isMember(org, user))
  }

  /** Whether a team of the user's may make repositories. */
  async canCreateRepository(org: Owner, user: { id: number }): Promise<boolean> {
    const seats = await this.#models.teamUser.findAll({ where: { orgId: org.id, userId: user.id } })
    const where = { id: seats.map((seat) => seat.teamId), canCreateOrgRepo: true }
    return (await this.#models.team.count({ where })) > 0
  }

  /** Puts the user into the team; it may be that he is there already. NotFound when either is gone. */
  async join({ id }: TeamRow, user: Owner): Promise<void> {
    const models = this.#models
    await this.#db.inTransaction(async (transaction) => {
      const { orgId } = await lockTeam(models, id, transaction)
      await this.#lockUser(user, transaction)
      const seat = { teamId: id, orgId, userId: user.id }
      if ((await models.teamUser.count({ where: seat, transaction })) > 0) return
      // Who comes back has not been asked again whether he shows it.
      await this.#concealOutsider(orgId, user, transaction)
      await models.teamUser.create(seat, { transaction })
    })
    this.#memberships.changed(user.id)
  }

  /**
   * Takes the user out of the team; with the last one he leaves the organization. NotFound when he is not in it,
   * Unprocessable for the last owner.
   */
  async leave({ id }: TeamRow, user: Owner): Promise<void> {
    const models = this.#models
    await this.#db.inTransaction(async (transaction) => {
      const { orgId, permission } = await lockTeam(models, id, transaction)
      await this.#lockUser(user, transaction)
      const removed = await models.teamUser.destroy({ where: { teamId: id, userId: user.id }, transaction })
      if (removed === 0) throw new NotFound('user')
      if (permission === 'owner') await this.#requireOwner(id, transaction)
      await this.#concealOutsider(orgId, user, transaction)
    })
    this.#memberships.changed(user.id)
  }

  /** Takes the user out of every team of the organization; errors as of `leave`. */
  async leaveAll(org: Owner, user: Owner): Promise<void> {
    const models = this.#models
    const ofMember = { orgId: org.id, userId: user.id }
    await this.#db.inTransaction(async (transaction) => {
      const owners = await models.team.findOne({
        where: { orgId: org.id, permission: 'owner' },
        lock: transaction.LOCK.UPDATE,
        transaction,
      })
      await this.#lockUser(user, transaction)
      const removed = await models.teamUser.destroy({ where: ofMember, transaction })
      if (removed === 0) throw new NotFound('user')
      if (owners !== null) await this.#requireOwner(owners.id, transaction)
      await models.publicMember.destroy({ where: ofMember, transaction })
    })
    this.#memberships.changed(user.id)
  }

  /** Whether everybody may know of the membership from now on. NotFound for who is no member. */
  async show(org: Owner, user: Owner, isShown: boolean): Promise<void> {
    const { publicMember, teamUser } = this.#models
    const ofMember = { orgId: org.id, userId: user.id }
    await this.#db.inTransaction(async (transaction) => {
      await this.#lockUser(user, transaction)
      if ((await teamUser.count({ where: ofMember, transaction })) === 0) throw new NotFound('user')
      const before = await publicMember.count({ where: ofMember, transaction })
      if (isShown && before === 0) await publicMember.create(ofMember, { transaction })
      if (!isShown) await publicMember.destroy({ where: ofMember, transaction })
    })
  }

  /** Changes of one user's seats wait for one another, and for his deletion. Teams are locked before users. */
  async #lockUser(user: Owner, transaction: Transaction): Promise<void> {
    const where = { id: user.id, kind: 'user' as const }
    const row = await this.#models.user.findOne({ where, lock: transaction.LOCK.UPDATE, transaction })
    if (row === null) throw new NotFound('user')
  }

  async #requireOwner(teamId: number, transaction: Transaction): Promise<void> {
    if ((await this.#models.teamUser.count({ where: { teamId }, transaction })) > 0) return
    throw new Unprocessable('the last owner of an organization cannot be removed')
  }

  async #concealOutsider(orgId: number, user: Owner, transaction: Transaction): Promise<void> {
    const where = { orgId, userId: user.id }
    if ((await this.#models.teamUser.count({ where, transaction })) > 0) return
    await this.#models.publicMember.destroy({ where, transaction })
  }
}
