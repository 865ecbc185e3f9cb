import { type Config, ConfigError } from '../config/config.ts'

/** A team that is filled by groups of an identity provider. */
export interface FilledTeam {
  readonly org: string
  readonly team: string
  /** Who is in any of them is in the team. */
  readonly groups: readonly string[]
}

/** One entry of `signIn.providers`, complete. */
export interface ProviderSettings {
  /** Its key: part of URLs, and of the rows that say who is who. */
  readonly name: string
  /** What people know it by. */
  readonly title: string
  readonly issuer: URL
  readonly clientId: string
  /** null: a public client. */
  readonly clientSecret: string | null
  /** Space-separated. */
  readonly scopes: string
  readonly nameClaim: string
  readonly groupsClaim: string
  readonly createAccounts: boolean
  /** Empty: administrators are made by others. */
  readonly adminGroups: readonly string[]
  /** Somebody must be in one of them; empty: in none. */
  readonly requiredGroups: readonly string[]
  readonly teams: readonly FilledTeam[]
}

type Entry = Config['signIn']['providers'][string]
type Environment = Readonly<Record<string, string | undefined>>

const NAME = /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/**
 * The identity providers in the order of the configuration; secrets come from the environment. Throws ConfigError with
 * the key's name. Nobody is asked whether they answer.
 */
export function readProviders({ signIn }: Pick<Config, 'signIn'>, environment: Environment): ProviderSettings[] {
  return Object.entries(signIn.providers).map(([name, entry]) => readProvider(name, entry, environment))
}

function readProvider(name: string, entry: Entry, environment: Environment): ProviderSettings {
  const where = `signIn.providers.${name}`
  if (!NAME.test(name))
    throw new ConfigError(`${where}: a name is up to 40 lower-case letters, digits and - between them`)
  const { title = name, clientId, scopes = ['openid', 'profile', 'email'], createAccounts = false } = entry
  return Object.freeze({
    name,
    title,
    issuer: readIssuer(where, entry),
    clientId,
    clientSecret: readSecret(where, entry, environment),
    scopes: [...new Set(['openid', ...scopes])].join(' '),
    nameClaim: entry.nameClaim ?? 'preferred_username',
    groupsClaim: entry.groupsClaim ?? 'groups',
    createAccounts,
    adminGroups: entry.adminGroups ?? [],
    requiredGroups: entry.requiredGroups ?? [],
    teams: readTeams(where, entry.teams ?? {}),
  })
}

function readIssuer(where: string, { issuer, allowInsecure = false }: Entry): URL {
  const url = URL.canParse(issuer) ? new URL(issuer) : null
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '') {
    throw new ConfigError(`${where}.issuer: ${JSON.stringify(issuer)} is not an https URL`)
  }
  if (url.protocol === 'http:' && !LOOPBACK.test(url.hostname) && !allowInsecure) {
    throw new ConfigError(`${where}.issuer: ${issuer} is not https; allowInsecure: true permits that`)
  }
  return url
}

function readSecret(where: string, { clientSecretEnv }: Entry, environment: Environment): string | null {
  if (clientSecretEnv === undefined) return null
  const secret = environment[clientSecretEnv] ?? ''
  if (secret === '') throw new ConfigError(`${where}.clientSecretEnv: ${clientSecretEnv} is not set`)
  return secret
}

/** Group → teams as it is written becomes team → groups. */
function readTeams(where: string, written: Record<string, string[]>): FilledTeam[] {
  const filled = new Map<string, FilledTeam & { groups: string[] }>()
  for (const [group, teams] of Object.entries(written)) {
    for (const path of teams) {
      const [org = '', team = '', ...more] = path.split('/')
      if (org === '' || team === '' || more.length > 0) {
        throw new ConfigError(`${where}.teams: ${JSON.stringify(path)} is not <organization>/<team>`)
      }
      const key = path.toLowerCase()
      const held = filled.get(key) ?? { org, team, groups: [] }
      held.groups.push(group)
      filled.set(key, held)
    }
  }
  return [...filled.values()]
}
