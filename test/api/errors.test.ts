import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, TestApp } from '../support/test-app.ts'

describe('the REST API', () => {
  let app: TestApp

  beforeAll(async () => {
    app = await TestApp.start()
  })
  afterAll(() => app.close())

  const expectError = (
    response: { statusCode: number; json: () => unknown; headers: object },
    status: number,
    message?: string | RegExp,
  ) => {
    expect(response.statusCode).toBe(status)
    expect(response.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
    })
    const body = response.json() as { message: string; url: string }
    expect(Object.keys(body)).toEqual(['message', 'url'])
    expect(body.url).toBe('http://127.0.0.1:8080/api/swagger')
    if (message !== undefined) expect(body.message).toMatch(message)
  }

  test('tells its version to everybody', async () => {
    const response = await app.api('GET', '/version', undefined, null)
    expect(response.statusCode).toBe(200)
    expect(response.json()).toEqual({ version: '1.25.0+entrepot-0.0.0-test' })
    expect(response.headers['cache-control']).toBe('max-age=0, private, must-revalidate')
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8')
  })

  test('ignores a trailing slash and answers HEAD', async () => {
    expect((await app.api('GET', '/version/')).statusCode).toBe(200)
    const head = await app.inject({ method: 'HEAD', url: '/api/v1/version' })
    expect([head.statusCode, head.body]).toEqual([200, ''])
  })

  test.each(['/nothing', '/packages', '/orgs/a/b/c', '/constructor', '/', ''])(
    'does not know %j, in its own form',
    async (path) => {
      expectError(await app.api('GET', path), 404)
    },
  )

  test.each(['nonsense', 'Bearer x', 'Digest a', basic('root', 'wrong password')])(
    'refuses unusable credentials on public routes too: %s',
    async (authorization) => {
      expectError(await app.api('GET', '/version', undefined, authorization), 401)
      expectError(await app.api('GET', '/nothing', undefined, authorization), 401)
    },
  )

  const post = (payload: string | Buffer, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
    app.inject({
      method: 'POST',
      url: '/api/v1/orgs',
      payload,
      headers: { authorization: app.admin, ...headers },
    })

  test.each(['{', '[1,]', 'null', '"text"', '[]', '1', '', '{"__proto__": {"isAdmin": true}, "username": "x"}'])(
    'refuses the body %s',
    async (payload) => {
      const response = await post(payload)
      expect([400, 422]).toContain(response.statusCode)
      expectError(response, response.statusCode)
    },
  )

  test('refuses a body that is no JSON', async () => {
    expectError(await post('username=x', { 'content-type': 'application/x-www-form-urlencoded' }), 415)
    expectError(await post('{"username":"x"}', { 'content-type': 'text/plain' }), 415)
    expectError(await post('<x/>', { 'content-type': 'nonsense' }), 415)
  })

  test('refuses a large body, announced or not', async () => {
    expectError(await post(`{"username": "${'x'.repeat(2 * 1024 * 1024)}"}`), 413)
    const lying = { 'content-type': 'application/json', 'content-length': '1000000000' }
    expectError(await post('{}', lying), 413)
  })

  test.each([
    [{}, '[Username]: Required'],
    [{ username: '' }, '[Username]: Required'],
    [{ username: 7 }, /^\[Username\]: /],
    [{ username: 'x'.repeat(41) }, /^\[Username\]: /],
    [{ username: 'fine', full_name: 'x'.repeat(101) }, /^\[FullName\]: /],
    [{ username: 'fine', full_name: 'a\u0000b' }, /^\[FullName\]: /],
    [{ username: 'fine', visibility: 'secret' }, /^\[Visibility\]: must be one of /],
    [{ username: 'fine', website: 'javascript:alert(1)' }, /^\[Website\]: /],
    [{ username: 'fine', is_admin: true }, '[IsAdmin]: unknown field'],
    [{ username: 'fine', id: 1 }, '[Id]: unknown field'],
    [{ username: 'fine', kind: 'user' }, '[Kind]: unknown field'],
  ])('%j is 422', async (payload, message) => {
    expectError(await app.api('POST', '/orgs', payload), 422, message as string)
    expect(await app.services.accounts.find('fine')).toBeNull()
  })

  test.each(['page=x', 'page=1&page=2', 'limit=[]', 'limit=1&limit=2', 'page=NaN', 'limit=Infinity'])(
    'a query of %s is 422',
    async (query) => {
      expectError(await app.api('GET', `/orgs?${query}`), 422)
    },
  )

  test.each([
    'page=-1',
    'page=1.5',
    'page=0',
    'limit=-5',
    'limit=999999999999999999999',
    'page=99999999999999999999',
    'page=',
    'x=1&x=2',
  ])('a query of %s is fine', async (query) => {
    expect((await app.api('GET', `/orgs?${query}`)).statusCode).toBe(200)
  })

  test('a name of any length and content is 404', async () => {
    for (const name of ['x'.repeat(1_000), '%00', 'a%00b', "x'--", 'ä', '..%2f..', '*', '__proto__', 'constructor']) {
      expectError(await app.api('GET', `/users/${name}`), 404)
    }
  })

  test('an account that may not sign in gets 403 everywhere, with a reason', async () => {
    for (const [change, message] of [
      [{ active: false }, 'may not sign in'],
      [{ prohibit_login: true }, 'may not sign in'],
      [{ must_change_password: true }, 'change your password'],
    ] as const) {
      const name = `blocked-${Object.keys(change)[0]!.replaceAll('_', '-')}`
      const credentials = await app.createUser(name)
      const token = await app.createToken(name, ['all'], credentials)
      expect((await app.api('PATCH', `/admin/users/${name}`, { login_name: name, ...change })).statusCode).toBe(200)
      for (const path of ['/version', '/user', `/users/${name}`, `/packages/${name}`, '/token', '/orgs']) {
        expectError(await app.api('GET', path, undefined, credentials), 403, message)
        expectError(await app.api('GET', path, undefined, `token ${token}`), 403, message)
      }
    }
  })
})
