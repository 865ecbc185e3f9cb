import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Notices } from '../../src/cache/notices.ts'
import { Accounting } from '../../src/eviction/accounting.ts'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { TestApp } from '../support/test-app.ts'

const DAY = 86_400_000

describe('caches of upstreams over REST', () => {
  let registry: FakeNpmRegistry
  let app: TestApp

  beforeAll(async () => {
    registry = await FakeNpmRegistry.start()
    const file = (owner: string) => ({ type: 'npm', owner, url: registry.url, allowPrivateNetwork: true })
    app = await TestApp.start({ upstreams: { one: { ...file('one'), capBytes: '1GiB' }, two: file('two') } })
  })
  afterAll(async () => {
    await app.close()
    await registry.close()
  })

  const install = async (owner: string, name: string) => {
    const url = `/api/packages/${owner}/npm/${name}`
    expect((await app.inject({ url })).statusCode).toBe(200)
    expect((await app.inject({ url: `${url}/-/${name}-1.0.0.tgz` })).statusCode).toBe(200)
    await app.services.upstream.settle()
  }
  const stats = async (name: string) => (await app.api('GET', `/admin/upstreams/${name}/stats`)).json()
  const pins = async () => (await app.api('GET', '/admin/upstreams/one/pins')).json() as object[]

  test('tell what is held and what a purge would free, at most a minute late', async () => {
    const nothing = { bytes: 0, exclusive_bytes: 0, files: 0, versions: 0, documents: 0 }
    expect(await stats('one')).toEqual({ ...nothing, cap_bytes: 2 ** 30, unused_days: 90 })
    const shared = (await registry.publish({ name: 'shared', version: '1.0.0' })).bytes.length
    const own = (await registry.publish({ name: 'own', version: '1.0.0' })).bytes.length
    for (const [owner, name] of [
      ['one', 'shared'],
      ['one', 'own'],
      ['two', 'shared'],
    ] as const) {
      await install(owner, name)
    }
    expect(await stats('one')).toMatchObject({ files: 0 })
    expect((await stats('two')).cap_bytes).toBe(null)
    const later = new Accounting({ db: app.services.db, notices: new Notices() })
    const usage = await later.of(app.services.upstream.find('one')!)
    expect(usage).toMatchObject({ files: 2, versions: 2, documents: 2 })
    expect(usage.bytes).toBeGreaterThan(shared + own)
    // The tarball and the document that the other mirror holds too would stay.
    expect(usage.exclusiveBytes).toBeGreaterThanOrEqual(own)
    expect(usage.exclusiveBytes).toBeLessThanOrEqual(usage.bytes - shared)
  })

  test('a tarball that two mirrors hold goes from one of them and stays for the other', async () => {
    app.clock.advance(60 * DAY)
    await install('two', 'shared')
    app.clock.advance(60 * DAY)
    expect(await app.services.eviction.run()).toMatchObject({ files: 2 })
    const asked = registry.upstream.requests.filter(({ path }) => path.endsWith('.tgz')).length
    await install('two', 'shared')
    expect(registry.upstream.requests.filter(({ path }) => path.endsWith('.tgz')).length).toBe(asked)
    await install('one', 'shared')
  })

  test('are pinned by patterns', async () => {
    const put = (body: object) => app.api('PUT', '/admin/upstreams/one/pins', body)
    expect((await put({ name: '@acme/*' })).statusCode).toBe(204)
    expect((await put({ name: 'left-pad', version: '1.*' })).statusCode).toBe(204)
    expect((await put({ name: 'left-pad', version: '1.*' })).statusCode).toBe(204)
    expect(await pins()).toMatchObject([
      { name: '@acme/*', version: '*', author: 'root' },
      { name: 'left-pad', version: '1.*', author: 'root' },
    ])
    const away = (query: string) => app.api('DELETE', `/admin/upstreams/one/pins?${query}`)
    expect((await away('name=left-pad')).statusCode).toBe(404)
    expect((await away('name=left-pad&version=1.*')).statusCode).toBe(204)
    expect((await away(`name=${encodeURIComponent('@acme/*')}`)).statusCode).toBe(204)
    expect(await pins()).toEqual([])
  })

  test.each([
    {},
    { name: '' },
    { name: 'a b' },
    { name: '*a*b*c*d*' },
    { name: 'a', version: '{1,2}' },
    { name: 'a', version: '' },
    { name: 'a', reason: 'x' },
    { name: 'x'.repeat(256) },
    [],
  ])('%j is no pin', async (body) => {
    expect((await app.api('PUT', '/admin/upstreams/one/pins', body)).statusCode).toBe(422)
    expect(await pins()).toEqual([])
  })

  test('exist for upstreams that exist', async () => {
    for (const [method, path] of [
      ['GET', 'stats'],
      ['GET', 'pins'],
      ['PUT', 'pins'],
      ['DELETE', 'pins?name=a'],
    ] as const) {
      const response = await app.api(
        method,
        `/admin/upstreams/none/${path}`,
        method === 'PUT' ? { name: 'a' } : undefined,
      )
      expect(response.statusCode).toBe(404)
    }
  })
})
