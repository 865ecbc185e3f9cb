import { type QueryInterface, QueryTypes } from 'sequelize'
import { SequelizeStorage, Umzug } from 'umzug'
import type { Database } from '../connect.ts'
import * as initial from './0001-initial.ts'
import * as containers from './0002-containers.ts'
import * as reservedNames from './0003-reserved-names.ts'
import * as teams from './0004-teams.ts'
import * as cleanupRules from './0005-cleanup-rules.ts'
import * as ownerQuotas from './0006-owner-quotas.ts'
import * as webhooks from './0007-webhooks.ts'
import * as tokenRestrictions from './0008-token-restrictions.ts'
import * as audit from './0009-audit.ts'
import * as repositories from './0010-repositories.ts'
import * as accountRedirects from './0011-account-redirects.ts'

const migrations = [
  { name: '0001-initial', up: initial.up },
  { name: '0002-containers', up: containers.up },
  { name: '0003-reserved-names', up: reservedNames.up },
  { name: '0004-teams', up: teams.up },
  { name: '0005-cleanup-rules', up: cleanupRules.up },
  { name: '0006-owner-quotas', up: ownerQuotas.up },
  { name: '0007-webhooks', up: webhooks.up },
  { name: '0008-token-restrictions', up: tokenRestrictions.up },
  { name: '0009-audit', up: audit.up },
  { name: '0010-repositories', up: repositories.up },
  { name: '0011-account-redirects', up: accountRedirects.up },
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

/**
 * Compares the schema with this release, and changes nothing: `pending` has not run yet, `unknown` comes from a later
 * release.
 */
export async function compareSchema(db: Database): Promise<{ pending: string[]; unknown: string[] }> {
  const tables = await db.sequelize.getQueryInterface().showAllTables()
  const rows = tables.includes('migration')
    ? await db.sequelize.query<{ name: string }>('SELECT name FROM migration', { type: QueryTypes.SELECT })
    : []
  const done = new Set(rows.map(({ name }) => name))
  const known = migrations.map(({ name }) => name)
  return {
    pending: known.filter((name) => !done.has(name)),
    unknown: [...done].filter((name) => !known.includes(name)),
  }
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
