import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Where a name of an owner comes from, decided once (pull-through.md §7). */
export class NameBinding extends Model<InferAttributes<NameBinding>, InferCreationAttributes<NameBinding>> {
  declare id: CreationOptional<number>
  declare ownerId: number
  declare type: string
  declare lowerName: string
  /** 0: hosted, which survives deletion. */
  declare upstreamId: CreationOptional<number>
  /** Whether the organization's own versions and those of all its upstreams make one package. */
  declare merge: CreationOptional<boolean>
  /** Who has set it over REST; empty: it was bound by its first use. */
  declare author: CreationOptional<string>
  declare createdAt: number
}

/** Binds NameBinding to one database; a class of its own, so that several databases live in one process. */
export function defineNameBinding(sequelize: Sequelize): ModelStatic<NameBinding> {
  return class extends NameBinding {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      ownerId: { type: DataTypes.BIGINT, allowNull: false },
      type: { type: DataTypes.STRING(32), allowNull: false },
      lowerName: { type: DataTypes.STRING, allowNull: false },
      upstreamId: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      merge: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      author: { type: DataTypes.STRING, allowNull: false, defaultValue: '' },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'name_binding', modelName: 'NameBinding' },
  )
}
