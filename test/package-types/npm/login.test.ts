import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, TestApp } from '../../support/test-app.ts'
import { Registry } from './registry.ts'

const password = 'a-long-password'
const alice = basic('alice', password)

let server: TestApp
let registry: Registry
let anonymous: Registry
let mirror: Registry

beforeAll(async () => {
  const upstream = { type: 'npm', owner: 'npmjs', url: 'http://127.0.0.1:9', allowPrivateNetwork: true }
  server = await TestApp.start({ upstreams: { npmjs: upstream } })
  await server.createUser('alice')
  await server.createUser('bob')
  await server.createOrganization('acme', alice)
  registry = new Registry(server, 'acme', alice)
  anonymous = registry.as(null)
  mirror = new Registry(server, 'npmjs', alice)
})
afterAll(() => server.close())

const user = (name: string) => `/-/user/org.couchdb.user:${name}`
const credentials = (name: string, secret = password) => ({
  _id: `org.couchdb.user:${name}`,
  name,
  password: secret,
  type: 'user',
  roles: [],
  date: '2026-11-21T00:00:00.000Z',
})

async function login(name = 'alice', secret = password): Promise<string> {
  const response = await anonymous.put(user(name), credentials(name, secret))
  expect(response.statusCode, response.body).toBe(201)
  return response.json().token
}

const whoami = (token: string) => registry.as(`Bearer ${token}`).get('/-/whoami')

describe('npm login', () => {
  test('falls back from the browser to name and password', async () => {
    const response = await anonymous.post('/-/v1/login', {})
    expect(response.statusCode).toBe(404)
    expect(response.json()).toHaveProperty('error')
  })

  test('makes a token that reads and writes packages and can do nothing else', async () => {
    const response = await anonymous.put(user('alice'), credentials('alice'))
    expect(response.statusCode).toBe(201)
    expect(response.headers['cache-control']).toBe('no-store')
    expect(response.json()).toEqual({
      ok: true,
      id: 'org.couchdb.user:alice',
      token: expect.stringMatching(/^[0-9a-f]{40}$/),
    })
    const bearer = `Bearer ${response.json().token}`
    expect((await registry.as(bearer).get('/-/whoami')).json()).toEqual({ username: 'alice' })
    expect((await registry.as(bearer).publish({ name: 'by-token', version: '1.0.0' })).statusCode).toBe(201)
    expect((await server.api('GET', '/user', undefined, bearer)).statusCode).toBe(403)
    const listed = (await server.api('GET', '/users/alice/tokens', undefined, alice)).json()
    expect(listed[0]).toMatchObject({
      name: expect.stringMatching(/^npm \d{4}-\d\d-\d\d [0-9a-f]{8}$/),
      scopes: ['write:package'],
    })
  })

  test('works as often as one likes, also with -rev, and with a name in another case', async () => {
    const tokens = [await login(), await login(), await login('ALICE')]
    expect(new Set(tokens).size).toBe(3)
    expect((await anonymous.put(`${user('alice')}/-rev/undefined`, credentials('alice'))).statusCode).toBe(201)
    expect((await anonymous.put(user('alice').replaceAll(':', '%3a'), credentials('alice'))).statusCode).toBe(201)
  })

  test('works although the client still sends a token that was revoked', async () => {
    const stale = registry.as(`Bearer ${'0'.repeat(40)}`)
    expect((await stale.get('/-/whoami')).statusCode).toBe(401)
    expect((await stale.post('/-/v1/login', {})).statusCode).toBe(404)
    expect((await stale.put(user('alice'), credentials('alice'))).statusCode).toBe(201)
  })

  test('401 for a wrong password and for nobody, in the same words; no user is made', async () => {
    const wrong = await anonymous.put(user('alice'), credentials('alice', 'wrong'))
    const nobody = await anonymous.put(user('nobody'), { ...credentials('nobody'), email: 'n@example.org' })
    for (const response of [wrong, nobody]) {
      expect(response.statusCode).toBe(401)
      expect(response.headers['www-authenticate']).toMatch(/^Basic realm=/)
    }
    expect(nobody.body).toBe(wrong.body)
    expect(await server.services.accounts.find('nobody')).toBeNull()
    // An organization has no password.
    expect((await anonymous.put(user('acme'), credentials('acme', ''))).statusCode).toBe(401)
  })

  test('400 and 404 for what is no login', async () => {
    for (const body of ['', 'x', '[]', '{}', '{"password":7}', '{"name":"bob","password":"a-long-password"}']) {
      expect((await anonymous.put(user('alice'), body)).statusCode, body).toBe(400)
    }
    expect((await anonymous.put('/-/user/alice', credentials('alice'))).statusCode).toBe(404)
    expect((await anonymous.put(user('alice'), `"${'x'.repeat(70_000)}"`)).statusCode).toBe(413)
  })

  test('with an access token as password gives that one back: its rights do not grow', async () => {
    for (const scopes of [['read:package'], ['public-only', 'read:package'], ['all']]) {
      const token = await server.createToken('alice', scopes, alice)
      expect(await login('alice', token)).toBe(token)
      // Somebody else's token does not log alice in.
      const theirs = await server.createToken('bob', scopes, basic('bob', password))
      expect((await anonymous.put(user('alice'), credentials('alice', theirs))).statusCode).toBe(401)
    }
    const name = await server.createToken('alice', ['all'], alice)
    expect((await anonymous.put(user(name), credentials(name, ''))).statusCode).toBe(401)
    expect((await anonymous.put(user(`alice:${password}`), credentials(`alice:${password}`, ''))).statusCode).toBe(401)
  })

  test('is refused for an account that may not sign in', async () => {
    await server.createUser('locked')
    await server.api('PATCH', '/admin/users/locked', { login_name: 'locked', source_id: 0, prohibit_login: true })
    const response = await anonymous.put(user('locked'), credentials('locked'))
    expect([401, 403]).toContain(response.statusCode)
    expect(response.json()).not.toHaveProperty('token')
  })
})

