import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A version; its id is the one that REST shows for a package (gitea-model.md §1). */
export class PackageVersion extends Model<InferAttributes<PackageVersion>, InferCreationAttributes<PackageVersion>> {
  declare id: CreationOptional<number>
  declare packageId: number
  declare creatorId: CreationOptional<number>
  declare version: string
  declare lowerVersion: string
  declare createdAt: number
  declare isInternal: CreationOptional<boolean>
  /** `null` for types without metadata. */
  declare metadataJson: string
  declare downloadCount: CreationOptional<number>
  declare lastDownloadedAt: CreationOptional<number>
}

/** Binds PackageVersion to one database; a class of its own, so that several databases live in one process. */
export function definePackageVersion(sequelize: Sequelize): ModelStatic<PackageVersion> {
  return class extends PackageVersion {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      packageId: { type: DataTypes.BIGINT, allowNull: false },
      creatorId: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      version: { type: DataTypes.STRING, allowNull: false },
      lowerVersion: { type: DataTypes.STRING, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      isInternal: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      metadataJson: { type: DataTypes.TEXT, allowNull: false },
      downloadCount: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      lastDownloadedAt: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
    },
    { sequelize, tableName: 'package_version', modelName: 'PackageVersion' },
  )
}
