import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** The SHA-256 that an artifact had when first seen, kept for ever (pull-through.md §5.4). */
export class UpstreamDigest extends Model<InferAttributes<UpstreamDigest>, InferCreationAttributes<UpstreamDigest>> {
  declare id: CreationOptional<number>
  declare upstreamId: number
  declare artifactKey: string
  declare keySha256: string
  declare sha256: string
  declare size: number
  declare firstSeen: number
  /** The package file that holds the bytes; held while that row exists. */
  declare fileId: CreationOptional<number>
  /** When the bytes were last read, ms since the epoch; 0: they are not held, 1: nobody knows. */
  declare lastUsedAt: CreationOptional<number>
}

/** Binds UpstreamDigest to one database; a class of its own, so that several databases live in one process. */
export function defineUpstreamDigest(sequelize: Sequelize): ModelStatic<UpstreamDigest> {
  return class extends UpstreamDigest {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      upstreamId: { type: DataTypes.BIGINT, allowNull: false },
      artifactKey: { type: DataTypes.TEXT, allowNull: false },
      keySha256: { type: DataTypes.STRING(64), allowNull: false },
      sha256: { type: DataTypes.STRING(64), allowNull: false },
      size: { type: DataTypes.BIGINT, allowNull: false },
      firstSeen: { type: DataTypes.BIGINT, allowNull: false },
      fileId: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      lastUsedAt: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 1 },
    },
    { sequelize, tableName: 'upstream_digest', modelName: 'UpstreamDigest' },
  )
}
