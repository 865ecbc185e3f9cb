import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrations/index.ts'
import { createTestDatabaseUrl, templateVariable, testDialects } from './test-database.ts'

/** Once for all test files: a migrated database of each dialect, of which tests take copies. */
export default async function setup(): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'entrepot-template-'))
  const drops: (() => Promise<void>)[] = [() => rm(directory, { recursive: true, force: true })]
  for (const dialect of testDialects) {
    const { url, drop } = await createTestDatabaseUrl(directory, dialect)
    drops.push(drop)
    const db = new Database(url)
    await db.open()
    await migrate(db)
    await db.close()
    process.env[templateVariable(dialect)] = url
  }
  return async () => {
    for (const drop of drops) await drop()
  }
}
