import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'
import type { AccessName } from './access-name.ts'
import type { Visibility } from './user.ts'

/** A team of an organization; its members have its rights (gitea-model.md §10). */
export class Team extends Model<InferAttributes<Team>, InferCreationAttributes<Team>> {
  declare id: CreationOptional<number>
  declare orgId: number
  declare name: string
  declare lowerName: string
  declare description: CreationOptional<string>
  declare permission: AccessName
  declare includesAllRepositories: CreationOptional<boolean>
  declare canCreateOrgRepo: CreationOptional<boolean>
  /** To whom beyond its members it is shown: the organization's members if limited, all who see that if public. */
  declare visibility: CreationOptional<Visibility>
}

/** Binds Team to one database; a class of its own, so that several databases live in one process. */
export function defineTeam(sequelize: Sequelize): ModelStatic<Team> {
  return class extends Team {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      orgId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      lowerName: { type: DataTypes.STRING, allowNull: false },
      description: { type: DataTypes.STRING, allowNull: false, defaultValue: '' },
      permission: { type: DataTypes.STRING(16), allowNull: false },
      includesAllRepositories: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      canCreateOrgRepo: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
      visibility: { type: DataTypes.STRING(16), allowNull: false, defaultValue: 'private' },
    },
    { sequelize, tableName: 'team', modelName: 'Team' },
  )
}
