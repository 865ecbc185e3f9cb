import { access } from 'node:fs/promises'
import type { Config } from '../../config/config.ts'
import { Database } from '../../db/connect.ts'
import { compareSchema } from '../../db/migrations/index.ts'
import { initModels } from '../../models/index.ts'
import { type Report, reasonOf } from './report.ts'

const SUBJECT = 'database'
/** Ms. */
const SKEW = 60_000

/** The open database, for the caller to close; null when there is none, or none that this release can read. */
export async function checkDatabase(report: Report, config: Config): Promise<Database | null> {
  let db: Database
  try {
    db = new Database(config.database.url)
  } catch (error) {
    report.fail(SUBJECT, reasonOf(error), 'see database.url in config/default.yaml')
    return null
  }
  // Opening a file that is not there would make it.
  if (
    db.file !== null &&
    !(await access(db.file).then(
      () => true,
      () => false,
    ))
  ) {
    report.warn(SUBJECT, `${db.file} does not exist yet`, 'the first start makes it, and so does `entrepot migrate`')
    await db.close()
    return null
  }
  const isUsable = await examine(report, db).catch((error: unknown) => {
    report.fail(SUBJECT, `it does not answer: ${reasonOf(error)}`, adviceOn(db))
    return false
  })
  if (isUsable) return db
  await db.close()
  return null
}

async function examine(report: Report, db: Database): Promise<boolean> {
  await db.check()
  const { pending, unknown } = await compareSchema(db)
  // An empty transaction takes the lock of SQLite's writer, so it tells of a file that can only be read.
  await db.inTransaction(async () => {})
  const where = db.file ?? 'the server answers'
  if (unknown.length > 0) {
    const advice = 'run the newest release everywhere, or keep in mind that it may know what this one does not'
    report.warn(SUBJECT, `${where}; a later release has migrated it (${unknown.join(', ')})`, advice)
  }
  if (pending.length > 0) {
    const advice = 'back it up, then `entrepot migrate`; the next start does the same'
    report.warn(SUBJECT, `${where}; migrations are waiting: ${pending.join(', ')}`, advice)
    return false
  }
  report.ok(SUBJECT, `${where}, up to date`)
  await checkClock(report, db)
  await checkAdministrators(report, db)
  return true
}

async function checkClock(report: Report, db: Database): Promise<void> {
  const before = Date.now()
  const theirs = await db.now()
  if (theirs === null) return
  const skew = theirs - (before + Date.now()) / 2
  if (Math.abs(skew) <= SKEW) return
  const direction = skew > 0 ? 'ahead of' : 'behind'
  const text = `the clock of the database is ${Math.round(Math.abs(skew) / 1_000)} s ${direction} this host’s`
  report.warn('clock', text, 'synchronize both (chrony, systemd-timesyncd)')
}

async function checkAdministrators(report: Report, { sequelize }: Database): Promise<void> {
  const where = { kind: 'user' as const, isAdmin: true, isActive: true, prohibitLogin: false }
  if ((await initModels(sequelize).user.count({ where })) > 0) return
  report.warn(
    'accounts',
    'nobody is an administrator',
    'entrepot user create NAME --email ADDRESS --admin --random-password',
  )
}

function adviceOn({ file }: Database): string {
  if (file === null)
    return 'start it, and see database.url (ENTREPOT_DATABASE_URL): host, port, user, password and name'
  return `see that ${file} and its folder belong to the user of the server, and restore it from a backup if it is damaged`
}
