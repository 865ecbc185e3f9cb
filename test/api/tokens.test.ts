import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, TestApp } from '../support/test-app.ts'

const HOUR = 3_600_000

describe('access tokens over REST', () => {
  let app: TestApp
  let ann: string
  let bob: string

  beforeAll(async () => {
    app = await TestApp.start()
    ann = await app.createUser('ann')
    bob = await app.createUser('bob')
  })
  afterAll(() => app.close())

  const create = (payload: object, authorization: string | null = ann, user = 'ann') =>
    app.api('POST', `/users/${user}/tokens`, payload, authorization)

  test('are made with the secret shown once', async () => {
    const response = await create({ name: 'laptop', scopes: ['read:package', 'write:package'] })
    expect(response.statusCode).toBe(201)
    const token = response.json()
    expect(token).toEqual({
      id: expect.any(Number),
      name: 'laptop',
      sha1: expect.stringMatching(/^[0-9a-f]{40}$/),
      token_last_eight: token.sha1.slice(-8),
      scopes: ['write:package'],
      created_at: '0001-01-01T00:00:00Z',
      last_used_at: '0001-01-01T00:00:00Z',
      expires_at: null,
      restrictions: null,
    })
    const list = await app.api('GET', '/users/ann/tokens', undefined, ann)
    expect(list.headers['x-total-count']).toBe('1')
    expect(list.json()).toEqual([
      { ...token, sha1: '', created_at: expect.stringMatching(/^2\d{3}-/), last_used_at: '0001-01-01T00:00:00Z' },
    ])
    expect(list.body).not.toContain(token.sha1)
  })

  test.each<[payload: object, status: number]>([
    [{ name: 'x' }, 400],
    [{ name: 'x', scopes: [] }, 400],
    [{ name: 'x', scopes: null }, 400],
    [{ name: 'x', scopes: ['sudo'] }, 400],
    [{ name: 'x', scopes: ['write:everything'] }, 400],
    [{ name: '', scopes: ['all'] }, 422],
    [{ scopes: ['all'] }, 422],
    [{ name: 'x', scopes: 'all' }, 422],
    [{ name: 'x', scopes: [1] }, 422],
    [{ name: 'x'.repeat(256), scopes: ['all'] }, 422],
    [{ name: 'x', scopes: Array(51).fill('all') }, 422],
    [{ name: 'x', scopes: ['all'], user_id: 1 }, 422],
    ...[
      ...['', 'tomorrow', '2040-01-01', '2040-01-01T00:00:00', '2040-13-01T00:00:00Z', '2039-02-30T00:00:00Z'],
      ...['2000-01-01T00:00:00Z', 2_208_988_800, '+292278994-01-01T00:00:00Z', '2040-01-01T25:00:00Z'],
    ].map((expires_at) => [{ name: 'x', scopes: ['all'], expires_at }, 422] as [object, number]),
    ...[
      ...[{}, [], 'ann', { owners: [] }, { owners: 'ann' }, { owners: [''] }, { owners: ['nobody'] }, { teams: ['a'] }],
      ...[{ types: [] }, { types: ['../x'] }, { packages: [] }, { packages: [{ owner: 'ann', type: 'npm' }] }],
      ...['', 'a b', '[a-z]', 'a?', '*a*b*c*', 'x'.repeat(256)].map((name) => ({
        packages: [{ owner: 'ann', type: 'npm', name }],
      })),
      { packages: [{ owner: 'nobody', type: 'npm', name: 'x' }] },
      { owners: Array(51).fill('ann') },
    ].map((restrictions) => [{ name: 'x', scopes: ['all'], restrictions }, 422] as [object, number]),
  ])('%j is refused with %i', async (payload, status) => {
    expect((await create(payload)).statusCode).toBe(status)
  })

  test('a name is used once', async () => {
    expect((await create({ name: 'once', scopes: ['all'] })).statusCode).toBe(201)
    expect((await create({ name: 'once', scopes: ['all'] })).statusCode).toBe(400)
  })

  test('public-only alone is a scope', async () => {
    expect((await create({ name: 'weak', scopes: ['public-only'] })).json().scopes).toEqual(['public-only'])
  })

  test('need Basic, and are for the user and administrators', async () => {
    const secret = await app.createToken('ann', ['all'], ann)
    for (const authorization of [`token ${secret}`, `Bearer ${secret}`]) {
      const response = await create({ name: 'by-bearer', scopes: ['all'] }, authorization)
      expect([response.statusCode, response.json().message]).toEqual([401, 'auth required'])
      expect((await app.api('GET', '/users/ann/tokens', undefined, authorization)).statusCode).toBe(401)
      expect((await app.api('DELETE', '/users/ann/tokens/1', undefined, authorization)).statusCode).toBe(401)
    }
    expect((await create({ name: 'by-basic', scopes: ['all'] }, basic('ann', secret))).statusCode).toBe(201)
    expect((await create({ name: 'x', scopes: ['all'] }, null)).statusCode).toBe(401)
    expect((await create({ name: 'x', scopes: ['all'] }, bob)).statusCode).toBe(403)
    expect((await app.api('GET', '/users/ann/tokens', undefined, bob)).statusCode).toBe(403)
    expect((await create({ name: 'by-admin', scopes: ['all'] }, app.admin)).statusCode).toBe(201)
    expect((await create({ name: 'x', scopes: ['all'] }, app.admin, 'nobody')).statusCode).toBe(404)
    expect((await create({ name: 'x', scopes: ['all'] }, ann, 'ANN')).statusCode).toBe(201)
  })

  test('never beget a stronger one', async () => {
    const weak = await app.createToken('ann', ['write:user', 'read:package'], ann)
    const open = await app.createToken('ann', ['public-only', 'all'], ann)
    const by = (secret: string, name: string, scopes: string[]) => create({ name, scopes }, basic('ann', secret))
    expect((await by(weak, 'w1', ['read:package'])).statusCode).toBe(201)
    expect((await by(weak, 'w2', ['write:package'])).statusCode).toBe(403)
    expect((await by(weak, 'w3', ['all'])).statusCode).toBe(403)
    expect((await by(open, 'o1', ['write:package'])).json().scopes).toEqual(['public-only', 'write:package'])
    const noUser = await app.createToken('ann', ['write:package'], ann)
    expect((await by(noUser, 'n1', ['read:package'])).statusCode).toBe(403)
    const reader = await app.createToken('ann', ['read:user'], ann)
    expect((await by(reader, 'r1', ['read:user'])).statusCode).toBe(403)
    expect((await app.api('GET', '/users/ann/tokens', undefined, basic('ann', reader))).statusCode).toBe(200)
  })

  test('are revoked by id or name, at once, and only by their own', async () => {
    const made = (await create({ name: 'byname', scopes: ['all'] })).json()
    const remove = async (idOrName: string | number, authorization = ann, user = 'ann') =>
      (await app.api('DELETE', `/users/${user}/tokens/${idOrName}`, undefined, authorization)).statusCode
    expect((await app.api('GET', '/user', undefined, `token ${made.sha1}`)).statusCode).toBe(200)
    expect(await remove(made.id, bob)).toBe(403)
    expect(await remove(made.id, bob, 'bob')).toBe(404)
    expect(await remove('byname', bob, 'bob')).toBe(404)
    expect(await remove('byname')).toBe(204)
    expect((await app.api('GET', '/user', undefined, `token ${made.sha1}`)).statusCode).toBe(401)
    expect(await remove(made.id)).toBe(404)
    for (const name of ['0', '-1', '99999999999999999999', '%00', 'x%27--', '%2e%2e'])
      expect(await remove(name)).toBe(404)
    const second = (await create({ name: 'byid', scopes: ['all'] })).json()
    expect(await remove(second.id)).toBe(204)
  })

  test('GET and DELETE /token are about the bearer token in use', async () => {
    const secret = await app.createToken('ann', ['read:package'], ann)
    const own = await app.api('GET', '/token', undefined, `Bearer ${secret}`)
    expect(own.json()).toEqual({
      id: expect.any(Number),
      name: expect.any(String),
      scopes: ['read:package'],
      created_at: expect.any(String),
      last_used_at: expect.any(String),
      expires_at: null,
      restrictions: null,
      user: { id: expect.any(Number), login: 'ann' },
    })
    expect((await app.api('GET', '/token', undefined, ann)).statusCode).toBe(404)
    expect((await app.api('GET', '/token', undefined, basic('ann', secret))).statusCode).toBe(404)
    expect((await app.api('GET', '/token', undefined, null)).statusCode).toBe(401)
    expect((await app.api('DELETE', '/token', undefined, basic('ann', secret))).statusCode).toBe(404)
    expect((await app.api('DELETE', '/token', undefined, `token ${secret}`)).statusCode).toBe(204)
    expect((await app.api('GET', '/token', undefined, `Bearer ${secret}`)).statusCode).toBe(401)
  })

  test('end when they shall, in every carrier, and no later than the one with which they were made (S8)', async () => {
    const at = (hours: number) => `${new Date(app.clock.now() + hours * HOUR).toISOString().slice(0, 19)}Z`
    const end = at(2)
    const made = (await create({ name: 'ends', scopes: ['all'], expires_at: end })).json()
    expect(made.expires_at).toBe(end)
    const by = basic('ann', made.sha1)
    const inherited = (await create({ name: 'e1', scopes: ['read:package'] }, by)).json()
    expect(inherited.expires_at).toBe(end)
    const sooner = at(1)
    expect((await create({ name: 'e2', scopes: ['read:package'], expires_at: sooner }, by)).json().expires_at).toBe(
      sooner,
    )
    expect((await create({ name: 'e3', scopes: ['read:package'], expires_at: at(3) }, by)).statusCode).toBe(403)
    const local = new Date(Date.parse(sooner) + 5 * HOUR).toISOString().replace('.000Z', '.75+05:00')
    expect((await create({ name: 'e4', scopes: ['all'], expires_at: local })).json().expires_at).toBe(sooner)
    const carriers = [`Bearer ${made.sha1}`, by, basic(made.sha1, ''), basic(made.sha1, 'x-oauth-basic')]
    const statuses = () =>
      Promise.all(carriers.map(async (one) => (await app.api('GET', '/user', undefined, one)).statusCode))
    expect(await statuses()).toEqual([200, 200, 200, 200])
    app.clock.advance(2 * HOUR + 1_000)
    expect(await statuses()).toEqual([401, 401, 401, 401])
    const list = (await app.api('GET', '/users/ann/tokens', undefined, ann)).json() as { name: string }[]
    expect(list.find(({ name }) => name === 'ends')).toMatchObject({ expires_at: end, restrictions: null })
    expect((await app.api('DELETE', '/users/ann/tokens/ends', undefined, ann)).statusCode).toBe(204)
  })

  test('end with the token with which their user made them', async () => {
    const first = (await create({ name: 'f1', scopes: ['all'] })).json()
    const second = (await create({ name: 'f2', scopes: ['all'] }, basic('ann', first.sha1))).json()
    const forBob = (await create({ name: 'f3', scopes: ['all'] }, app.admin, 'bob')).json()
    const root = await app.createToken('root', ['all'], app.admin)
    const byAdmin = (await create({ name: 'f4', scopes: ['all'] }, basic('root', root), 'bob')).json()
    await app.api('DELETE', '/token', undefined, `Bearer ${first.sha1}`)
    await app.api('DELETE', '/token', undefined, `Bearer ${root}`)
    const status = async (secret: string) => (await app.api('GET', '/user', undefined, `Bearer ${secret}`)).statusCode
    expect(await Promise.all([second.sha1, forBob.sha1, byAdmin.sha1].map(status))).toEqual([401, 200, 200])
  })

  test('show what they are restricted to, and are restricted to what exists', async () => {
    const restrictions = {
      owners: ['ANN', 'ann', 'bob'],
      types: ['npm'],
      packages: [{ owner: 'Ann', type: 'npm', name: '@Acme/*' }],
    }
    const shown = { owners: ['ann', 'bob'], types: ['npm'], packages: [{ owner: 'ann', type: 'npm', name: '@acme/*' }] }
    const made = (await create({ name: 'restricted', scopes: ['all'], restrictions })).json()
    expect(made.restrictions).toEqual(shown)
    const list = (await app.api('GET', '/users/ann/tokens', undefined, ann)).json() as { name: string }[]
    expect(list.find(({ name }) => name === 'restricted')).toMatchObject({ restrictions: shown, expires_at: null })
    const own = await app.api('GET', '/token', undefined, `Bearer ${made.sha1}`)
    expect(own.json()).toMatchObject({ restrictions: shown, scopes: ['all'] })
    await app.createOrganization('secret', bob, 'private')
    const messages = []
    for (const owner of ['secret', 'nobody']) {
      const response = await create({ name: 'x', scopes: ['all'], restrictions: { owners: [owner] } })
      messages.push([response.statusCode, response.json().message.replace(owner, '')])
    }
    // S4: hidden and missing are the same.
    expect(messages[0]).toEqual(messages[1])
  })

  test('a DELETE with a JSON content type and no body is fine', async () => {
    const secret = await app.createToken('ann', ['all'], ann)
    const headers = { authorization: `token ${secret}`, 'content-type': 'application/json' }
    expect((await app.inject({ method: 'DELETE', url: '/api/v1/token', headers })).statusCode).toBe(204)
  })
})

