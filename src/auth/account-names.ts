import { col, fn, Op, type Transaction, where } from 'sequelize'
import { Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { User } from '../models/user.ts'
import { checkEmail } from './account-rules.ts'

/** Unprocessable when a user other than `except` has the e-mail address. */
export async function requireEmailFree(
  models: Models,
  email: string,
  transaction: Transaction,
  except = 0,
): Promise<void> {
  const sameEmail = where(fn('lower', col('email')), email.toLowerCase())
  const rows = await models.user.findAll({
    where: { [Op.and]: [{ kind: 'user' }, sameEmail] },
    attributes: ['id'],
    transaction,
  })
  if (rows.some((row) => row.id !== except)) throw new Unprocessable(`e-mail already in use [email: ${email}]`)
}

/** Whether a new user may have the e-mail address. */
export async function isEmailUsable(models: Models, email: string, transaction: Transaction): Promise<boolean> {
  try {
    checkEmail(email)
    await requireEmailFree(models, email, transaction)
    return true
  } catch (error) {
    if (error instanceof Unprocessable) return false
    throw error
  }
}

/** Writes what else has an account's name in it; both names in lower case. */
export type AlsoRenamed = (before: string, after: string, transaction: Transaction) => Promise<void>

/** Gives an account a name that is free. The old one leads to it; the new one leads nowhere else any more. */
export async function moveName(
  models: Models,
  row: User,
  name: string,
  now: number,
  transaction: Transaction,
): Promise<void> {
  const [before, lowerName] = [row.lowerName, name.toLowerCase()]
  await row.update({ name, lowerName, updatedAt: now }, { transaction })
  if (before === lowerName) return
  await models.accountRedirect.destroy({ where: { lowerName: [before, lowerName] }, transaction })
  await models.accountRedirect.create({ lowerName: before, accountId: row.id }, { transaction })
}
