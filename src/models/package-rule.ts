import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A rule of a supply-chain policy: which packages of upstreams are served, and when (pull-through.md §8.1). */
export class PackageRule extends Model<InferAttributes<PackageRule>, InferCreationAttributes<PackageRule>> {
  declare id: CreationOptional<number>
  declare scope: 'site' | 'upstream' | 'organization'
  /** Of the upstream or organization; 0: the site. */
  declare scopeId: number
  declare action: string
  /** Empty: of every type. */
  declare type: string
  /** A pattern; empty: every name. */
  declare name: string
  /** As the type writes ranges, tags and digests; empty: every version. */
  declare versions: string
  /** ms of `cooldown`; else 0. */
  declare minAge: number
  /** ms since the epoch, of `freeze`; else 0. */
  declare notAfter: number
  declare untrustedOnly: boolean
  declare reason: string
  /** Name of who made it, as it was then. */
  declare author: string
  /** ms since the epoch; 0: never. */
  declare expiresAt: number
  declare createdAt: number
  declare updatedAt: number
}

/** Binds PackageRule to one database; a class of its own, so that several databases live in one process. */
export function definePackageRule(sequelize: Sequelize): ModelStatic<PackageRule> {
  return class extends PackageRule {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      scope: { type: DataTypes.STRING(16), allowNull: false },
      scopeId: { type: DataTypes.BIGINT, allowNull: false },
      action: { type: DataTypes.STRING(16), allowNull: false },
      type: { type: DataTypes.STRING(32), allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      versions: { type: DataTypes.STRING, allowNull: false },
      minAge: { type: DataTypes.BIGINT, allowNull: false },
      notAfter: { type: DataTypes.BIGINT, allowNull: false },
      untrustedOnly: { type: DataTypes.BOOLEAN, allowNull: false },
      reason: { type: DataTypes.STRING(1000), allowNull: false },
      author: { type: DataTypes.STRING, allowNull: false },
      expiresAt: { type: DataTypes.BIGINT, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      updatedAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'package_rule', modelName: 'PackageRule' },
  )
}
