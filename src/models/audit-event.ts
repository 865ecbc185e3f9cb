import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A line of the audit log. Names are as they were then; an id of 0 and an empty text mean nobody and nothing. */
export class AuditEvent extends Model<InferAttributes<AuditEvent>, InferCreationAttributes<AuditEvent>> {
  declare id: CreationOptional<number>
  /** Ms since the epoch. */
  declare createdAt: number
  declare action: string
  declare actorId: number
  declare actorName: string
  /** The administrator who acted as the actor. */
  declare sudoerId: number
  declare sudoerName: string
  declare tokenId: number
  declare tokenName: string
  declare address: string
  declare ownerId: number
  declare ownerName: string
  /** Of the package. */
  declare type: string
  declare name: string
  declare version: string
  /** JSON. */
  declare details: string
}

/** Binds AuditEvent to one database; a class of its own, so that several databases live in one process. */
export function defineAuditEvent(sequelize: Sequelize): ModelStatic<AuditEvent> {
  // Each its own: Sequelize writes the column's name into it.
  const string = () => ({ type: DataTypes.STRING, allowNull: false })
  const bigint = () => ({ type: DataTypes.BIGINT, allowNull: false })
  const text = () => ({ type: DataTypes.TEXT, allowNull: false })
  return class extends AuditEvent {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      createdAt: bigint(),
      action: string(),
      actorId: bigint(),
      actorName: string(),
      sudoerId: bigint(),
      sudoerName: string(),
      tokenId: bigint(),
      tokenName: string(),
      address: string(),
      ownerId: bigint(),
      ownerName: string(),
      type: string(),
      name: text(),
      version: text(),
      details: text(),
    },
    { sequelize, tableName: 'audit_event', modelName: 'AuditEvent' },
  )
}
