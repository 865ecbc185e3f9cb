import { DataTypes, type QueryInterface } from 'sequelize'

/** Limits of single owners that are not those of the site. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'owner_quota',
    {
      owner_id: { type: DataTypes.BIGINT, allowNull: false, primaryKey: true },
      total_count: { type: DataTypes.BIGINT, allowNull: true },
      total_size: { type: DataTypes.BIGINT, allowNull: true },
      type_sizes: { type: DataTypes.TEXT, allowNull: false },
      updated_at: { type: DataTypes.BIGINT, allowNull: false },
    },
    { charset: 'utf8mb4', collate: 'utf8mb4_bin' },
  )
}
