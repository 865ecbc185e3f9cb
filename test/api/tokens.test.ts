import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, TestApp } from '../support/test-app.ts'

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
    })
    const list = await app.api('GET', '/users/ann/tokens', undefined, ann)
    expect(list.headers['x-total-count']).toBe('1')
    expect(list.json()).toEqual([
      { ...token, sha1: '', created_at: expect.stringMatching(/^2\d{3}-/), last_used_at: '0001-01-01T00:00:00Z' },
    ])
    expect(list.body).not.toContain(token.sha1)
  })

  test.each([
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
      user: { id: expect.any(Number), login: 'ann' },
    })
    expect((await app.api('GET', '/token', undefined, ann)).statusCode).toBe(404)
    expect((await app.api('GET', '/token', undefined, basic('ann', secret))).statusCode).toBe(404)
    expect((await app.api('GET', '/token', undefined, null)).statusCode).toBe(401)
    expect((await app.api('DELETE', '/token', undefined, basic('ann', secret))).statusCode).toBe(404)
    expect((await app.api('DELETE', '/token', undefined, `token ${secret}`)).statusCode).toBe(204)
    expect((await app.api('GET', '/token', undefined, `Bearer ${secret}`)).statusCode).toBe(401)
  })

  test('a DELETE with a JSON content type and no body is fine', async () => {
    const secret = await app.createToken('ann', ['all'], ann)
    const headers = { authorization: `token ${secret}`, 'content-type': 'application/json' }
    expect((await app.inject({ method: 'DELETE', url: '/api/v1/token', headers })).statusCode).toBe(204)
  })
})
