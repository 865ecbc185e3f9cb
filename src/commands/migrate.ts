import { Database } from '../db/connect.ts'
import { migrate as migrateDatabase } from '../db/migrations/index.ts'
import type { Command } from './command.ts'
import { prepare } from './start.ts'

/** Brings the database up to date; `serve` does the same at its start. */
export const migrate: Command = {
  name: 'migrate',
  summary: 'Bring the database schema up to date and exit.',
  help: `Makes the database if there is none. The server does the same at its start; alone, this prepares an upgrade:
servers of the release before go on working on the new schema. Running it twice, or beside itself, is
harmless. Back up the database first.`,
  run: async (_input, { environment, stdout }) => {
    const config = await prepare(environment)
    const db = new Database(config.database.url)
    try {
      await db.open()
      const done = await migrateDatabase(db)
      stdout.write(
        done.length === 0
          ? 'The database is up to date.\n'
          : `The database was brought up to date: ${done.join(', ')}.\n`,
      )
    } finally {
      await db.close()
    }
    return 0
  },
}
