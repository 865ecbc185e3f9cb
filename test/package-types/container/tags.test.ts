import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildImage, buildIndex } from '../../support/builders/image.ts'
import { TestApp } from '../../support/test-app.ts'
import { failure, Images } from './images.ts'

const EMPTY = buildIndex([])

let server: TestApp
let alice: string
let images: Images
/** Shuffled; upper case comes first, and no locale sorts like this. */
const TAGS = ['b', 'a', 'Z', 'a-b', 'a.b', 'a_b', '10', '9', 'B', '_', 'ab']
const SORTED = ['10', '9', 'B', 'Z', '_', 'a', 'a-b', 'a.b', 'a_b', 'ab', 'b']

beforeAll(async () => {
  server = await TestApp.start()
  alice = await server.createUser('alice')
  images = new Images(server, 'alice/te/st', alice)
  for (const tag of TAGS) await images.push(tag, EMPTY)
})
afterAll(() => server.close())

const linkOf = async (query: string) => (await images.get(`tags/list${query}`)).headers['link']

describe('a list of tags', () => {
  test('names the repository as the client does, and has all tags in byte order', async () => {
    const response = await images.get('tags/list')
    expect(response.json()).toEqual({ name: 'alice/te/st', tags: SORTED })
    expect(response.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-cache',
      'docker-distribution-api-version': 'registry/2.0',
    })
    expect(response.headers).not.toHaveProperty('link')
    const head = await images.request('HEAD', 'tags/list')
    expect([head.statusCode, head.body]).toEqual([200, ''])
  })

  test('has no digests, and nothing of what waits to be named', async () => {
    const other = new Images(server, 'alice/quiet', alice)
    const image = buildImage()
    await other.push(image.digest, image)
    const response = await other.get('tags/list')
    expect(response.json()).toEqual({ name: 'alice/quiet', tags: [] })
  })

  test('can be cut, and says whether there is more', async () => {
    expect(await images.tags('?n=3')).toEqual(SORTED.slice(0, 3))
    expect(await linkOf('?n=3')).toBe('</v2/alice/te/st/tags/list?n=3&last=B>; rel="next"')
    expect(await images.tags('?n=0')).toEqual([])
    expect(await linkOf('?n=0')).toBeUndefined()
    for (const n of [SORTED.length, SORTED.length + 1, '999999999999999999999', '007']) {
      expect(await images.tags(`?n=${n}`)).toEqual(n === '007' ? SORTED.slice(0, 7) : SORTED)
      expect(await linkOf(`?n=${n}`)).toEqual(n === '007' ? expect.stringContaining('last=a-b') : undefined)
    }
  })

  test('goes on after any text, whether there is such a tag or not', async () => {
    for (const last of [
      '',
      '0',
      '9',
      '99',
      'A',
      'Z',
      '_',
      'a',
      'a,',
      'aa',
      'b',
      'zzz',
      '%00',
      '%F0%9F%98%80',
      'a%20',
    ]) {
      const text = decodeURIComponent(last)
      const expected = SORTED.filter((tag) => tag > text)
      expect(await images.tags(`?last=${last}`), last).toEqual(expected)
    }
    expect(await images.tags('?n=2&last=a')).toEqual(['a-b', 'a.b'])
    expect(await images.tags(`?last=${'x'.repeat(5_000)}`)).toEqual([])
  })

  test('can be read page by page', async () => {
    for (const n of [1, 2, 5, 11]) {
      const seen: string[] = []
      let url = `/v2/alice/te/st/tags/list?n=${n}`
      for (let pages = 0; pages <= SORTED.length; pages += 1) {
        const response = await server.inject({ method: 'GET', url, headers: { authorization: alice } })
        const { tags } = response.json() as { tags: string[] }
        seen.push(...tags)
        const link = response.headers['link']
        if (link === undefined) break
        expect(tags).toHaveLength(n)
        url = /^<(.+)>; rel="next"$/.exec(String(link))![1]!
      }
      expect(seen).toEqual(SORTED)
    }
  })

  test.each(['-1', 'a', '1.5', '', '1e3', '0x10', '+1', ' 1', '1&n=2', '٣'])('refuses n=%s', async (n) => {
    expect(failure(await images.get(`tags/list?n=${n}`))).toEqual([400, 'PAGINATION_NUMBER_INVALID'])
    expect(failure(await images.get(`tags/list?n=1&last=a&last=b`))).toEqual([400, 'PAGINATION_NUMBER_INVALID'])
  })

  test('of an unknown repository is 404, of a foreign one 401', async () => {
    for (const query of ['', '?n=0', '?last=a']) {
      const unknown = new Images(server, 'alice/nothing', alice)
      expect(failure(await unknown.get(`tags/list${query}`))).toEqual([404, 'NAME_UNKNOWN'])
    }
    await server.createOrganization('closed', alice, 'private')
    const closed = new Images(server, 'closed/app', alice)
    await closed.push('v1', EMPTY)
    expect((await closed.as(null).get('tags/list')).statusCode).toBe(401)
    const response = await closed.get('tags/list')
    expect(response.headers).toMatchObject({ 'cache-control': 'private, no-cache', vary: 'Authorization' })
  })

  test('has no page of more than ten thousand', async () => {
    const { models, packages, accounts } = server.services
    const many = new Images(server, 'alice/many', alice)
    await many.push('0', EMPTY)
    const owner = await accounts.find('alice')
    const { id: packageId } = (await packages.lookup.findPackage(owner!.id, 'container', 'many'))!
    const rows = Array.from({ length: 10_000 }, (_, index) => {
      const version = `v${String(index).padStart(5, '0')}`
      return { packageId, version, lowerVersion: version, createdAt: 0, metadataJson: 'null' }
    })
    await models.packageVersion.bulkCreate(rows)
    const response = await many.get('tags/list?n=20000')
    expect((response.json() as { tags: string[] }).tags).toHaveLength(10_000)
    expect(response.headers['link']).toBe('</v2/alice/many/tags/list?n=20000&last=v09998>; rel="next"')
    expect(await many.tags('?n=20000&last=v09998')).toEqual(['v09999'])
  })
})

