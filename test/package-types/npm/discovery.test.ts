import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FakeNpmRegistry } from '../../support/fake-npm-registry.ts'
import { TestApp } from '../../support/test-app.ts'
import { Registry } from './registry.ts'

const BULK = '/-/npm/v1/security/advisories/bulk'
const QUICK = '/-/npm/v1/security/audits/quick'

let upstream: FakeNpmRegistry
let server: TestApp
let registry: Registry
let secret: Registry
let mirror: Registry
let view: Registry
let bob: string

beforeAll(async () => {
  upstream = await FakeNpmRegistry.start()
  const file = { type: 'npm', owner: 'npmjs', url: upstream.url, allowPrivateNetwork: true }
  server = await TestApp.start({ upstreams: { npmjs: file } })
  const alice = await server.createUser('alice')
  bob = await server.createUser('bob')
  for (const [name, visibility] of [
    ['acme', 'public'],
    ['view', 'public'],
    ['secret', 'private'],
  ] as const) {
    await server.createOrganization(name, alice, visibility)
  }
  registry = new Registry(server, 'acme', alice)
  view = new Registry(server, 'view', alice)
  secret = new Registry(server, 'secret', alice)
  mirror = new Registry(server, 'npmjs', null)
  expect((await server.api('PUT', '/orgs/view/upstreams/npm', [{ upstream: 'npmjs' }])).statusCode).toBeLessThan(300)
  const publish = async (name: string, version: string, manifest: object, tags?: string[]) => {
    const response = await registry.publish({ name, version, manifest: { ...manifest }, ...(tags && { tags }) })
    expect(response.statusCode).toBe(201)
  }
  await publish('@acme/alpha', '1.0.0', {
    description: 'The first',
    keywords: ['letters', 'greek'],
    author: 'Alice <a@example.org>',
    license: 'MIT',
    homepage: 'https://example.org',
    repository: { type: 'git', url: 'git+https://example.org/alpha.git' },
  })
  await publish('@acme/alpha', '2.0.0-rc.1', { description: 'Not yet', keywords: ['next'] }, ['next'])
  await publish('beta', '1.0.0', { keywords: ['greek'] })
  await publish('beta_gamma', '1.0.0', {})
  await publish('gone', '1.0.0', {})
  await registry.delete('/gone/-rev/x')
  await secret.publish({ name: 'hidden-beta', version: '1.0.0' })
})
afterAll(async () => {
  await server.close()
  await upstream.close()
})

