import { type Static, Type } from 'typebox'
import { ConfigError } from '../config/config.ts'

/** See UpstreamAuth. */
export const AuthKind = Type.Union([Type.Literal('docker'), Type.Literal('basic'), Type.Literal('bearer')])

/** `auth` in an upstream's file: secrets are named, never there, so that a file can be shown to anybody. */
export const AuthFile = Type.Object(
  {
    kind: AuthKind,
    usernameEnv: Type.Optional(Type.String({ minLength: 1 })),
    passwordEnv: Type.Optional(Type.String({ minLength: 1 })),
    tokenEnv: Type.Optional(Type.String({ minLength: 1 })),
    realmHosts: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
  },
  { additionalProperties: false },
)

const Secret = () => Type.Optional(Type.String({ minLength: 1, maxLength: 8_192 }))

/** `auth` over REST, secrets included; one that is left out of a change stays. */
export const AuthInput = Type.Object(
  {
    kind: AuthKind,
    username: Type.Optional(Type.String({ minLength: 1, maxLength: 255, pattern: '^[^:\\u0000-\\u001f\\u007f]*$' })),
    password: Secret(),
    token: Secret(),
    realmHosts: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { maxItems: 20 })),
  },
  { additionalProperties: false },
)

/** How requests to an upstream are signed (container.md §10). */
export interface UpstreamAuth {
  /** `basic`, `bearer`: always, by that; `docker`: as its challenges say, by tokens first of all. */
  readonly kind: Static<typeof AuthKind>
  /** null: the environment has none, and the mirror is a stranger to the upstream. */
  readonly credentials: Credentials | null
  /** Of what was made over REST; elsewhere the environment may keep it to itself. */
  readonly username?: string
  /** Hosts that tokens may be fetched from besides those that belong to the upstream's own, lower case. */
  readonly realmHosts: readonly string[]
}

/** What a request is signed with; printing or serializing it shows nothing. */
export class Credentials {
  readonly #authorization: string

  private constructor(authorization: string) {
    this.#authorization = authorization
  }

  static basic(username: string, password: string): Credentials {
    return new Credentials(`Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`)
  }

  static bearer(token: string): Credentials {
    return new Credentials(`Bearer ${token}`)
  }

  /** The value of an Authorization header. */
  get authorization(): string {
    return this.#authorization
  }
}

/** Takes the secrets from the environment. Throws ConfigError, beginning with `where`, when only some of them are there. */
export function readAuth(
  where: string,
  { kind, usernameEnv, passwordEnv, tokenEnv, realmHosts = [] }: Static<typeof AuthFile>,
  environment: Readonly<Record<string, string | undefined>>,
): UpstreamAuth {
  const hosts = realmHosts.map((host) => host.toLowerCase())
  if (kind === 'bearer') {
    if (tokenEnv === undefined || usernameEnv !== undefined || passwordEnv !== undefined) {
      throw new ConfigError(`${where}: auth: bearer takes tokenEnv, and neither usernameEnv nor passwordEnv`)
    }
    const token = environment[tokenEnv] ?? ''
    if (token !== '' && !isToken(token)) throw new ConfigError(`${where}: auth: ${tokenEnv} holds no token`)
    return { kind, credentials: token === '' ? null : Credentials.bearer(token), realmHosts: hosts }
  }
  if (tokenEnv !== undefined) throw new ConfigError(`${where}: auth: tokenEnv is for bearer`)
  if (usernameEnv === undefined && passwordEnv === undefined && kind === 'docker') {
    return { kind, credentials: null, realmHosts: hosts }
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
  const credentials = username === '' ? null : Credentials.basic(username, password)
  return { kind, credentials, realmHosts: hosts }
}

/**
 * The same over REST; `secret` is the password, for `bearer` the token, and empty where there is none. Throws
 * ConfigError, beginning with `where`.
 */
export function readAuthInput(
  where: string,
  { kind, username, realmHosts = [] }: Pick<Static<typeof AuthInput>, 'kind' | 'username' | 'realmHosts'>,
  secret: string,
): UpstreamAuth {
  const hosts = realmHosts.map((host) => host.toLowerCase())
  if (kind === 'bearer') {
    if (username !== undefined) throw new ConfigError(`${where}: auth: bearer takes a token, and no username`)
    if (!isToken(secret)) throw new ConfigError(`${where}: auth: bearer takes a token`)
    return { kind, credentials: Credentials.bearer(secret), realmHosts: hosts }
  }
  if (username === undefined && secret === '' && kind === 'docker') {
    return { kind, credentials: null, realmHosts: hosts }
  }
  if (username === undefined || secret === '') {
    throw new ConfigError(`${where}: auth: username and password go together`)
  }
  return { kind, username, credentials: Credentials.basic(username, secret), realmHosts: hosts }
}

function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text)
}
