import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Whose hook it is; `default` ones are only ever copied, and never fire (rest-api.md §8). */
export type HookKind = 'organization' | 'user' | 'system' | 'default'

/** Where to tell of package events (gitea-model.md §9). */
export class Webhook extends Model<InferAttributes<Webhook>, InferCreationAttributes<Webhook>> {
  declare id: CreationOptional<number>
  declare kind: HookKind
  /** Of the organization or user; 0: the site's. */
  declare ownerId: number
  declare name: string
  declare url: string
  declare contentType: 'json' | 'form'
  /** See SecretBox; empty: none. */
  declare sealedSecret: string
  /** Value of the header Authorization; see SecretBox; empty: none. */
  declare sealedAuthorization: string
  /** Joined with commas. */
  declare events: string
  declare branchFilter: string
  declare isActive: boolean
  /** Ms. */
  declare createdAt: number
  declare updatedAt: number
}

/** Binds Webhook to one database; a class of its own, so that several databases live in one process. */
export function defineWebhook(sequelize: Sequelize): ModelStatic<Webhook> {
  return class extends Webhook {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      kind: { type: DataTypes.STRING(16), allowNull: false },
      ownerId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      url: { type: DataTypes.TEXT, allowNull: false },
      contentType: { type: DataTypes.STRING(8), allowNull: false },
      sealedSecret: { type: DataTypes.TEXT, allowNull: false },
      sealedAuthorization: { type: DataTypes.TEXT, allowNull: false },
      events: { type: DataTypes.TEXT, allowNull: false },
      branchFilter: { type: DataTypes.STRING, allowNull: false },
      isActive: { type: DataTypes.BOOLEAN, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      updatedAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'webhook', modelName: 'Webhook' },
  )
}
