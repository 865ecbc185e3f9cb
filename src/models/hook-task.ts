import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** `failed`: given up; `cancelled`: nobody has the right to it any more. */
export type HookTaskStatus = 'pending' | 'delivered' | 'failed' | 'cancelled'

/** Why there is a task: something happened, or somebody asked for it. */
export type HookTaskCause = 'event' | 'test' | 'redelivery'

/** One event for one webhook, and what became of it. */
export class HookTask extends Model<InferAttributes<HookTask>, InferCreationAttributes<HookTask>> {
  declare id: CreationOptional<number>
  declare uuid: string
  declare hookId: number
  /** Who owned the package. */
  declare ownerId: number
  declare cause: HookTaskCause
  declare event: string
  declare action: string
  /** The JSON as it is signed. */
  declare payload: string
  declare status: CreationOptional<HookTaskStatus>
  /** Begun so far. */
  declare attempts: CreationOptional<number>
  /** Ms; while a server is at it: when another may think that it died. */
  declare nextAttemptAt: number
  declare createdAt: number
  /** Of the last attempt: when it began, in ms, and how many ms it took; 0: there was none. */
  declare attemptedAt: CreationOptional<number>
  declare duration: CreationOptional<number>
  declare requestUrl: CreationOptional<string>
  /** JSON objects, without secrets. */
  declare requestHeaders: CreationOptional<string>
  /** 0: no answer. */
  declare responseStatus: CreationOptional<number>
  declare responseHeaders: CreationOptional<string>
  declare responseBody: CreationOptional<string>
  /** Why there was no answer; empty: there was one. */
  declare error: CreationOptional<string>
}

/** Binds HookTask to one database; a class of its own, so that several databases live in one process. */
export function defineHookTask(sequelize: Sequelize): ModelStatic<HookTask> {
  return class extends HookTask {}.init(
    {
      id: { type: DataTypes.BIGINT, allowNull: false, primaryKey: true, autoIncrement: true },
      uuid: { type: DataTypes.STRING(36), allowNull: false },
      hookId: { type: DataTypes.BIGINT, allowNull: false },
      ownerId: { type: DataTypes.BIGINT, allowNull: false },
      cause: { type: DataTypes.STRING(16), allowNull: false },
      event: { type: DataTypes.STRING(32), allowNull: false },
      action: { type: DataTypes.STRING(32), allowNull: false },
      payload: { type: DataTypes.TEXT, allowNull: false },
      status: { type: DataTypes.STRING(16), allowNull: false, defaultValue: 'pending' },
      attempts: { type: DataTypes.INTEGER, allowNull: false, defaultValue: 0 },
      nextAttemptAt: { type: DataTypes.BIGINT, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      attemptedAt: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      duration: { type: DataTypes.INTEGER, allowNull: false, defaultValue: 0 },
      requestUrl: { type: DataTypes.TEXT, allowNull: false, defaultValue: '' },
      requestHeaders: { type: DataTypes.TEXT, allowNull: false, defaultValue: '{}' },
      responseStatus: { type: DataTypes.INTEGER, allowNull: false, defaultValue: 0 },
      responseHeaders: { type: DataTypes.TEXT, allowNull: false, defaultValue: '{}' },
      responseBody: { type: DataTypes.TEXT, allowNull: false, defaultValue: '' },
      error: { type: DataTypes.TEXT, allowNull: false, defaultValue: '' },
    },
    { sequelize, tableName: 'hook_task', modelName: 'HookTask' },
  )
}
