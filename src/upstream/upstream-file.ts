import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import { parse } from 'yaml'
import { ConfigError } from '../config/config.ts'
import { parseDuration, parseSize } from '../config/units.ts'
import type { UpstreamAdapter } from './adapter.ts'
import { requireDistinct } from './distinct-upstreams.ts'
import { NetworkFile, readNetwork } from './network-settings.ts'
import { AuthFile, readAuth, type UpstreamAuth } from './upstream-auth.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

const UNUSED_DAYS = 90

const Names = () => Type.Optional(Type.Array(Type.String({ minLength: 1 })))

type UpstreamFile = Static<typeof UpstreamFile>
const UpstreamFile = Type.Object(
  {
    type: Type.String({ minLength: 1 }),
    owner: Type.String({ minLength: 1 }),
    aliases: Names(),
    url: Type.Optional(Type.String({ minLength: 1 })),
    serves: Names(),
    hosts: Names(),
    artifactHosts: Names(),
    allowPrivateNetwork: Type.Optional(Type.Boolean()),
    fresh: Type.Optional(Type.String()),
    capBytes: Type.Optional(Type.Union([Type.String(), Type.Integer()])),
    unusedDays: Type.Optional(Type.Integer({ minimum: 0, maximum: 36_500 })),
    trust: Type.Optional(Type.Union([Type.Literal('untrusted'), Type.Literal('trusted')])),
    visibility: Type.Optional(Type.Union([Type.Literal('public'), Type.Literal('limited'), Type.Literal('private')])),
    auth: Type.Optional(AuthFile),
    network: Type.Optional(NetworkFile),
    options: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: false },
)

type Environment = Record<string, string | undefined>

/**
 * Reads every `*.yaml` of the directory; ENTREPOT_UPSTREAM_<NAME>_URL and …_ALLOW_PRIVATE_NETWORK override one file.
 * A missing directory declares nothing. `globalCa`: see readNetwork. Throws ConfigError with the file's or variable's name.
 */
export async function readUpstreamFiles(
  directory: string,
  environment: Environment,
  adapters: ReadonlyMap<string, UpstreamAdapter>,
  globalCa = '',
): Promise<UpstreamSettings[]> {
  const names = (await listYaml(directory)).map((file) => file.replace(/\.yaml$/, ''))
  checkVariables(environment, names)
  const all = await Promise.all(names.map((name) => readUpstream(directory, name, { environment, globalCa }, adapters)))
  requireDistinct(all)
  return all
}

/** Every name by which the declared mirrors are found: owners and aliases. Throws ConfigError as above. */
export async function readMirrorNames(directory: string): Promise<string[]> {
  const paths = (await listYaml(directory)).map((file) => join(directory, file))
  const files = await Promise.all(paths.map(async (path) => parseFile(path, await readFile(path, 'utf8'))))
  return files.flatMap(({ owner, aliases = [] }) => [owner, ...aliases])
}

async function readUpstream(
  directory: string,
  name: string,
  { environment, globalCa }: { environment: Environment; globalCa: string },
  adapters: ReadonlyMap<string, UpstreamAdapter>,
): Promise<UpstreamSettings> {
  const where = join(directory, `${name}.yaml`)
  const file = parseFile(where, await readFile(where, 'utf8'))
  const adapter = adapters.get(file.type)
  if (adapter === undefined) throw new ConfigError(`${where}: type: ${file.type} cannot be mirrored`)
  const { url: urlVariable, privateNetwork: privateVariable } = variablesOf(name)
  const allowed = environment[privateVariable]
  if (allowed !== undefined && allowed !== 'true' && allowed !== 'false') {
    throw new ConfigError(`${privateVariable}: ${JSON.stringify(allowed)} is neither true nor false`)
  }
  const declared = environment[urlVariable] || file.url
  const url = declared ?? (await adapter.defaultUrl?.())
  if (url === undefined) throw new ConfigError(`${where}: url: is missing`)
  const fresh = file.fresh === undefined ? null : parseDuration(file.fresh)
  if (file.fresh !== undefined && fresh === null) throw new ConfigError(`${where}: fresh: is not a duration such as 5m`)
  const auth = authOf(where, file, environment, adapter)
  // What the host's own client already talks to may be on a private network; where it redirects to may not.
  const otherwise = declared === undefined ? 'origin' : 'refused'
  return {
    name,
    type: file.type,
    owner: file.owner,
    aliases: lowerCase(file.aliases),
    serves: lowerCase(file.serves),
    hosts: lowerCase(file.hosts),
    url: parseUrl(url, declared === undefined ? where : environment[urlVariable] ? urlVariable : `${where}: url`),
    artifactHosts: file.artifactHosts ?? [],
    privateNetwork: (allowed === undefined ? file.allowPrivateNetwork : allowed === 'true') ? 'allowed' : otherwise,
    fresh,
    capBytes: capOf(where, file),
    unusedDays: file.unusedDays ?? UNUSED_DAYS,
    ...(file.network === undefined && globalCa === ''
      ? {}
      : { network: await readNetwork(where, directory, file.network, { environment, globalCa }) }),
    trust: file.trust ?? 'untrusted',
    options: optionsOf(where, file, adapter),
    auth,
    visibility: file.visibility ?? (auth?.credentials ? 'private' : 'public'),
  }
}

function capOf(where: string, { capBytes }: UpstreamFile): number | null {
  if (capBytes === undefined) return null
  const bytes = parseSize(String(capBytes))
  if (bytes === null) throw new ConfigError(`${where}: capBytes: is not a size such as 200GiB, or -1`)
  return bytes === -1 ? null : bytes
}

function authOf(
  where: string,
  { type, auth }: UpstreamFile,
  environment: Environment,
  adapter: UpstreamAdapter,
): UpstreamAuth | null {
  if (auth === undefined) return null
  if (auth.kind === 'docker' && adapter.tokenScope === undefined) {
    throw new ConfigError(`${where}: auth/kind: upstreams of type ${type} know no tokens`)
  }
  return readAuth(where, auth, environment)
}

function optionsOf(
  where: string,
  { type, options }: UpstreamFile,
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

function parseFile(where: string, text: string): UpstreamFile {
  let file: unknown
  try {
    file = parse(text)
  } catch (error) {
    throw new ConfigError(`${where}: ${(error as Error).message}`)
  }
  const error = Value.Errors(UpstreamFile, file)[0]
  if (error !== undefined) throw new ConfigError(`${where}: ${error.instancePath.slice(1)} ${error.message}`)
  return file as UpstreamFile
}

function parseUrl(text: string, where: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new ConfigError(`${where}: ${text} is not an http or https URL`)
  if (url.username !== '' || url.search !== '')
    throw new ConfigError(`${where}: the URL must have no user and no query`)
  url.hash = ''
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

function variablesOf(name: string) {
  const prefix = `ENTREPOT_UPSTREAM_${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`
  return { url: `${prefix}_URL`, privateNetwork: `${prefix}_ALLOW_PRIVATE_NETWORK` }
}

function checkVariables(environment: Environment, names: string[]): void {
  const known = new Set(names.flatMap((name) => Object.values(variablesOf(name))))
  for (const variable of Object.keys(environment)) {
    if (variable.startsWith('ENTREPOT_UPSTREAM_') && !known.has(variable)) {
      throw new ConfigError(`${variable}: no upstream file has this name`)
    }
  }
}

async function listYaml(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((file) => file.endsWith('.yaml')).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