describe('npm logout', () => {
  test('revokes the token it names', async () => {
    const token = await login()
    expect((await registry.as(`Bearer ${token}`).delete(`/-/user/token/${token}`)).json()).toEqual({ ok: true })
    expect((await whoami(token)).statusCode).toBe(401)
  })

  test('works for a token that only reads', async () => {
    const token = await server.createToken('alice', ['read:package'], alice)
    expect((await registry.as(`Bearer ${token}`).delete(`/-/user/token/${token}`)).statusCode).toBe(200)
    expect((await whoami(token)).statusCode).toBe(401)
  })

  test("does not touch anybody else's token", async () => {
    const token = await login()
    expect((await registry.as(basic('bob', password)).delete(`/-/user/token/${token}`)).statusCode).toBe(404)
    expect((await anonymous.delete(`/-/user/token/${token}`)).statusCode).toBe(401)
    expect((await registry.delete('/-/user/token/nonsense')).statusCode).toBe(404)
    expect((await whoami(token)).statusCode).toBe(200)
  })
})

describe('npm token', () => {
  test('lists, makes and revokes', async () => {
    const made = await registry.post('/-/npm/v1/tokens', { password, readonly: true, cidr_whitelist: [] })
    expect(made.statusCode).toBe(200)
    const { token, key, readonly } = made.json()
    expect(readonly).toBe(true)
    expect((await whoami(token)).json()).toEqual({ username: 'alice' })
    expect((await registry.as(`Bearer ${token}`).publish({ name: 'x', version: '1.0.0' })).statusCode).toBe(401)
    const list = (await registry.get('/-/npm/v1/tokens')).json()
    expect(list.objects[0]).toMatchObject({ key, readonly: true, cidr_whitelist: null })
    expect(JSON.stringify(list)).not.toContain(token)
    expect((await registry.delete(`/-/npm/v1/tokens/token/${key}`)).statusCode).toBe(204)
    expect((await whoami(token)).statusCode).toBe(401)
    expect((await registry.delete(`/-/npm/v1/tokens/token/${key}`)).statusCode).toBe(404)
  })

  test('shows and revokes, for a token, only what is no stronger than it', async () => {
    const all = await server.createToken('alice', ['all'], alice)
    const listed = (await registry.get('/-/npm/v1/tokens')).json().objects as { key: string; token: string }[]
    const strong = listed.find(({ token }) => token.endsWith(all.slice(-8)))!
    const weak = registry.as(`Bearer ${await login()}`)
    const visible = (await weak.get('/-/npm/v1/tokens')).json().objects as { key: string }[]
    expect(visible.map(({ key }) => key)).not.toContain(strong.key)
    expect((await weak.delete(`/-/npm/v1/tokens/token/${strong.key}`)).statusCode).toBe(404)
    expect((await whoami(all)).statusCode).toBe(200)
  })

  test("never shows or revokes another user's", async () => {
    const bob = registry.as(basic('bob', password))
    await bob.post('/-/npm/v1/tokens', { password, readonly: false })
    const [theirs] = (await bob.get('/-/npm/v1/tokens')).json().objects as { key: string }[]
    expect((await registry.delete(`/-/npm/v1/tokens/token/${theirs!.key}`)).statusCode).toBe(404)
    const mine = (await registry.get('/-/npm/v1/tokens')).json().objects as { key: string }[]
    expect(mine.map(({ key }) => key)).not.toContain(theirs!.key)
  })

  test('needs the password, and makes none that can do more than the one used', async () => {
    const reading = registry.as(`Bearer ${await server.createToken('alice', ['read:package'], alice)}`)
    expect((await registry.post('/-/npm/v1/tokens', { password: 'wrong' })).statusCode).toBe(401)
    expect((await registry.post('/-/npm/v1/tokens', {})).statusCode).toBe(400)
    const secret = await server.createToken('alice', ['all'], alice)
    expect((await registry.post('/-/npm/v1/tokens', { password: secret })).statusCode).toBe(401)
    expect((await reading.post('/-/npm/v1/tokens', { password, readonly: false })).statusCode).toBe(403)
    expect((await reading.post('/-/npm/v1/tokens', { password, readonly: true })).statusCode).toBe(200)
    const publicOnly = registry.as(
      `Bearer ${await server.createToken('alice', ['public-only', 'write:package'], alice)}`,
    )
    expect((await publicOnly.post('/-/npm/v1/tokens', { password, readonly: true })).statusCode).toBe(403)
    expect((await registry.post('/-/npm/v1/tokens', { password, cidr_whitelist: ['10.0.0.0/8'] })).statusCode).toBe(400)
    expect((await anonymous.post('/-/npm/v1/tokens', { password })).statusCode).toBe(401)
    expect((await anonymous.get('/-/npm/v1/tokens')).statusCode).toBe(401)
  })
})

