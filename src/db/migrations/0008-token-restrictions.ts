import { DataTypes, type QueryInterface } from 'sequelize'

/** Access tokens that end, that are for some packages only, and that were made with others. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  const columns = {
    expires_at: { type: DataTypes.BIGINT, allowNull: true },
    limits: { type: DataTypes.TEXT, allowNull: true },
    parent_id: { type: DataTypes.BIGINT, allowNull: true },
  }
  for (const [name, column] of Object.entries(columns)) await queryInterface.addColumn('access_token', name, column)
  await queryInterface.addIndex('access_token', ['parent_id'])
}
