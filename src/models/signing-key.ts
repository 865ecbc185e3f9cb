import {
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A secret that signs the registry's tokens for one UTC day. */
export class SigningKey extends Model<InferAttributes<SigningKey>, InferCreationAttributes<SigningKey>> {
  /** The day: days since the epoch, in decimal. */
  declare kid: string
  /** 32 random bytes in base64url. */
  declare secret: string
  declare createdAt: number
}

/** Binds SigningKey to one database; a class of its own, so that several databases live in one process. */
export function defineSigningKey(sequelize: Sequelize): ModelStatic<SigningKey> {
  return class extends SigningKey {}.init(
    {
      kid: { type: DataTypes.STRING(64), primaryKey: true },
      secret: { type: DataTypes.STRING, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'signing_key', modelName: 'SigningKey' },
  )
}
