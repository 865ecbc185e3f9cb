import { DataTypes, type QueryInterface } from 'sequelize'

/** Names that several sources share on purpose (pull-through.md §7); who has bound a name otherwise than by using it. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.addColumn('name_binding', 'merge', {
    type: DataTypes.BOOLEAN,
    allowNull: false,
    defaultValue: false,
  })
  await queryInterface.addColumn('name_binding', 'author', {
    type: DataTypes.STRING,
    allowNull: false,
    defaultValue: '',
  })
}
