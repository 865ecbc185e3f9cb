import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { ConfigError } from '../config/config.ts'
import { parseDuration, parseSize } from '../config/units.ts'
import type { UpstreamAdapter } from './adapter.ts'
import type { NetworkSettings } from './network-settings.ts'
import type { UpstreamAuth } from './upstream-auth.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

const UNUSED_DAYS = 90
const LONGEST_URL = 2_000

const Names = () => Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { maxItems: 100 }))

/** What an upstream is declared by, in a file as over REST, but for what is secret or only one of the two can name. */
export const upstreamKeys = {
  type: Type.String({ minLength: 1, maxLength: 32 }),
  owner: Type.String({ minLength: 1, maxLength: 40 }),
  aliases: Names(),
  url: Type.Optional(Type.String({ minLength: 1, maxLength: LONGEST_URL })),
  serves: Names(),
  hosts: Names(),
  artifactHosts: Names(),
  allowPrivateNetwork: Type.Optional(Type.Boolean()),
  fresh: Type.Optional(Type.String({ maxLength: 32 })),
  capBytes: Type.Optional(Type.Union([Type.String({ maxLength: 32 }), Type.Integer()])),
  unusedDays: Type.Optional(Type.Integer({ minimum: 0, maximum: 36_500 })),
  trust: Type.Optional(Type.Union([Type.Literal('untrusted'), Type.Literal('trusted')])),
  visibility: Type.Optional(Type.Union([Type.Literal('public'), Type.Literal('limited'), Type.Literal('private')])),
  options: Type.Optional(Type.Record(Type.String({ maxLength: 64 }), Type.Unknown())),
} satisfies Record<string, TSchema>

const UpstreamKeys = Type.Object(upstreamKeys)

/** An upstream as its keys declare it. */
export type DeclaredUpstream = Static<typeof UpstreamKeys>

/** What the keys alone do not tell. */
export interface Circumstances {
  readonly name: string
  /** What messages begin with: a file, or what the caller is to think of. */
  readonly where: string
  readonly url: URL
  readonly privateNetwork: UpstreamSettings['privateNetwork']
  readonly auth: UpstreamAuth | null
  readonly network: NetworkSettings | null
  readonly adapter: UpstreamAdapter
}

/** Throws ConfigError, beginning with `where`. */
export function toSettings(declared: DeclaredUpstream, circumstances: Circumstances): UpstreamSettings {
  const { name, where, url, privateNetwork, auth, network, adapter } = circumstances
  const { type, owner, capBytes, options } = declared
  const fresh = declared.fresh === undefined ? null : parseDuration(declared.fresh)
  if (declared.fresh !== undefined && fresh === null) {
    throw new ConfigError(`${where}: fresh: is not a duration such as 5m`)
  }
  if (auth?.kind === 'docker' && adapter.tokenScope === undefined) {
    throw new ConfigError(`${where}: auth/kind: upstreams of type ${type} know no tokens`)
  }
  return {
    name,
    type,
    owner,
    aliases: lowerCase(declared.aliases),
    serves: lowerCase(declared.serves),
    hosts: lowerCase(declared.hosts),
    url,
    artifactHosts: lowerCase(declared.artifactHosts),
    privateNetwork,
    fresh,
    capBytes: capOf(where, capBytes),
    unusedDays: declared.unusedDays ?? UNUSED_DAYS,
    trust: declared.trust ?? 'untrusted',
    ...(network === null ? {} : { network }),
    options: optionsOf(where, type, options, adapter),
    auth,
    visibility: declared.visibility ?? (auth?.credentials ? 'private' : 'public'),
  }
}

/** The address of an upstream, which ends with a slash. Throws ConfigError; its text has no part of the address. */
export function parseUpstreamUrl(text: string, where: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol)) throw new ConfigError(`${where}: it is not an http or https URL`)
  if (url.username !== '' || url.password !== '' || url.search !== '') {
    throw new ConfigError(`${where}: the URL must have no user and no query`)
  }
  url.hash = ''
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

function capOf(where: string, capBytes: string | number | undefined): number | null {
  if (capBytes === undefined) return null
  const bytes = parseSize(String(capBytes))
  if (bytes === null) throw new ConfigError(`${where}: capBytes: is not a size such as 200GiB, or -1`)
  return bytes === -1 ? null : bytes
}

function optionsOf(
  where: string,
  type: string,
  options: Readonly<Record<string, unknown>> | undefined,
  adapter: UpstreamAdapter,
): Readonly<Record<string, unknown>> {
  if (adapter.options === undefined) {
    if (options === undefined) return {}
    throw new ConfigError(`${where}: options: upstreams of type ${type} have none`)
  }
  const error = Value.Errors(adapter.options, options ?? {})[0]
  if (error !== undefined) throw new ConfigError(`${where}: options${error.instancePath} ${error.message}`)
  return options ?? {}
}

function lowerCase(names: readonly string[] = []): string[] {
  return names.map((name) => name.toLowerCase())
}
