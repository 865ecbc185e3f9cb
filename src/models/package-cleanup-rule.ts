import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Which versions of an owner's packages of one type go by themselves (gitea-model.md §1). */
export class PackageCleanupRule extends Model<
  InferAttributes<PackageCleanupRule>,
  InferCreationAttributes<PackageCleanupRule>
> {
  declare id: CreationOptional<number>
  declare enabled: boolean
  declare ownerId: number
  declare type: string
  /** So many of the newest versions of each package stay. */
  declare keepCount: number
  declare keepPattern: string
  /** Versions that changed within so many days stay. */
  declare removeDays: number
  /** Only versions that match go; empty: all. */
  declare removePattern: string
  /** The patterns see `name/version` instead of the version. */
  declare matchFullName: boolean
  /** Ms. */
  declare createdAt: number
  declare updatedAt: number
}

/** Binds PackageCleanupRule to one database; a class of its own, so that several databases live in one process. */
export function definePackageCleanupRule(sequelize: Sequelize): ModelStatic<PackageCleanupRule> {
  return class extends PackageCleanupRule {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      enabled: { type: DataTypes.BOOLEAN, allowNull: false },
      ownerId: { type: DataTypes.BIGINT, allowNull: false },
      type: { type: DataTypes.STRING(32), allowNull: false },
      keepCount: { type: DataTypes.INTEGER, allowNull: false },
      keepPattern: { type: DataTypes.STRING, allowNull: false },
      removeDays: { type: DataTypes.INTEGER, allowNull: false },
      removePattern: { type: DataTypes.STRING, allowNull: false },
      matchFullName: { type: DataTypes.BOOLEAN, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      updatedAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'package_cleanup_rule', modelName: 'PackageCleanupRule' },
  )
}
