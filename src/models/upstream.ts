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
 * Anchor of what is cached from one upstream; its settings come from its file, or are here when it was made over REST
 * (pull-through.md §1.2). A row with neither keeps what is to be remembered for ever, digests and bindings.
 */
export class Upstream extends Model<InferAttributes<Upstream>, InferCreationAttributes<Upstream>> {
  declare id: CreationOptional<number>
  /** File name without .yaml, or what it is called over REST. */
  declare name: string
  declare ownerId: number
  declare type: string
  /** The one that the stored validators belong to. */
  declare baseUrl: string
  declare mode: CreationOptional<'online' | 'offline' | 'blocked'>
  /** StoredUpstream as JSON; null: it is none that was made over REST. */
  declare settings: CreationOptional<string | null>
  /** UpstreamSecrets as JSON in a SecretBox; null: there are none. */
  declare sealedSecrets: CreationOptional<string | null>
  /** Counts the changes of what was made over REST. */
  declare revision: CreationOptional<number>
  /** It was deleted over REST then, and what it held is still being deleted; null: not so. */
  declare removedAt: CreationOptional<number | null>
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
      settings: { type: DataTypes.TEXT },
      sealedSecrets: { type: DataTypes.TEXT },
      revision: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      removedAt: { type: DataTypes.BIGINT },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      updatedAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'upstream', modelName: 'Upstream' },
  )
}
