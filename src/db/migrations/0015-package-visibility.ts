import { DataTypes, type QueryInterface } from 'sequelize'

/** Packages that are private whatever their owner is. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  const column = { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false }
  await queryInterface.addColumn('package', 'is_private', column)
  await queryInterface.addIndex('package', ['owner_id', 'is_private'])
}
