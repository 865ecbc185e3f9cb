import { DataTypes, type QueryInterface } from 'sequelize'

const id = { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true }
const bigint = { type: DataTypes.BIGINT, allowNull: false }
const integer = { type: DataTypes.INTEGER, allowNull: false }
const boolean = { type: DataTypes.BOOLEAN, allowNull: false }
const text = { type: DataTypes.TEXT, allowNull: false }
const string = (length = 255) => ({ type: DataTypes.STRING(length), allowNull: false })

// Names, keys and digests compare byte by byte, as in SQLite: the default collation would alias `Foo` and `foo`.
const table = { charset: 'utf8mb4', collate: 'utf8mb4_bin' }

/** The package model of Gitea, accounts, and what is held of upstreams. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  // SQLite has one TEXT without a limit; MariaDB's plain TEXT ends at 64 KiB.
  const isSqlite = queryInterface.sequelize.getDialect() === 'sqlite'
  const longText = { type: isSqlite ? DataTypes.TEXT : DataTypes.TEXT('long'), allowNull: false }

  await queryInterface.createTable(
    'user',
    {
      id,
      kind: string(16),
      name: string(),
      lower_name: string(),
      full_name: { ...string(), defaultValue: '' },
      email: { ...string(), defaultValue: '' },
      password_hash: { ...string(), defaultValue: '' },
      is_admin: { ...boolean, defaultValue: false },
      is_active: { ...boolean, defaultValue: true },
      is_restricted: { ...boolean, defaultValue: false },
      prohibit_login: { ...boolean, defaultValue: false },
      must_change_password: { ...boolean, defaultValue: false },
      allow_create_organization: { ...boolean, defaultValue: true },
      visibility: { ...string(16), defaultValue: 'public' },
      description: { ...string(), defaultValue: '' },
      website: { ...string(), defaultValue: '' },
      location: { ...string(), defaultValue: '' },
      created_at: bigint,
      updated_at: bigint,
      last_login_at: { ...bigint, defaultValue: 0 },
    },
    table,
  )
  await queryInterface.addIndex('user', ['lower_name'], { unique: true })
  await queryInterface.createTable(
    'team',
    {
      id,
      org_id: bigint,
      name: string(),
      lower_name: string(),
      description: { ...string(), defaultValue: '' },
      permission: string(16),
    },
    table,
  )
  await queryInterface.addIndex('team', ['org_id', 'lower_name'], { unique: true })
  await queryInterface.createTable(
    'team_unit',
    {
      id,
      team_id: bigint,
      org_id: bigint,
      unit: string(64),
      mode: string(16),
    },
    table,
  )
  await queryInterface.addIndex('team_unit', ['team_id', 'unit'], { unique: true })
  await queryInterface.addIndex('team_unit', ['org_id'])
  await queryInterface.createTable(
    'team_user',
    {
      id,
      team_id: bigint,
      org_id: bigint,
      user_id: bigint,
    },
    table,
  )
  await queryInterface.addIndex('team_user', ['team_id', 'user_id'], { unique: true })
  await queryInterface.addIndex('team_user', ['org_id', 'user_id'])
  await queryInterface.addIndex('team_user', ['user_id'])
  await queryInterface.createTable(
    'access_token',
    {
      id,
      user_id: bigint,
      name: string(),
      token_hash: string(64),
      token_last_eight: string(8),
      scopes: string(),
      created_at: bigint,
      last_used_at: { ...bigint, defaultValue: 0 },
    },
    table,
  )
  await queryInterface.addIndex('access_token', ['user_id', 'name'], { unique: true })
  await queryInterface.addIndex('access_token', ['token_hash'], { unique: true })
  await queryInterface.createTable(
    'package',
    {
      id,
      owner_id: bigint,
      repo_id: { ...bigint, defaultValue: 0 },
      type: string(32),
      name: string(),
      lower_name: string(),
      semver_compatible: { ...boolean, defaultValue: false },
      is_internal: { ...boolean, defaultValue: false },
    },
    table,
  )
  await queryInterface.addIndex('package', ['owner_id', 'type', 'lower_name'], { unique: true })
  await queryInterface.addIndex('package', ['lower_name'])
  await queryInterface.addIndex('package', ['repo_id'])
  await queryInterface.createTable(
    'package_version',
    {
      id,
      package_id: bigint,
      creator_id: { ...bigint, defaultValue: 0 },
      version: string(),
      lower_version: string(),
      created_at: bigint,
      is_internal: { ...boolean, defaultValue: false },
      metadata_json: longText,
      download_count: { ...bigint, defaultValue: 0 },
      last_downloaded_at: { ...bigint, defaultValue: 0 },
    },
    table,
  )
  await queryInterface.addIndex('package_version', ['package_id', 'lower_version'], { unique: true })
  await queryInterface.addIndex('package_version', ['created_at'])
  await queryInterface.addIndex('package_version', ['creator_id'])
  await queryInterface.createTable(
    'package_file',
    {
      id,
      version_id: bigint,
      blob_id: bigint,
      name: string(),
      lower_name: string(),
      composite_key: { ...string(), defaultValue: '' },
      is_lead: { ...boolean, defaultValue: false },
      created_at: bigint,
    },
    table,
  )
  await queryInterface.addIndex('package_file', ['version_id', 'lower_name', 'composite_key'], { unique: true })
  await queryInterface.addIndex('package_file', ['blob_id'])
  await queryInterface.createTable(
    'package_blob',
    {
      id,
      size: bigint,
      hash_md5: string(32),
      hash_sha1: string(40),
      hash_sha256: string(64),
      hash_sha512: string(128),
      created_at: bigint,
    },
    table,
  )
  await queryInterface.addIndex('package_blob', ['hash_sha256'], { unique: true })
  await queryInterface.addIndex('package_blob', ['hash_md5'])
  await queryInterface.addIndex('package_blob', ['hash_sha1'])
  await queryInterface.addIndex('package_blob', ['hash_sha512'])
  await queryInterface.addIndex('package_blob', ['created_at'])
  await queryInterface.createTable(
    'package_property',
    {
      id,
      ref_type: integer,
      ref_id: bigint,
      name: string(),
      value: longText,
    },
    table,
  )
  await queryInterface.addIndex('package_property', ['ref_type', 'ref_id', 'name'])
  await queryInterface.addIndex('package_property', ['name'])
  await queryInterface.createTable(
    'upstream',
    {
      id,
      name: string(),
      owner_id: bigint,
      type: string(32),
      base_url: text,
      mode: { ...string(16), defaultValue: 'online' },
      created_at: bigint,
      updated_at: bigint,
    },
    table,
  )
  await queryInterface.addIndex('upstream', ['name'], { unique: true })
  await queryInterface.addIndex('upstream', ['owner_id', 'type'], { unique: true })
  await queryInterface.createTable(
    'upstream_document',
    {
      id,
      upstream_id: bigint,
      kind: string(32),
      document_key: text,
      key_sha256: string(64),
      blob_id: bigint,
      etag: text,
      last_modified: { ...string(), defaultValue: '' },
      body_sha256: string(64),
      seq: bigint,
      fetched_at: bigint,
      verified_at: bigint,
      gone_at: { ...bigint, defaultValue: 0 },
    },
    table,
  )
  await queryInterface.addIndex('upstream_document', ['upstream_id', 'kind', 'key_sha256'], { unique: true })
  await queryInterface.addIndex('upstream_document', ['blob_id'])
  await queryInterface.createTable(
    'upstream_digest',
    {
      id,
      upstream_id: bigint,
      artifact_key: text,
      key_sha256: string(64),
      sha256: string(64),
      size: bigint,
      first_seen: bigint,
      file_id: { ...bigint, defaultValue: 0 },
    },
    table,
  )
  await queryInterface.addIndex('upstream_digest', ['upstream_id', 'key_sha256'], { unique: true })
  await queryInterface.addIndex('upstream_digest', ['file_id'])
  await queryInterface.createTable(
    'upstream_attachment',
    {
      id,
      org_id: bigint,
      type: string(32),
      position: integer,
      upstream_id: bigint,
      include: text,
      exclude: text,
    },
    table,
  )
  await queryInterface.addIndex('upstream_attachment', ['org_id', 'type', 'upstream_id'], { unique: true })
  await queryInterface.createTable(
    'name_binding',
    {
      id,
      owner_id: bigint,
      type: string(32),
      lower_name: string(),
      upstream_id: { ...bigint, defaultValue: 0 },
      created_at: bigint,
    },
    table,
  )
  await queryInterface.addIndex('name_binding', ['owner_id', 'type', 'lower_name'], { unique: true })
  await queryInterface.addIndex('name_binding', ['upstream_id'])
}
