import { type QueryInterface, QueryTypes } from 'sequelize'
import { SequelizeStorage, Umzug } from 'umzug'
import type { Database } from '../connect.ts'
import { runAlone } from '../lock.ts'
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
import * as twoFactor from './0012-two-factor.ts'
import * as trustedPublishers from './0013-trusted-publishers.ts'
import * as externalIdentities from './0014-external-identities.ts'
import * as packageVisibility from './0015-package-visibility.ts'
import * as policies from './0016-policies.ts'
import * as jobRuns from './0020-job-runs.ts'
import * as teamRepositories from './0021-team-repositories.ts'
import * as dueDeliveries from './0022-due-deliveries.ts'
import * as eviction from './0023-eviction.ts'
import * as restUpstreams from './0024-rest-upstreams.ts'
import * as attachments from './0025-attachments.ts'
import { repeatable } from './repeatable.ts'

/** ms that a process waits for another one's migrations. */
const PATIENCE = 300_000

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
  { name: '0012-two-factor', up: twoFactor.up },
  { name: '0013-trusted-publishers', up: trustedPublishers.up },
  { name: '0014-external-identities', up: externalIdentities.up },
  { name: '0015-package-visibility', up: packageVisibility.up },
  { name: '0016-policies', up: policies.up },
  { name: '0020-job-runs', up: jobRuns.up },
  { name: '0021-team-repositories', up: teamRepositories.up },
  { name: '0022-due-deliveries', up: dueDeliveries.up },
  { name: '0023-eviction', up: eviction.up },
  { name: '0024-rest-upstreams', up: restUpstreams.up },
  { name: '0025-attachments', up: attachments.up },
]

/**
 * Brings the schema up to date; returns the names of the migrations that ran. Of processes that start together one
 * migrates, and the others wait for it.
 */
export async function migrate(db: Database): Promise<string[]> {
  const umzug = new Umzug<QueryInterface>({
    migrations: migrations.map(({ name, up }) => ({ name, up: ({ context }) => up(context) })),
    context: repeatable(db.sequelize.getQueryInterface()),
    storage: new SequelizeStorage({ sequelize: db.sequelize, tableName: 'migration' }),
    logger: undefined,
  })
  const done = await runAlone(db, 'migration', PATIENCE, async () => (await umzug.up()).map(({ name }) => name))
  if (done === null) throw new Error('another process has been migrating the database for five minutes')
  return done.result
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
