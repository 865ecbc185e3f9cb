import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const string = (length = 255) => ({ type: DataTypes.STRING(length), allowNull: false })

// Names compare byte by byte, as in SQLite.
const table = { charset: 'utf8mb4', collate: 'utf8mb4_bin' }

/** Patterns of names that an organization never asks an upstream for. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'reserved_name',
    {
      id: { ...bigint, primaryKey: true, autoIncrement: true },
      org_id: bigint,
      type: string(32),
      pattern: string(),
    },
    table,
  )
  await queryInterface.addIndex('reserved_name', ['org_id', 'type', 'pattern'], { unique: true })
}
