import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Anchor of what is cached from one upstream; its settings come from its file (pull-through.md §1.2). */
export class Upstream extends Model<InferAttributes<Upstream>, InferCreationAttributes<Upstream>> {
  declare id: CreationOptional<number>
  /** File name without .yaml. */
  declare name: string
  declare ownerId: number
  declare type: string
  /** The one that the stored validators belong to. */
  declare baseUrl: string
  declare mode: CreationOptional<'online' | 'offline' | 'blocked'>
  declare createdAt: number
  declare updatedAt: number
}

/** Binds Upstream to one database; a class of its own, so that several databases live in one process. */
export function defineUpstream(sequelize: Sequelize): ModelStatic<Upstream> {
  return class extends Upstream {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      name: { type: DataTypes.STRING, allowNull: false },
      ownerId: { type: DataTypes.BIGINT, allowNull: false },
      type: { type: DataTypes.STRING(32), allowNull: false },
      baseUrl: { type: DataTypes.TEXT, allowNull: false },
      mode: { type: DataTypes.STRING(16), allowNull: false, defaultValue: 'online' },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      updatedAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'upstream', modelName: 'Upstream' },
  )
}
