import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const string = (length = 255) => ({ type: DataTypes.STRING(length), allowNull: false })

// Names and ids compare byte by byte, as in SQLite.
const table = { charset: 'utf8mb4', collate: 'utf8mb4_bin' }

/** What container images need besides packages: keys of registry tokens, and uploads that are not finished. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  const isSqlite = queryInterface.sequelize.getDialect() === 'sqlite'
  await queryInterface.createTable(
    'signing_key',
    {
      kid: { ...string(64), primaryKey: true },
      secret: string(),
      created_at: bigint,
    },
    table,
  )
  await queryInterface.createTable(
    'package_blob_upload',
    {
      id: { ...string(36), primaryKey: true },
      user_id: bigint,
      owner_id: bigint,
      name: string(),
      size: { ...bigint, defaultValue: 0 },
      // A part takes some 60 bytes; MariaDB's plain TEXT ends at 64 KiB.
      parts: { type: isSqlite ? DataTypes.TEXT : DataTypes.TEXT('long'), allowNull: false },
      created_at: bigint,
      updated_at: bigint,
    },
    table,
  )
  await queryInterface.addIndex('package_blob_upload', ['updated_at'])
  await queryInterface.addIndex('package_blob_upload', ['owner_id', 'name'])
}
