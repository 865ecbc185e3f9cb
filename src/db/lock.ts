import { setTimeout as sleep } from 'node:timers/promises'
import { QueryTypes, Sequelize } from 'sequelize'
import { type Database, sqliteDriver } from './connect.ts'

/** ms between two looks at a lock of SQLite. */
const LOOK = 100

/**
 * Runs `work` while no other process, and nobody else in this one, holds the lock `name` of the database; null: it was
 * not free within `patience` ms, and nothing ran. The lock of a process that dies is free at once.
 */
export function runAlone<T>(
  db: Database,
  name: string,
  patience: number,
  work: () => Promise<T>,
): Promise<{ result: T } | null> {
  return db.file === null ? withServerLock(db, name, patience, work) : withLockFile(db.file, name, patience, work)
}

/** The connection that has the lock does nothing else: the transaction keeps it. */
function withServerLock<T>(
  { sequelize }: Database,
  name: string,
  patience: number,
  work: () => Promise<T>,
): Promise<{ result: T } | null> {
  return sequelize.transaction(async (transaction) => {
    const ask = async (call: string) => {
      const sql = `SELECT ${call} AS answer`
      const [row] = await sequelize.query<{ answer: number | null }>(sql, { type: QueryTypes.SELECT, transaction })
      return Number(row!.answer)
    }
    const lock = `CONCAT(DATABASE(), ${sequelize.escape(`.${name}`)})`
    if ((await ask(`GET_LOCK(${lock}, ${Math.ceil(patience / 1_000)})`)) !== 1) return null
    try {
      return { result: await work() }
    } finally {
      await ask(`RELEASE_LOCK(${lock})`)
    }
  })
}

/** SQLite locks files only, and the database itself must stay open to all: an empty one beside it is locked instead. */
async function withLockFile<T>(
  file: string,
  name: string,
  patience: number,
  work: () => Promise<T>,
): Promise<{ result: T } | null> {
  const sequelize = new Sequelize({
    dialect: 'sqlite',
    storage: `${file}-${name}.lock`,
    dialectModule: sqliteDriver,
    logging: false,
    retry: { max: 1 },
  })
  const end = Date.now() + patience
  try {
    return (await lockFile(sequelize, end)) ? { result: await work() } : null
  } finally {
    await sequelize.close()
  }
}

/** Whether it is locked until its only connection is closed. */
async function lockFile(sequelize: Sequelize, end: number): Promise<boolean> {
  for (;;) {
    try {
      await sequelize.query('BEGIN EXCLUSIVE')
      return true
    } catch (error) {
      if ((error as { parent?: { code?: string } }).parent?.code !== 'SQLITE_BUSY') throw error
      if (Date.now() >= end) return false
      await sleep(LOOK)
    }
  }
}
