import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** Membership of a team, and so of its organization. */
export class TeamUser extends Model<InferAttributes<TeamUser>, InferCreationAttributes<TeamUser>> {
  declare id: CreationOptional<number>
  declare teamId: number
  declare orgId: number
  declare userId: number
}

/** Binds TeamUser to one database; a class of its own, so that several databases live in one process. */
export function defineTeamUser(sequelize: Sequelize): ModelStatic<TeamUser> {
  return class extends TeamUser {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      teamId: { type: DataTypes.BIGINT, allowNull: false },
      orgId: { type: DataTypes.BIGINT, allowNull: false },
      userId: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'team_user', modelName: 'TeamUser' },
  )
}
