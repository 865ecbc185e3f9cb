import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join, resolve } from 'node:path'
import { type Static, type TProperties, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { parse } from 'yaml'
import { parseDuration, parseSize } from './units.ts'

const Duration = () => Type.Number({ minimum: 0, unit: 'duration' })
const Size = () => Type.Number({ minimum: -1, unit: 'size' })
const Limit = () => Type.Integer({ minimum: -1 })
const section = <T extends TProperties>(properties: T) => Type.Object(properties, { additionalProperties: false })

/** Every setting; `config/default.yaml` holds the defaults and what each means. Durations are ms, sizes bytes. */
export const ConfigSchema = section({
  host: Type.String({ minLength: 1 }),
  port: Type.Integer({ minimum: 1, maximum: 65_535 }),
  baseUrl: Type.String(),
  dataDir: Type.String({ minLength: 1 }),
  upstreamsDir: Type.String({ minLength: 1 }),
  secretKey: Type.String({ pattern: '^([A-Za-z0-9+/]{43}=)?$' }),
  trustedProxies: Type.Array(Type.String({ minLength: 1 })),
  shutdownTimeout: Duration(),
  log: section({
    level: Type.Union(
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].map((level) => Type.Literal(level)),
    ),
  }),
  metrics: section({ token: Type.String() }),
  admin: section({ username: Type.String(), password: Type.String() }),
  auth: section({
    requireSignIn: Type.Boolean(),
    minPasswordLength: Type.Integer({ minimum: 1, maximum: 255 }),
    maxTokenLifetime: Duration(),
  }),
  signIn: section({
    providers: Type.Record(
      Type.String(),
      section({
        title: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
        issuer: Type.String(),
        clientId: Type.String({ minLength: 1 }),
        clientSecretEnv: Type.Optional(Type.String({ minLength: 1 })),
        scopes: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
        nameClaim: Type.Optional(Type.String({ minLength: 1 })),
        groupsClaim: Type.Optional(Type.String({ minLength: 1 })),
        createAccounts: Type.Optional(Type.Boolean()),
        allowInsecure: Type.Optional(Type.Boolean()),
        adminGroups: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
        requiredGroups: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
        teams: Type.Optional(Type.Record(Type.String(), Type.Array(Type.String({ minLength: 1 })))),
      }),
    ),
  }),
  audit: section({ keepDays: Limit() }),
  rateLimits: section({
    packageReads: Limit(),
    packageWrites: Limit(),
    apiReads: Limit(),
    apiWrites: Limit(),
    containerTokens: Limit(),
    npmLogins: Limit(),
    tokenExchanges: Limit(),
    failedSignIns: section({ perAccountAndAddress: Limit(), perAddress: Limit(), perAccount: Limit() }),
  }),
  database: section({ url: Type.String({ pattern: '^((sqlite|mysql):.*)?$' }) }),
  redis: section({ url: Type.String({ pattern: '^(rediss?://.+)?$' }) }),
  packages: section({
    limitTotalOwnerCount: Type.Integer({ minimum: -1 }),
    limitTotalOwnerSize: Size(),
    limits: Type.Record(Type.String(), Size()),
    retainMavenSnapshotBuilds: Type.Integer({ minimum: -1 }),
    checkMavenPoms: Type.Boolean(),
  }),
  webhooks: section({
    enabled: Type.Boolean(),
    allowedHosts: Type.Array(Type.String({ minLength: 1 })),
    timeout: Type.Number({ minimum: 1, maximum: 60_000, unit: 'duration' }),
    concurrency: Type.Integer({ minimum: 1, maximum: 100 }),
    keepDeliveries: Duration(),
  }),
  trustedPublishing: section({
    enabled: Type.Boolean(),
    allowedHosts: Type.Array(Type.String({ minLength: 1 })),
  }),
  cache: section({ renderedDocuments: Size(), parsedDocuments: Size() }),
  mirrors: section({
    connectTimeout: Duration(),
    documentTimeout: Duration(),
    artifactTimeout: Duration(),
    idleTimeout: Duration(),
    fetchTimeout: Duration(),
    connections: Type.Integer({ minimum: 1 }),
    retries: Type.Integer({ minimum: 0, maximum: 10 }),
    fresh: Duration(),
    staleWhileRevalidate: Duration(),
    staleWait: Duration(),
    staleIfError: Duration(),
    maxDocumentSize: Size(),
    maxArtifactSize: Size(),
    cacheCap: Type.String({ pattern: '^(none|(\\d+(\\.\\d+)?) ?(%|[kKmMgGtT]?i?[bB]))$' }),
    caFile: Type.String(),
    reserved: Type.Record(Type.String(), Type.Array(Type.String({ minLength: 1 }), { maxItems: 1_000 })),
  }),
})

/** The settings in force: paths absolute, `baseUrl` without a final slash, `database.url` never empty. */
export type Config = Static<typeof ConfigSchema>

/** A setting that cannot be used; the message starts with the name of the key. */
export class ConfigError extends Error {}

type Environment = Record<string, string | undefined>
type Tree = Record<string, unknown>
/** The parts of a JSON Schema node that the conversion looks at. */
interface Node {
  type?: string
  unit?: string
  properties?: Record<string, Node>
  patternProperties?: Record<string, Node>
}

/**
 * Reads `config/default.yaml`, the file that ENTREPOT_CONFIG names, and the environment, in rising order of weight.
 * Throws ConfigError with the key's name for anything unknown, malformed or out of range.
 */