describe('search', () => {
  const search = async (query: string, who = registry.as(null)) => (await who.get(`/-/v1/search?${query}`)).json()
  const names = async (query: string) =>
    (await search(query)).objects.map((object: { package: { name: string } }) => object.package.name)

  test('shows a package by its latest version', async () => {
    const found = await search('text=alpha')
    expect(found).toMatchObject({ total: 1, time: expect.stringMatching(/Z$/) })
    expect(found.objects).toEqual([
      {
        package: {
          name: '@acme/alpha',
          scope: 'acme',
          version: '1.0.0',
          description: 'The first',
          keywords: ['letters', 'greek'],
          date: expect.stringMatching(/Z$/),
          links: {
            npm: `http://127.0.0.1:8080${registry.path}/@acme/alpha`,
            homepage: 'https://example.org',
            repository: 'git+https://example.org/alpha.git',
          },
          author: { name: 'Alice <a@example.org>' },
          publisher: { username: 'alice', email: 'alice@noreply.127.0.0.1' },
          maintainers: [{ username: 'alice', email: 'alice@noreply.127.0.0.1' }],
          license: 'MIT',
        },
        score: { final: 1, detail: { quality: 1, popularity: 1, maintenance: 1 } },
        searchScore: 1,
      },
    ])
  })

  test.each([
    ['text=', ['@acme/alpha', 'beta', 'beta_gamma']],
    ['', ['@acme/alpha', 'beta', 'beta_gamma']],
    ['text=BETA', ['beta', 'beta_gamma']],
    ['text=beta%20gamma', ['beta_gamma']],
    ['text=beta+nothing', []],
    ['text=%25', []],
    ['text=a_m', []],
    ['text=_', ['beta_gamma']],
    ['text=!', []],
    ["text='%20OR%20'1'='1", []],
    ['text=keywords:greek', ['@acme/alpha', 'beta']],
    ['text=keywords:greek,letters', ['@acme/alpha']],
    ['text=keywords:next', []],
    ['text=keywords:gree', []],
    ['text=keywords:%25', []],
    ['text=maintainer:alice', ['@acme/alpha', 'beta', 'beta_gamma']],
    ['text=maintainer:bob', []],
    ['text=beta%20is:unstable%20not:insecure%20author:x%20scope:y', ['beta', 'beta_gamma']],
    [`text=${'x'.repeat(300)}`, []],
    [`text=${'x%20'.repeat(30)}`, []],
  ])('%s finds %j', async (query, expected) => {
    expect(await names(query)).toEqual(expected)
  })

  test('goes page by page, with a limit', async () => {
    expect(await search('text=&size=2')).toMatchObject({ total: 3, objects: { length: 2 } })
    expect(await names('text=&size=1&from=1')).toEqual(['beta'])
    expect(await names('text=keywords:greek&size=1&from=1')).toEqual(['beta'])
    expect(await search('text=&from=3')).toMatchObject({ total: 3, objects: [] })
    for (const query of [
      'size=0',
      'size=-1',
      'size=x',
      'size=99999999999999',
      'from=-1',
      'from=1e9',
      'from=99999999999999999999',
    ]) {
      const response = await registry.get(`/-/v1/search?text=&${query}`)
      expect(response.statusCode, query).toBe(200)
      expect(response.json().objects.length).toBe(3)
    }
  })

  test('names nothing of an owner that the caller cannot read', async () => {
    expect((await secret.get('/-/v1/search?text=beta')).json()).toMatchObject({ total: 1 })
    for (const who of [null, bob]) {
      const response = await secret.as(who).get('/-/v1/search?text=beta')
      expect(response.statusCode).toBe(401)
      expect(response.body).not.toContain('hidden')
    }
    expect((await registry.get('/-/v1/search?text=hidden')).json()).toMatchObject({ total: 0 })
  })

  test('on a mirror asks the upstream, without credentials', async () => {
    upstream.searchAnswer = { objects: [], total: 7, time: 'x' }
    const response = await mirror.as(bob).get('/-/v1/search?text=some%20words&size=20&from=0&evil=1')
    expect(response.json()).toMatchObject({ total: 7 })
    const request = upstream.searches.at(-1)!
    expect(Object.fromEntries(new URLSearchParams(request.query))).toEqual({
      text: 'some words',
      size: '20',
      from: '0',
    })
    expect(request.headers).not.toHaveProperty('authorization')
  })
})

