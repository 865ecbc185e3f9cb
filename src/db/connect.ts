import { mkdir } from 'node:fs/promises'
import { dirname, isAbsolute, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as sqliteModule from '@appthreat/sqlite3'
import { type Options, QueryTypes, Sequelize, Transaction } from 'sequelize'
import { ConfigError } from '../config/config.ts'

const RETRIES = 5

/** What Sequelize talks to SQLite through. */
export const sqliteDriver = (sqliteModule as unknown as { default: object }).default

/** One database, SQLite or MySQL/MariaDB. `queries` counts every statement sent, for metrics and tests. */
export class Database {
  readonly sequelize: Sequelize
  readonly dialect: 'sqlite' | 'mysql'
  /** Where SQLite keeps it; null for a server. */
  readonly file: string | null
  queries = 0
  #turn: Promise<void> = Promise.resolve()
  #hasAnswered = false

  constructor(url: string) {
    const options: Options = {
      logging: () => {
        this.queries += 1
      },
      define: { timestamps: false, underscored: true, freezeTableName: true },
    }
    if (url.startsWith('sqlite:')) {
      this.dialect = 'sqlite'
      this.file = sqlitePath(url)
      this.sequelize = new Sequelize({
        ...options,
        dialect: 'sqlite',
        storage: this.file,
        dialectModule: sqliteDriver,
      })
    } else {
      this.dialect = 'mysql'
      this.file = null
      this.sequelize = new Sequelize(url, {
        ...options,
        dialect: 'mysql',
        timezone: '+00:00',
        pool: { max: 20, acquire: 15_000, idle: 30_000 },
        // Each text is prepared once per connection, and the server has room for 16,382 in all.
        dialectOptions: { connectTimeout: 5_000, charset: 'utf8mb4_bin', maxPreparedStatements: 300 },
      })
    }
  }

  /** Opens the database; for SQLite makes its folder and sets WAL, so that readers never wait for the writer. */
  async open(): Promise<void> {
    if (this.file !== null) {
      await mkdir(dirname(this.file), { recursive: true })
      await this.sequelize.query('PRAGMA journal_mode = WAL')
    }
    await this.check()
  }

  /** The clock of the database's host, ms since the epoch; null where that is this host. */
  async now(): Promise<number | null> {
    if (this.dialect === 'sqlite') return null
    const [row] = await this.sequelize.query<{ now: string }>('SELECT UNIX_TIMESTAMP(NOW(3)) AS now', {
      type: QueryTypes.SELECT,
    })
    return Math.round(Number(row!.now) * 1_000)
  }

  /** Throws when the database does not answer. */
  async check(): Promise<void> {
    await this.sequelize.query('SELECT 1')
    this.#hasAnswered = true
  }

  /**
   * Runs `work` in one transaction and commits. A deadlock, a busy database or a unique constraint that another
   * request won is retried from the start with fresh reads, so `work` must do nothing that cannot be done twice.
   */
  async inTransaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await (this.dialect === 'sqlite'
          ? this.#inTurn(() => this.sequelize.transaction({ type: Transaction.TYPES.IMMEDIATE }, work))
          : this.sequelize.transaction(READ_COMMITTED, work))
      } catch (error) {
        if (attempt >= RETRIES || !isRetriable(error)) throw error
        await sleep(Math.random() * 25 * 2 ** attempt)
      }
    }
  }

  async close(): Promise<void> {
    await this.#turn
    // The driver would wait for ever for a file that could not be opened.
    if (this.file === null || this.#hasAnswered) await this.sequelize.close()
  }

  /** SQLite has one writer: queueing here is fair, waiting for its lock is not and ends in SQLITE_BUSY. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.then(
      () => {},
      () => {},
    )
    return result
  }
}

// Under REPEATABLE READ a retry's locking reads take gap locks that make parallel first uploads of one package deadlock.
const READ_COMMITTED = { isolationLevel: Transaction.ISOLATION_LEVELS.READ_COMMITTED }

function sqlitePath(url: string): string {
  const path = url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '')
  if (path === ':memory:') throw new ConfigError('database.url: sqlite::memory: is not supported, give a file')
  return isAbsolute(path) ? path : resolve(path)
}

function isRetriable(error: unknown): boolean {
  const { name, parent, original } = error as {
    name?: string
    parent?: { code?: string }
    original?: { code?: string }
  }
  if (name === 'SequelizeUniqueConstraintError') return true
  const code = parent?.code ?? original?.code ?? ''
  return ['SQLITE_BUSY', 'SQLITE_LOCKED', 'ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT', 'ER_CHECKREAD'].includes(code)
}
