import {
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Limits of one owner that are not those of the site; null: the site's, -1: none. */
export class OwnerQuota extends Model<InferAttributes<OwnerQuota>, InferCreationAttributes<OwnerQuota>> {
  declare ownerId: number
  /** Versions. */
  declare totalCount: number | null
  /** Bytes. */
  declare totalSize: number | null
  /** JSON: bytes of one file, by type. */
  declare typeSizes: string
  /** Ms. */
  declare updatedAt: number
}

/** Binds OwnerQuota to one database; a class of its own, so that several databases live in one process. */
export function defineOwnerQuota(sequelize: Sequelize): ModelStatic<OwnerQuota> {
  return class extends OwnerQuota {}.init(
    {
      ownerId: { type: DataTypes.BIGINT, primaryKey: true },
      totalCount: { type: DataTypes.BIGINT, allowNull: true },
      totalSize: { type: DataTypes.BIGINT, allowNull: true },
      typeSizes: { type: DataTypes.TEXT, allowNull: false },
      updatedAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'owner_quota', modelName: 'OwnerQuota' },
  )
}
