import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildPublication } from '../../support/builders/npm.ts'
import { FakeNpmRegistry } from '../../support/fake-npm-registry.ts'
import { TestApp } from '../../support/test-app.ts'

const REG = '/api/packages/acme/npm'

let first: FakeNpmRegistry
let second: FakeNpmRegistry
let server: TestApp

beforeEach(async () => {
  first = await FakeNpmRegistry.start()
  second = await FakeNpmRegistry.start()
  const file = (owner: string, url: string) => ({ type: 'npm', owner, url, allowPrivateNetwork: true })
  server = await TestApp.start({
    upstreams: {
      npmjs: file('npmjs', first.url),
      other: file('other', second.url),
      closed: { ...file('closed', first.url), visibility: 'private' },
    },
  })
  await server.createOrganization('acme')
})
afterEach(async () => {
  await server.close()
  await Promise.all([first.close(), second.close()])
})

const attach = async (body: unknown[]) => {
  const response = await server.api('PUT', '/orgs/acme/upstreams/npm', body)
  expect(response.statusCode, response.body).toBeLessThan(300)
}
const get = (path: string) => server.inject({ method: 'GET', url: `${REG}${path}` })
const publish = async (name: string, version: string) =>
  server.inject({
    method: 'PUT',
    url: `${REG}/${name.replace('/', '%2f')}`,
    headers: { authorization: server.admin, 'content-type': 'application/json' },
    payload: await buildPublication({ name, version }),
  })

