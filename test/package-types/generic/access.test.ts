import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestApp } from '../../support/test-app.ts'

let app: TestApp
let alice: string
let bob: string

beforeAll(async () => {
  app = await TestApp.start()
  alice = await app.createUser('alice')
  bob = await app.createUser('bob')
  await app.createOrganization('open', alice, 'public')
  await app.createOrganization('closed', alice, 'private')
  await app.services.accounts.ensureMirror('elsewhere', 'a mirror')
  for (const owner of ['open', 'closed']) expect((await send('PUT', owner, alice)).statusCode).toBe(201)
})

afterAll(() => app.close())

function send(method: 'GET' | 'PUT' | 'DELETE', owner: string, authorization: string | null, file = 'a.bin') {
  return app.inject({
    method,
    url: `/api/packages/${owner}/generic/app/1.0/${file}`,
    headers: authorization === null ? {} : { authorization },
    ...(method === 'PUT' ? { payload: 'content' } : {}),
  })
}

describe('reading', () => {
  it('a public owner is open to all, a private one to its members', async () => {
    for (const who of [null, alice, bob]) expect((await send('GET', 'open', who)).statusCode).toBe(200)
    expect((await send('GET', 'closed', alice)).statusCode).toBe(200)
    for (const who of [null, bob]) {
      const refused = await send('GET', 'closed', who)
      expect(refused.statusCode).toBe(401)
      expect(refused.headers['www-authenticate']).toBe('Basic realm="Entrepot"')
      expect(refused.headers['cache-control']).toBe('no-store')
      expect(refused.headers['content-type']).toContain('text/plain')
      expect((await send('GET', 'closed', who, 'missing')).body).toBe(refused.body)
    }
  })

  it('a private file is for private caches', async () => {
    expect((await send('GET', 'open', alice)).headers).toMatchObject({ 'cache-control': 'no-cache' })
    expect((await send('GET', 'open', alice)).headers.vary).toBeUndefined()
    const { headers } = await send('GET', 'closed', alice)
    expect(headers).toMatchObject({ 'cache-control': 'private, no-cache', vary: 'Authorization' })
    const current = await app.inject({
      url: '/api/packages/closed/generic/app/1.0/a.bin',
      headers: { authorization: alice, 'if-none-match': String(headers.etag) },
    })
    expect(current.statusCode).toBe(304)
    expect(current.headers).toMatchObject({ 'cache-control': 'private, no-cache', vary: 'Authorization' })
  })

  it('wrong credentials are refused even where none are needed', async () => {
    expect((await send('GET', 'open', 'Bearer nonsense')).statusCode).toBe(401)
  })
})

describe('writing', () => {
  it('is for members', async () => {
    for (const who of [null, bob]) {
      expect((await send('PUT', 'open', who, 'b.bin')).statusCode).toBe(401)
      expect((await send('DELETE', 'open', who)).statusCode).toBe(401)
    }
    expect((await send('GET', 'open', null, 'b.bin')).statusCode).toBe(404)
    expect((await send('GET', 'open', null)).statusCode).toBe(200)
  })

  it('is decided before the name is looked at', async () => {
    const url = '/api/packages/open/generic/%20/1.0/a'
    expect((await app.inject({ method: 'PUT', url, payload: 'x' })).statusCode).toBe(401)
  })
})

describe('a token', () => {
  const token = async (...scopes: string[]) => `Bearer ${await app.createToken('alice', scopes, alice)}`

  it('needs the scope: package, for writing write:package', async () => {
    const reader = await token('read:package')
    expect((await send('GET', 'closed', reader)).statusCode).toBe(200)
    expect((await send('PUT', 'closed', reader, 'c.bin')).statusCode).toBe(401)
    expect((await send('DELETE', 'closed', reader)).statusCode).toBe(401)
    const writer = await token('write:package')
    expect((await send('PUT', 'closed', writer, 'c.bin')).statusCode).toBe(201)
    expect((await send('DELETE', 'closed', writer, 'c.bin')).statusCode).toBe(204)
    expect((await send('GET', 'closed', await token('read:user'))).statusCode).toBe(401)
  })

  it('for public owners only is refused at a private one', async () => {
    const limited = await token('write:package', 'public-only')
    expect((await send('GET', 'open', limited)).statusCode).toBe(200)
    const refused = await send('GET', 'closed', limited)
    expect(refused.statusCode).toBe(403)
    expect(refused.headers['www-authenticate']).toBeUndefined()
  })
})

describe('a mirror', () => {
  it('takes no writes and has nothing to read', async () => {
    for (const who of [null, alice, app.admin]) {
      expect((await send('PUT', 'elsewhere', who)).statusCode).toBe(405)
      expect((await send('DELETE', 'elsewhere', who)).statusCode).toBe(405)
    }
    expect((await send('GET', 'elsewhere', app.admin)).statusCode).toBe(404)
  })
})

describe('with sign-in required', () => {
  it('anonymous callers get 401, and what is sent is for private caches', async () => {
    const strict = await TestApp.start({ environment: { ENTREPOT_AUTH_REQUIRE_SIGN_IN: 'true' } })
    try {
      const carol = await strict.createUser('carol')
      const url = '/api/packages/carol/generic/app/1.0/a.bin'
      const put = await strict.inject({ method: 'PUT', url, headers: { authorization: carol }, payload: 'x' })
      expect(put.statusCode).toBe(201)
      expect((await strict.inject({ url })).statusCode).toBe(401)
      const got = await strict.inject({ url, headers: { authorization: carol } })
      expect(got.statusCode).toBe(200)
      expect(got.headers).toMatchObject({ 'cache-control': 'private, no-cache', vary: 'Authorization' })
    } finally {
      await strict.close()
    }
  })
})
