import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** What of an upstream is never evicted (pull-through.md §9). */
export class UpstreamPin extends Model<InferAttributes<UpstreamPin>, InferCreationAttributes<UpstreamPin>> {
  declare id: CreationOptional<number>
  declare upstreamId: number
  /** A pattern of package names. */
  declare name: string
  /** A pattern of versions and tags. */
  declare version: string
  /** Who pinned it. */
  declare author: string
  declare createdAt: number
}

/** Binds UpstreamPin to one database; a class of its own, so that several databases live in one process. */
export function defineUpstreamPin(sequelize: Sequelize): ModelStatic<UpstreamPin> {
  return class extends UpstreamPin {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      upstreamId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      version: { type: DataTypes.STRING, allowNull: false },
      author: { type: DataTypes.STRING, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'upstream_pin', modelName: 'UpstreamPin' },
  )
}