describe('who is who', () => {
  test('whoami needs a login, ping does not', async () => {
    expect((await anonymous.get('/-/whoami')).statusCode).toBe(401)
    expect((await anonymous.get('/-/ping?write=true')).json()).toEqual({})
  })

  test('the profile shows the address to a password or a token for users, not to one for packages', async () => {
    expect((await registry.get('/-/npm/v1/user')).json()).toMatchObject({
      name: 'alice',
      email: 'alice@example.org',
      tfa: null,
    })
    const profile = (await registry.as(`Bearer ${await login()}`).get('/-/npm/v1/user')).json()
    expect(profile.email).toBe('alice@noreply.127.0.0.1')
  })

  test('npm owner finds users, not their addresses, and only those one may see', async () => {
    expect((await registry.get(user('bob'))).json()).toMatchObject({ name: 'bob', email: 'bob@noreply.127.0.0.1' })
    await server.api('POST', '/admin/users', {
      username: 'ghost',
      email: 'ghost@example.org',
      password,
      must_change_password: false,
      visibility: 'private',
    })
    for (const name of ['ghost', 'acme', 'nobody']) {
      const response = await registry.get(user(name))
      expect(response.statusCode).toBe(404)
      expect(response.json()).toEqual({ error: 'user not found' })
    }
    expect((await anonymous.get(user('bob'))).statusCode).toBe(401)
  })
})

describe('a mirror', () => {
  test('logs nobody in and takes no uploads, and asks its upstream nothing about it', async () => {
    expect((await mirror.as(null).put(user('alice'), credentials('alice'))).statusCode).toBe(403)
    expect((await mirror.as(null).post('/-/v1/login', {})).statusCode).toBe(403)
    expect((await mirror.get('/-/npm/v1/tokens')).statusCode).toBe(403)
    expect((await mirror.post('/-/npm/v1/tokens', { password })).statusCode).toBe(403)
    expect((await mirror.delete(`/-/user/token/${await login()}`)).statusCode).toBe(403)
    for (const who of [mirror, mirror.as(server.admin), mirror.as(null)]) {
      expect((await who.publish({ name: 'x', version: '1.0.0' })).statusCode).toBe(405)
      expect((await who.put('/x/-rev/1', {})).statusCode).toBe(405)
      expect((await who.delete('/x/-rev/1')).statusCode).toBe(405)
      expect((await who.put('/-/package/x/dist-tags/latest', '"1.0.0"')).statusCode).toBe(405)
      expect((await who.delete('/-/package/x/dist-tags/latest')).statusCode).toBe(405)
      expect((await who.post('/-/package/x/access', {})).statusCode).toBe(405)
    }
    expect((await mirror.get('/-/whoami')).json()).toEqual({ username: 'alice' })
  })
})
