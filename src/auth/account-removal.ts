import type { Transaction } from 'sequelize'
import { Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { Owner } from './owner.ts'

/** Unprocessable when no administrator who can sign in would be left without this one. */
export async function requireAnotherAdmin(models: Models, user: Owner, transaction: Transaction): Promise<void> {
  // The lock makes two administrators who remove each other at the same time wait for one another.
  const admins = await models.user.findAll({
    where: { kind: 'user', isAdmin: true, isActive: true, prohibitLogin: false },
    attributes: ['id'],
    lock: transaction.LOCK.UPDATE,
    transaction,
  })
  if (admins.every((admin) => admin.id === user.id)) {
    throw new Unprocessable(`${user.name} is the last administrator`, 'user')
  }
}

/** Unprocessable while the owner has a version that anybody could list (gitea-model.md §6). */
export async function requireNoPackages(models: Models, owner: Owner, transaction: Transaction): Promise<void> {
  const packages = await models.package.findAll({ where: { ownerId: owner.id }, attributes: ['id'], transaction })
  const packageId = packages.map((row) => row.id)
  if (packageId.length === 0) return
  if ((await models.packageVersion.count({ where: { packageId, isInternal: false }, transaction })) > 0) {
    throw new Unprocessable(`${owner.name} still owns packages`)
  }
}

/** Unprocessable when an organization would be left without an owner. */
export async function requireOtherOwners(models: Models, user: Owner, transaction: Transaction): Promise<void> {
  const seats = await models.teamUser.findAll({ where: { userId: user.id }, transaction })
  const teams = await models.team.findAll({
    where: { id: seats.map((seat) => seat.teamId), permission: 'owner' },
    lock: transaction.LOCK.UPDATE,
    transaction,
  })
  for (const team of teams) {
    if ((await models.teamUser.count({ where: { teamId: team.id }, transaction })) < 2) {
      throw new Unprocessable(`${user.name} is the last owner of an organization`)
    }
  }
}

/** Unprocessable while the user is in any team. */
export async function requireNoOrganizations(models: Models, user: Owner, transaction: Transaction): Promise<void> {
  if ((await models.teamUser.count({ where: { userId: user.id }, transaction })) > 0) {
    throw new Unprocessable(`${user.name} is still a member of organizations`)
  }
}

/** Deletes the account's row and everything that only it gave a meaning. */
export async function deleteRows(models: Models, owner: Owner, transaction: Transaction): Promise<void> {
  const ofOrganization = { where: { orgId: owner.id }, transaction }
  await models.teamUnit.destroy(ofOrganization)
  await models.teamUser.destroy(ofOrganization)
  await models.team.destroy(ofOrganization)
  await models.teamUser.destroy({ where: { userId: owner.id }, transaction })
  await models.upstreamAttachment.destroy(ofOrganization)
  await models.nameBinding.destroy({ where: { ownerId: owner.id }, transaction })
  await models.accessToken.destroy({ where: { userId: owner.id }, transaction })
  await models.user.destroy({ where: { id: owner.id }, transaction })
}
