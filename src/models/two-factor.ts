import {
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** What a user signs in with beside the password. */
export class TwoFactorRow extends Model<InferAttributes<TwoFactorRow>, InferCreationAttributes<TwoFactorRow>> {
  declare userId: number
  /** The secret in base32; see SecretBox. */
  declare sealedSecret: string
  /** Of the last code that was used: steps of 30 s since the epoch. It and all before are used up. */
  declare lastStep: number
  /** SHA-256 of the recovery codes that are left, lower-case hex, joined with commas. */
  declare recoveryHashes: string
  /** Ms since the epoch. Each wrong code moves it further; when it is too far ahead no code is looked at. */
  declare penaltyUntil: number
  /** Ms since the epoch. */
  declare createdAt: number
  /** Ms since the epoch; null: the user has not shown yet that he can make codes, and signs in without. */
  declare confirmedAt: number | null
}

/** Binds TwoFactorRow to one database; a class of its own, so that several databases live in one process. */
export function defineTwoFactor(sequelize: Sequelize): ModelStatic<TwoFactorRow> {
  return class extends TwoFactorRow {}.init(
    {
      userId: { type: DataTypes.BIGINT, primaryKey: true },
      sealedSecret: { type: DataTypes.TEXT, allowNull: false },
      lastStep: { type: DataTypes.BIGINT, allowNull: false },
      recoveryHashes: { type: DataTypes.TEXT, allowNull: false },
      penaltyUntil: { type: DataTypes.BIGINT, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      confirmedAt: { type: DataTypes.BIGINT },
    },
    { sequelize, tableName: 'two_factor', modelName: 'TwoFactor' },
  )
}
