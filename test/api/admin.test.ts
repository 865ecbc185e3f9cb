import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { basic, TestApp } from '../support/test-app.ts'

const password = 'a-long-password'

describe('users as administrators see them', () => {
  let app: TestApp
  let ann: string

  beforeAll(async () => {
    app = await TestApp.start()
    ann = await app.createUser('ann')
  })
  afterAll(() => app.close())

  const create = (payload: object, authorization = app.admin) => app.api('POST', '/admin/users', payload, authorization)
  const user = (username: string, more: object = {}) => ({
    username,
    email: `${username}@example.org`,
    password,
    ...more,
  })
  const edit = (name: string, payload: object) =>
    app.api('PATCH', `/admin/users/${name}`, { login_name: name, source_id: 0, ...payload })

  test('every route is for site admins with the scope admin', async () => {
    const weak = await app.createToken('root', ['write:user', 'write:package', 'read:admin'], app.admin)
    const routes = [
      ['GET', '/admin/users'],
      ['POST', '/admin/users', user('x')],
      ['PATCH', '/admin/users/ann', { login_name: 'ann' }],
      ['DELETE', '/admin/users/ann'],
      ['POST', '/admin/users/ann/orgs', { username: 'x' }],
      ['GET', '/admin/orgs'],
      ['GET', '/admin/upstreams'],
      ['GET', '/admin/upstreams/x'],
      ['POST', '/admin/upstreams/x/mode', { mode: 'offline' }],
      ['POST', '/admin/upstreams/x/invalidate', {}],
      ['POST', '/admin/upstreams/x/purge', {}],
      ['POST', '/admin/upstreams', {}],
      ['DELETE', '/admin/upstreams/x'],
    ] as const
    for (const [method, path, payload] of routes) {
      expect([path, (await app.api(method, path, payload, null)).statusCode]).toEqual([path, 401])
      expect([path, (await app.api(method, path, payload, ann)).statusCode]).toEqual([path, 403])
      const byToken = (await app.api(method, path, payload, `token ${weak}`)).statusCode
      if (method === 'GET') expect([200, 404]).toContain(byToken)
      else expect([path, byToken]).toEqual([path, 403])
    }
  })

  test('a new user must change the password unless told otherwise', async () => {
    const response = await create(user('fresh'))
    expect(response.statusCode).toBe(201)
    expect(response.json()).toMatchObject({
      login: 'fresh',
      active: true,
      is_admin: false,
      restricted: false,
      visibility: 'public',
    })
    expect((await app.api('GET', '/user', undefined, basic('fresh', password))).statusCode).toBe(403)
    await create(
      user('ready', {
        must_change_password: false,
        full_name: 'Ready',
        restricted: true,
        visibility: 'limited',
        login_name: '',
        source_id: 0,
        send_notify: false,
        created_at: '2020-02-03T04:05:06+01:00',
      }),
    )
    expect((await app.api('GET', '/user', undefined, basic('ready', password))).json()).toMatchObject({
      full_name: 'Ready',
      restricted: true,
      visibility: 'limited',
      created: '2020-02-03T03:05:06Z',
    })
  })

  test('null is as good as absent', async () => {
    const nothing = {
      must_change_password: false,
      visibility: null,
      full_name: null,
      created_at: null,
      restricted: null,
    }
    expect((await create(user('nullish', nothing))).statusCode).toBe(201)
    expect((await edit('nullish', { email: null, active: null, password: null })).json()).toMatchObject({
      email: 'nullish@example.org',
      active: true,
    })
  })

  test.each([
    [{ password: '' }, 400, 'PasswordIsRequired'],
    [{ password: undefined }, 400, 'PasswordIsRequired'],
    [{ password: 'short' }, 400, 'PasswordIsRequired'],
    [{ password: 'aaaaaaaaaaaa' }, 400, 'PasswordComplexity'],
    [{ username: 'ann' }, 422, 'user already exists'],
    [{ username: 'ANN' }, 422, 'user already exists'],
    [{ email: 'ANN@example.org' }, 422, 'e-mail already in use'],
    [{ username: 'api' }, 422, 'reserved'],
    [{ username: 'a/b' }, 422, 'name is invalid'],
    [{ username: 'x'.repeat(41) }, 422, '[Username]'],
    [{ email: 'nonsense' }, 422, 'e-mail invalid'],
    [{ email: '' }, 422, '[Email]: Required'],
    [{ password: 'x'.repeat(256) }, 422, '[Password]'],
    [{ source_id: 1 }, 422, 'login source'],
    [{ visibility: 'secret' }, 422, '[Visibility]'],
    [{ created_at: 'yesterday' }, 422, '[CreatedAt]'],
    [{ created_at: '2020-99-99T00:00:00Z' }, 422, '[CreatedAt]'],
    [{ is_admin: true }, 422, '[IsAdmin]: unknown field'],
    [{ admin: true }, 422, '[Admin]: unknown field'],
    [{ kind: 'mirror' }, 422, '[Kind]: unknown field'],
  ])('%j is refused with %i', async (more, status, message) => {
    const response = await create(user('candidate', more))
    expect([response.statusCode, response.json().message]).toEqual([status, expect.stringContaining(message)])
    expect(response.body).not.toContain(password)
    expect(await app.services.accounts.find('candidate')).toBeNull()
  })

  test('a user is changed in what is given', async () => {
    await app.createUser('erik')
    const change = {
      full_name: 'Erik',
      email: 'e@example.org',
      restricted: true,
      description: 'd',
      website: 'https://e.example',
      location: 'l',
    }
    expect((await edit('erik', change)).json()).toMatchObject(change)
    expect((await edit('erik', { password: '' })).statusCode).toBe(200)
    expect((await app.api('GET', '/user', undefined, basic('erik', password))).statusCode).toBe(200)
    expect((await edit('erik', { password: 'another-long-one' })).statusCode).toBe(200)
    expect((await app.api('GET', '/user', undefined, basic('erik', password))).statusCode).toBe(401)
    expect((await app.api('GET', '/user', undefined, basic('erik', 'another-long-one'))).statusCode).toBe(200)
    expect((await edit('erik', { admin: true })).json().is_admin).toBe(true)
    expect((await app.api('GET', '/admin/users', undefined, basic('erik', 'another-long-one'))).statusCode).toBe(200)
    await edit('erik', { admin: false })
    expect((await app.api('GET', '/admin/users', undefined, basic('erik', 'another-long-one'))).statusCode).toBe(403)
  })

  test.each([
    [{ login_name: '' }, 422],
    [{ password: 'short' }, 400],
    [{ email: 'ann@example.org' }, 422],
    [{ email: 'x' }, 422],
    [{ website: 'javascript:x' }, 422],
    [{ source_id: 3 }, 422],
    [{ name: 'other' }, 422],
    [{ id: 1 }, 422],
  ])('a change to %j is refused with %i', async (payload, status) => {
    expect((await edit('root', payload)).statusCode).toBe(status)
  })

  test('the last administrator stays', async () => {
    for (const change of [{ admin: false }, { active: false }, { prohibit_login: true }]) {
      expect((await edit('root', change)).statusCode).toBe(400)
    }
    expect((await app.api('DELETE', '/admin/users/root')).statusCode).toBe(422)
    const second = await app.createUser('second')
    await edit('second', { admin: true })
    expect((await app.api('DELETE', '/admin/users/root', undefined, second)).statusCode).toBe(204)
    expect((await app.api('GET', '/user')).statusCode).toBe(401)
    // For the tests that follow.
    await app.api(
      'POST',
      '/admin/users',
      user('root', { password: 'correct-horse-battery', must_change_password: false }),
      second,
    )
    expect((await app.api('PATCH', '/admin/users/root', { login_name: 'root', admin: true }, second)).statusCode).toBe(
      200,
    )
  })

  test('a user goes when nothing holds him, or with purge', async () => {
    const frank = await app.createUser('frank')
    await app.createOrganization('franks', frank)
    await publish(app, { owner: 'frank', name: 'thing' })
    const remove = async (query = '') => (await app.api('DELETE', `/admin/users/frank${query}`)).statusCode
    expect(await remove()).toBe(422)
    expect(await remove('?purge=true')).toBe(422)
    expect((await app.api('GET', '/packages/frank', undefined, frank)).json()).toHaveLength(1)
    await app.api('DELETE', '/orgs/franks', undefined, frank)
    expect(await remove('?purge=false')).toBe(422)
    expect(await remove('?purge=maybe')).toBe(422)
    expect(await remove('?purge=true')).toBe(204)
    expect(await remove()).toBe(404)
    expect((await app.api('GET', '/user', undefined, frank)).statusCode).toBe(401)
    await app.createOrganization('an-org')
    expect((await app.api('DELETE', '/admin/users/an-org')).statusCode).toBe(422)
    expect((await app.api('PATCH', '/admin/users/an-org', { login_name: 'x' })).statusCode).toBe(404)
  })

  test('are listed with filters that must make sense', async () => {
    const names = async (query: string) => {
      const response = await app.api('GET', `/admin/users?${query}`)
      expect(response.statusCode).toBe(200)
      return (response.json() as { login: string }[]).map(({ login }) => login)
    }
    expect(await names('q=ann')).toEqual(['ann'])
    expect(await names('is_admin=true&q=root')).toEqual(['root'])
    expect(await names('is_admin=0&q=root')).toEqual([])
    expect(await names('sort=id&order=asc&limit=1')).toEqual(['ann'])
    expect(await names('visibility=private')).toEqual([])
    for (const query of [
      'sort=password_hash',
      'order=up',
      'visibility=x',
      'is_admin=maybe',
      'is_admin=true&is_admin=false',
    ]) {
      expect((await app.api('GET', `/admin/users?${query}`)).statusCode).toBe(422)
    }
  })
})
