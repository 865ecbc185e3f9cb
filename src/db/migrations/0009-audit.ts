import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const string = { type: DataTypes.STRING, allowNull: false }
const text = { type: DataTypes.TEXT, allowNull: false }

/** The audit log. Rows are inserted, and removed by whole days; nothing changes one. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.createTable(
    'audit_event',
    {
      id: { ...bigint, primaryKey: true, autoIncrement: true },
      created_at: bigint,
      action: string,
      actor_id: bigint,
      actor_name: string,
      sudoer_id: bigint,
      sudoer_name: string,
      token_id: bigint,
      token_name: string,
      address: string,
      owner_id: bigint,
      owner_name: string,
      type: string,
      name: text,
      version: text,
      details: text,
    },
    { charset: 'utf8mb4', collate: 'utf8mb4_bin' },
  )
  for (const column of ['created_at', 'actor_name', 'owner_id', 'action']) {
    await queryInterface.addIndex('audit_event', [column, 'id'])
  }
}
