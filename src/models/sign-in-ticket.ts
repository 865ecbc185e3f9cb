import {
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A step of a sign-in that somebody holds a secret for; see `sign-in/tickets.ts`. */
export class SignInTicket extends Model<InferAttributes<SignInTicket>, InferCreationAttributes<SignInTicket>> {
  /** SHA-256 of the secret, lower-case hex. */
  declare secretHash: string
  declare kind: string
  /** Who asked for it, as `networkOf` has it. */
  declare network: string
  /** JSON, sealed. */
  declare sealed: string
  /** Ms since the epoch. */
  declare expiresAt: number
}

/** Binds SignInTicket to one database; a class of its own, so that several databases live in one process. */
export function defineSignInTicket(sequelize: Sequelize): ModelStatic<SignInTicket> {
  return class extends SignInTicket {}.init(
    {
      secretHash: { type: DataTypes.STRING(64), primaryKey: true },
      kind: { type: DataTypes.STRING(16), allowNull: false },
      network: { type: DataTypes.STRING(64), allowNull: false },
      sealed: { type: DataTypes.TEXT, allowNull: false },
      expiresAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'sign_in_ticket', modelName: 'SignInTicket' },
  )
}
