import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildNpmTarball } from '../../support/builders/npm-tarball.ts'
import { TestApp } from '../../support/test-app.ts'
import { Registry } from './registry.ts'

const ABBREVIATED = 'application/vnd.npm.install-v1+json'
const name = '@acme/lib'

let server: TestApp
let registry: Registry
let anonymous: Registry
let hidden: Registry
let tarball: Buffer

beforeAll(async () => {
  server = await TestApp.start()
  const alice = await server.createUser('alice')
  await server.createOrganization('acme', alice)
  await server.createOrganization('secret', alice, 'private')
  registry = new Registry(server, 'acme', alice)
  anonymous = registry.as(null)
  hidden = new Registry(server, 'secret', alice)
  const manifest = { dependencies: { a: '1' }, scripts: { test: 'x' } }
  const built = await buildNpmTarball({ name, version: '1.0.0', ...manifest })
  tarball = built.bytes
  await registry.publish({ name, version: '1.0.0', manifest, tarball: built })
  await registry.publish({ name, version: '1.1.0', tags: ['next'] })
  await hidden.publish({ name: '@secret/lib', version: '1.0.0' })
})
afterAll(() => server.close())

describe('a packument', () => {
  test.each([
    '/@acme%2flib',
    '/@acme%2Flib',
    '/@acme/lib',
    '/%40acme%2flib',
    '/%40acme/lib',
    '/@ACME%2fLib',
    '/@acme%2flib/',
  ])('is found at %s', async (path) => {
    const response = await anonymous.get(path)
    expect(response.statusCode).toBe(200)
    expect(response.json().name).toBe(name)
  })

  test.each([
    [{}, 'application/json'],
    [{ accept: '*/*' }, 'application/json'],
    [{ accept: ABBREVIATED }, ABBREVIATED],
    [{ accept: `${ABBREVIATED}; q=1.0, application/json; q=0.8, */*` }, ABBREVIATED],
    [{ accept: `${ABBREVIATED}; q=0.1, application/json` }, 'application/json'],
  ])('comes in the form of %j', async (headers, type) => {
    const response = await anonymous.get('/@acme%2flib', headers)
    expect(response.headers['content-type']).toBe(type)
    expect(response.headers['vary']).toBe('Accept, Accept-Encoding')
    expect('_rev' in response.json()).toBe(type === 'application/json')
    expect(response.json().time).toHaveProperty('1.1.0')
    expect('scripts' in response.json().versions['1.0.0']).toBe(type === 'application/json')
  })

  test('is whole for who is about to write', async () => {
    const response = await anonymous.get('/@acme%2flib?write=true', { accept: ABBREVIATED })
    expect(response.headers['content-type']).toBe('application/json')
    expect(response.json()._rev).toMatch(/^2-[0-9a-f]{32}$/)
  })

  test('is asked for each time, and answered 304 by its ETag alone', async () => {
    const first = await anonymous.get('/@acme%2flib', { 'accept-encoding': 'gzip' })
    expect(first.headers).toMatchObject({ 'cache-control': 'no-cache', 'content-encoding': 'gzip' })
    expect(first.headers['etag']).toMatch(/^"[^"]+"$/)
    expect(first.headers['last-modified']).toBeDefined()
    expect(JSON.parse(gunzipSync(first.rawPayload).toString()).name).toBe(name)
    const again = await anonymous.get('/@acme%2flib', {
      'accept-encoding': 'gzip',
      'if-none-match': String(first.headers['etag']),
      'if-modified-since': 'Mon, 01 Jan 2001 00:00:00 GMT',
    })
    expect(again.statusCode).toBe(304)
    expect(again.body).toBe('')
    const changed = await anonymous.get('/@acme%2flib', {
      'if-none-match': '"other"',
      'if-modified-since': String(first.headers['last-modified']),
    })
    expect(changed.statusCode).toBe(200)
  })

  test('of a private owner is private, and not there for others', async () => {
    const response = await hidden.get('/@secret%2flib')
    expect(response.headers).toMatchObject({ 'cache-control': 'private, no-cache' })
    expect(response.headers['vary']).toContain('Authorization')
    const file = await hidden.get('/@secret/lib/-/lib-1.0.0.tgz')
    expect(file.headers['cache-control']).toBe('private, max-age=31536000, immutable')
    const known = await hidden.as(null).get('/@secret%2flib')
    const unknown = await hidden.as(null).get('/@secret%2fnothing')
    expect(known.statusCode).toBe(401)
    expect(known.body).toBe(unknown.body)
  })

  test('changes its ETag, its time and its revision with every change', async () => {
    await registry.publish({ name: 'changing', version: '1.0.0' })
    const seen = new Set<string>()
    const look = async () => {
      const response = await anonymous.get('/changing')
      seen.add(String(response.headers['etag'])).add(response.json()._rev).add(response.json().time.modified)
      return response.json()
    }
    await look()
    const changes = [
      () => registry.publish({ name: 'changing', version: '1.1.0' }),
      () => registry.put('/-/package/changing/dist-tags/stable', '"1.0.0"'),
      () => registry.delete('/-/package/changing/dist-tags/stable'),
      () => registry.put('/changing', { versions: { '1.0.0': { deprecated: 'old' } } }),
      () => registry.delete('/changing/-/changing-1.1.0.tgz/-rev/x'),
    ]
    for (const change of changes.slice(0, 4)) {
      server.clock.advance(2_000)
      expect((await change()).statusCode).toBeLessThan(300)
      await look()
    }
    expect(seen.size).toBe(3 * 5)
    server.clock.advance(2_000)
    await changes[4]!()
    expect(Object.keys((await look()).versions)).toEqual(['1.0.0'])
    expect(seen.size).toBe(3 * 6)
  })

  test('that is not there is 404 as JSON, and not remembered by anybody', async () => {
    for (const path of [
      '/nothing',
      '/@acme%2fnothing',
      '/nothing/-/nothing-1.0.0.tgz',
      '/-/package/nothing/dist-tags',
    ]) {
      const response = await anonymous.get(path)
      expect(response.statusCode).toBe(404)
      expect(response.json()).toEqual({ error: expect.any(String) })
      expect(response.headers['cache-control']).toBe('no-store')
    }
  })
})

