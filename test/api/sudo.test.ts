import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { basic, TestApp } from '../support/test-app.ts'

describe('Sudo', () => {
  let app: TestApp
  let ann: string

  beforeAll(async () => {
    app = await TestApp.start()
    ann = await app.createUser('ann')
    await app.createUser('bob')
    await app.createOrganization('acme', ann)
  })
  afterAll(() => app.close())

  type Options = { method?: 'GET' | 'POST'; authorization?: string | null; payload?: object; query?: string }
  const ask = (path: string, sudo: string | null, { method = 'GET', payload, query = '', ...more }: Options = {}) => {
    const authorization = more.authorization === undefined ? app.admin : more.authorization
    return app.inject({
      method,
      url: `/api/v1${path}${query}`,
      headers: { ...(authorization !== null && { authorization }), ...(sudo !== null && { sudo }) },
      ...(payload !== undefined && { payload }),
    })
  }
  const whoami = async (...parameters: [sudo: string | null, options?: Options]) => {
    const response = await ask('/user', ...parameters)
    return response.statusCode === 200 ? (response.json().login as string) : response.statusCode
  }

  test('makes an administrator act as somebody, by header or query, and is asked by the query first', async () => {
    expect(await whoami(null)).toBe('root')
    expect(await whoami('ann')).toBe('ann')
    expect(await whoami('ANN')).toBe('ann')
    expect(await whoami(null, { query: '?sudo=ann' })).toBe('ann')
    expect(await whoami('bob', { query: '?sudo=ann' })).toBe('ann')
    expect(await whoami('')).toBe('root')
    expect(await whoami('root')).toBe('root')
  })

  test('is for administrators only, and for users who exist', async () => {
    expect(await whoami('bob', { authorization: ann })).toBe(403)
    expect(await whoami('ann', { authorization: ann })).toBe(403)
    expect(await whoami('nobody', { authorization: ann })).toBe(403)
    expect(await whoami('ann', { authorization: null })).toBe(403)
    expect(await whoami('ann', { authorization: basic('root', 'wrong') })).toBe(401)
    for (const name of ['nobody', 'acme', '../root', 'ann,bob']) expect(await whoami(name)).toBe(404)
    expect(await whoami(null, { query: '?sudo=ann&sudo=bob' })).toBe(404)
    const response = await ask('/user', 'nobody')
    expect(response.json()).toEqual({ message: expect.any(String), url: expect.any(String) })
  })

  test('gives the rights of that user, not of the administrator', async () => {
    expect((await ask('/admin/users', 'ann')).statusCode).toBe(403)
    expect((await ask('/users/bob/tokens', 'ann')).statusCode).toBe(403)
    expect((await ask('/users/ann/tokens', 'ann')).statusCode).toBe(200)
    const made = await ask('/orgs', 'ann', { method: 'POST', payload: { username: 'by-sudo' } })
    expect(made.statusCode).toBe(201)
    expect((await app.api('GET', '/user/orgs', undefined, ann)).json()).toHaveLength(2)
  })

  test('keeps the scopes of the token', async () => {
    const reader = `Bearer ${await app.createToken('root', ['read:user'], app.admin)}`
    const open = `Bearer ${await app.createToken('root', ['all', 'public-only'], app.admin)}`
    expect(await whoami('ann', { authorization: reader })).toBe('ann')
    const payload = { username: 'more' }
    expect((await ask('/orgs', 'ann', { method: 'POST', payload, authorization: reader })).statusCode).toBe(403)
    await app.createOrganization('closed', ann, 'private')
    expect((await ask('/orgs/closed', 'ann')).statusCode).toBe(200)
    expect((await ask('/orgs/closed', 'ann', { authorization: open })).statusCode).toBe(403)
  })

  test('a token made so belongs to the user and is no stronger than the one in use', async () => {
    const root = await app.createToken('root', ['write:user', 'read:package'], app.admin)
    const authorization = basic('root', root)
    const create = (name: string, scopes: string[]) =>
      ask('/users/ann/tokens', 'ann', { method: 'POST', payload: { name, scopes }, authorization })
    const made = await create('by-sudo', ['read:user'])
    expect(made.statusCode).toBe(201)
    expect(await whoami(null, { authorization: `Bearer ${made.json().sha1}` })).toBe('ann')
    expect((await create('stronger', ['all'])).statusCode).toBe(403)
    expect((await ask('/token', 'ann', { authorization: `Bearer ${root}` })).json().user.login).toBe('root')
  })

  test('is not for tokens that are restricted to packages', async () => {
    const body = { name: 'restricted', scopes: ['all'], restrictions: { owners: ['acme'] } }
    const { sha1 } = (await app.api('POST', '/users/root/tokens', body)).json()
    expect(await whoami('ann', { authorization: `Bearer ${sha1}` })).toBe(403)
  })

  test('does not open what is shut', async () => {
    await app.createUser('shut')
    await app.api('PATCH', '/admin/users/shut', { login_name: 'shut', prohibit_login: true })
    expect(await whoami('shut')).toBe(403)
  })

  test('means nothing to package clients', async () => {
    const response = await app.inject({
      method: 'GET',
      url: '/api/packages/acme/npm/-/whoami?sudo=ann',
      headers: { authorization: app.admin, sudo: 'ann' },
    })
    expect(response.json()).toEqual({ username: 'root' })
  })

  test('is logged with both names', async () => {
    const lines: object[] = []
    const { log } = app.services
    const child = log.child.bind(log)
    const spy = vi.spyOn(log, 'child').mockImplementation((...parameters) => {
      const made = child(...parameters)
      vi.spyOn(made, 'info').mockImplementation((line: unknown) => void lines.push(line as object))
      return made
    })
    try {
      await whoami('ann')
      await whoami(null)
    } finally {
      spy.mockRestore()
    }
    expect(lines.map((line) => ({ user: undefined, sudoer: undefined, ...line }))).toMatchObject([
      { user: 'ann', sudoer: 'root', path: '/api/v1/user' },
      { user: 'root', sudoer: undefined },
    ])
  })

  test('secrets in the query are not looked at', async () => {
    const secret = await app.createToken('root', ['all'], app.admin)
    for (const name of ['token', 'access_token']) {
      expect(await whoami(null, { authorization: null, query: `?${name}=${secret}` })).toBe(401)
    }
  })
})
