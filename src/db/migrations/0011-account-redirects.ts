import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }

/** Names that accounts once had (gitea-model.md §6). The previous release finds nobody by them. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'account_redirect',
    {
      id: { ...bigint, primaryKey: true, autoIncrement: true },
      lower_name: { type: DataTypes.STRING, allowNull: false },
      account_id: bigint,
    },
    { charset: 'utf8mb4', collate: 'utf8mb4_bin' },
  )
  await queryInterface.addIndex('account_redirect', ['lower_name'], { unique: true })
  await queryInterface.addIndex('account_redirect', ['account_id'])
}
