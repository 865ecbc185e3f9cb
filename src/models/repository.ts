import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Where the sources of packages are, elsewhere (rest-api.md §3); `package.repo_id` names it. */
export class Repository extends Model<InferAttributes<Repository>, InferCreationAttributes<Repository>> {
  declare id: CreationOptional<number>
  declare ownerId: number
  declare name: string
  declare lowerName: string
  /** Of the real repository, http or https; empty: not known. */
  declare url: string
  declare description: string
  declare isPrivate: boolean
  /** Ms since the epoch. */
  declare createdAt: number
  declare updatedAt: number
}

/** Binds Repository to one database; a class of its own, so that several databases live in one process. */
export function defineRepository(sequelize: Sequelize): ModelStatic<Repository> {
  return class extends Repository {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      ownerId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      lowerName: { type: DataTypes.STRING, allowNull: false },
      url: { type: DataTypes.TEXT, allowNull: false },
      description: { type: DataTypes.TEXT, allowNull: false },
      isPrivate: { type: DataTypes.BOOLEAN, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      updatedAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'repository', modelName: 'Repository' },
  )
}
