import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** One upstream in an organization view, in order (pull-through.md §7). */
export class UpstreamAttachment extends Model<
  InferAttributes<UpstreamAttachment>,
  InferCreationAttributes<UpstreamAttachment>
> {
  declare id: CreationOptional<number>
  declare orgId: number
  declare type: string
  declare position: number
  declare upstreamId: number
  /** JSON array of name patterns; empty: all. */
  declare include: string
  /** JSON array of name patterns. */
  declare exclude: string
}

/** Binds UpstreamAttachment to one database; a class of its own, so that several databases live in one process. */
export function defineUpstreamAttachment(sequelize: Sequelize): ModelStatic<UpstreamAttachment> {
  return class extends UpstreamAttachment {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      orgId: { type: DataTypes.BIGINT, allowNull: false },
      type: { type: DataTypes.STRING(32), allowNull: false },
      position: { type: DataTypes.INTEGER, allowNull: false },
      upstreamId: { type: DataTypes.BIGINT, allowNull: false },
      include: { type: DataTypes.TEXT, allowNull: false },
      exclude: { type: DataTypes.TEXT, allowNull: false },
    },
    { sequelize, tableName: 'upstream_attachment', modelName: 'UpstreamAttachment' },
  )
}
