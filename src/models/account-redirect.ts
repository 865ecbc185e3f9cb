import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A name that an account once had, and nobody has taken since (gitea-model.md §6). */
export class AccountRedirect extends Model<InferAttributes<AccountRedirect>, InferCreationAttributes<AccountRedirect>> {
  declare id: CreationOptional<number>
  declare lowerName: string
  declare accountId: number
}

/** Binds AccountRedirect to one database; a class of its own, so that several databases live in one process. */
export function defineAccountRedirect(sequelize: Sequelize): ModelStatic<AccountRedirect> {
  return class extends AccountRedirect {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      lowerName: { type: DataTypes.STRING, allowNull: false },
      accountId: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'account_redirect', modelName: 'AccountRedirect' },
  )
}
