import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { type Logger, pino } from 'pino'
import { buildApp } from '../../src/app.ts'
import { packageRules, upstreamAdapters } from '../../src/commands/start.ts'
import { loadConfig } from '../../src/config/config.ts'
import { addJobs } from '../../src/jobs.ts'
import { buildServices, type Services } from '../../src/services.ts'
import { createMigratedDatabaseUrl } from './test-database.ts'

/** Settings of one test server. */
export interface TestAppOptions {
  /** More environment variables: ENTREPOT_… */
  environment?: Record<string, string>
  /** Name → YAML text or object of an upstream file; none by default. */
  upstreams?: Record<string, object>
  /** Goes on where an earlier server with this folder stopped. */
  dataDir?: string
  databaseUrl?: string
  /** Where it logs to; nowhere by default. */
  log?: Logger
}

/** A clock that tests move. */
export class TestClock {
  #offset = 0
  now(): number {
    return Date.now() + this.#offset
  }
  advance(ms: number): void {
    this.#offset += ms
  }
}

const ADMIN = { username: 'root', password: 'correct-horse-battery' }

/** A whole server in this process with an administrator `root`; helpers go through HTTP. */
export class TestApp {
  readonly app: FastifyInstance
  readonly services: Services
  readonly clock: TestClock
  readonly dataDir: string
  /** Basic credentials of the administrator. */
  readonly admin = basic(ADMIN.username, ADMIN.password)
  #url: string | null = null
  readonly #cleanup: () => Promise<void>

  private constructor(
    app: FastifyInstance,
    services: Services,
    clock: TestClock,
    dataDir: string,
    cleanup: () => Promise<void>,
  ) {
    this.app = app
    this.services = services
    this.clock = clock
    this.dataDir = dataDir
    this.#cleanup = cleanup
  }

  static async start(options: TestAppOptions = {}): Promise<TestApp> {
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'entrepot-')))
    const upstreamsDir = await writeUpstreams(dataDir, options.upstreams ?? {})
    const database =
      options.databaseUrl === undefined
        ? await createMigratedDatabaseUrl(dataDir)
        : { url: options.databaseUrl, drop: async () => {} }
    const environment = {
      ENTREPOT_DATA_DIR: dataDir,
      ENTREPOT_UPSTREAMS_DIR: upstreamsDir,
      ENTREPOT_DATABASE_URL: database.url,
      ...(process.env['TEST_REDIS_URL'] === undefined ? {} : { ENTREPOT_REDIS_URL: process.env['TEST_REDIS_URL'] }),
      ENTREPOT_ADMIN_USERNAME: ADMIN.username,
      ENTREPOT_ADMIN_PASSWORD: ADMIN.password,
      ...options.environment,
    }
    const config = await loadConfig(environment)
    const clock = new TestClock()
    const services = await buildServices({
      config,
      environment,
      version: '0.0.0-test',
      log: options.log ?? pino({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' }),
      clock,
      adapters: upstreamAdapters(),
      packageRules: packageRules(),
    })
    await services.accounts.ensureFirstAdmin(config, dataDir, () => {})
    addJobs(services)
    const app = await buildApp(services)
    await app.ready()
    settleAfterChanges(app, services)
    const keep = options.dataDir !== undefined
    return new TestApp(app, services, clock, dataDir, async () => {
      await database.drop()
      if (!keep) await rm(dataDir, { recursive: true, force: true })
    })
  }

  /** Listens on a free port of 127.0.0.1 and tells the URL; links in documents still name `config.baseUrl`. */
  async listen(): Promise<string> {
    this.#url ??= await this.app.listen({ host: '127.0.0.1', port: 0 })
    return this.#url
  }

  /** One request without a socket. */
  inject(options: InjectOptions): Promise<LightMyRequestResponse> {
    return this.app.inject(options)
  }

  /** A request to the REST API as `authorization`; JSON in, the response out. */
  api(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    payload?: object,
    authorization: string | null = this.admin,
  ): Promise<LightMyRequestResponse> {
    return this.app.inject({
      method,
      url: `/api/v1${path}`,
      headers: authorization === null ? {} : { authorization },
      ...(payload === undefined ? {} : { payload }),
    })
  }

  /** Makes a user who can work at once; returns Basic credentials. */
  async createUser(username: string, password = 'a-long-password'): Promise<string> {
    await expectStatus(
      201,
      await this.api('POST', '/admin/users', {
        username,
        email: `${username}@example.org`,
        password,
        must_change_password: false,
      }),
    )
    return basic(username, password)
  }

  /** Makes an organization owned by the caller. */
  async createOrganization(username: string, authorization = this.admin, visibility = 'public'): Promise<void> {
    await expectStatus(201, await this.api('POST', '/orgs', { username, visibility }, authorization))
  }

  /** Makes a token of a user; returns its secret. */
  async createToken(username: string, scopes: string[], authorization: string): Promise<string> {
    const name = `token-${Math.random().toString(36).slice(2)}`
    const response = await this.api('POST', `/users/${username}/tokens`, { name, scopes }, authorization)
    await expectStatus(201, response)
    return (response.json() as { sha1: string }).sha1
  }

  /** Waits until nothing is being fetched, stored or noted, so that the statements of what comes next can be counted. */
  async quiet(): Promise<void> {
    const { upstream, accessTokens, packages, audit } = this.services
    await upstream.settle()
    await accessTokens.close()
    await packages.downloads.flush()
    await audit.settle()
  }

  /** Stops the server as SIGTERM does, and removes what it left unless the folder was given. */
  async close(): Promise<void> {
    await this.app.close()
    await this.services.close()
    await this.#cleanup()
  }
}

/** Tests count statements: those of the audit log shall not come among them later. */
function settleAfterChanges(app: FastifyInstance, { audit }: Services): void {
  const inject = app.inject.bind(app) as (options: InjectOptions) => Promise<LightMyRequestResponse>
  const injectAndSettle = async (options: InjectOptions): Promise<LightMyRequestResponse> => {
    const response = await inject(options)
    if (options.method !== undefined && options.method !== 'GET') await audit.settle()
    return response
  }
  app.inject = injectAndSettle as typeof app.inject
}

/** The header of a Basic sign-in. */
export function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

async function expectStatus(status: number, response: LightMyRequestResponse): Promise<void> {
  if (response.statusCode !== status)
    throw new Error(`expected ${status}, got ${response.statusCode}: ${response.body}`)
}

async function writeUpstreams(dataDir: string, upstreams: Record<string, object>): Promise<string> {
  const { mkdir, writeFile } = await import('node:fs/promises')
  const directory = join(dataDir, 'upstreams')
  await mkdir(directory, { recursive: true })
  for (const [name, file] of Object.entries(upstreams)) {
    // JSON is YAML.
    await writeFile(join(directory, `${name}.yaml`), JSON.stringify(file))
  }
  return directory
}
