import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildPublication } from '../../support/builders/npm.ts'
import { FakeNpmRegistry } from '../../support/fake-npm-registry.ts'
import { TestApp, type TestAppOptions } from '../../support/test-app.ts'

const REG = '/api/packages/acme/npm'
const MIRROR = '/api/packages/npmjs/npm'
const RESERVED = { ENTREPOT_MIRRORS_RESERVED_NPM: '@acme/*, acme-*' }

let registry: FakeNpmRegistry
const started: TestApp[] = []

beforeEach(async () => {
  registry = await FakeNpmRegistry.start()
  for (const name of ['@acme/app', '@ACME/App', 'left']) await registry.publish({ name, version: '99.0.0' })
})
afterEach(async () => {
  for (const app of started.splice(0)) await app.close()
  await registry.close()
})

async function start(options: TestAppOptions): Promise<TestApp> {
  const upstreams = { npmjs: { type: 'npm', owner: 'npmjs', url: registry.url, allowPrivateNetwork: true } }
  const app = await TestApp.start({ upstreams, ...options })
  started.push(app)
  return app
}

const status = async (app: TestApp, url: string) => (await app.inject({ method: 'GET', url })).statusCode

describe('names that the site reserves', () => {
  test('are asked of no upstream, neither at the mirror nor at an organization', async () => {
    const app = await start({ environment: RESERVED })
    await app.createOrganization('acme')
    await app.api('PUT', '/orgs/acme/upstreams/npm', ['npmjs'])
    for (const owner of [MIRROR, REG, '/api/packages/root/npm']) {
      for (const path of [
        '/@acme%2fapp',
        '/@ACME/App',
        '/@acme/app/-/app-99.0.0.tgz',
        '/Acme-x',
        '/-/v1/search?text=x+@acme/app',
      ]) {
        const expected = path.startsWith('/-/') ? 200 : 404
        expect([owner, path, await status(app, `${owner}${path}`)]).toEqual([owner, path, expected])
      }
      const audit = await app.inject({
        method: 'POST',
        url: `${owner}/-/npm/v1/security/advisories/bulk`,
        headers: { 'content-type': 'application/json' },
        payload: { '@acme/app': ['99.0.0'] },
      })
      expect([audit.statusCode, audit.json()]).toEqual([200, {}])
    }
    expect(registry.upstream.requests).toEqual([])
    expect(await status(app, `${MIRROR}/left`)).toBe(200)
    expect(await status(app, `${MIRROR}/-/v1/search?text=left`)).toBe(200)
    expect(registry.searches).toHaveLength(1)
  })

  test('stay what the organization published, whose address still has the rest', async () => {
    const app = await start({ environment: RESERVED })
    await app.createOrganization('acme')
    await app.api('PUT', '/orgs/acme/upstreams/npm', ['npmjs'])
    const published = await app.inject({
      method: 'PUT',
      url: `${REG}/@acme%2fapp`,
      headers: { authorization: app.admin, 'content-type': 'application/json' },
      payload: await buildPublication({ name: '@acme/app', version: '1.0.0' }),
    })
    expect(published.statusCode).toBe(201)
    const { versions } = (await app.inject({ method: 'GET', url: `${REG}/@acme%2fapp` })).json()
    expect(Object.keys(versions)).toEqual(['1.0.0'])
    expect(await status(app, `${REG}/left`)).toBe(200)
    expect(await status(app, `${MIRROR}/@acme%2fapp`)).toBe(404)
    expect(registry.upstream.count('/@acme/app')).toBe(0)
  })

  test('are so whatever was held of them, or bound, before the server was told', async () => {
    const before = await start({})
    await before.createOrganization('acme')
    await before.api('PUT', '/orgs/acme/upstreams/npm', ['npmjs'])
    const paths = ['/@acme%2fapp', '/@acme/app/-/app-99.0.0.tgz']
    for (const path of paths) expect(await status(before, `${REG}${path}`)).toBe(200)
    await before.services.upstream.settle()
    registry.upstream.forget()
    const after = await start({
      environment: RESERVED,
      dataDir: before.dataDir,
      databaseUrl: before.services.config.database.url,
    })
    for (const path of paths) {
      expect(await status(after, `${MIRROR}${path}`)).toBe(404)
      expect(await status(after, `${REG}${path}`)).toBe(404)
    }
    const published = await after.inject({
      method: 'PUT',
      url: `${REG}/@acme%2fapp`,
      headers: { authorization: after.admin, 'content-type': 'application/json' },
      payload: await buildPublication({ name: '@acme/app', version: '1.0.0' }),
    })
    expect(published.statusCode, published.body).toBe(201)
    expect(registry.upstream.requests).toEqual([])
  })
})
