import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/**
 * When a version was published, where the upstream's documents alone do not tell: of those that appeared after the
 * first document of their name was read, and of those whose time was asked for (pull-through.md §8.2). Times in ms since
 * the epoch.
 */
export class UpstreamVersion extends Model<InferAttributes<UpstreamVersion>, InferCreationAttributes<UpstreamVersion>> {
  declare id: CreationOptional<number>
  declare upstreamId: number
  declare name: string
  declare version: string
  declare firstSeen: number
  /** When a document was last known not to have it; 0: it was in the first one. */
  declare absentAt: number
  /** null: the upstream has not been asked. */
  declare publishedAt: number | null
  declare state: CreationOptional<'normal' | 'withdrawn' | 'quarantined' | 'blocked'>
}

/** Binds UpstreamVersion to one database; a class of its own, so that several databases live in one process. */
export function defineUpstreamVersion(sequelize: Sequelize): ModelStatic<UpstreamVersion> {
  return class extends UpstreamVersion {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      upstreamId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      version: { type: DataTypes.STRING, allowNull: false },
      firstSeen: { type: DataTypes.BIGINT, allowNull: false },
      absentAt: { type: DataTypes.BIGINT, allowNull: false },
      publishedAt: { type: DataTypes.BIGINT, allowNull: true },
      state: { type: DataTypes.STRING(16), allowNull: false, defaultValue: 'normal' },
    },
    { sequelize, tableName: 'upstream_version', modelName: 'UpstreamVersion' },
  )
}
