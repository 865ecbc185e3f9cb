import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A repository that a team of its owner is about. */
export class TeamRepository extends Model<InferAttributes<TeamRepository>, InferCreationAttributes<TeamRepository>> {
  declare id: CreationOptional<number>
  declare teamId: number
  declare repoId: number
}

/** Binds TeamRepository to one database; a class of its own, so that several databases live in one process. */
export function defineTeamRepository(sequelize: Sequelize): ModelStatic<TeamRepository> {
  return class extends TeamRepository {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      teamId: { type: DataTypes.BIGINT, allowNull: false },
      repoId: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'team_repository', modelName: 'TeamRepository' },
  )
}