export async function loadConfig(environment: Environment): Promise<Config> {
  const merged = await readYaml(new URL('../../config/default.yaml', import.meta.url))
  const file = environment['ENTREPOT_CONFIG']
  if (file !== undefined && file !== '') overlay(merged, await readYaml(file), ConfigSchema as Node, '')
  overlayEnvironment(merged, environment)
  const config = convert(merged, ConfigSchema as Node, '') as Config
  const error = Value.Errors(ConfigSchema as TSchema, config)[0]
  if (error !== undefined) {
    const key = error.instancePath.slice(1).replaceAll('/', '.')
    throw new ConfigError(`${key || 'configuration'}: ${error.message}`)
  }
  return freeze(complete(config))
}

async function readYaml(path: string | URL): Promise<Tree> {
  try {
    const tree = parse(await readFile(path, 'utf8')) ?? {}
    if (typeof tree !== 'object' || Array.isArray(tree)) throw new Error('it must be a mapping')
    return tree as Tree
  } catch (error) {
    throw new ConfigError(`ENTREPOT_CONFIG: cannot read ${String(path)}: ${(error as Error).message}`)
  }
}

function overlay(target: Tree, source: Tree, node: Node, prefix: string): void {
  for (const [key, value] of Object.entries(source)) {
    const child = node.properties === undefined ? recordValue(node) : own(node.properties, key)
    if (child === undefined) throw new ConfigError(`${prefix}${key}: unknown key`)
    if (child.type === 'object' && typeof value === 'object' && value !== null && !Array.isArray(value)) {
      if (!Object.hasOwn(target, key)) target[key] = {}
      overlay(target[key] as Tree, value as Tree, child, `${prefix}${key}.`)
    } else target[key] = value
  }
}

function overlayEnvironment(target: Tree, environment: Environment): void {
  for (const [variable, value] of Object.entries(environment)) {
    if (value === undefined || !variable.startsWith('ENTREPOT_')) continue
    if (variable === 'ENTREPOT_CONFIG' || variable.startsWith('ENTREPOT_UPSTREAM_')) continue
    const path = findKey(variable.slice('ENTREPOT_'.length), ConfigSchema as Node)
    if (path === null) throw new ConfigError(`${variable}: unknown key`)
    let tree = target
    for (const key of path.slice(0, -1)) tree = tree[key] as Tree
    tree[path.at(-1)!] = value
  }
}

/** `PACKAGES_LIMITS_NPM` → ['packages', 'limits', 'npm']; names are unambiguous because no key is another's prefix and a section. */
function findKey(name: string, node: Node): string[] | null {
  if (node.properties === undefined) return recordValue(node) === undefined ? null : [name.toLowerCase()]
  for (const [key, child] of Object.entries(node.properties)) {
    const upper = key.replace(/[A-Z]/g, '_$&').toUpperCase()
    if (name === upper && child.type !== 'object') return [key]
    if (!name.startsWith(`${upper}_`) || child.type !== 'object') continue
    const rest = findKey(name.slice(upper.length + 1), child)
    if (rest !== null) return [key, ...rest]
  }
  return null
}

/** Turns the text of YAML and environment into the types of the schema; what it cannot turn, the check names. */
function convert(value: unknown, node: Node, path: string): unknown {
  if (node.type === 'object') {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, child]) => {
        const below = node.properties === undefined ? recordValue(node) : own(node.properties, key)
        return [key, below === undefined ? child : convert(child, below, path === '' ? key : `${path}.${key}`)]
      }),
    )
  }
  if (node.type === 'array' && typeof value === 'string') {
    return value === '' ? [] : value.split(',').map((item) => item.trim())
  }
  if (node.unit !== undefined) {
    const parsed = node.unit === 'duration' ? parseDuration(String(value)) : parseSize(String(value))
    const example = node.unit === 'duration' ? '30s or 5m' : '20MiB or -1'
    if (parsed === null)
      throw new ConfigError(`${path}: ${JSON.stringify(value)} is not a ${node.unit} such as ${example}`)
    return parsed
  }
  if (typeof value !== 'string') return node.type === 'string' && value === null ? '' : value
  if ((node.type === 'integer' || node.type === 'number') && /^-?\d+$/.test(value)) return Number(value)
  if (node.type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true'
  return value
}

function complete(config: Config): Config {
  const dataDir = resolve(config.dataDir)
  return {
    ...config,
    dataDir,
    trustedProxies: config.trustedProxies.map(checkProxy),
    upstreamsDir: resolve(config.upstreamsDir),
    baseUrl: baseUrl(config),
    database: { url: config.database.url.replace(/^sqlite:$/, '') || `sqlite:${join(dataDir, 'entrepot.db')}` },
  }
}

/** Throws for what a proxy's address cannot be; Fastify would not say which setting it means. */
function checkProxy(proxy: string): string {
  const [address, bits, ...more] = proxy.split('/')
  const isRange = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (isIP(address!) === 4 ? 32 : 128))
  if (isIP(address!) === 0 || !isRange || more.length > 0) {
    throw new ConfigError(`trustedProxies: ${JSON.stringify(proxy)} is not an address or range such as 10.0.0.0/8`)
  }
  return proxy
}

function baseUrl({ baseUrl, host, port }: Config): string {
  if (baseUrl !== '') {
    if (!URL.canParse(baseUrl) || !/^https?:$/.test(new URL(baseUrl).protocol)) {
      throw new ConfigError(`baseUrl: ${JSON.stringify(baseUrl)} is not an http or https URL`)
    }
    return baseUrl.replace(/\/+$/, '')
  }
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return `http://${name}:${port}`
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}

function recordValue(node: Node): Node | undefined {
  return node.patternProperties === undefined ? undefined : Object.values(node.patternProperties)[0]
}

function own(properties: Record<string, Node>, key: string): Node | undefined {
  return Object.hasOwn(properties, key) ? properties[key] : undefined
}
