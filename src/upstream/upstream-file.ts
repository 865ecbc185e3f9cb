import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import { parse } from 'yaml'
import { ConfigError } from '../config/config.ts'
import type { UpstreamAdapter } from './adapter.ts'
import { requireDistinct } from './distinct-upstreams.ts'
import { NetworkFile, readNetwork } from './network-settings.ts'
import { AuthFile, readAuth } from './upstream-auth.ts'
import { parseUpstreamUrl, toSettings, upstreamKeys } from './upstream-keys.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

type UpstreamFile = Static<typeof UpstreamFile>
const UpstreamFile = Type.Object(
  { ...upstreamKeys, auth: Type.Optional(AuthFile), network: Type.Optional(NetworkFile) },
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
  const isPrivateAllowed = allowed === undefined ? file.allowPrivateNetwork : allowed === 'true'
  // What the host's own client already talks to may be on a private network; where it redirects to may not.
  const otherwise = declared === undefined ? 'origin' : 'refused'
  const urlWhere = declared === undefined ? where : environment[urlVariable] ? urlVariable : `${where}: url`
  return toSettings(file, {
    ...{ name, where, adapter },
    url: parseUpstreamUrl(url, urlWhere),
    privateNetwork: isPrivateAllowed === true ? 'allowed' : otherwise,
    auth: file.auth === undefined ? null : readAuth(where, file.auth, environment),
    network:
      file.network === undefined && globalCa === ''
        ? null
        : await readNetwork(where, directory, file.network, { environment, globalCa }),
  })
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
