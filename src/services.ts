import { join } from 'node:path'
import { theServer } from './audit/entry.ts'
import { FailedSignIns } from './audit/failed-sign-ins.ts'
import { Audit } from './audit/index.ts'
import { AccessTokens } from './auth/access-tokens.ts'
import { Accounts } from './auth/accounts.ts'
import { Authenticator } from './auth/authenticator.ts'
import { Members } from './auth/members.ts'
import { Memberships } from './auth/memberships.ts'
import { Passwords } from './auth/passwords.ts'
import { Permissions } from './auth/permissions.ts'
import { RegistryJwts } from './auth/registry-jwt.ts'
import { longestTokenLife, RegistryTokens } from './auth/registry-tokens.ts'
import { SecretBox } from './auth/secret-box.ts'
import { SignInGuard } from './auth/sign-in-guard.ts'
import { SigningKeys } from './auth/signing-keys.ts'
import { Teams } from './auth/teams.ts'
import { TwoFactor } from './auth/two-factor.ts'
import { TwoFactorCheck } from './auth/two-factor-check.ts'
import { Notices } from './cache/notices.ts'
import { Tallies } from './cache/tallies.ts'
import type { Clock } from './clock.ts'
import { type Config, ConfigError } from './config/config.ts'
import { Database } from './db/connect.ts'
import { migrate } from './db/migrations/index.ts'
import { Eviction } from './eviction/index.ts'
import type { Log } from './log.ts'
import { Metrics } from './metrics.ts'
import { initModels, type Models } from './models/index.ts'
import { Packages } from './packages/index.ts'
import type { RulesByType } from './packages/package-rules.ts'
import { Policies } from './policies/index.ts'
import { Schedule } from './schedule/index.ts'
import { SignIn } from './sign-in/index.ts'
import { readProviders } from './sign-in/provider-settings.ts'
import { FilesystemBlobStore } from './storage/filesystem-blob-store.ts'
import { FilesystemUploadParts } from './storage/filesystem-upload-parts.ts'
import { Spool } from './storage/spool.ts'
import { TrustedPublishing } from './trusted-publishing/index.ts'
import type { UpstreamAdapter } from './upstream/adapter.ts'
import { UpstreamEngine } from './upstream/index.ts'
import { readGlobalCa } from './upstream/network-settings.ts'
import { readMirrorNames, readUpstreamFiles } from './upstream/upstream-file.ts'
import { Webhooks } from './webhooks/index.ts'

/** Everything below HTTP, ready to use. */
export interface Services {
  readonly config: Config
  /** Of the product, e.g. `0.1.0`. */
  readonly version: string
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly db: Database
  readonly models: Models
  readonly notices: Notices
  readonly tallies: Tallies
  readonly accounts: Accounts
  readonly teams: Teams
  readonly members: Members
  readonly authenticator: Authenticator
  readonly twoFactor: TwoFactor
  readonly accessTokens: AccessTokens
  readonly registryTokens: RegistryTokens
  readonly permissions: Permissions
  readonly packages: Packages
  readonly audit: Audit
  readonly policies: Policies
  readonly upstream: UpstreamEngine
  readonly eviction: Eviction
  readonly webhooks: Webhooks
  readonly trustedPublishing: TrustedPublishing
  readonly signIn: SignIn
  readonly schedule: Schedule
  /** Throws when the database or the blob store does not answer; upstreams do not matter. */
  checkReady(): Promise<void>
  /** Ends what runs and lets go of everything, in the reverse order of the making. */
  close(): Promise<void>
}

/** What cannot be found in the configuration. */
export interface ServicesInput {
  config: Config
  environment: Record<string, string | undefined>
  version: string
  log: Log
  clock: Clock
  /** By package type: how its upstreams speak. */
  adapters: ReadonlyMap<string, UpstreamAdapter>
  /** By package type: what it says of its packages; every type is in it, for the keys of `packages.limits`. */
  packageRules: RulesByType
  /** false: upstreams are not made ready, and where they are is not asked; their names stay reserved. Default true. */
  withUpstreams?: boolean
}

