import { afterEach, describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/config/config.ts'
import { TestApp, type TestAppOptions } from '../support/test-app.ts'

const started: TestApp[] = []
afterEach(() => Promise.all(started.splice(0).map((app) => app.close())))

async function start(options: TestAppOptions): Promise<TestApp> {
  const app = await TestApp.start(options)
  started.push(app)
  return app
}

const npm = (more: object = {}) => ({ type: 'npm', owner: 'corp', url: 'http://127.0.0.1:1/', ...more })
const AUTH = { kind: 'basic', usernameEnv: 'CORP_USER', passwordEnv: 'CORP_PASSWORD' }
const secrets = { CORP_USER: 'me', CORP_PASSWORD: 'secret' }
const visibilityOf = async (app: TestApp, owner = 'corp') => (await app.services.accounts.find(owner))?.visibility

describe('a mirror', () => {
  test('is public', async () => {
    expect(await visibilityOf(await start({ upstreams: { corp: npm() } }))).toBe('public')
  })

  test('with credentials is open to administrators alone', async () => {
    const app = await start({ upstreams: { corp: npm({ auth: AUTH }) }, environment: secrets })
    expect(await visibilityOf(app)).toBe('private')
    const user = await app.createUser('alice')
    const get = (authorization?: string) =>
      app.inject({
        method: 'GET',
        url: '/api/packages/corp/npm/left-pad',
        headers: authorization === undefined ? {} : { authorization },
      })
    expect((await get()).statusCode).toBe(401)
    expect((await get(user)).statusCode).toBe(401)
    expect((await get(app.admin)).statusCode).toBe(502)
  })

  test('stands behind every file that ships, and behind its aliases', async () => {
    const { services } = await start({ environment: { ENTREPOT_UPSTREAMS_DIR: 'upstreams' } })
    const { upstream } = services
    expect(
      upstream
        .list()
        .map(({ owner }) => owner)
        .sort(),
    ).toEqual([
      'docker.io',
      'gcr.io',
      'ghcr.io',
      'google-maven',
      'gradle-plugins',
      'maven-central',
      'mcr.microsoft.com',
      'npmjs',
      'quay.io',
      'registry.k8s.io',
    ])
    for (const name of ['docker.io', 'Docker-Hub'])
      expect(upstream.mirrorCalled('container', name)?.settings.name).toBe('docker-hub')
    expect(upstream.serving('container', 'index.docker.io')?.settings.options).toEqual({ defaultNamespace: 'library' })
  })

  test('follows its file at every start', async () => {
    const first = await start({ upstreams: { corp: npm({ auth: AUTH }) } })
    expect(await visibilityOf(first)).toBe('public')
    const { dataDir, services } = first
    const again = async (file: object, environment = {}) => {
      const upstreams = { corp: file }
      return visibilityOf(await start({ upstreams, environment, dataDir, databaseUrl: services.config.database.url }))
    }
    expect(await again(npm({ auth: AUTH }), secrets)).toBe('private')
    expect(await again(npm({ auth: AUTH, visibility: 'limited' }), secrets)).toBe('limited')
    expect(await again(npm())).toBe('public')
  })
})

describe('an alias of a mirror', () => {
  const named = npm({ aliases: ['Registry'] })

  test('is a name that neither users nor organizations get, in any case', async () => {
    const app = await start({ upstreams: { corp: named } })
    const mallory = await app.createUser('mallory')
    const organization = await app.api('POST', '/orgs', { username: 'registry' }, mallory)
    expect([organization.statusCode, organization.json().message]).toEqual([422, 'name is reserved [name: registry]'])
    await expect(app.createUser('REGISTRY')).rejects.toThrow('name is reserved')
    expect((await app.api('POST', '/orgs', { username: 'registry2' }, mallory)).statusCode).toBe(201)
  })

  test('that somebody has as a name stops the start; its own name may be among them', async () => {
    const app = await start({})
    await app.createOrganization('registry')
    const { dataDir } = app
    const databaseUrl = app.services.config.database.url
    const again = (file: object) => start({ upstreams: { corp: file }, dataDir, databaseUrl })
    const error = await again(named).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ConfigError)
    expect(String(error)).toContain('corp.yaml: aliases: registry is the name of another account (organization)')
    await app.api('DELETE', '/orgs/registry')
    await again(named)
    await again({ ...named, aliases: ['Registry', 'corp'] })
  })
})
