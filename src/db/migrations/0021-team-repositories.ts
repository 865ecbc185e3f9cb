import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }

/** Which repositories of its organization a team is about (rest-api.md §7). */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'team_repository',
    { id: { ...bigint, primaryKey: true, autoIncrement: true }, team_id: bigint, repo_id: bigint },
    { charset: 'utf8mb4', collate: 'utf8mb4_bin' },
  )
  await queryInterface.addIndex('team_repository', ['team_id', 'repo_id'], { unique: true })
  await queryInterface.addIndex('team_repository', ['repo_id'])
}
