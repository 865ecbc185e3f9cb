import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { TestApp } from '../support/test-app.ts'

describe('organizations', () => {
  let app: TestApp
  let ann: string
  let bob: string

  beforeAll(async () => {
    app = await TestApp.start()
    ann = await app.createUser('ann')
    bob = await app.createUser('bob')
    await app.createOrganization('open', ann)
    await app.createOrganization('half', ann, 'limited')
    await app.createOrganization('closed', ann, 'private')
  })
  afterAll(() => app.close())

  const get = (path: string, authorization: string | null) => app.api('GET', path, undefined, authorization)
  const names = async (path: string, authorization: string | null) =>
    ((await get(path, authorization)).json() as { name: string }[]).map(({ name }) => name)

  test('are made in the form of Gitea, with the creator as owner', async () => {
    const response = await app.api(
      'POST',
      '/orgs',
      {
        username: 'Acme',
        full_name: 'Acme Inc.',
        email: 'acme@example.org',
        website: 'https://acme.example',
        visibility: null,
        repo_admin_change_team_access: true,
      },
      ann,
    )
    expect(response.statusCode).toBe(201)
    expect(response.json()).toEqual({
      id: expect.any(Number),
      name: 'Acme',
      full_name: 'Acme Inc.',
      email: 'acme@example.org',
      avatar_url: '',
      description: '',
      website: 'https://acme.example',
      location: '',
      visibility: 'public',
      repo_admin_change_team_access: false,
      username: 'Acme',
    })
    expect((await get('/orgs/acme', null)).json()).toMatchObject({ name: 'Acme', email: '' })
    expect((await app.api('PATCH', '/orgs/acme', { description: 'x' }, ann)).statusCode).toBe(200)
    expect((await app.api('DELETE', '/orgs/acme', undefined, ann)).statusCode).toBe(204)
    expect((await get('/orgs/acme', ann)).statusCode).toBe(404)
  })

  test.each(['ann', 'ANN', 'open', 'api', 'v2', 'a b', 'a..b', '-a', 'x.png'])(
    'the name %s is 422',
    async (username) => {
      expect((await app.api('POST', '/orgs', { username }, ann)).statusCode).toBe(422)
    },
  )

  test('need a signed-in creator who may', async () => {
    expect((await app.api('POST', '/orgs', { username: 'x' }, null)).json().message).toBe('token is required')
    await app.createUser('carl')
    const carl = await app.createUser('dora')
    await app.api('PATCH', '/admin/users/dora', { login_name: 'dora', allow_create_organization: false })
    expect((await app.api('POST', '/orgs', { username: 'doras' }, carl)).statusCode).toBe(403)
    expect((await app.api('POST', '/admin/users/dora/orgs', { username: 'doras' })).statusCode).toBe(201)
    expect(await names('/user/orgs', carl)).toEqual(['doras'])
    expect((await app.api('POST', '/admin/users/dora/orgs', { username: 'no' }, carl)).statusCode).toBe(403)
    expect((await app.api('POST', '/admin/users/nobody/orgs', { username: 'no' })).statusCode).toBe(404)
    expect((await app.api('POST', '/admin/users/open/orgs', { username: 'no' })).statusCode).toBe(404)
  })

  test('are listed and shown by visibility', async () => {
    const both = async (path: string) => [await names(path, null), await names(path, bob), await names(path, app.admin)]
    const [anybody, signedIn, admin] = await both('/orgs')
    expect(anybody).toContain('open')
    expect(anybody).not.toContain('half')
    expect(signedIn).toContain('half')
    expect(signedIn).not.toContain('closed')
    expect(admin).toContain('closed')
    expect(await names('/admin/orgs', app.admin)).toEqual(admin)
    const status = async (name: string, who: string | null) => (await get(`/orgs/${name}`, who)).statusCode
    expect([await status('half', null), await status('half', bob)]).toEqual([404, 200])
    expect([await status('closed', bob), await status('closed', ann), await status('closed', app.admin)]).toEqual([
      404, 200, 200,
    ])
    expect(await status('ann', ann)).toBe(404)
    const [hidden, missing] = [await get('/orgs/closed', bob), await get('/orgs/absent', bob)]
    expect(hidden.body.replaceAll('closed', 'absent')).toBe(missing.body)
  })

  test('of a user are shown to himself, to administrators and, where shared, to members', async () => {
    expect(await names('/user/orgs', ann)).toEqual(['closed', 'half', 'open'])
    expect(await names('/users/ann/orgs', app.admin)).toEqual(['closed', 'half', 'open'])
    expect(await names('/users/ann/orgs', bob)).toEqual([])
    expect((await get('/users/ann/orgs', null)).statusCode).toBe(401)
    expect((await get('/users/nobody/orgs', bob)).statusCode).toBe(404)
    const half = await app.createToken('ann', ['read:user'], ann)
    expect((await get('/user/orgs', `token ${half}`)).statusCode).toBe(403)
    const whole = await app.createToken('ann', ['read:user', 'read:organization'], ann)
    expect((await get('/user/orgs', `token ${whole}`)).statusCode).toBe(200)
    const open = await app.createToken('ann', ['public-only', 'read:user', 'read:organization'], ann)
    expect(await names('/user/orgs', `token ${open}`)).toEqual(['open'])
  })

  test('are changed by their owners only, and only in what is given', async () => {
    await app.createOrganization('changing', ann)
    const patch = (payload: object, who: string | null = ann) => app.api('PATCH', '/orgs/changing', payload, who)
    expect((await patch({ full_name: 'One', location: 'Here' })).json()).toMatchObject({
      full_name: 'One',
      location: 'Here',
    })
    expect((await patch({ full_name: '', visibility: 'private', location: null })).json()).toMatchObject({
      full_name: '',
      location: 'Here',
      visibility: 'private',
    })
    expect((await patch({ full_name: 'x' }, bob)).statusCode).toBe(404)
    expect((await patch({ visibility: '' }, app.admin)).json().visibility).toBe('private')
    expect((await patch({ visibility: 'public' }, app.admin)).statusCode).toBe(200)
    expect((await patch({ full_name: 'x' }, bob)).statusCode).toBe(403)
    expect((await patch({ full_name: 'x' }, null)).statusCode).toBe(401)
    expect((await patch({ email: 'no address' })).statusCode).toBe(422)
    expect((await patch({ username: 'other' })).statusCode).toBe(422)
    expect((await patch({ is_admin: true })).statusCode).toBe(422)
    const reader = await app.createToken('ann', ['read:organization'], ann)
    expect((await patch({ full_name: 'x' }, `token ${reader}`)).statusCode).toBe(403)
  })

  test('are deleted by their owners when they have no packages', async () => {
    await app.createOrganization('ending', ann)
    await publish(app, { owner: 'ending', name: 'thing', creator: 'ann' })
    expect((await app.api('DELETE', '/orgs/ending', undefined, bob)).statusCode).toBe(403)
    expect((await app.api('DELETE', '/orgs/ending', undefined, ann)).statusCode).toBe(422)
    expect((await app.api('DELETE', '/packages/ending/generic/thing', undefined, ann)).statusCode).toBe(204)
    expect((await app.api('DELETE', '/orgs/ending', undefined, ann)).statusCode).toBe(204)
    expect((await app.api('DELETE', '/orgs/ending', undefined, ann)).statusCode).toBe(404)
    await app.createOrganization('ending', bob)
    expect((await app.api('PATCH', '/orgs/ending', {}, ann)).statusCode).toBe(403)
  })
})
