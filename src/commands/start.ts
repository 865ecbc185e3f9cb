import { mkdir } from 'node:fs/promises'
import { pino } from 'pino'
import { pingRedis } from '../cache/ping-redis.ts'
import { type Config, loadConfig } from '../config/config.ts'
import { type Log, logSerializers } from '../log.ts'
import { packageTypes } from '../package-types/index.ts'
import type { RulesByType } from '../packages/package-rules.ts'
import { buildServices, type Services } from '../services.ts'
import type { UpstreamAdapter } from '../upstream/adapter.ts'
import { CommandError, type Output, type Terminal } from './terminal.ts'
import { readVersion } from './version.ts'

const REDIS_LIMIT = 5_000

/** What the server begins with: settings, a log, and the services built from them. Throws ConfigError. */
export async function start(environment: NodeJS.ProcessEnv): Promise<{ config: Config; log: Log; services: Services }> {
  const config = await prepare(environment)
  const log = pino(
    { level: String(config.log.level), base: null, serializers: logSerializers },
    pino.destination({ sync: false, minLength: 4096 }),
  )
  const flushing = setInterval(() => log.flush(), 1_000)
  flushing.unref()
  return { config, log, services: await build(config, environment, log, true) }
}

/**
 * Runs `work` with the services of a command that works beside the server: upstreams are left alone, warnings go to
 * stderr, and everything is written, and has been told to running servers, when this resolves. Throws ConfigError, and
 * CommandError when servers could not be told.
 */
export async function withServices<T>(terminal: Terminal, work: (services: Services) => Promise<T>): Promise<T> {
  const { environment } = terminal
  const config = await prepare(environment)
  await requireRedis(config)
  const services = await build(
    config,
    environment,
    pino({ level: 'warn', base: null, serializers: logSerializers }, plainly(terminal.stderr)),
    false,
  )
  try {
    return await work(services)
  } finally {
    await services.close()
  }
}

/** The settings, and a data directory that is there. */
export async function prepare(environment: NodeJS.ProcessEnv): Promise<Config> {
  const config = await loadConfig(environment)
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  return config
}

/** By type name: what the types say of their packages. */
export function packageRules(): RulesByType {
  return new Map(packageTypes.map((type) => [type.name, type]))
}

/** By type name: how the types that can be mirrored speak to their upstreams. */
export function upstreamAdapters(): Map<string, UpstreamAdapter> {
  return new Map(packageTypes.flatMap(({ name, upstream }) => (upstream === undefined ? [] : [[name, upstream]])))
}

async function build(
  config: Config,
  environment: NodeJS.ProcessEnv,
  log: Log,
  withUpstreams: boolean,
): Promise<Services> {
  return buildServices({
    config,
    environment,
    version: await readVersion(),
    log,
    clock: { now: () => Date.now() },
    adapters: upstreamAdapters(),
    packageRules: packageRules(),
    withUpstreams,
  })
}

/** A client that is not there yet would be waited for without end, and a change nobody hears of is half a change. */
async function requireRedis({ redis }: Config): Promise<void> {
  if (redis.url === '') return
  await pingRedis(redis.url, REDIS_LIMIT).catch((error: unknown) => {
    throw new CommandError(
      `Redis does not answer (${(error as Error).message}), so running servers would not hear of the change at once; ` +
        'start it, or set ENTREPOT_REDIS_URL= (empty) to go on without',
      { cause: error },
    )
  })
}

/** Log lines as a person reads them. */
function plainly(output: Output): { write(line: string): void } {
  return {
    write: (line) => {
      const { msg, err } = JSON.parse(line) as { msg?: string; err?: { message?: string } }
      output.write(`entrepot: ${[msg, err?.message].filter((part) => part !== undefined).join(': ')}\n`)
    },
  }
}
