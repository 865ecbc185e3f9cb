import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const string = { type: DataTypes.STRING, allowNull: false }
const binary = { charset: 'utf8mb4', collate: 'utf8mb4_bin' }

/**
 * When what is cached was last used, and what stays (pull-through.md §9). What the previous release stores counts as
 * used at the beginning of time (1): nobody believes that, and eviction asks when it came.
 */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.addColumn('upstream_digest', 'last_used_at', { ...bigint, defaultValue: 1 })
  await queryInterface.addIndex('upstream_digest', ['upstream_id', 'last_used_at'])
  await queryInterface.addColumn('upstream_document', 'last_used_at', { ...bigint, defaultValue: 0 })
  await queryInterface.addIndex('upstream_document', ['upstream_id', 'last_used_at'])
  await queryInterface.createTable(
    'upstream_pin',
    {
      id: { ...bigint, primaryKey: true, autoIncrement: true },
      upstream_id: bigint,
      name: string,
      version: string,
      author: string,
      created_at: bigint,
    },
    binary,
  )
  await queryInterface.addIndex('upstream_pin', ['upstream_id', 'name', 'version'], { unique: true })
}
