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

/** What a team may do in one unit; only `repo.packages` matters to packages. */
export class TeamUnit extends Model<InferAttributes<TeamUnit>, InferCreationAttributes<TeamUnit>> {
  declare id: CreationOptional<number>
  declare teamId: number
  declare orgId: number
  declare unit: string
  declare mode: AccessName
}

/** Binds TeamUnit to one database; a class of its own, so that several databases live in one process. */
export function defineTeamUnit(sequelize: Sequelize): ModelStatic<TeamUnit> {
  return class extends TeamUnit {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      teamId: { type: DataTypes.BIGINT, allowNull: false },
      orgId: { type: DataTypes.BIGINT, allowNull: false },
      unit: { type: DataTypes.STRING(64), allowNull: false },
      mode: { type: DataTypes.STRING(16), allowNull: false },
    },
    { sequelize, tableName: 'team_unit', modelName: 'TeamUnit' },
  )
}
