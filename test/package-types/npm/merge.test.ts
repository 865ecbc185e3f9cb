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
      partner: { ...file('partner', second.url), trust: 'trusted' },
      closed: { ...file('closed', second.url), visibility: 'private' },
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
  expect(response.statusCode, response.body).toBe(200)
}
const bind = async (name: string, body: object) => {
  const response = await server.api('PUT', `/orgs/acme/bindings/npm/${encodeURIComponent(name)}`, body)
  expect(response.statusCode, response.body).toBe(200)
}
const get = (path: string, headers: Record<string, string> = {}) =>
  server.inject({ method: 'GET', url: `${REG}${path}`, headers })
const versions = async (name: string) => Object.keys((await get(`/${name}`)).json().versions).sort()
const publish = async (name: string, version: string, query = '') =>
  server.inject({
    method: 'PUT',
    url: `${REG}/${name.replace('/', '%2f')}${query}`,
    headers: { authorization: server.admin, 'content-type': 'application/json' },
    payload: await buildPublication({ name, version }),
  })

test('trusted upstreams are asked before others, wherever they stand', async () => {
  await attach(['npmjs', 'partner'])
  await first.publish({ name: 'left', version: '66.0.0' })
  await second.publish({ name: 'left', version: '1.0.0' })
  expect(await versions('left')).toEqual(['1.0.0'])
  expect(first.upstream.requests).toEqual([])
})

test('another upstream that has a bound name later is ignored, and resolve tells of it', async () => {
  await attach(['partner', 'npmjs'])
  await first.publish({ name: 'left', version: '1.0.0' })
  expect(await versions('left')).toEqual(['1.0.0'])
  await second.publish({ name: 'left', version: '66.0.0' })
  server.clock.advance(3_600_000)
  await server.inject({ method: 'GET', url: '/api/packages/partner/npm/left' })
  expect(await versions('left')).toEqual(['1.0.0'])
  const resolved = (await server.api('GET', '/packages/resolve?owner=acme&type=npm&name=left')).json()
  expect(resolved).toMatchObject({ source: 'upstream', conflicts: ['partner'] })
})

describe('a merged name', () => {
  test('has the versions of all: ours first, then those of upstreams in order, in documents and files alike', async () => {
    await attach(['partner', 'npmjs'])
    await publish('left', '1.0.0')
    for (const version of ['1.0.0', '2.0.0']) await second.publish({ name: 'left', version, padding: 10 })
    for (const version of ['1.0.0', '2.0.0', '3.0.0']) await first.publish({ name: 'left', version, padding: 20 })
    await bind('left', { source: 'hosted', merge: true })
    const document = (await get('/left')).json()
    expect(Object.keys(document.versions).sort()).toEqual(['1.0.0', '2.0.0', '3.0.0'])
    expect(document['dist-tags']).toEqual({ latest: '1.0.0' })
    expect(Object.keys(document.time).sort()).toEqual(['1.0.0', '2.0.0', '3.0.0', 'created', 'modified'])
    expect(document.versions['2.0.0'].dist.integrity).toBe(
      (second.packument('left') as typeof document).versions['2.0.0'].dist.integrity,
    )
    for (const version of ['1.0.0', '2.0.0', '3.0.0']) {
      const { tarball, shasum } = document.versions[version].dist
      const { rawPayload, statusCode } = await server.inject({ method: 'GET', url: new URL(tarball).pathname })
      expect(statusCode).toBe(200)
      const { createHash } = await import('node:crypto')
      expect(createHash('sha1').update(rawPayload).digest('hex')).toBe(shasum)
      expect((await get(`/left/${version}`)).json().dist.shasum).toBe(shasum)
    }
    expect(first.upstream.count('/left/-/left-2.0.0.tgz')).toBe(0)
    expect((await get('/left/9.0.0')).statusCode).toBe(404)
    expect((await get('/left/-/left-9.0.0.tgz')).statusCode).toBe(404)
    const metrics = await server.inject({ method: 'GET', url: '/metrics' })
    if (metrics.statusCode === 200) expect(metrics.body).toMatch(/entrepot_name_conflicts_total\{type="npm"\} 3/)
    expect((await publish('left', '4.0.0')).statusCode).toBe(201)
    expect(await versions('left')).toEqual(['1.0.0', '2.0.0', '3.0.0', '4.0.0'])
  })

  test('gives the version of the first in every spelling of its number (S27)', async () => {
    await attach(['npmjs'])
    await publish('left', '1.0.0-beta')
    await first.publish({ name: 'left', version: '1.0.0-BETA' })
    await bind('left', { source: 'hosted', merge: true })
    expect(await versions('left')).toEqual(['1.0.0-beta'])
    await get('/left/-/left-1.0.0-BETA.tgz')
    expect(first.upstream.count('/left/-/left-1.0.0-BETA.tgz')).toBe(0)
  })

  test('is 503 while an upstream that comes first cannot say, but for what is ours', async () => {
    await attach(['partner', 'npmjs'])
    await publish('left', '1.0.0')
    await first.publish({ name: 'left', version: '66.0.0' })
    await bind('left', { source: 'hosted', merge: true })
    await second.upstream.down()
    expect((await get('/left')).statusCode).toBe(503)
    expect((await get('/left/-/left-66.0.0.tgz')).statusCode).toBe(503)
    expect((await get('/left/-/left-1.0.0.tgz')).statusCode).toBe(200)
  })

  test('is without the versions that a policy refuses, whoever else has them', async () => {
    await attach(['partner', 'npmjs'])
    for (const each of [second, first]) await each.publish({ name: 'left', version: '1.0.0' })
    await first.publish({ name: 'left', version: '2.0.0' })
    await bind('left', { source: 'npmjs', merge: true })
    const rule = { action: 'deny', type: 'npm', name: 'left', versions: '1.0.0', reason: 'bad', upstream: 'partner' }
    expect((await server.api('POST', '/admin/policies', rule)).statusCode).toBe(201)
    expect(await versions('left')).toEqual(['2.0.0'])
    expect((await get('/left/1.0.0')).statusCode).toBe(403)
    expect((await get('/left/-/left-1.0.0.tgz')).statusCode).toBe(403)
    expect((await get('/left/-/left-2.0.0.tgz')).statusCode).toBe(200)
  })

  test('shows nobody what he may not read, and caches that for nobody else (S3)', async () => {
    await attach(['closed', 'npmjs'])
    await second.publish({ name: 'left', version: '1.0.0-secret' })
    await first.publish({ name: 'left', version: '1.0.0' })
    await bind('left', { source: 'npmjs', merge: true })
    const admin = { authorization: server.admin }
    for (let round = 0; round < 2; round += 1) {
      const all = await get('/left', admin)
      expect(Object.keys(all.json().versions).sort()).toEqual(['1.0.0', '1.0.0-secret'])
      expect(all.headers['cache-control']).toContain('private')
      const some = await get('/left')
      expect(Object.keys(some.json().versions)).toEqual(['1.0.0'])
      expect(some.headers['cache-control']).toContain('private')
      expect((await get('/left/-/left-1.0.0-secret.tgz')).statusCode).toBe(404)
      expect((await get('/-/package/left/dist-tags')).json()).toEqual({ latest: '1.0.0' })
    }
  })

  test('ends with the binding', async () => {
    await attach(['npmjs'])
    await publish('left', '1.0.0')
    await first.publish({ name: 'left', version: '2.0.0' })
    await bind('left', { source: 'hosted', merge: true })
    expect(await versions('left')).toEqual(['1.0.0', '2.0.0'])
    await bind('left', { source: 'hosted', merge: false })
    expect(await versions('left')).toEqual(['1.0.0'])
    expect((await get('/left/-/left-2.0.0.tgz')).statusCode).toBe(404)
  })

  test('runs no SQL for warm answers', async () => {
    await attach(['npmjs'])
    await publish('left', '1.0.0')
    await first.publish({ name: 'left', version: '2.0.0' })
    await bind('left', { source: 'hosted', merge: true })
    const paths = ['/left', '/left/-/left-1.0.0.tgz', '/left/-/left-2.0.0.tgz']
    for (const path of [...paths, ...paths]) expect((await get(path)).statusCode).toBe(200)
    await server.services.upstream.settle()
    for (const path of paths) await get(path)
    await server.quiet()
    const { queries } = server.services.db
    for (const path of paths) expect((await get(path)).statusCode).toBe(200)
    expect(server.services.db.queries).toBe(queries)
  })
})

