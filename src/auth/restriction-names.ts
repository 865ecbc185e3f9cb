import { col, fn, Op, type Transaction, where } from 'sequelize'
import type { AccessToken } from '../models/access-token.ts'
import type { Models } from '../models/index.ts'
import type { RestrictionLists } from './restriction.ts'

/**
 * Access tokens that are restricted to an owner's packages stay so when he is renamed: otherwise they would be for whoever
 * takes the old name. Names in lower case.
 * Returns the tokens that changed, for caches to forget after the commit.
 */
export async function renameInRestrictions(
  models: Models,
  from: string,
  to: string,
  transaction: Transaction,
): Promise<{ id: number; tokenHash: string }[]> {
  // No name of an account has a character that JSON writes in another way. INSTR, because LIKE has wildcards.
  const names = where(fn('instr', col('limits'), `"${from}"`), { [Op.gt]: 0 })
  const rows = await models.accessToken.findAll({ where: names, lock: transaction.LOCK.UPDATE, transaction })
  const changed: AccessToken[] = []
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
    if (text !== row.limits) changed.push(await row.update({ limits: text }, { transaction }))
  }
  return changed
}
