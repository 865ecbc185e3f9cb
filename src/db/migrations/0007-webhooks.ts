import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const integer = { type: DataTypes.INTEGER, allowNull: false }
const text = { type: DataTypes.TEXT, allowNull: false }
const string = (length = 255) => ({ type: DataTypes.STRING(length), allowNull: false })

const table = { charset: 'utf8mb4', collate: 'utf8mb4_bin' }

/** Webhooks and what is to be delivered to them, or was (gitea-model.md §9). */
export async function up(queryInterface: QueryInterface): Promise<void> {
  // SQLite has one TEXT without a limit; MariaDB's plain TEXT ends at 64 KiB.
  const isSqlite = queryInterface.sequelize.getDialect() === 'sqlite'
  const longText = { type: isSqlite ? DataTypes.TEXT : DataTypes.TEXT('long'), allowNull: false }
  const id = { ...bigint, primaryKey: true, autoIncrement: true }

  await queryInterface.createTable(
    'webhook',
    {
      id,
      kind: string(16),
      owner_id: bigint,
      name: string(),
      url: text,
      content_type: string(8),
      sealed_secret: text,
      sealed_authorization: text,
      events: text,
      branch_filter: string(),
      is_active: { type: DataTypes.BOOLEAN, allowNull: false },
      created_at: bigint,
      updated_at: bigint,
    },
    table,
  )
  await queryInterface.addIndex('webhook', ['owner_id'])
  await queryInterface.createTable(
    'hook_task',
    {
      id,
      uuid: string(36),
      hook_id: bigint,
      owner_id: bigint,
      cause: string(16),
      event: string(32),
      action: string(32),
      payload: longText,
      status: string(16),
      attempts: integer,
      next_attempt_at: bigint,
      created_at: bigint,
      attempted_at: bigint,
      duration: integer,
      request_url: text,
      request_headers: text,
      response_status: integer,
      response_headers: longText,
      response_body: longText,
      error: text,
    },
    table,
  )
  await queryInterface.addIndex('hook_task', ['uuid'], { unique: true })
  await queryInterface.addIndex('hook_task', ['hook_id', 'id'])
  await queryInterface.addIndex('hook_task', ['status', 'next_attempt_at', 'hook_id'])
  await queryInterface.addIndex('hook_task', ['created_at'])
}
