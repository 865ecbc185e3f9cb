import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Jobs of an OIDC issuer that may publish an owner's packages. */
export class TrustedPublisher extends Model<
  InferAttributes<TrustedPublisher>,
  InferCreationAttributes<TrustedPublisher>
> {
  declare id: CreationOptional<number>
  /** A user or an organization. */
  declare ownerId: number
  /** Unique within the owner. */
  declare name: string
  declare issuer: string
  /** JSON; see ClaimRules. */
  declare claims: string
  /** JSON list of `{type, name}`; null: all packages of the owner. */
  declare packages: string | null
  /** Seconds that a token is valid. */
  declare lifetime: number
  /** Id of a user, who may be gone. */
  declare createdBy: number
  /** Ms since the epoch. */
  declare createdAt: number
  /** 0: never. */
  declare lastUsedAt: CreationOptional<number>
}

/** Binds TrustedPublisher to one database; a class of its own, so that several databases live in one process. */
export function defineTrustedPublisher(sequelize: Sequelize): ModelStatic<TrustedPublisher> {
  return class extends TrustedPublisher {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      ownerId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      issuer: { type: DataTypes.STRING, allowNull: false },
      claims: { type: DataTypes.TEXT, allowNull: false },
      packages: { type: DataTypes.TEXT, allowNull: true },
      lifetime: { type: DataTypes.INTEGER, allowNull: false },
      createdBy: { type: DataTypes.BIGINT, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      lastUsedAt: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
    },
    { sequelize, tableName: 'trusted_publisher', modelName: 'TrustedPublisher' },
  )
}
