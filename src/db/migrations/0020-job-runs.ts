import { DataTypes, type QueryInterface } from 'sequelize'

/** When each job of the server last began, so that servers share the work (rest-api.md §6). */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'job_run',
    {
      name: { type: DataTypes.STRING(64), allowNull: false, primaryKey: true },
      started_at: { type: DataTypes.BIGINT, allowNull: false },
      runs: { type: DataTypes.BIGINT, allowNull: false },
    },
    { charset: 'utf8mb4', collate: 'utf8mb4_bin' },
  )
}
