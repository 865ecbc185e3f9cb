import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Bytes of the blob store, identified by SHA-256 alone (pull-through.md §1.2). */
export class PackageBlob extends Model<InferAttributes<PackageBlob>, InferCreationAttributes<PackageBlob>> {
  declare id: CreationOptional<number>
  declare size: number
  declare hashMd5: string
  declare hashSha1: string
  declare hashSha256: string
  declare hashSha512: string
  declare createdAt: number
}

/** Binds PackageBlob to one database; a class of its own, so that several databases live in one process. */
export function definePackageBlob(sequelize: Sequelize): ModelStatic<PackageBlob> {
  return class extends PackageBlob {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      size: { type: DataTypes.BIGINT, allowNull: false },
      hashMd5: { type: DataTypes.STRING(32), allowNull: false },
      hashSha1: { type: DataTypes.STRING(40), allowNull: false },
      hashSha256: { type: DataTypes.STRING(64), allowNull: false },
      hashSha512: { type: DataTypes.STRING(128), allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'package_blob', modelName: 'PackageBlob' },
  )
}