describe('one version', () => {
  test.each([
    ['1.0.0', '1.0.0'],
    ['v1.0.0', '1.0.0'],
    ['latest', '1.0.0'],
    ['next', '1.1.0'],
  ])('%s is %s', async (wanted, version) => {
    const response = await anonymous.get(`/@acme%2flib/${wanted}`)
    expect(response.json()).toMatchObject({ _id: `${name}@${version}`, version })
    expect(response.json().dist.tarball).toBe(`http://127.0.0.1:8080${registry.path}/@acme/lib/-/lib-${version}.tgz`)
    expect((await anonymous.get(`/@acme/lib/${wanted}`)).body).toBe(response.body)
  })

  test.each(['9.9.9', 'nothing', '__proto__', 'constructor', '-rev'])('%s is not there', async (wanted) => {
    expect((await anonymous.get(`/@acme%2flib/${wanted}`)).statusCode).toBe(404)
  })
})

describe('a tarball', () => {
  const standard = '/@acme/lib/-/lib-1.0.0.tgz'
  test.each([
    standard,
    '/@acme%2flib/-/lib-1.0.0.tgz',
    '/@acme/lib/-/@acme/lib-1.0.0.tgz',
    '/@acme%2flib/-/@acme%2flib-1.0.0.tgz',
    '/@acme%2flib/-/1.0.0/lib-1.0.0.tgz',
    '/@acme/lib/-/1.0.0/lib-1.0.0.tgz',
    '/%40acme/lib/-/LIB-1.0.0.tgz',
  ])('is found at %s', async (path) => {
    const response = await anonymous.get(path)
    expect(response.statusCode).toBe(200)
    expect(response.rawPayload.equals(tarball)).toBe(true)
  })

  test('has the headers that let everybody keep it, and no content encoding', async () => {
    const { headers } = await anonymous.get(standard, { 'accept-encoding': 'gzip' })
    expect(headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': String(tarball.length),
      'cache-control': 'public, max-age=31536000, s-maxage=86400, immutable',
      'x-content-type-options': 'nosniff',
      'accept-ranges': 'bytes',
    })
    expect(headers['etag']).toMatch(/^"sha256:[0-9a-f]{64}"$/)
    expect(headers['content-disposition']).toContain('lib-1.0.0.tgz')
    expect(headers).not.toHaveProperty('content-encoding')
  })

  test('answers HEAD like GET, ranges, and 304', async () => {
    const full = await anonymous.get(standard)
    const head = await anonymous.request('HEAD', standard)
    expect(head.body).toBe('')
    const comparable = ({ date, connection, ...rest }: Record<string, unknown>) => rest
    expect(comparable(head.headers)).toEqual(comparable(full.headers))
    const part = await anonymous.get(standard, { range: 'bytes=2-5' })
    expect(part.statusCode).toBe(206)
    expect(part.rawPayload.equals(tarball.subarray(2, 6))).toBe(true)
    expect((await anonymous.get(standard, { 'if-none-match': String(full.headers['etag']) })).statusCode).toBe(304)
  })

  test.each([
    '/@acme/lib/-/lib-9.9.9.tgz',
    '/@acme/lib/-/lib-1.0.0.zip',
    '/@acme/lib/-/other-1.0.0.tgz',
    '/@acme/lib/-/@other/lib-1.0.0.tgz',
    '/@acme/lib/-/1.1.0/lib-1.0.0.tgz',
    '/@acme/lib/-/a/b/lib-1.0.0.tgz',
    '/@acme/lib/-',
    '/lib/-/lib-1.0.0.tgz',
  ])('is not at %s', async (path) => {
    expect((await anonymous.get(path)).statusCode).toBe(404)
  })

  test('counts as a download with GET only', async () => {
    await registry.publish({ name: 'counted', version: '1.0.0' })
    for (const method of ['GET', 'HEAD', 'GET'] as const)
      await anonymous.request(method, '/counted/-/counted-1.0.0.tgz')
    await anonymous.get('/counted')
    const { lookup } = server.services.packages
    const { versionIds } = await lookup.search({ type: 'npm', q: 'counted', page: 1, limit: 1 })
    expect((await lookup.describe(versionIds))[0]?.version.downloadCount).toBe(2)
  })
})

