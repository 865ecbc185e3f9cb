import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const string = { type: DataTypes.STRING, allowNull: false }
const binary = { charset: 'utf8mb4', collate: 'utf8mb4_bin' }

/** Who users are at identity providers, and sign-ins that have begun there. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'external_identity',
    {
      id: { ...bigint, primaryKey: true, autoIncrement: true },
      provider: { type: DataTypes.STRING(40), allowNull: false },
      subject: string,
      user_id: bigint,
      created_at: bigint,
      last_sign_in_at: bigint,
    },
    binary,
  )
  await queryInterface.addIndex('external_identity', ['provider', 'subject'], { unique: true })
  await queryInterface.addIndex('external_identity', ['user_id'])
  await queryInterface.createTable(
    'sign_in_ticket',
    {
      secret_hash: { type: DataTypes.STRING(64), allowNull: false, primaryKey: true },
      kind: { type: DataTypes.STRING(16), allowNull: false },
      network: { type: DataTypes.STRING(64), allowNull: false },
      sealed: { type: DataTypes.TEXT, allowNull: false },
      expires_at: bigint,
    },
    binary,
  )
  await queryInterface.addIndex('sign_in_ticket', ['kind', 'network'])
  await queryInterface.addIndex('sign_in_ticket', ['expires_at'])
}
