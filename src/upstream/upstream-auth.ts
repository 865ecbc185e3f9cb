import { type Static, Type } from 'typebox'
import { ConfigError } from '../config/config.ts'

/** `auth` in an upstream's file: secrets are named, never there, so that a file can be shown to anybody. */
export const AuthFile = Type.Object(
  {
    kind: Type.Union([Type.Literal('docker'), Type.Literal('basic')]),
    usernameEnv: Type.Optional(Type.String({ minLength: 1 })),
    passwordEnv: Type.Optional(Type.String({ minLength: 1 })),
    realmHosts: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
  },
  { additionalProperties: false },
)

/** How requests to an upstream are signed (container.md §10). */
export interface UpstreamAuth {
  /** `basic`: always, by Basic; `docker`: as its challenges say, by tokens first of all. */
  readonly kind: 'docker' | 'basic'
  /** null: the environment has none, and the mirror is a stranger to the upstream. */
  readonly credentials: Credentials | null
  /** Hosts that tokens may be fetched from besides those that belong to the upstream's own, lower case. */
  readonly realmHosts: readonly string[]
}

/** A user name and a password as Basic sends them; printing or serializing one shows nothing. */
export class Credentials {
  readonly #basic: string

  constructor(username: string, password: string) {
    this.#basic = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  }

  /** The value of an Authorization header. */
  get basic(): string {
    return this.#basic
  }
}

/** Takes the secrets from the environment. Throws ConfigError, beginning with `where`, when only one of the two is there. */
export function readAuth(
  where: string,
  { kind, usernameEnv, passwordEnv, realmHosts = [] }: Static<typeof AuthFile>,
  environment: Readonly<Record<string, string | undefined>>,
): UpstreamAuth {
  if (usernameEnv === undefined && passwordEnv === undefined && kind === 'docker') {
    return { kind, credentials: null, realmHosts: lowerCase(realmHosts) }
  }
  if (usernameEnv === undefined || passwordEnv === undefined) {
    throw new ConfigError(`${where}: auth: usernameEnv and passwordEnv go together`)
  }
  const username = environment[usernameEnv] ?? ''
  const password = environment[passwordEnv] ?? ''
  if ((username === '') !== (password === '')) {
    const [set, missing] = username === '' ? [passwordEnv, usernameEnv] : [usernameEnv, passwordEnv]
    throw new ConfigError(`${where}: auth: ${set} is set and ${missing} is not`)
  }
  const credentials = username === '' ? null : new Credentials(username, password)
  return { kind, credentials, realmHosts: lowerCase(realmHosts) }
}

function lowerCase(names: readonly string[]): string[] {
  return names.map((name) => name.toLowerCase())
}