test('where the site limits their life, all end: asked for, not asked for, made by npm login', async () => {
  const app = await TestApp.start({ environment: { ENTREPOT_AUTH_MAX_TOKEN_LIFETIME: '2h' } })
  try {
    const ann = await app.createUser('ann')
    const at = (hours: number) => new Date(app.clock.now() + hours * HOUR).toISOString()
    const create = (name: string, more: object) =>
      app.api('POST', '/users/ann/tokens', { name, scopes: ['all'], ...more }, ann)
    expect((await create('long', { expires_at: at(2.1) })).statusCode).toBe(422)
    const short = (await create('short', { expires_at: at(1) })).json()
    const none = (await create('none', {})).json()
    const login = await app.inject({
      method: 'PUT',
      url: '/api/packages/ann/npm/-/user/org.couchdb.user:ann',
      headers: { 'content-type': 'application/json' },
      payload: JSON.stringify({ name: 'ann', password: 'a-long-password' }),
    })
    const secrets = [short.sha1, none.sha1, login.json().token]
    const statuses = () =>
      Promise.all(
        secrets.map(async (secret) => (await app.api('GET', '/token', undefined, `Bearer ${secret}`)).statusCode),
      )
    expect(await statuses()).toEqual([200, 200, 200])
    app.clock.advance(1.5 * HOUR)
    expect(await statuses()).toEqual([401, 200, 200])
    app.clock.advance(HOUR)
    expect(await statuses()).toEqual([401, 401, 401])
  } finally {
    await app.close()
  }
})
