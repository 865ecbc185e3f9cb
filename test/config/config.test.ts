import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError, loadConfig } from '../../src/config/config.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'entrepot-config-'))
})
afterAll(() => rm(directory, { recursive: true }))

async function withFile(text: string, environment: Record<string, string> = {}) {
  const file = join(directory, `${Math.random()}.yaml`)
  await writeFile(file, text)
  return loadConfig({ ENTREPOT_CONFIG: file, ...environment })
}

describe('loadConfig', () => {
  test('has a default for everything', async () => {
    const config = await loadConfig({})
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      baseUrl: 'http://127.0.0.1:8080',
      dataDir: resolve('data'),
      upstreamsDir: resolve('upstreams'),
      database: { url: `sqlite:${resolve('data/entrepot.db')}` },
      mirrors: { fresh: 300_000, maxArtifactSize: 20 * 2 ** 30 },
      packages: { limitTotalOwnerCount: -1 },
    })
    expect(Object.isFrozen(config.mirrors)).toBe(true)
  })

  test('the file wins over the defaults and the environment over the file', async () => {
    const config = await withFile('port: 9000\nlog:\n  level: warn\n', { ENTREPOT_PORT: '9001' })
    expect(config.port).toBe(9001)
    expect(config.log.level).toBe('warn')
    expect(config.baseUrl).toBe('http://127.0.0.1:9001')
  })

  test('every key has its variable, lists and records too', async () => {
    const config = await loadConfig({
      ENTREPOT_BASE_URL: 'https://packages.example.org/',
      ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_SIZE: '1.5GiB',
      ENTREPOT_PACKAGES_LIMITS_NPM: '500MiB',
      ENTREPOT_AUTH_REQUIRE_SIGN_IN: 'true',
      ENTREPOT_MIRRORS_STALE_IF_ERROR: '30d',
      ENTREPOT_MIRRORS_RESERVED_MAVEN: 'com.acme, org.acme',
      ENTREPOT_MIRRORS_RESERVED_NPM: '',
      ENTREPOT_TRUSTED_PROXIES: '10.0.0.1, 10.1.0.0/16',
      ENTREPOT_DATABASE_URL: 'mysql://root@127.0.0.1/x',
    })
    expect(config.baseUrl).toBe('https://packages.example.org')
    expect(config.packages.limitTotalOwnerSize).toBe(1.5 * 2 ** 30)
    expect(config.packages.limits).toEqual({ npm: 500 * 2 ** 20 })
    expect(config.auth.requireSignIn).toBe(true)
    expect(config.mirrors.staleIfError).toBe(30 * 86_400_000)
    expect(config.mirrors.reserved).toEqual({ maven: ['com.acme', 'org.acme'], npm: [] })
    expect(config.trustedProxies).toEqual(['10.0.0.1', '10.1.0.0/16'])
    expect(config.database.url).toBe('mysql://root@127.0.0.1/x')
  })

  test('names are reserved in the file; the environment replaces those of one type', async () => {
    const text = "mirrors:\n  reserved:\n    npm: ['@acme/*', acme-*]\n    maven: [com.acme]\n"
    expect((await withFile(text)).mirrors.reserved).toEqual({ npm: ['@acme/*', 'acme-*'], maven: ['com.acme'] })
    const config = await withFile(text, { ENTREPOT_MIRRORS_RESERVED_NPM: '@other/*' })
    expect(config.mirrors.reserved).toEqual({ npm: ['@other/*'], maven: ['com.acme'] })
    expect((await loadConfig({})).mirrors.reserved).toEqual({})
  })

  test.each([
    [{ ENTREPOT_PROT: '1' }, 'ENTREPOT_PROT'],
    [{ ENTREPOT_PORT: 'tcp://10.0.0.1:8080' }, 'port'],
    [{ ENTREPOT_PORT: '0' }, 'port'],
    [{ ENTREPOT_PORT: '65536' }, 'port'],
    [{ ENTREPOT_LOG_LEVEL: 'loud' }, 'log.level'],
    [{ ENTREPOT_MIRRORS_FRESH: '5' }, 'mirrors.fresh'],
    [{ ENTREPOT_PACKAGES_LIMITS_NPM: 'lots' }, 'packages.limits.npm'],
    [{ ENTREPOT_BASE_URL: 'ftp://x' }, 'baseUrl'],
    [{ ENTREPOT_DATABASE_URL: 'postgres://x' }, 'database.url'],
    [{ ENTREPOT_AUTH_REQUIRE_SIGN_IN: 'yes' }, 'auth.requireSignIn'],
    [{ ENTREPOT_LOG: 'x' }, 'ENTREPOT_LOG'],
    [{ ENTREPOT_MIRRORS_RESERVED: 'x' }, 'ENTREPOT_MIRRORS_RESERVED'],
    [{ ENTREPOT_MIRRORS_RESERVED_NPM: 'a,,b' }, 'mirrors.reserved.npm'],
    [{ ENTREPOT_CONFIG: '/does/not/exist.yaml' }, 'ENTREPOT_CONFIG'],
  ])('%j stops the start with the name %s', async (environment, name) => {
    const error = await loadConfig(environment as unknown as Record<string, string>).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as Error).message).toMatch(new RegExp(`^${name.replaceAll('.', '\\.')}\\b`))
  })

  test.each([
    ['prot: 1', 'prot'],
    ['log:\n  lvl: info', 'log.lvl'],
    ['log: info', 'log'],
    ['port: [1]', 'port'],
    ['mirrors:\n  reserved: [a]', 'mirrors.reserved'],
    ['mirrors:\n  reserved:\n    npm: { a: b }', 'mirrors.reserved.npm'],
    ['mirrors:\n  reserved:\n    npm: [1]', 'mirrors.reserved.npm'],
    ['__proto__: {}', '__proto__'],
    ['constructor: {}', 'constructor'],
  ])('the file %j stops the start with the name %s', async (text, name) => {
    const error = await withFile(text).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as Error).message.startsWith(name)).toBe(true)
  })
})
