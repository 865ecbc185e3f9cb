import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const text = { type: DataTypes.TEXT, allowNull: false }

/** One-time codes beside passwords (rest-api.md §1). The previous release signs everybody in by password alone. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'two_factor',
    {
      user_id: { ...bigint, primaryKey: true },
      sealed_secret: text,
      last_step: bigint,
      recovery_hashes: text,
      penalty_until: bigint,
      created_at: bigint,
      confirmed_at: { type: DataTypes.BIGINT },
    },
    { charset: 'utf8mb4', collate: 'utf8mb4_bin' },
  )
}
