import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Sequelize } from 'sequelize'
import { Database } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrations/index.ts'
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
  const { url, drop } = await createTestDatabaseUrl(directory, dialect)
  const db = new Database(url)
  await db.open()
  await migrate(db)
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

async function onServer(statement: string): Promise<void> {
  const server = new URL(mysqlUrl)
  server.pathname = '/'
  const sequelize = new Sequelize(server.href, { dialect: 'mysql', logging: false })
  await sequelize.query(statement).finally(() => sequelize.close())
}
