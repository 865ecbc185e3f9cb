import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Who may see an owner: everybody, everybody signed in, or its members only. */
export type Visibility = 'public' | 'limited' | 'private'

/** A user, an organization or a mirror: whatever can own packages (gitea-model.md §10, pull-through.md §1.2). */
export class User extends Model<InferAttributes<User>, InferCreationAttributes<User>> {
  declare id: CreationOptional<number>
  declare kind: 'user' | 'organization' | 'mirror'
  declare name: string
  declare lowerName: string
  declare fullName: CreationOptional<string>
  declare email: CreationOptional<string>
  /** Empty: cannot sign in with a password. */
  declare passwordHash: CreationOptional<string>
  declare isAdmin: CreationOptional<boolean>
  declare isActive: CreationOptional<boolean>
  declare isRestricted: CreationOptional<boolean>
  declare prohibitLogin: CreationOptional<boolean>
  declare mustChangePassword: CreationOptional<boolean>
  declare allowCreateOrganization: CreationOptional<boolean>
  declare visibility: CreationOptional<Visibility>
  declare description: CreationOptional<string>
  declare website: CreationOptional<string>
  declare location: CreationOptional<string>
  /** Ms since the epoch. */
  declare createdAt: number
  declare updatedAt: number
  declare lastLoginAt: CreationOptional<number>
}

/** Binds User to one database; a class of its own, so that several databases live in one process. */
export function defineUser(sequelize: Sequelize): ModelStatic<User> {
  return class extends User {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      kind: { type: DataTypes.STRING(16), allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      lowerName: { type: DataTypes.STRING, allowNull: false },
      fullName: { type: DataTypes.STRING, allowNull: false, defaultValue: '' },
      email: { type: DataTypes.STRING, allowNull: false, defaultValue: '' },
      passwordHash: { type: DataTypes.STRING, allowNull: false, defaultValue: '' },
      isAdmin: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      isActive: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: true },
      isRestricted: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      prohibitLogin: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      mustChangePassword: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      allowCreateOrganization: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: true },
      visibility: { type: DataTypes.STRING(16), allowNull: false, defaultValue: 'public' },
      description: { type: DataTypes.STRING, allowNull: false, defaultValue: '' },
      website: { type: DataTypes.STRING, allowNull: false, defaultValue: '' },
      location: { type: DataTypes.STRING, allowNull: false, defaultValue: '' },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      updatedAt: { type: DataTypes.BIGINT, allowNull: false },
      lastLoginAt: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
    },
    { sequelize, tableName: 'user', modelName: 'User' },
  )
}
