import { mkdir, readFile } from 'node:fs/promises'
import { pino } from 'pino'
import { type Config, loadConfig } from '../config/config.ts'
import type { Log } from '../log.ts'
import { packageTypes } from '../package-types/index.ts'
import type { RulesByType } from '../packages/package-rules.ts'
import { buildServices, type Services } from '../services.ts'
import type { UpstreamAdapter } from '../upstream/adapter.ts'

/** What every command begins with: settings, a log, and the services built from them. Throws ConfigError. */
export async function start(environment: NodeJS.ProcessEnv): Promise<{ config: Config; log: Log; services: Services }> {
  const config = await loadConfig(environment)
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  const log = pino({ level: String(config.log.level), base: null }, pino.destination({ sync: false, minLength: 4096 }))
  const flushing = setInterval(() => log.flush(), 1_000)
  flushing.unref()
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const services = await buildServices({
    config,
    environment,
    version,
    log,
    clock: { now: () => Date.now() },
    adapters: upstreamAdapters(),
    packageRules: packageRules(),
  })
  return { config, log, services }
}

/** By type name: what the types say of their packages. */
export function packageRules(): RulesByType {
  return new Map(packageTypes.map((type) => [type.name, type]))
}

/** By type name: how the types that can be mirrored speak to their upstreams. */
export function upstreamAdapters(): Map<string, UpstreamAdapter> {
  return new Map(packageTypes.flatMap(({ name, upstream }) => (upstream === undefined ? [] : [[name, upstream]])))
}
