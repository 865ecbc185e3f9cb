import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AccessTokens } from '../../src/auth/access-tokens.ts'
import { Accounts, type Owner } from '../../src/auth/accounts.ts'
import { Authenticator, anonymous, type Doer } from '../../src/auth/authenticator.ts'
import { Memberships } from '../../src/auth/memberships.ts'
import { Passwords } from '../../src/auth/passwords.ts'
import { Permissions } from '../../src/auth/permissions.ts'
import { RegistryJwts } from '../../src/auth/registry-jwt.ts'
import { longestTokenLife, RegistryTokens } from '../../src/auth/registry-tokens.ts'
import type { Scopes } from '../../src/auth/scopes.ts'
import { SecretBox } from '../../src/auth/secret-box.ts'
import { SignInGuard } from '../../src/auth/sign-in-guard.ts'
import { SigningKeys } from '../../src/auth/signing-keys.ts'
import { TwoFactor } from '../../src/auth/two-factor.ts'
import { TwoFactorCheck } from '../../src/auth/two-factor-check.ts'
import { Notices } from '../../src/cache/notices.ts'
import { Tallies } from '../../src/cache/tallies.ts'
import { Database } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrations/index.ts'
import { initModels } from '../../src/models/index.ts'
import { createTestDatabaseUrl } from '../support/test-database.ts'

type TestDatabaseUrl = Awaited<ReturnType<typeof createTestDatabaseUrl>>

export const PASSWORD = 'correct horse battery'
/** The installation whose registry tokens these parts sign. */
export const ISSUER = 'https://packages.example.org'

/** Everything of src/auth over one database of its own; `replica()` is a second process on the same database. */
export class AuthParts {
  readonly folder: string
  readonly #database: TestDatabaseUrl
  readonly db: Database
  readonly models
  now = Date.UTC(2030, 0, 1)
  readonly errors: unknown[] = []
  readonly memberships
  readonly passwords = new Passwords()
  readonly accounts
  readonly accessTokens
  readonly signingKeys
  readonly jwts
  readonly twoFactor
  readonly registryTokens
  readonly authenticator
  readonly permissions

  private constructor(folder: string, database: TestDatabaseUrl, notices: Notices) {
    this.folder = folder
    this.#database = database
    this.db = new Database(database.url)
    this.models = initModels(this.db.sequelize)
    const clock = { now: () => this.now }
    const { db, models, passwords } = this
    this.memberships = new Memberships(models, notices)
    const { memberships } = this
    this.accounts = new Accounts({ db, models, notices, clock, memberships, passwords, minPasswordLength: 8 })
    const onError = (error: unknown) => this.errors.push(error)
    this.accessTokens = new AccessTokens({ db, models, notices, clock, maxLifetime: 0, onError })
    const { accounts, accessTokens } = this
    this.signingKeys = new SigningKeys({ db, models, clock, longestLife: longestTokenLife })
    this.jwts = new RegistryJwts({ keys: this.signingKeys, clock, issuer: ISSUER })
    const { jwts } = this
    const box = new SecretBox(Buffer.alloc(32, 7))
    this.twoFactor = new TwoFactor({ db, models, notices, clock, box, issuer: 'Entrepot (example.org)' })
    const { twoFactor } = this
    this.registryTokens = new RegistryTokens({ jwts, accounts, accessTokens, twoFactor, clock, notices })
    const { registryTokens } = this
    const tallies = new Tallies({ clock, onError: (error) => this.errors.push(error) })
    const limits = { perAccountAndAddress: 5, perAddress: 300, perAccount: 100 }
    const guard = new SignInGuard({ tallies, clock, limits, onRefused: () => {}, onFailed: () => {} })
    const twoFactorCheck = new TwoFactorCheck({ twoFactor, guard, clock, onRecoveryCode: () => {} })
    this.authenticator = new Authenticator({
      ...{ accounts, accessTokens, passwords, registryTokens, guard, twoFactorCheck, notices },
    })
    this.permissions = new Permissions(memberships, { requireSignIn: false })
  }

  static async open(): Promise<AuthParts> {
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-auth-'))
    const parts = new AuthParts(folder, await createTestDatabaseUrl(folder), new Notices())
    await parts.db.open()
    await migrate(parts.db)
    return parts
  }

  async replica(notices = new Notices()): Promise<AuthParts> {
    const parts = new AuthParts(this.folder, this.#database, notices)
    await parts.db.open()
    return parts
  }

  async close(): Promise<void> {
    await this.accessTokens.close()
    await this.db.close()
    await this.#database.drop()
    await rm(this.folder, { recursive: true, force: true })
  }

  /** A user with the password PASSWORD. */
  user(username: string, more: { isAdmin?: boolean; isRestricted?: boolean; visibility?: 'limited' | 'private' } = {}) {
    return this.accounts.createUser({ username, email: `${username}@example.com`, password: PASSWORD, ...more })
  }

  /** Makes a team and puts the members in. */
  async team(
    org: Owner,
    name: string,
    permission: 'none' | 'read' | 'write' | 'admin',
    members: Owner[],
    packages?: 'none' | 'read' | 'write' | 'admin',
  ): Promise<void> {
    const orgId = org.id
    const { id } = await this.models.team.create({ orgId, name, lowerName: name.toLowerCase(), permission })
    if (packages !== undefined) {
      await this.models.teamUnit.create({ teamId: id, orgId, unit: 'repo.packages', mode: packages })
    }
    for (const { id: userId } of members) await this.models.teamUser.create({ teamId: id, orgId, userId })
    this.memberships.changed(null)
  }

  /** How many statements `work` sends. */
  async queries(work: () => Promise<unknown>): Promise<number> {
    const before = this.db.queries
    await work()
    return this.db.queries - before
  }
}

export function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

export function doerOf(user: Owner | null, scopes: Scopes | null = null): Doer {
  const via = user === null ? 'anonymous' : 'basic'
  return { ...anonymous, user, scopes, via }
}
