import {
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** What is known of the runs of one job, on all servers of the database. */
export class JobRun extends Model<InferAttributes<JobRun>, InferCreationAttributes<JobRun>> {
  declare name: string
  /** Of the last run; ms since the epoch. */
  declare startedAt: number
  /** How many there were. */
  declare runs: number
}

/** Binds JobRun to one database; a class of its own, so that several databases live in one process. */
export function defineJobRun(sequelize: Sequelize): ModelStatic<JobRun> {
  return class extends JobRun {}.init(
    {
      name: { type: DataTypes.STRING(64), primaryKey: true },
      startedAt: { type: DataTypes.BIGINT, allowNull: false },
      runs: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'job_run', modelName: 'JobRun' },
  )
}
