import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Who a user is at an identity provider (OpenID Connect Core §2, `sub`). */
export class ExternalIdentity extends Model<
  InferAttributes<ExternalIdentity>,
  InferCreationAttributes<ExternalIdentity>
> {
  declare id: CreationOptional<number>
  /** Its name in `signIn.providers`. */
  declare provider: string
  /** Printable ASCII without spaces at its ends, which MariaDB would not compare. */
  declare subject: string
  declare userId: number
  /** Ms since the epoch. */
  declare createdAt: number
  /** 0: never. */
  declare lastSignInAt: number
}

/** Binds ExternalIdentity to one database; a class of its own, so that several databases live in one process. */
export function defineExternalIdentity(sequelize: Sequelize): ModelStatic<ExternalIdentity> {
  return class extends ExternalIdentity {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      provider: { type: DataTypes.STRING(40), allowNull: false },
      subject: { type: DataTypes.STRING, allowNull: false },
      userId: { type: DataTypes.BIGINT, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      lastSignInAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'external_identity', modelName: 'ExternalIdentity' },
  )
}
