import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const integer = { type: DataTypes.INTEGER, allowNull: false }
const flag = { type: DataTypes.BOOLEAN, allowNull: false }
const string = (length = 255) => ({ type: DataTypes.STRING(length), allowNull: false })

/** Which versions are removed by themselves (gitea-model.md §1). */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'package_cleanup_rule',
    {
      id: { ...bigint, primaryKey: true, autoIncrement: true },
      enabled: flag,
      owner_id: bigint,
      type: string(32),
      keep_count: integer,
      keep_pattern: string(),
      remove_days: integer,
      remove_pattern: string(),
      match_full_name: flag,
      created_at: bigint,
      updated_at: bigint,
    },
    { charset: 'utf8mb4', collate: 'utf8mb4_bin' },
  )
  await queryInterface.addIndex('package_cleanup_rule', ['owner_id', 'type'], { unique: true })
}
