import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A member of an organization who shows it to everybody; means nothing of who is in none of its teams. */
export class PublicMember extends Model<InferAttributes<PublicMember>, InferCreationAttributes<PublicMember>> {
  declare id: CreationOptional<number>
  declare orgId: number
  declare userId: number
}

/** Binds PublicMember to one database; a class of its own, so that several databases live in one process. */
export function definePublicMember(sequelize: Sequelize): ModelStatic<PublicMember> {
  return class extends PublicMember {}.init(
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      orgId: { type: DataTypes.BIGINT, allowNull: false },
      userId: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'public_member', modelName: 'PublicMember' },
  )
}
