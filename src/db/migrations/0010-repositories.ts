import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const string = { type: DataTypes.STRING, allowNull: false }
const text = { type: DataTypes.TEXT, allowNull: false }

/** Repositories that packages are linked to; `package.repo_id` is there since the first release. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'repository',
    {
      id: { ...bigint, primaryKey: true, autoIncrement: true },
      owner_id: bigint,
      name: string,
      lower_name: string,
      url: text,
      description: text,
      is_private: { type: DataTypes.BOOLEAN, allowNull: false },
      created_at: bigint,
      updated_at: bigint,
    },
    { charset: 'utf8mb4', collate: 'utf8mb4_bin' },
  )
  await queryInterface.addIndex('repository', ['owner_id', 'lower_name'], { unique: true })
}
