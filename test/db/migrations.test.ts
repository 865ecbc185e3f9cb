import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { QueryTypes } from 'sequelize'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Database } from '../../src/db/connect.ts'
import { compareSchema, migrate } from '../../src/db/migrations/index.ts'
import { createMigratedDatabaseUrl, createTestDatabaseUrl, testDialects } from '../support/test-database.ts'

describe.each(testDialects)('migrations on %s', (dialect) => {
  let directory: string
  const drops: (() => Promise<void>)[] = []

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'entrepot-migrations-'))
  })
  afterEach(async () => {
    for (const drop of drops.splice(0).reverse()) await drop()
    await rm(directory, { recursive: true, force: true })
  })

  async function open(create: typeof createTestDatabaseUrl): Promise<{ db: Database; url: string }> {
    const { url, drop } = await create(directory, dialect)
    drops.push(drop)
    return { db: await connect(url), url }
  }

  async function connect(url: string): Promise<Database> {
    const db = new Database(url)
    await db.open()
    drops.push(() => db.close())
    return db
  }

  test('each can run again after it was killed before it was recorded', async () => {
    const { db } = await open(createMigratedDatabaseUrl)
    const before = await describeSchema(db)
    const rows = await db.sequelize.query<{ name: string }>('SELECT name FROM migration', { type: QueryTypes.SELECT })
    expect(rows.length).toBeGreaterThan(11)
    for (const { name } of rows) {
      await db.sequelize.query('DELETE FROM migration WHERE name = $1', { bind: [name] })
      expect(await migrate(db)).toEqual([name])
    }
    expect(await describeSchema(db)).toEqual(before)
  })

  test('a migration that was killed in the middle adds what is missing', async () => {
    const { db } = await open(createMigratedDatabaseUrl)
    const before = await describeSchema(db)
    const queryInterface = db.sequelize.getQueryInterface()
    await queryInterface.removeIndex('access_token', ['parent_id'])
    await queryInterface.dropTable('public_member')
    await db.sequelize.query("DELETE FROM migration WHERE name IN ('0004-teams', '0008-token-restrictions')")
    expect(await migrate(db)).toEqual(['0004-teams', '0008-token-restrictions'])
    expect(await describeSchema(db)).toEqual(before)
  })

  test('processes that start at once migrate one after the other', async () => {
    const { db, url } = await open(createTestDatabaseUrl)
    const others = [await connect(url), await connect(url)]
    const ran = await Promise.all([db, ...others].map((each) => migrate(each)))
    expect(ran.filter((names) => names.length > 0)).toHaveLength(1)
    expect(await compareSchema(db)).toEqual({ pending: [], unknown: [] })
  })
})

async function describeSchema(db: Database): Promise<object> {
  const queryInterface = db.sequelize.getQueryInterface()
  const tables = (await queryInterface.showAllTables()).sort()
  const described = tables.map(async (table) => {
    const indexes = (await queryInterface.showIndex(table)) as { name: string; unique: boolean }[]
    return [table, await queryInterface.describeTable(table), indexes.map(({ name, unique }) => ({ name, unique }))]
  })
  return Object.fromEntries((await Promise.all(described)).map(([table, ...rest]) => [table, rest]))
}