describe('an organization that attaches an upstream', () => {
  test('serves its own packages and falls through for the rest, from one URL', async () => {
    await attach([{ upstream: 'npmjs' }])
    expect((await publish('@acme/app', '1.0.0')).statusCode).toBe(201)
    const { bytes } = await first.publish({ name: 'left', version: '1.0.0' })
    expect((await get('/@acme%2fapp')).json().versions['1.0.0'].dist.tarball).toBe(
      `http://127.0.0.1:8080${REG}/@acme/app/-/app-1.0.0.tgz`,
    )
    const left = await get('/left')
    expect(left.json().versions['1.0.0'].dist.tarball).toBe(`http://127.0.0.1:8080${REG}/left/-/left-1.0.0.tgz`)
    expect((await get('/left/-/left-1.0.0.tgz')).rawPayload.equals(bytes)).toBe(true)
    expect((await get('/nobody')).statusCode).toBe(404)
    expect(first.upstream.count('/@acme/app')).toBe(0)
  })

  test('shadows upstream names by its own, also in other spellings and after deletion', async () => {
    await attach([{ upstream: 'npmjs' }])
    await publish('secret', '1.0.0')
    await first.publish({ name: 'secret', version: '99.0.0' })
    await first.publish({ name: 'SECRET', version: '99.0.0' })
    expect(Object.keys((await get('/secret')).json().versions)).toEqual(['1.0.0'])
    expect((await server.api('DELETE', '/packages/acme/npm/secret/1.0.0')).statusCode).toBe(204)
    for (const path of ['/secret', '/SECRET', '/secret/-/secret-99.0.0.tgz', '/SECRET/-/SECRET-99.0.0.tgz']) {
      expect((await get(path)).statusCode).toBe(404)
    }
    expect(first.upstream.requests).toEqual([])
  })

  test('takes a name from the first upstream that has it, for ever (pull-through.md §7.4)', async () => {
    await attach([{ upstream: 'npmjs' }, { upstream: 'other' }])
    await second.publish({ name: 'left', version: '2.0.0' })
    expect(Object.keys((await get('/left')).json().versions)).toEqual(['2.0.0'])
    await first.publish({ name: 'left', version: '1.0.0' })
    server.clock.advance(3_600_000)
    expect(Object.keys((await get('/left')).json().versions)).toEqual(['2.0.0'])
  })

  test('binds no name for who may not read the first upstream, and tells no cache his answer', async () => {
    await attach([{ upstream: 'closed' }, { upstream: 'other' }])
    await first.publish({ name: 'left', version: '1.0.0' })
    await second.publish({ name: 'left', version: '2.0.0' })
    const stranger = await get('/left')
    expect(Object.keys(stranger.json().versions)).toEqual(['2.0.0'])
    expect(stranger.headers['cache-control']).toContain('private')
    const headers = { authorization: server.admin }
    const admin = await server.inject({ method: 'GET', url: `${REG}/left`, headers })
    expect(Object.keys(admin.json().versions)).toEqual(['1.0.0'])
    expect((await get('/left')).statusCode).toBe(404)
  })

  test('§14 check 11: does not ask the second upstream while the first does not answer', async () => {
    await attach([{ upstream: 'npmjs' }, { upstream: 'other' }])
    await second.publish({ name: 'left', version: '2.0.0' })
    await first.upstream.down()
    const refused = await get('/left')
    expect(refused.statusCode).toBe(503)
    expect(refused.headers['retry-after']).toBeDefined()
    expect(second.upstream.requests).toEqual([])
    await first.upstream.up()
    server.clock.advance(60_000)
    expect((await get('/left')).statusCode).toBe(200)
  })

  test('does not ask the second upstream for what the first, switched offline, does not hold', async () => {
    await attach([{ upstream: 'npmjs' }, { upstream: 'other' }])
    await first.publish({ name: 'mine', version: '1.0.0' })
    await second.publish({ name: 'mine', version: '99.0.0' })
    await server.services.upstream.setMode('npmjs', 'offline')
    expect((await get('/mine')).statusCode).toBe(503)
    expect(second.upstream.requests).toEqual([])
    await server.services.upstream.setMode('npmjs', 'online')
    expect(Object.keys((await get('/mine')).json().versions)).toEqual(['1.0.0'])
  })

  test('of one upstream that is offline has no other names', async () => {
    await attach([{ upstream: 'npmjs' }])
    await server.services.upstream.setMode('npmjs', 'offline')
    expect((await get('/mine')).statusCode).toBe(404)
  })

  test('asks an upstream for the names that its patterns let through only', async () => {
    await attach([{ upstream: 'npmjs', include: ['@pub/*', 'lib-*'], exclude: ['lib-private'] }])
    for (const name of ['@pub/a', 'lib-a', 'lib-private', 'left']) await first.publish({ name, version: '1.0.0' })
    expect((await get('/@pub%2fa')).statusCode).toBe(200)
    expect((await get('/lib-a')).statusCode).toBe(200)
    expect((await get('/lib-private')).statusCode).toBe(404)
    expect((await get('/left')).statusCode).toBe(404)
    expect(first.upstream.count('/left')).toBe(0)
  })

  test('refuses to publish over a name that it takes from an upstream', async () => {
    await attach([{ upstream: 'npmjs' }])
    await first.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    const refused = await publish('left', '9.0.0')
    expect(refused.statusCode).toBe(409)
    expect(refused.json().error).toMatch(/npmjs/)
  })

  test('stops falling through when it detaches, and does not before it attaches', async () => {
    await first.publish({ name: 'left', version: '1.0.0' })
    expect((await get('/left')).statusCode).toBe(404)
    await attach(['npmjs'])
    expect((await get('/left')).statusCode).toBe(200)
    await attach([])
    expect((await get('/left')).statusCode).toBe(404)
  })

  test('does not tell the upstream its own names in an audit', async () => {
    await attach([{ upstream: 'npmjs', exclude: ['@acme/*'] }])
    await publish('hosted-name', '1.0.0')
    const response = await server.inject({
      method: 'POST',
      url: `${REG}/-/npm/v1/security/advisories/bulk`,
      headers: { 'content-type': 'application/json' },
      payload: { left: ['1.0.0'], 'hosted-name': ['1.0.0'], '@acme/reserved': ['1.0.0'] },
    })
    expect(response.statusCode).toBe(200)
    expect(JSON.parse(String(first.audits[0]?.body))).toEqual({ left: ['1.0.0'] })
  })

  describe('and reserves names', () => {
    const reserve = async (patterns: string[]) => {
      const response = await server.api('PUT', '/orgs/acme/reserved-names/npm', patterns)
      expect([response.statusCode, response.json()]).toEqual([200, patterns])
    }

    test('asks no upstream for them, in any spelling and by no route, and hosts them', async () => {
      await attach(['npmjs', 'other'])
      await reserve(['@Acme/*', 'acme-*'])
      for (const name of ['@acme/app', '@ACME/app', 'acme-lib', 'Acme-Lib']) {
        await first.publish({ name, version: '99.0.0' })
        for (const path of [
          `/${name.replace('/', '%2f')}`,
          `/${name}`,
          `/${name}/-/${name.replace(/.*\//, '')}-99.0.0.tgz`,
          `/-/package/${name.replace('/', '%2f')}/dist-tags`,
          `/-/npm/v1/attestations/${name}@99.0.0`,
        ]) {
          expect([path, (await get(path)).statusCode]).toEqual([path, 404])
        }
      }
      expect((await publish('@acme/app', '1.0.0')).statusCode).toBe(201)
      expect(Object.keys((await get('/@acme%2fapp')).json().versions)).toEqual(['1.0.0'])
      const audit = await server.inject({
        method: 'POST',
        url: `${REG}/-/npm/v1/security/advisories/bulk`,
        headers: { 'content-type': 'application/json' },
        payload: {
          '@acme/other': ['1.0.0'],
          '@ACME/Other': ['1.0.0'],
          'acme-lib': ['1.0.0'],
          ['x'.repeat(256)]: ['1.0.0'],
        },
      })
      expect([audit.statusCode, audit.json()]).toEqual([200, {}])
      expect(first.upstream.requests).toEqual([])
      expect(second.upstream.requests).toEqual([])
      await first.publish({ name: 'acme', version: '1.0.0' })
      expect((await get('/acme')).statusCode).toBe(200)
    })

    test('has what came from an upstream no longer, may publish it, and keeps it when it reserves nothing', async () => {
      await attach(['npmjs'])
      for (const name of ['acme-app', 'acme-lib', 'left']) {
        await first.publish({ name, version: '99.0.0' })
        expect((await get(`/${name}`)).statusCode).toBe(200)
      }
      await reserve(['acme-*'])
      const asked = first.upstream.requests.length
      expect((await get('/acme-app')).statusCode).toBe(404)
      expect((await get('/acme-app/-/acme-app-99.0.0.tgz')).statusCode).toBe(404)
      expect((await publish('acme-app', '1.0.0')).statusCode).toBe(201)
      expect((await publish('left', '1.0.0')).statusCode).toBe(409)
      expect(first.upstream.requests).toHaveLength(asked)
      await reserve([])
      expect(Object.keys((await get('/acme-app')).json().versions)).toEqual(['1.0.0'])
      expect(Object.keys((await get('/acme-lib')).json().versions)).toEqual(['99.0.0'])
    })

    test('binds no name that is reserved while an upstream is being asked for it', async () => {
      await attach(['npmjs'])
      await first.publish({ name: 'acme-app', version: '99.0.0' })
      first.upstream.on('/acme-app', async () => {
        await reserve(['acme-*'])
        return { body: JSON.stringify(first.packument('acme-app')) }
      })
      expect((await get('/acme-app')).statusCode).toBe(404)
      expect(first.upstream.count('/acme-app')).toBe(1)
      expect((await publish('acme-app', '1.0.0')).statusCode).toBe(201)
    })

    test('does so for itself alone', async () => {
      await attach(['npmjs'])
      await reserve(['left'])
      await first.publish({ name: 'left', version: '1.0.0' })
      expect((await get('/left')).statusCode).toBe(404)
      const mirror = await server.inject({ method: 'GET', url: '/api/packages/npmjs/npm/left' })
      expect(mirror.statusCode).toBe(200)
    })
  })

  test('keeps excluded names in, whatever their case', async () => {
    await attach([{ upstream: 'npmjs', exclude: ['@Acme/*'] }])
    for (const name of ['@acme/a', '@ACME/A']) await first.publish({ name, version: '1.0.0' })
    expect((await get('/@acme%2fa')).statusCode).toBe(404)
    expect((await get('/@ACME%2fA')).statusCode).toBe(404)
    expect(first.upstream.requests).toEqual([])
  })

  test('shows the packages of both under its new name when it is renamed', async () => {
    await attach([{ upstream: 'npmjs' }])
    await publish('@acme/app', '1.0.0')
    await first.publish({ name: 'left', version: '1.0.0' })
    for (const path of ['/@acme%2fapp', '/left']) expect((await get(path)).body).toContain(`${REG}/`)
    expect((await server.api('POST', '/orgs/acme/rename', { new_name: 'summit' })).statusCode).toBe(204)
    for (const path of ['/@acme%2fapp', '/left']) {
      const { headers } = await get(path)
      const moved = await server.inject({ method: 'GET', url: headers['location']! })
      expect(moved.body).toContain('/api/packages/summit/npm/')
      expect(moved.body).not.toContain(`${REG}/`)
    }
  })

  test('runs no SQL for warm answers of either source', async () => {
    await attach([{ upstream: 'npmjs' }])
    await publish('@acme/app', '1.0.0')
    await first.publish({ name: 'left', version: '1.0.0' })
    const paths = ['/@acme%2fapp', '/@acme/app/-/app-1.0.0.tgz', '/left', '/left/-/left-1.0.0.tgz']
    for (const path of paths) expect((await get(path)).statusCode).toBe(200)
    await server.services.upstream.settle()
    for (const path of paths) await get(path)
    await server.quiet()
    const { queries } = server.services.db
    for (const path of paths) expect((await get(path)).statusCode).toBe(200)
    expect(server.services.db.queries).toBe(queries)
  })
})
