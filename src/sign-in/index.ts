import type { Audit } from '../audit/index.ts'
import type { AccessTokens } from '../auth/access-tokens.ts'
import type { Accounts } from '../auth/accounts.ts'
import type { Members } from '../auth/members.ts'
import type { SecretBox } from '../auth/secret-box.ts'
import type { Teams } from '../auth/teams.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Log } from '../log.ts'
import type { Models } from '../models/index.ts'
import { GroupRights } from './group-rights.ts'
import { Identities } from './identities.ts'
import { IssuedTokens } from './issued-tokens.ts'
import { LimitedFetch } from './limited-fetch.ts'
import { NpmLogins } from './npm-logins.ts'
import { People } from './people.ts'
import { Provider } from './provider.ts'
import type { ProviderSettings } from './provider-settings.ts'
import { Tickets } from './tickets.ts'

/** What SignIn needs. */
export interface SignInParts {
  readonly db: Database
  readonly models: Models
  readonly clock: Clock
  readonly log: Log
  readonly box: SecretBox
  readonly audit: Audit
  readonly accounts: Accounts
  readonly teams: Teams
  readonly members: Members
  readonly accessTokens: AccessTokens
  readonly providers: readonly ProviderSettings[]
}

/** Signing in at identity providers, without HTTP: the parts that its pages, REST and npm use. */
export class SignIn {
  /** By name, in the order of the configuration. */
  readonly providers: ReadonlyMap<string, Provider>
  readonly identities: Identities
  readonly people: People
  readonly tickets: Tickets
  readonly tokens: IssuedTokens
  readonly npmLogins: NpmLogins
  readonly #limited = new LimitedFetch()

  constructor(parts: SignInParts) {
    const { accounts, audit, clock } = parts
    this.providers = new Map(
      parts.providers.map((settings) => [settings.name, new Provider(settings, { clock, fetch: this.#limited.fetch })]),
    )
    this.identities = new Identities(parts)
    this.tickets = new Tickets(parts)
    this.people = new People({ accounts, audit, identities: this.identities, rights: new GroupRights(parts) })
    this.tokens = new IssuedTokens(parts)
    this.npmLogins = new NpmLogins({ tickets: this.tickets, people: this.people, tokens: this.tokens, clock })
  }

  async close(): Promise<void> {
    await this.#limited.close()
  }
}
