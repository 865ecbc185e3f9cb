import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

const userKeys = [
  ...['id', 'login', 'login_name', 'source_id', 'full_name', 'email', 'avatar_url', 'html_url', 'language', 'is_admin'],
  ...['last_login', 'created', 'restricted', 'active', 'prohibit_login', 'location', 'website', 'description'],
  ...['visibility', 'followers_count', 'following_count', 'starred_repos_count', 'username'],
]

describe('users', () => {
  let app: TestApp
  let ann: string
  let bob: string

  beforeAll(async () => {
    app = await TestApp.start({
      upstreams: { npmjs: { type: 'npm', owner: 'npmjs', url: 'http://127.0.0.1:1/', allowPrivateNetwork: true } },
    })
    ann = await app.createUser('Ann')
    bob = await app.createUser('bob')
    for (const [name, visibility] of [
      ['limited', 'limited'],
      ['private', 'private'],
    ] as const) {
      await app.createUser(name)
      await app.api('PATCH', `/admin/users/${name}`, { login_name: name, visibility })
    }
    await app.createOrganization('acme', ann)
    await app.createOrganization('secret', ann, 'private')
  })
  afterAll(() => app.close())

  const status = async (path: string, authorization: string | null) =>
    (await app.api('GET', path, undefined, authorization)).statusCode

  test('the caller sees himself in full, in the order of Gitea', async () => {
    const response = await app.api('GET', '/user', undefined, ann)
    expect(response.statusCode).toBe(200)
    expect(Object.keys(response.json())).toEqual(userKeys)
    expect(response.json()).toMatchObject({
      login: 'Ann',
      username: 'Ann',
      email: 'Ann@example.org',
      active: true,
      is_admin: false,
      last_login: '1970-01-01T00:00:00Z',
      html_url: 'http://127.0.0.1:8080/Ann',
    })
    expect(response.json().created).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    expect(await status('/user', null)).toBe(401)
  })

  test('others see zero values where it is not their business', async () => {
    const forBob = (await app.api('GET', '/users/ann', undefined, bob)).json()
    expect(forBob).toMatchObject({ active: false, last_login: '0001-01-01T00:00:00Z', email: 'Ann@example.org' })
    const forNobody = (await app.api('GET', '/users/ann', undefined, null)).json()
    expect(forNobody).toMatchObject({ email: 'ann@noreply.127.0.0.1', active: false })
    expect((await app.api('GET', '/users/ann')).json()).toMatchObject({ active: true })
    expect((await app.api('GET', '/users/root', undefined, bob)).json()).toMatchObject({ is_admin: false })
  })

  test('who is hidden looks exactly like who is missing', async () => {
    expect(await status('/users/limited', bob)).toBe(200)
    expect(await status('/users/limited', null)).toBe(404)
    expect(await status('/users/private', bob)).toBe(404)
    expect(await status('/users/private', app.admin)).toBe(200)
    const hidden = await app.api('GET', '/users/private', undefined, bob)
    const missing = await app.api('GET', '/users/missing', undefined, bob)
    expect(hidden.body.replaceAll('private', 'missing')).toBe(missing.body)
    expect(Object.keys(hidden.headers).sort()).toEqual(Object.keys(missing.headers).sort())
  })

  test('an organization is a user here too, a mirror is not', async () => {
    expect((await app.api('GET', '/users/acme', undefined, null)).json()).toMatchObject({ login: 'acme' })
    expect(await status('/users/npmjs', null)).toBe(404)
    expect(await status('/users/npmjs', app.admin)).toBe(404)
    expect(await status('/orgs/npmjs', app.admin)).toBe(404)
  })

  test('search finds what is visible, pages it, and takes the query literally', async () => {
    const names = async (query: string, authorization: string | null = null) => {
      const response = await app.api('GET', `/users/search?${query}`, undefined, authorization)
      expect(response.json().ok).toBe(true)
      return (response.json().data as { login: string }[]).map(({ login }) => login)
    }
    expect(await names('')).toEqual(['Ann', 'bob', 'root'])
    expect(await names('', bob)).toEqual(['Ann', 'bob', 'limited', 'root'])
    expect(await names('', app.admin)).toEqual(['Ann', 'bob', 'limited', 'private', 'root'])
    expect(await names('q=NN')).toEqual(['Ann'])
    expect(await names('q=%25')).toEqual([])
    expect(await names('q=_')).toEqual([])
    expect(await names(`uid=${(await app.api('GET', '/users/bob')).json().id}`)).toEqual(['bob'])
    expect(await names('limit=1&page=2')).toEqual(['bob'])
    const paged = await app.api('GET', '/users/search?limit=2', undefined, null)
    expect(paged.headers['x-total-count']).toBe('3')
    expect(paged.headers['link']).toContain('<http://127.0.0.1:8080/api/v1/users/search?limit=2&page=2>; rel="next"')
    for (const query of [`q=${'x'.repeat(300)}`, 'q=a%00b', 'uid=-1', 'uid=x', 'q=a&q=b']) {
      expect(await status(`/users/search?${query}`, null)).toBe(422)
    }
  })

  test('no answer changes with a filter that is not offered', async () => {
    const plain = (await app.api('GET', '/users/search')).body
    for (const filter of [
      'password_hash=x',
      'passwordHash=x',
      'kind=mirror',
      'email=root',
      'is_admin=true',
      'where=1',
    ]) {
      expect((await app.api('GET', `/users/search?${filter}`)).body).toBe(plain)
    }
    const users = (await app.api('GET', '/admin/users')).body
    for (const filter of ['password_hash[gt]=a', 'passwordHash=x', 'kind=mirror', 'email=x', 'login=x']) {
      expect((await app.api('GET', `/admin/users?${encodeURI(filter)}`)).body).toBe(users)
    }
  })

  test('a token needs the scope user, and with public-only sees public accounts alone', async () => {
    const wrong = await app.createToken('bob', ['write:package'], bob)
    expect(await status('/user', `token ${wrong}`)).toBe(403)
    expect(await status('/users/ann', `token ${wrong}`)).toBe(403)
    const open = await app.createToken('bob', ['public-only', 'read:user'], bob)
    expect(await status('/users/ann', `token ${open}`)).toBe(200)
    expect(await status('/users/limited', `token ${open}`)).toBe(403)
    expect(await status('/users/private', `token ${open}`)).toBe(404)
    expect(await status('/users/search', `token ${open}`)).toBe(200)
  })
})
