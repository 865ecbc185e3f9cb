import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A package of one owner and type (gitea-model.md §1). */
export class Package extends Model<InferAttributes<Package>, InferCreationAttributes<Package>> {
  declare id: CreationOptional<number>
  declare ownerId: number
  declare repoId: CreationOptional<number>
  declare type: string
  /** Spelled as first uploaded. */
  declare name: string
  declare lowerName: string
  declare semverCompatible: CreationOptional<boolean>
  declare isInternal: CreationOptional<boolean>
  /** Whatever the owner is. */
  declare isPrivate: CreationOptional<boolean>
}

/** Binds Package to one database; a class of its own, so that several databases live in one process. */
export function definePackage(sequelize: Sequelize): ModelStatic<Package> {
  return class extends Package {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      ownerId: { type: DataTypes.BIGINT, allowNull: false },
      repoId: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      type: { type: DataTypes.STRING(32), allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      lowerName: { type: DataTypes.STRING, allowNull: false },
      semverCompatible: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      isInternal: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      isPrivate: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
    },
    { sequelize, tableName: 'package', modelName: 'Package' },
  )
}
