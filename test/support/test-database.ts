import { randomBytes } from 'node:crypto'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { QueryTypes, Sequelize } from 'sequelize'
import { Database } from '../../src/db/connect.ts'
import { initModels, type Models } from '../../src/models/index.ts'

type Dialect = Database['dialect']

/** A migrated database of one test. */
export interface TestDatabase {
  readonly db: Database
  readonly models: Models
  /** To open it a second time, as another replica does. */
  readonly url: string
  /** Closes and deletes it. */
  close(): Promise<void>
}

const mysqlUrl = process.env['TEST_DATABASE_URL'] ?? ''

/** The databases that tests about SQL run on: SQLite always, MySQL when TEST_DATABASE_URL names a server. */
export const testDialects: readonly Dialect[] = mysqlUrl === '' ? ['sqlite'] : ['sqlite', 'mysql']

/**
 * An empty migrated database: a SQLite file in a folder of its own, or a new database on the server of
 * TEST_DATABASE_URL, whose name is used as a prefix. By default MySQL when TEST_DATABASE_URL is set.
 */
export async function openTestDatabase(dialect: Dialect = testDialects.at(-1)!): Promise<TestDatabase> {
  const directory = await mkdtemp(join(tmpdir(), 'entrepot-database-'))
  const { url, drop } = await createMigratedDatabaseUrl(directory, dialect)
  const db = new Database(url)
  await db.open()
  return {
    db,
    models: initModels(db.sequelize),
    url,
    close: async () => {
      await db.close()
      await drop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** The URL of an empty database for whoever opens and migrates it himself; a SQLite file goes into `directory`. */
export async function createTestDatabaseUrl(
  directory: string,
  dialect: Dialect = testDialects.at(-1)!,
): Promise<{ url: string; drop: () => Promise<void> }> {
  if (dialect === 'sqlite') return { url: `sqlite:${join(directory, 'entrepot.db')}`, drop: async () => {} }
  const url = new URL(mysqlUrl)
  const name = `${url.pathname.slice(1) || 'entrepot_test'}_${randomBytes(6).toString('hex')}`
  await onServer(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => onServer(`DROP DATABASE \`${name}\``) }
}

/** Like `createTestDatabaseUrl`, of a database that is migrated: a copy of one that was, which is quicker. */
export async function createMigratedDatabaseUrl(
  directory: string,
  dialect: Dialect = testDialects.at(-1)!,
): Promise<{ url: string; drop: () => Promise<void> }> {
  const template = templateOf(dialect)
  const copy = await createTestDatabaseUrl(directory, dialect)
  if (dialect === 'sqlite') await copyFile(fileOf(template), fileOf(copy.url))
  else await copyTables(nameOf(template), nameOf(copy.url))
  return copy
}

/** The URL of a migrated database to copy from; the run's own, see template-databases.ts. */
function templateOf(dialect: Dialect): string {
  const url = process.env[templateVariable(dialect)]
  if (url === undefined) throw new Error(`${templateVariable(dialect)} is not set: the run has no template databases`)
  return url
}

/** Where the URL of the template of a dialect is handed on. */
export function templateVariable(dialect: Dialect): string {
  return `TEST_TEMPLATE_${dialect.toUpperCase()}`
}

/** Tables with all indexes, and the names of the migrations that made them. */
async function copyTables(from: string, to: string): Promise<void> {
  const sequelize = connectToServer()
  try {
    const tables = await sequelize.query<Record<string, string>>(`SHOW TABLES FROM \`${from}\``, {
      type: QueryTypes.SELECT,
    })
    for (const table of tables.flatMap((row) => Object.values(row))) {
      await sequelize.query(`CREATE TABLE \`${to}\`.\`${table}\` LIKE \`${from}\`.\`${table}\``)
    }
    await sequelize.query(`INSERT INTO \`${to}\`.migration SELECT * FROM \`${from}\`.migration`)
  } finally {
    await sequelize.close()
  }
}

function fileOf(url: string): string {
  return url.slice('sqlite:'.length)
}

function nameOf(url: string): string {
  return new URL(url).pathname.slice(1)
}

async function onServer(statement: string): Promise<void> {
  const sequelize = connectToServer()
  await sequelize.query(statement).finally(() => sequelize.close())
}

function connectToServer(): Sequelize {
  const server = new URL(mysqlUrl)
  server.pathname = '/'
  return new Sequelize(server.href, { dialect: 'mysql', logging: false })
}
