import { Op, type Transaction } from 'sequelize'
import type { Models } from '../models/index.ts'
import type { RestrictionLists } from './restriction.ts'

/**
 * Access tokens that are restricted to an owner's packages stay so when he is renamed: otherwise they would be for whoever
 * takes the old name. Names in lower case; caches of tokens are to be cleared after the commit.
 */
export async function renameInRestrictions(
  models: Models,
  from: string,
  to: string,
  transaction: Transaction,
): Promise<void> {
  const rows = await models.accessToken.findAll({ where: { limits: { [Op.ne]: null } }, transaction })
  const rename = (owner: string) => (owner === from ? to : owner)
  for (const row of rows) {
    const limits = JSON.parse(row.limits!) as { restriction: RestrictionLists | null }
    if (limits.restriction === null) continue
    const { owners, packages, ...others } = limits.restriction
    const restriction: RestrictionLists = {
      ...others,
      ...(owners && { owners: owners.map(rename) }),
      ...(packages && { packages: packages.map((rule) => ({ ...rule, owner: rename(rule.owner) })) }),
    }
    const text = JSON.stringify({ ...limits, restriction })
    if (text !== row.limits) await row.update({ limits: text }, { transaction })
  }
}