test('warm reads run no SQL', async () => {
  const paths: [string, Record<string, string>][] = [
    ['/@acme%2flib', {}],
    ['/@acme%2flib', { accept: ABBREVIATED }],
    ['/-/package/@acme%2flib/dist-tags', {}],
    ['/@acme/lib/-/lib-1.0.0.tgz', {}],
  ]
  for (const reader of [anonymous, registry]) {
    for (const [path, headers] of paths) {
      expect((await reader.get(path, headers)).statusCode).toBe(200)
      await server.quiet()
      const before = server.services.db.queries
      expect((await reader.get(path, headers)).statusCode).toBe(200)
      expect(server.services.db.queries - before, path).toBe(0)
    }
  }
})

describe('hostile paths', () => {
  test.each([
    '/..%2f..%2f..%2fetc%2fpasswd',
    '/%2e%2e%2f%2e%2e%2fetc',
    '/a%00b',
    '/a%0d%0ax-header:1',
    '/a%5c..%5cb',
    '/@acme%2f..',
    '/@acme%2flib/..%2f..',
    '/@acme/lib/-/..%2f..%2flib-1.0.0.tgz',
    '/@acme/lib/-/lib-1.0.0%00.tgz',
    '/@acme/lib//lib',
    '/-/package/..%2fx/dist-tags',
  ])('%s is 400', async (path) => {
    const response = await anonymous.get(path)
    expect(response.statusCode).toBe(400)
    expect(Object.keys(response.headers)).not.toContain('x-header')
  })

  test.each(['/', '/-', '/-/', '/-/unknown', '/-/package', '/@acme', '/a%252fb', '/%ff', '/a/b/c/d', '/npm', '/pnpm'])(
    '%s is no server error',
    async (path) => {
      expect([400, 404]).toContain((await anonymous.get(path)).statusCode)
    },
  )

  test('names may have 214 characters and no more', async () => {
    expect((await anonymous.get(`/${'a'.repeat(214)}`)).statusCode).toBe(404)
    expect((await anonymous.get(`/${'%61'.repeat(214)}`)).statusCode).toBe(404)
    expect((await anonymous.get(`/${'a'.repeat(215)}`)).statusCode).toBe(400)
  })
})
