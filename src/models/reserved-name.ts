import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A pattern of names that an organization never asks an upstream for (pull-through.md §7.1). */
export class ReservedName extends Model<InferAttributes<ReservedName>, InferCreationAttributes<ReservedName>> {
  declare id: CreationOptional<number>
  declare orgId: number
  declare type: string
  declare pattern: string
}

/** Binds ReservedName to one database; a class of its own, so that several databases live in one process. */
export function defineReservedName(sequelize: Sequelize): ModelStatic<ReservedName> {
  return class extends ReservedName {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      orgId: { type: DataTypes.BIGINT, allowNull: false },
      type: { type: DataTypes.STRING(32), allowNull: false },
      pattern: { type: DataTypes.STRING, allowNull: false },
    },
    { sequelize, tableName: 'reserved_name', modelName: 'ReservedName' },
  )
}
