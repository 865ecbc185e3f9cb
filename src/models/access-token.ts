import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A personal access token; the secret itself is never stored (rest-api.md §5). */
export class AccessToken extends Model<InferAttributes<AccessToken>, InferCreationAttributes<AccessToken>> {
  declare id: CreationOptional<number>
  declare userId: number
  declare name: string
  /** SHA-256 of the secret, lower-case hex. */
  declare tokenHash: string
  declare tokenLastEight: string
  /** Normalised, comma-joined. Of a token with limits, what a release that knows of none must take it for. */
  declare scopes: string
  declare createdAt: number
  declare lastUsedAt: CreationOptional<number>
  /** Ms since the epoch; null: never. */
  declare expiresAt: CreationOptional<number | null>
  /** JSON of the scopes and the restriction of a token that expires or is restricted. */
  declare limits: CreationOptional<string | null>
  /** The token with which it was made; null: none. */
  declare parentId: CreationOptional<number | null>
  /** Ids of the trusted publishers that made it, joined with commas; null: a user did. */
  declare publisherIds: CreationOptional<string | null>
}

/** Binds AccessToken to one database; a class of its own, so that several databases live in one process. */
export function defineAccessToken(sequelize: Sequelize): ModelStatic<AccessToken> {
  return class extends AccessToken {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      userId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      tokenHash: { type: DataTypes.STRING(64), allowNull: false },
      tokenLastEight: { type: DataTypes.STRING(8), allowNull: false },
      scopes: { type: DataTypes.STRING, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      lastUsedAt: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      expiresAt: { type: DataTypes.BIGINT, allowNull: true },
      limits: { type: DataTypes.TEXT, allowNull: true },
      parentId: { type: DataTypes.BIGINT, allowNull: true },
      publisherIds: { type: DataTypes.TEXT, allowNull: true },
    },
    { sequelize, tableName: 'access_token', modelName: 'AccessToken' },
  )
}
