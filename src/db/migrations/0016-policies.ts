import { DataTypes, type QueryInterface } from 'sequelize'

const bigint = { type: DataTypes.BIGINT, allowNull: false }
const string = { type: DataTypes.STRING, allowNull: false }
const words = { type: DataTypes.STRING(32), allowNull: false }
const binary = { charset: 'utf8mb4', collate: 'utf8mb4_bin' }

/**
 * Rules about what of upstreams is served, and what is remembered of their versions and tags (pull-through.md §8). The
 * previous release serves everything.
 */
export async function up(queryInterface: QueryInterface): Promise<void> {
  const id = { ...bigint, primaryKey: true, autoIncrement: true }
  await queryInterface.createTable(
    'package_rule',
    {
      id,
      scope: words,
      scope_id: bigint,
      action: words,
      type: words,
      name: string,
      versions: string,
      min_age: bigint,
      not_after: bigint,
      untrusted_only: { type: DataTypes.BOOLEAN, allowNull: false },
      reason: { type: DataTypes.STRING(1000), allowNull: false },
      author: string,
      expires_at: bigint,
      created_at: bigint,
      updated_at: bigint,
    },
    binary,
  )
  await queryInterface.addIndex('package_rule', ['scope', 'scope_id'])
  await queryInterface.createTable(
    'upstream_version',
    {
      id,
      upstream_id: bigint,
      name: string,
      version: string,
      first_seen: bigint,
      absent_at: bigint,
      published_at: { type: DataTypes.BIGINT, allowNull: true },
      state: { ...words, defaultValue: 'normal' },
    },
    binary,
  )
  await queryInterface.addIndex('upstream_version', ['upstream_id', 'name', 'version'], { unique: true })
  await queryInterface.createTable(
    'upstream_tag',
    {
      id,
      upstream_id: bigint,
      name: string,
      tag: { type: DataTypes.STRING(128), allowNull: false },
      digest: { type: DataTypes.STRING(140), allowNull: false },
      first_seen: bigint,
    },
    binary,
  )
  await queryInterface.addIndex('upstream_tag', ['upstream_id', 'name', 'tag', 'digest'], { unique: true })
  await queryInterface.addIndex('upstream_tag', ['upstream_id', 'name', 'digest'])
}
