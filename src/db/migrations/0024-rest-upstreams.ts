import { DataTypes, type QueryInterface } from 'sequelize'

/** Upstreams that are made over REST (pull-through.md §12). The previous release leaves their rows alone. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.addColumn('upstream', 'settings', { type: DataTypes.TEXT })
  await queryInterface.addColumn('upstream', 'sealed_secrets', { type: DataTypes.TEXT })
  await queryInterface.addColumn('upstream', 'revision', {
    type: DataTypes.BIGINT,
    allowNull: false,
    defaultValue: 0,
  })
  await queryInterface.addColumn('upstream', 'removed_at', { type: DataTypes.BIGINT })
}