describe('audit', () => {
  const body = (request: { body: Buffer; headers: Record<string, unknown> }) =>
    JSON.parse((request.headers['content-encoding'] === 'gzip' ? gunzipSync(request.body) : request.body).toString())
  const bulk = (who: Registry, names: object, headers: Record<string, string> = {}) =>
    who.request('POST', BULK, {
      headers: { 'content-type': 'application/json', ...headers },
      payload: headers['content-encoding'] ? gzipSync(JSON.stringify(names)) : JSON.stringify(names),
    })

  test('of hosted packages knows nothing bad', async () => {
    expect((await bulk(registry.as(null), { beta: ['1.0.0'] })).json()).toEqual({})
    expect((await bulk(registry, { beta: ['1.0.0'] }, { 'content-encoding': 'gzip' })).json()).toEqual({})
    for (const path of [QUICK, '/-/npm/v1/security/audits']) {
      const response = await registry.post(path, { name: 'x', requires: {}, dependencies: {} })
      expect(response.json()).toMatchObject({ actions: [], metadata: { vulnerabilities: { critical: 0 } } })
    }
    expect(upstream.audits).toEqual([])
  })

  test('on a mirror tells the upstream no name that is ours, anywhere on this server', async () => {
    upstream.auditAnswer = { left: [{ id: 1 }] }
    for (const headers of [{}, { 'content-encoding': 'gzip' }] as Record<string, string>[]) {
      const names = {
        left: ['1.0.0'],
        '@acme/alpha': ['1.0.0'],
        'hidden-beta': ['1.0.0'],
        gone: ['1.0.0'],
        BETA: ['1.0.0'],
      }
      const response = await bulk(mirror.as(bob), names, headers)
      expect(response.json()).toEqual({ left: [{ id: 1 }] })
      expect(body(upstream.audits.at(-1)!)).toEqual({ left: ['1.0.0'] })
      expect(upstream.audits.at(-1)!.headers).not.toHaveProperty('authorization')
    }
    const asked = upstream.audits.length
    expect((await bulk(mirror, { beta: ['1.0.0'] })).json()).toEqual({})
    expect((await bulk(mirror, {})).json()).toEqual({})
    expect(upstream.audits.length).toBe(asked)
  })

  test('of an organization with an upstream does the same', async () => {
    upstream.auditAnswer = { left: [{ id: 2 }] }
    await view.publish({ name: 'own', version: '1.0.0' })
    expect((await bulk(view, { left: ['1.0.0'], own: ['1.0.0'] })).json()).toEqual({ left: [{ id: 2 }] })
    expect(body(upstream.audits.at(-1)!)).toEqual({ left: ['1.0.0'] })
  })

  test('of the older kind keeps our names out of the whole tree', async () => {
    upstream.auditAnswer = { actions: [] }
    const tree = {
      name: 'secret-project',
      version: '3.1.4',
      requires: { left: '^1.0.0', '@acme/alpha': '*', odd: 'git+ssh://git@example.org/x.git' },
      dependencies: {
        left: {
          version: '1.0.0',
          resolved: 'http://internal/left.tgz',
          dev: true,
          requires: { beta: '1' },
          dependencies: { beta: { version: '1.0.0' }, right: { version: '2.0.0' } },
        },
        '@acme/alpha': { version: '1.0.0', dependencies: { left: { version: '0.1.0' } } },
        odd: { version: 'git+ssh://git@example.org/x.git#1' },
      },
    }
    expect((await mirror.post(QUICK, tree)).json()).toEqual({ actions: [] })
    const sent = body(upstream.audits.at(-1)!)
    expect(sent).toEqual({
      name: 'project',
      version: '0.0.0',
      install: [],
      remove: [],
      metadata: {},
      requires: { left: '>=1.0.0 <2.0.0-0', odd: '*' },
      dependencies: {
        left: {
          version: '1.0.0',
          dev: true,
          requires: {},
          dependencies: { right: { version: '2.0.0', requires: {}, dependencies: {} } },
        },
      },
    })
  })

  test('that is none is refused', async () => {
    for (const payload of ['', 'x', '[]', 'null', '"x"']) {
      const response = await registry.request('POST', BULK, {
        payload,
        headers: { 'content-type': 'application/json' },
      })
      expect(response.statusCode, payload).toBe(400)
    }
    const notGzip = await registry.request('POST', BULK, { payload: '{}', headers: { 'content-encoding': 'gzip' } })
    expect(notGzip.statusCode).toBe(400)
    const deep = `${'{"dependencies":{"a":'.repeat(500)}{}${'}}'.repeat(500)}`
    expect((await registry.request('POST', QUICK, { payload: deep })).statusCode).toBe(400)
  })

  test('has a limit, after inflating too', async () => {
    const bomb = gzipSync(Buffer.alloc(11 * 1024 * 1024, ' '))
    expect(bomb.length).toBeLessThan(100_000)
    const response = await registry.request('POST', BULK, { payload: bomb, headers: { 'content-encoding': 'gzip' } })
    expect(response.statusCode).toBe(413)
  })

  test('needs the right to read', async () => {
    expect((await bulk(secret.as(null), {})).statusCode).toBe(401)
  })
})

describe('keys and attestations', () => {
  test('of hosted packages are not there: nobody signed them', async () => {
    expect((await registry.get('/-/npm/v1/keys')).statusCode).toBe(404)
    expect((await view.get('/-/npm/v1/keys')).statusCode).toBe(404)
    for (const spec of ['beta@1.0.0', '@acme%2falpha@1.0.0', '@acme/alpha@1.0.0']) {
      expect((await registry.get(`/-/npm/v1/attestations/${spec}`)).statusCode).toBe(404)
    }
  })

  test('of a mirror are asked of the upstream, by name and version only', async () => {
    for (const [spec, path] of [
      ['left@1.0.0', '/-/npm/v1/attestations/left@1.0.0'],
      ['@s%2fleft@1.0.0', '/-/npm/v1/attestations/@s%2fleft@1.0.0'],
      ['@s/left@1.0.0', '/-/npm/v1/attestations/@s%2fleft@1.0.0'],
    ] as const) {
      await mirror.get(`/-/npm/v1/attestations/${spec}`)
      expect(decodeURIComponent(upstream.upstream.requests.at(-1)!.path)).toBe(decodeURIComponent(path))
    }
    const asked = upstream.upstream.requests.length
    for (const spec of ['left', '@left', '..%2f..%2fx@1', 'left@', 'a%00@1']) {
      expect([400, 404]).toContain((await mirror.get(`/-/npm/v1/attestations/${spec}`)).statusCode)
    }
    expect(upstream.upstream.requests.length).toBe(asked)
  })
})
