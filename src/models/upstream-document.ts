import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Mutable metadata as an upstream sent it (pull-through.md §1.2, §3). */
export class UpstreamDocument extends Model<
  InferAttributes<UpstreamDocument>,
  InferCreationAttributes<UpstreamDocument>
> {
  declare id: CreationOptional<number>
  declare upstreamId: number
  declare kind: string
  declare documentKey: string
  declare keySha256: string
  /** The body, gzip-compressed. */
  declare blobId: number
  /** The upstream's; empty: none. */
  declare etag: CreationOptional<string>
  declare lastModified: CreationOptional<string>
  /** Of the decoded body. */
  declare bodySha256: string
  /** Grows with each change of the body. */
  declare seq: number
  declare fetchedAt: number
  declare verifiedAt: number
  /** When the upstream first denied it; 0: it has it. */
  declare goneAt: CreationOptional<number>
  /** When it was last read, within half a day, ms since the epoch; 0: nobody knows. */
  declare lastUsedAt: CreationOptional<number>
}

/** Binds UpstreamDocument to one database; a class of its own, so that several databases live in one process. */
export function defineUpstreamDocument(sequelize: Sequelize): ModelStatic<UpstreamDocument> {
  return class extends UpstreamDocument {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      upstreamId: { type: DataTypes.BIGINT, allowNull: false },
      kind: { type: DataTypes.STRING(32), allowNull: false },
      documentKey: { type: DataTypes.TEXT, allowNull: false },
      keySha256: { type: DataTypes.STRING(64), allowNull: false },
      blobId: { type: DataTypes.BIGINT, allowNull: false },
      etag: { type: DataTypes.TEXT, allowNull: false },
      lastModified: { type: DataTypes.STRING, allowNull: false, defaultValue: '' },
      bodySha256: { type: DataTypes.STRING(64), allowNull: false },
      seq: { type: DataTypes.BIGINT, allowNull: false },
      fetchedAt: { type: DataTypes.BIGINT, allowNull: false },
      verifiedAt: { type: DataTypes.BIGINT, allowNull: false },
      goneAt: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      lastUsedAt: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
    },
    { sequelize, tableName: 'upstream_document', modelName: 'UpstreamDocument' },
  )
}
