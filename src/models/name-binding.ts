import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Where a name of an owner comes from, decided once (pull-through.md §7). */
export class NameBinding extends Model<InferAttributes<NameBinding>, InferCreationAttributes<NameBinding>> {
  declare id: CreationOptional<number>
  declare ownerId: number
  declare type: string
  declare lowerName: string
  /** 0: hosted, which survives deletion. */
  declare upstreamId: CreationOptional<number>
  declare createdAt: number
}

/** Binds NameBinding to one database; a class of its own, so that several databases live in one process. */
export function defineNameBinding(sequelize: Sequelize): ModelStatic<NameBinding> {
  return class extends NameBinding {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      ownerId: { type: DataTypes.BIGINT, allowNull: false },
      type: { type: DataTypes.STRING(32), allowNull: false },
      lowerName: { type: DataTypes.STRING, allowNull: false },
      upstreamId: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'name_binding', modelName: 'NameBinding' },
  )
}
