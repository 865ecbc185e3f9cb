import { start } from './start.ts'

/** Brings the database up to date and exits; `serve` does the same at its start. */
export async function migrateCommand(): Promise<void> {
  const { services } = await start(process.env)
  await services.close()
}
