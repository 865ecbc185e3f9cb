import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const string = (length = 255) => ({ type: DataTypes.STRING(length), allowNull: false })
const text = { type: DataTypes.TEXT, allowNull: false }
const nullableText = { type: DataTypes.TEXT, allowNull: true }

const table = { charset: 'utf8mb4', collate: 'utf8mb4_bin' }

/**
 * CI jobs whose id-tokens are exchanged for tokens, and the id-tokens that were. To the previous release tokens of
 * organizations open nothing; it lists those of users with the others.
 */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'trusted_publisher',
    {
      id: { ...bigint, primaryKey: true, autoIncrement: true },
      owner_id: bigint,
      name: string(),
      issuer: string(),
      claims: text,
      packages: nullableText,
      lifetime: { type: DataTypes.INTEGER, allowNull: false },
      created_by: bigint,
      created_at: bigint,
      last_used_at: bigint,
    },
    table,
  )
  await queryInterface.addIndex('trusted_publisher', ['owner_id', 'name'], { unique: true })
  await queryInterface.addIndex('trusted_publisher', ['issuer', 'id'])
  await queryInterface.createTable(
    'used_id_token',
    { hash: { ...string(64), primaryKey: true }, expires_at: bigint },
    table,
  )
  await queryInterface.addIndex('used_id_token', ['expires_at'])
  await queryInterface.addColumn('access_token', 'publisher_ids', nullableText)
}
