import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** When a tag of an upstream was first seen to name a digest (pull-through.md §8.2). */
export class UpstreamTag extends Model<InferAttributes<UpstreamTag>, InferCreationAttributes<UpstreamTag>> {
  declare id: CreationOptional<number>
  declare upstreamId: number
  /** Of the repository. */
  declare name: string
  declare tag: string
  /** `sha256:<hex>`. */
  declare digest: string
  /** ms since the epoch. */
  declare firstSeen: number
}

/** Binds UpstreamTag to one database; a class of its own, so that several databases live in one process. */
export function defineUpstreamTag(sequelize: Sequelize): ModelStatic<UpstreamTag> {
  return class extends UpstreamTag {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      upstreamId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      tag: { type: DataTypes.STRING(128), allowNull: false },
      digest: { type: DataTypes.STRING(140), allowNull: false },
      firstSeen: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'upstream_tag', modelName: 'UpstreamTag' },
  )
}