describe('the catalog', () => {
  const catalog = async (app: TestApp, query = '', authorization: string | null = null) => {
    const headers = authorization === null ? {} : { authorization }
    const response = await app.inject({ method: 'GET', url: `/v2/_catalog${query}`, headers })
    expect(response.statusCode, response.body).toBe(200)
    return { names: (response.json() as { repositories: string[] }).repositories, response }
  }
  let app: TestApp
  let bob: string
  let carol: string
  const PUBLIC = ['a-b/x', 'a/x', 'a/x-y', 'a/x/y', 'a/y', 'a0/x', 'bob/app']

  beforeAll(async () => {
    app = await TestApp.start()
    bob = await app.createUser('bob')
    carol = await app.createUser('carol')
    await app.createOrganization('A', bob)
    await app.createOrganization('a-b', bob)
    await app.createOrganization('a0', bob)
    await app.createOrganization('limited', bob, 'limited')
    await app.createOrganization('private', bob, 'private')
    for (const name of [...PUBLIC, 'limited/x', 'private/x']) await new Images(app, name, bob).push('v1', EMPTY)
    // Only uploads: no repository yet.
    await new Images(app, 'bob/unfinished', bob).upload(buildImage().blobs)
  })
  afterAll(() => app.close())

  test('lists what the caller may read, with its owner, in byte order', async () => {
    expect((await catalog(app)).names).toEqual(PUBLIC)
    expect((await catalog(app, '', carol)).names).toEqual([...PUBLIC, 'limited/x'])
    expect((await catalog(app, '', bob)).names).toEqual([...PUBLIC, 'limited/x', 'private/x'])
    expect((await catalog(app, '', app.admin)).names).toEqual([...PUBLIC, 'limited/x', 'private/x'])
  })

  test('is nobody else’s in a cache', async () => {
    const { response } = await catalog(app)
    expect(response.headers).toMatchObject({ 'cache-control': 'private, no-cache', vary: 'Authorization' })
  })

  test('can be read page by page, from any text on', async () => {
    for (const n of [1, 2, 3, 9]) {
      const seen: string[] = []
      let query = `?n=${n}`
      for (let pages = 0; pages < 10; pages += 1) {
        const { names, response } = await catalog(app, query, bob)
        seen.push(...names)
        const link = response.headers['link']
        if (link === undefined) break
        expect(names).toHaveLength(n)
        query = /^<\/v2\/_catalog(\?.+)>; rel="next"$/.exec(String(link))![1]!
      }
      expect(seen).toEqual([...PUBLIC, 'limited/x', 'private/x'])
    }
    const all = [...PUBLIC, 'limited/x', 'private/x']
    for (const last of ['', 'a', 'a-', 'a-b', 'a-b/', 'a/', 'a/x', 'a/x0', 'a/zz', 'a0', 'b', 'zz', '0', '/']) {
      const { names } = await catalog(app, `?last=${encodeURIComponent(last)}`, bob)
      expect(names, last).toEqual(all.filter((name) => name > last))
    }
    expect((await catalog(app, '?n=0')).names).toEqual([])
    expect((await catalog(app, '?n=5000')).names).toEqual(PUBLIC)
    const bad = await app.inject({ method: 'GET', url: '/v2/_catalog?n=-1' })
    expect(failure(bad)).toEqual([400, 'PAGINATION_NUMBER_INVALID'])
  })

  test('forgets a repository with its last manifest', async () => {
    const gone = new Images(app, 'bob/gone', bob)
    await gone.push('v1', EMPTY)
    expect((await catalog(app, '', bob)).names).toContain('bob/gone')
    await gone.delete(EMPTY.digest)
    expect((await catalog(app, '', bob)).names).not.toContain('bob/gone')
  })

  test('needs a token with the right scope, where one is used', async () => {
    const other = await app.createToken('bob', ['write:user'], bob)
    const reader = await app.createToken('bob', ['read:package'], bob)
    const publicOnly = await app.createToken('bob', ['read:package', 'public-only'], bob)
    const ask = (token: string) =>
      app.inject({ method: 'GET', url: '/v2/_catalog', headers: { authorization: `Bearer ${token}` } })
    expect((await ask(other)).statusCode).toBe(403)
    expect((await catalog(app, '', `Bearer ${reader}`)).names).toContain('private/x')
    expect((await catalog(app, '', `Bearer ${publicOnly}`)).names).toEqual(PUBLIC)
    const registryToken = async (scope: string) => {
      const url = `/v2/token?scope=${encodeURIComponent(scope)}`
      const response = await app.inject({ method: 'GET', url, headers: { authorization: bob } })
      return (response.json() as { token: string }).token
    }
    expect((await catalog(app, '', `Bearer ${await registryToken('registry:catalog:*')}`)).names).toContain('private/x')
    const narrow = await ask(await registryToken('repository:a/x:pull'))
    expect(narrow.statusCode).toBe(401)
    expect(String(narrow.headers['www-authenticate'])).toContain('scope="registry:catalog:*"')
  })

  test('asks the database a few times, however many owners there are', async () => {
    const { models, db } = app.services
    const owners = Array.from({ length: 1_000 }, (_, index) => {
      const name = `many-${String(index).padStart(4, '0')}`
      return { kind: 'user' as const, name, lowerName: name, createdAt: 0, updatedAt: 0 }
    })
    await models.user.bulkCreate(owners)
    const rows = await models.user.findAll({ where: { lowerName: owners.map(({ lowerName }) => lowerName) } })
    const packages = rows.map(({ id: ownerId }) => ({ ownerId, type: 'container', name: 'app', lowerName: 'app' }))
    await models.package.bulkCreate(packages)
    const made = await models.package.findAll({ where: { ownerId: rows.map(({ id }) => id) } })
    const versions = made.map(({ id: packageId }) => ({
      ...{ packageId, version: 'v1', lowerVersion: 'v1', createdAt: 0, metadataJson: 'null' },
    }))
    await models.packageVersion.bulkCreate(versions)
    await catalog(app, '?n=1000', bob)
    const before = db.queries
    const { names, response } = await catalog(app, '?n=1000', bob)
    expect(names).toHaveLength(1_000)
    expect(response.headers['link']).toContain('last=many-0991%2Fapp')
    expect(db.queries - before).toBeLessThan(20)
    const few = db.queries
    expect((await catalog(app, '?n=2&last=many-0500/app', bob)).names).toEqual(['many-0501/app', 'many-0502/app'])
    expect(db.queries - few).toBeLessThan(6)
  })
})
