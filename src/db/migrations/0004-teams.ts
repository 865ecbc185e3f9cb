import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const off = { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false }

// Names and ids compare byte by byte, as in SQLite.
const table = { charset: 'utf8mb4', collate: 'utf8mb4_bin' }

/** What teams are besides their rights, and who shows his membership of an organization. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  // With defaults: the previous release goes on making teams without them.
  await queryInterface.addColumn('team', 'includes_all_repositories', off)
  await queryInterface.addColumn('team', 'can_create_org_repo', off)
  await queryInterface.addColumn('team', 'visibility', {
    type: DataTypes.STRING(16),
    allowNull: false,
    defaultValue: 'private',
  })
  await queryInterface.createTable(
    'public_member',
    {
      id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
      org_id: bigint,
      user_id: bigint,
    },
    table,
  )
  await queryInterface.addIndex('public_member', ['org_id', 'user_id'], { unique: true })
  await queryInterface.addIndex('public_member', ['user_id'])
}
