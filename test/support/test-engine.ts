import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.ts'
import { buildServices, type Services } from '../../src/services.ts'
import type { UpstreamAdapter } from '../../src/upstream/adapter.ts'
import type { Upstream } from '../../src/upstream/upstreams.ts'
import { createMigratedDatabaseUrl } from './test-database.ts'

/** What the upstream `probe` is. */
export interface TestEngineOptions {
  /** Of its URL. */
  url: string
  /** More of its file. */
  file?: object
  adapter?: Partial<UpstreamAdapter>
  /** More environment variables: ENTREPOT_… */
  environment?: Record<string, string>
  /** Goes on where an earlier engine with this folder stopped, or beside one that runs. */
  dataDir?: string
  databaseUrl?: string
}

/** A clock that only tests move. */
export class StoppedClock {
  #now = Date.now()
  now(): number {
    return this.#now
  }
  advance(ms: number): void {
    this.#now += ms
  }
}

/** The pull-through engine without a package type above it, and one upstream whose adapter the test gives. */
export class TestEngine {
  readonly services: Services
  readonly clock: StoppedClock
  readonly upstream: Upstream
  readonly dataDir: string
  readonly #cleanup: () => Promise<void>

  private constructor(services: Services, clock: StoppedClock, dataDir: string, cleanup: () => Promise<void>) {
    this.services = services
    this.dataDir = dataDir
    this.clock = clock
    this.upstream = services.upstream.find('probe')!
    this.#cleanup = cleanup
  }

  static async start(options: TestEngineOptions): Promise<TestEngine> {
    const { url, file, adapter, environment: more } = options
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'entrepot-')))
    const upstreamsDir = join(dataDir, 'upstreams')
    await mkdir(upstreamsDir, { recursive: true })
    const declared = { type: 'probe', owner: 'probe', url, allowPrivateNetwork: true, ...file }
    await writeFile(join(upstreamsDir, 'probe.yaml'), JSON.stringify(declared))
    const database =
      options.databaseUrl === undefined
        ? await createMigratedDatabaseUrl(dataDir)
        : { url: options.databaseUrl, drop: async () => {} }
    const environment = {
      ENTREPOT_DATA_DIR: dataDir,
      ENTREPOT_UPSTREAMS_DIR: upstreamsDir,
      ENTREPOT_DATABASE_URL: database.url,
      ENTREPOT_MIRRORS_RETRIES: '0',
      ...more,
    }
    const clock = new StoppedClock()
    const services = await buildServices({
      config: await loadConfig(environment),
      environment,
      version: '0.0.0-test',
      log: pino({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' }),
      clock,
      adapters: new Map([['probe', { nameDocument: () => Promise.reject() as never, ...adapter }]]),
      packageRules: new Map([['probe', {}]]),
    })
    return new TestEngine(services, clock, dataDir, async () => {
      await services.close()
      await database.drop()
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true })
    })
  }

  /** Waits until what is being fetched or stored is done. */
  settle(): Promise<void> {
    return this.services.upstream.settle()
  }

  close(): Promise<void> {
    return this.#cleanup()
  }
}
