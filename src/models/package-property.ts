import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A property of a version (0), file (1) or package (2); names may repeat (gitea-model.md §1). */
export class PackageProperty extends Model<InferAttributes<PackageProperty>, InferCreationAttributes<PackageProperty>> {
  declare id: CreationOptional<number>
  declare refType: 0 | 1 | 2
  declare refId: number
  declare name: string
  declare value: string
}

/** Binds PackageProperty to one database; a class of its own, so that several databases live in one process. */
export function definePackageProperty(sequelize: Sequelize): ModelStatic<PackageProperty> {
  return class extends PackageProperty {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      refType: { type: DataTypes.INTEGER, allowNull: false },
      refId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      value: { type: DataTypes.TEXT, allowNull: false },
    },
    { sequelize, tableName: 'package_property', modelName: 'PackageProperty' },
  )
}
