import {
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** An id-token that was exchanged, as long as it could come again. */
export class UsedIdToken extends Model<InferAttributes<UsedIdToken>, InferCreationAttributes<UsedIdToken>> {
  /** SHA-256 of what tells it from others, lower-case hex. */
  declare hash: string
  /** Ms since the epoch; after that the token is refused for its age. */
  declare expiresAt: number
}

/** Binds UsedIdToken to one database; a class of its own, so that several databases live in one process. */
export function defineUsedIdToken(sequelize: Sequelize): ModelStatic<UsedIdToken> {
  return class extends UsedIdToken {}.init(
    {
      hash: { type: DataTypes.STRING(64), allowNull: false, primaryKey: true },
      expiresAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'used_id_token', modelName: 'UsedIdToken' },
  )
}