/** Makes every part in order: database and schema, storage, accounts, packages, upstreams. Throws ConfigError. */
export async function buildServices(input: ServicesInput): Promise<Services> {
  const { config, environment, version, log, clock, adapters, packageRules, withUpstreams = true } = input
  requireKnownTypes(config, packageRules)
  const providers = readProviders(config, environment)
  const onError = (err: unknown, message = 'background work failed') => log.error({ err }, message)
  const globalCa = await readGlobalCa(config.mirrors.caFile)
  const upstreamSettings = withUpstreams
    ? await readUpstreamFiles(config.upstreamsDir, environment, adapters, globalCa)
    : []
  const mirrorNames = withUpstreams ? [] : await readMirrorNames(config.upstreamsDir)
  const db = new Database(config.database.url)
  await db.open()
  const notices = new Notices()
  try {
    const migrations = await migrate(db)
    if (migrations.length > 0) log.info({ migrations }, 'database migrated')
    const models = initModels(db.sequelize)
    const spool = new Spool(join(config.dataDir, 'spool'))
    await spool.open()
    const blobs = new FilesystemBlobStore(join(config.dataDir, 'packages'))
    const uploadParts = new FilesystemUploadParts(join(config.dataDir, 'packages', 'uploads'))
    const metrics = new Metrics()
    metrics.gauge('entrepot_database_queries', 'Statements sent to the database', () => db.queries)
    const memberships = new Memberships(models, notices)
    const permissions = new Permissions(memberships, config.auth)
    const passwords = new Passwords()
    const { minPasswordLength } = config.auth
    const accounts = new Accounts({ db, models, notices, clock, memberships, passwords, minPasswordLength })
    accounts.reserve(mirrorNames)
    const teams = new Teams({ db, models, memberships })
    const members = new Members({ db, models, memberships })
    const maxLifetime = config.auth.maxTokenLifetime
    const accessTokens = new AccessTokens({ db, models, notices, clock, maxLifetime, onError })
    const keys = new SigningKeys({ db, models, clock, longestLife: longestTokenLife })
    const jwts = new RegistryJwts({ keys, clock, issuer: config.baseUrl })
    const box = await SecretBox.open(config)
    const issuer = `Entrepot (${new URL(config.baseUrl).hostname})`
    const twoFactor = new TwoFactor({ db, models, notices, clock, box, issuer })
    const registryTokens = new RegistryTokens({ jwts, accounts, accessTokens, twoFactor, clock, notices })
    const audit = new Audit({ db, models, clock, log })
    const tallies = new Tallies({ clock, onError: (err, message) => log.warn({ err }, message) })
    const failedSignIns = new FailedSignIns(audit)
    const guard = new SignInGuard({
      ...{ tallies, clock, limits: config.rateLimits.failedSignIns },
      onRefused: () => metrics.throttled.inc({ limit: 'failedSignIns' }),
      onFailed: (attempt) => failedSignIns.record(attempt, attempt.isCode ? { factor: 'one-time-code' } : {}),
    })
    const twoFactorCheck = new TwoFactorCheck({
      ...{ twoFactor, guard, clock },
      onRecoveryCode: ({ account, address, left }) => {
        const actor = { ...theServer, user: { id: account.id, name: account.name }, address }
        audit.record(actor, 'two-factor.recovery-code-used', { owner: account }, { left })
      },
    })
    const authenticator = new Authenticator({
      ...{ accounts, accessTokens, passwords, registryTokens, guard, twoFactorCheck, notices },
    })
    const packages = new Packages({
      ...{ db, models, notices, clock, spool, blobs, uploadParts },
      ...{ limits: config.packages, rules: packageRules, onError },
    })
    audit.follow(packages.events)
    const signIn = new SignIn({
      ...{ db, models, clock, log, box, audit, accounts, teams, members, accessTokens, providers },
    })
    const policies = new Policies({ db, models, notices, clock, metrics })
    policies.declare(adapters)
    const upstream = new UpstreamEngine({
      db,
      models,
      notices,
      clock,
      config,
      log,
      metrics,
      accounts,
      permissions,
      packages,
      policies,
      box,
      version,
    })
    const eviction = new Eviction({ db, models, notices, clock, metrics, packages, upstream, onError })
    upstream.space.onFull(() => eviction.shrink())
    spool.space.onLack((bytes) => eviction.makeRoom(bytes))
    const trustedPublishing = new TrustedPublishing({
      ...{ db, models, clock, config, accounts, accessTokens, guard, audit },
      onError: (err, message) => log.warn({ err }, message),
    })
    const webhooks = new Webhooks({
      ...{ db, models, clock, config, accounts, upstream, version, onError },
      ...{ events: packages.events, box },
    })
    const schedule = new Schedule({ db, models, clock, log })
    await upstream.declare(upstreamSettings, adapters)
    if (withUpstreams) await upstream.open(globalCa)
    if (config.redis.url !== '') {
      // Replicas are those who share the database; they may call its host by different names.
      const installation = new URL(config.database.url).pathname
      await notices.connect(config.redis.url, installation, (err) => log.warn({ err }, 'redis'))
      tallies.share(notices.redis!, installation)
      upstream.share(notices.redis!, installation)
    }
    return Object.freeze({
      config,
      version,
      clock,
      log,
      metrics,
      db,
      models,
      notices,
      tallies,
      accounts,
      teams,
      members,
      authenticator,
      twoFactor,
      accessTokens,
      registryTokens,
      permissions,
      packages,
      audit,
      policies,
      upstream,
      eviction,
      webhooks,
      trustedPublishing,
      signIn,
      schedule,
      checkReady: async () => {
        await Promise.all([db.check(), blobs.check()])
      },
      close: async () => {
        await schedule.close()
        await webhooks.close()
        await trustedPublishing.close()
        await signIn.close()
        await eviction.close()
        await upstream.close()
        await packages.close()
        await accessTokens.close()
        failedSignIns.flush()
        await audit.settle()
        await notices.delivered()
        notices.close()
        await blobs.close()
        await db.close()
      },
    })
  } catch (error) {
    notices.close()
    await db.close()
    throw error
  }
}

/** Throws ConfigError when a limit is for a type that does not exist. */
export function requireKnownTypes({ packages }: Config, packageRules: RulesByType): void {
  const unknown = Object.keys(packages.limits).find((type) => !packageRules.has(type))
  if (unknown !== undefined) throw new ConfigError(`packages.limits.${unknown}: there is no such package type`)
}
