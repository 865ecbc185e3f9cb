import type { QueryInterface } from 'sequelize'
import { SequelizeStorage, Umzug } from 'umzug'
import type { Database } from '../connect.ts'
import * as initial from './0001-initial.ts'
import * as containers from './0002-containers.ts'

const migrations = [
  { name: '0001-initial', up: initial.up },
  { name: '0002-containers', up: containers.up },
]

/** Brings the schema up to date; returns the names of the migrations that ran. */
export async function migrate(db: Database): Promise<string[]> {
  const umzug = new Umzug<QueryInterface>({
    migrations: migrations.map(({ name, up }) => ({ name, up: ({ context }) => up(context) })),
    context: db.sequelize.getQueryInterface(),
    storage: new SequelizeStorage({ sequelize: db.sequelize, tableName: 'migration' }),
    logger: undefined,
  })
  return alone(db, async () => (await umzug.up()).map(({ name }) => name))
}

/** Replicas that start together migrate one after the other; a SQLite file has one server anyway. */
async function alone<T>(db: Database, work: () => Promise<T>): Promise<T> {
  if (db.dialect === 'sqlite') return work()
  return db.sequelize.transaction(async (transaction) => {
    const name = "CONCAT(DATABASE(), '.migration')"
    await db.sequelize.query(`SELECT GET_LOCK(${name}, 300)`, { transaction })
    return work().finally(() => db.sequelize.query(`SELECT RELEASE_LOCK(${name})`, { transaction }))
  })
}
