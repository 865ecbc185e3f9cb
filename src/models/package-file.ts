import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A named file of a version (gitea-model.md §1). */
export class PackageFile extends Model<InferAttributes<PackageFile>, InferCreationAttributes<PackageFile>> {
  declare id: CreationOptional<number>
  declare versionId: number
  declare blobId: number
  declare name: string
  declare lowerName: string
  declare compositeKey: CreationOptional<string>
  declare isLead: CreationOptional<boolean>
  declare createdAt: number
}

/** Binds PackageFile to one database; a class of its own, so that several databases live in one process. */
export function definePackageFile(sequelize: Sequelize): ModelStatic<PackageFile> {
  return class extends PackageFile {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      versionId: { type: DataTypes.BIGINT, allowNull: false },
      blobId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      lowerName: { type: DataTypes.STRING, allowNull: false },
      compositeKey: { type: DataTypes.STRING, allowNull: false, defaultValue: '' },
      isLead: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'package_file', modelName: 'PackageFile' },
  )
}
