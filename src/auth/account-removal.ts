import type { Transaction } from 'sequelize'
import { Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { User } from '../models/user.ts'
import type { Owner } from './owner.ts'

/** Whether it is an administrator who can sign in. */
export function canAdminister(row: User): boolean {
  return row.kind === 'user' && row.isAdmin && row.isActive && !row.prohibitLogin
}

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
  // Who is just publishing the first version comes before, and is seen here, or finds nobody to publish for.
  await models.user.findByPk(owner.id, { lock: transaction.LOCK.UPDATE, transaction })
  const packages = await models.package.findAll({ where: { ownerId: owner.id }, attributes: ['id'], transaction })
  const packageId = packages.map((row) => row.id)
  if (packageId.length === 0) return
  if ((await models.packageVersion.count({ where: { packageId, isInternal: false }, transaction })) > 0) {
    throw new Unprocessable(`${owner.name} still owns packages`)
  }
}

/** Unprocessable while the owner has a repository (rest-api.md §6). */
export async function requireNoRepositories(models: Models, owner: Owner, transaction: Transaction): Promise<void> {
  if ((await models.repository.count({ where: { ownerId: owner.id }, transaction })) > 0) {
    throw new Unprocessable(`${owner.name} still owns repositories`)
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
  const ofUser = { where: { userId: owner.id }, transaction }
  // Who is just making a team of the organization, or putting the user into one, comes before or not at all.
  await models.user.findByPk(owner.id, { lock: transaction.LOCK.UPDATE, transaction })
  await models.team.destroy(ofOrganization)
  await models.teamUnit.destroy(ofOrganization)
  await models.teamUser.destroy(ofOrganization)
  await models.publicMember.destroy(ofOrganization)
  await models.teamUser.destroy(ofUser)
  await models.publicMember.destroy(ofUser)
  await models.upstreamAttachment.destroy(ofOrganization)
  await models.reservedName.destroy(ofOrganization)
  await models.packageRule.destroy({ where: { scope: 'organization', scopeId: owner.id }, transaction })
  await models.repository.destroy({ where: { ownerId: owner.id }, transaction })
  await models.packageCleanupRule.destroy({ where: { ownerId: owner.id }, transaction })
  await models.ownerQuota.destroy({ where: { ownerId: owner.id }, transaction })
  await models.nameBinding.destroy({ where: { ownerId: owner.id }, transaction })
  const hooks = await models.webhook.findAll({ where: { ownerId: owner.id }, attributes: ['id'], transaction })
  await models.hookTask.destroy({ where: { hookId: hooks.map(({ id }) => id) }, transaction })
  await models.webhook.destroy({ where: { ownerId: owner.id }, transaction })
  await models.externalIdentity.destroy(ofUser)
  // First: a job that exchanges its id-token now has its token found, or gets none.
  await models.trustedPublisher.destroy({ where: { ownerId: owner.id }, transaction })
  await models.accessToken.destroy(ofUser)
  await models.twoFactor.destroy(ofUser)
  await models.accountRedirect.destroy({ where: { accountId: owner.id }, transaction })
  await models.user.destroy({ where: { id: owner.id }, transaction })
}