describe('publishing over a name that is an upstream’s', () => {
  beforeEach(async () => {
    await attach(['npmjs'])
    await first.publish({ name: '@pub/left', version: '1.0.0' })
    expect((await get('/@pub%2fleft')).statusCode).toBe(200)
  })

  test('is refused, and the refusal says how to confirm it', async () => {
    const refused = await publish('@pub/left', '9.0.0')
    expect([refused.statusCode, refused.json().error]).toEqual([
      409,
      '@pub/left comes from the upstream npmjs; to shadow it, confirm by ' +
        'PUT /api/v1/orgs/acme/bindings/npm/%40pub%2Fleft {"source":"hosted"}, or by ?confirm_shadow=true',
    ])
    expect((await publish('@PUB/Left', '9.0.0')).statusCode).toBeGreaterThanOrEqual(400)
    expect(await versions('@pub%2fleft')).toEqual(['1.0.0'])
  })

  test.each(['binding', 'query'])('works once it is confirmed by %s, and is in the audit log', async (how) => {
    if (how === 'binding') await bind('@pub/left', { source: 'hosted' })
    const published = await publish('@pub/left', '9.0.0', how === 'query' ? '?confirm_shadow=true' : '')
    expect(published.statusCode, published.body).toBe(201)
    expect(await versions('@pub%2fleft')).toEqual(['9.0.0'])
    expect((await get('/@pub/left/-/left-1.0.0.tgz')).statusCode).toBe(404)
    await server.services.audit.settle()
    const events = (await server.api('GET', '/orgs/acme/audit?action=name-binding.changed')).json()
    expect(events).toHaveLength(1)
    expect((await publish('@pub/left', '9.1.0')).statusCode).toBe(201)
  })

  test('is decided once when publishers and readers meet (S27)', async () => {
    await first.publish({ name: 'race', version: '66.0.0' })
    const [one, other, ...reads] = await Promise.all([
      publish('race', '1.0.0'),
      publish('race', '1.0.1'),
      get('/race'),
      get('/race'),
    ])
    const rows = await server.services.models.nameBinding.findAll({ where: { lowerName: 'race' } })
    expect(rows).toHaveLength(1)
    const isOurs = rows[0]!.upstreamId === 0
    expect([one.statusCode, other.statusCode]).toEqual(isOurs ? [201, 201] : [409, 409])
    expect(await versions('race')).toEqual(isOurs ? ['1.0.0', '1.0.1'] : ['66.0.0'])
    for (const { statusCode } of reads) expect([200, 404]).toContain(statusCode)
  })
})
