import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

describe('members of organizations', () => {
  let app: TestApp
  const who: Record<string, string | null> = { anonymous: null }
  const ids: Record<string, number> = {}

  beforeAll(async () => {
    app = await TestApp.start()
    who['admin'] = app.admin
    for (const name of ['ann', 'bob', 'carl', 'dora', 'shy']) who[name] = await app.createUser(name)
    await app.api('PATCH', '/admin/users/shy', { login_name: 'shy', visibility: 'private' })
    await app.createOrganization('acme', who['ann']!)
    await app.createOrganization('closed', who['ann']!, 'private')
    for (const name of ['one', 'two']) ids[name] = await createTeam('acme', name)
    ids['closed'] = await createTeam('closed', 'crew')
    const owners = (await call('GET', '/orgs/acme/teams', 'ann')).json() as { id: number }[]
    ids['owners'] = owners[0]!.id
  })
  afterAll(() => app.close())

  type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  const call = (method: Method, path: string, caller: string, payload?: object) =>
    app.api(method, path, payload, who[caller] ?? null)
  const status = async (...request: Parameters<typeof call>) => (await call(...request)).statusCode
  const logins = async (path: string, caller: string) => {
    const response = await call('GET', path, caller)
    const users = response.json() as { login: string }[]
    expect(response.headers['x-total-count']).toBe(String(users.length))
    return users.map(({ login }) => login)
  }
  async function createTeam(org: string, name: string, mode = 'write'): Promise<number> {
    const payload = { name, units_map: { 'repo.packages': mode } }
    return ((await call('POST', `/orgs/${org}/teams`, 'ann', payload)).json() as { id: number }).id
  }
  const seat = (team: string, user: string) => `/teams/${ids[team]}/members/${user}`
  const join = async (team: string, user: string) => expect(await status('PUT', seat(team, user), 'ann')).toBe(204)
  const leave = async (team: string, user: string) => expect(await status('DELETE', seat(team, user), 'ann')).toBe(204)

  test('come in by a team and leave with their last one', async () => {
    const isMember = () => status('GET', '/orgs/acme/members/bob', 'ann')
    expect(await isMember()).toBe(404)
    await join('one', 'BOB')
    await join('one', 'bob')
    await join('two', 'bob')
    expect(await isMember()).toBe(204)
    expect(await logins('/orgs/acme/members', 'bob')).toEqual(['ann', 'bob'])
    expect(await logins(`/teams/${ids['one']}/members`, 'bob')).toEqual(['bob'])
    expect((await call('GET', seat('one', 'Bob'), 'bob')).json()).toMatchObject({ login: 'bob' })
    expect(await status('GET', seat('one', 'ann'), 'bob')).toBe(404)
    await leave('one', 'bob')
    expect(await isMember()).toBe(204)
    expect(await status('GET', `/teams/${ids['one']}/members`, 'bob')).toBe(403)
    await leave('two', 'bob')
    expect(await isMember()).toBe(404)
    expect(await status('GET', '/orgs/acme/teams', 'bob')).toBe(403)
    expect(await status('DELETE', seat('two', 'bob'), 'ann')).toBe(404)
  })

  test('leave with a team that is deleted, unless they are in another', async () => {
    ids['ending'] = await createTeam('acme', 'ending')
    await join('ending', 'bob')
    await join('ending', 'carl')
    await join('one', 'carl')
    for (const name of ['bob', 'carl']) expect(await status('PUT', `/orgs/acme/public_members/${name}`, name)).toBe(204)
    expect(await status('DELETE', `/teams/${ids['ending']}`, 'ann')).toBe(204)
    expect(await logins('/orgs/acme/members', 'ann')).toEqual(['ann', 'carl'])
    expect(await logins('/orgs/acme/public_members', 'anonymous')).toEqual(['carl'])
    await leave('one', 'carl')
    // Who comes back has to say again that he shows it.
    await join('one', 'carl')
    expect(await logins('/orgs/acme/public_members', 'anonymous')).toEqual([])
    await leave('one', 'carl')
  })

  test('are removed from all teams at once by owners and administrators', async () => {
    for (const team of ['one', 'two']) await join(team, 'bob')
    await join('one', 'carl')
    const remove = (caller: string) => status('DELETE', '/orgs/acme/members/bob', caller)
    expect([await remove('anonymous'), await remove('dora'), await remove('carl'), await remove('bob')]).toEqual([
      401, 403, 403, 403,
    ])
    expect(await remove('ann')).toBe(204)
    expect(await remove('ann')).toBe(404)
    expect(await logins(`/teams/${ids['two']}/members`, 'ann')).toEqual([])
    expect(await logins('/orgs/acme/members', 'ann')).toEqual(['ann', 'carl'])
    expect(await status('DELETE', '/orgs/acme/members/carl', 'admin')).toBe(204)
    expect(await status('DELETE', '/orgs/closed/members/ann', 'dora')).toBe(404)
  })

  test('include an owner for ever', async () => {
    expect(await status('DELETE', seat('owners', 'ann'), 'ann')).toBe(422)
    expect(await status('DELETE', '/orgs/acme/members/ann', 'ann')).toBe(422)
    expect(await status('DELETE', '/orgs/acme/members/ann', 'admin')).toBe(422)
    await join('one', 'bob')
    await leave('one', 'bob')
    await join('owners', 'bob')
    expect(await status('DELETE', '/orgs/acme/members/ann', 'bob')).toBe(204)
    expect(await status('GET', '/orgs/acme/teams', 'ann')).toBe(403)
    expect(await status('PUT', seat('owners', 'ann'), 'bob')).toBe(204)
    for (const _round of [1, 2, 3, 4, 5]) {
      const race = await Promise.all([
        status('DELETE', seat('owners', 'ann'), 'admin'),
        status('DELETE', '/orgs/acme/members/bob', 'admin'),
      ])
      expect(race.sort()).toEqual([204, 422])
      for (const name of ['ann', 'bob']) expect(await status('PUT', seat('owners', name), 'admin')).toBe(204)
    }
    await leave('owners', 'bob')
  })

  test('are only users that whoever adds them may know of (security.md S4)', async () => {
    const put = (name: string) => call('PUT', seat('one', name), 'ann')
    const missing = await put('nobody')
    expect(missing.statusCode).toBe(404)
    for (const name of ['shy', 'acme', 'closed']) {
      expect((await put(name)).body.replaceAll(name, 'nobody')).toBe(missing.body)
    }
    expect(await status('PUT', seat('one', 'shy'), 'admin')).toBe(204)
    // Members know each other, hidden or not.
    await join('two', 'shy')
    expect(await logins('/orgs/acme/members', 'ann')).toEqual(['ann', 'shy'])
    await leave('two', 'shy')
    await leave('one', 'shy')
    const answers = await Promise.all(
      ['shy', 'nobody', 'carl'].flatMap((name) => [
        call('DELETE', seat('one', name), 'ann'),
        call('GET', seat('one', name), 'ann'),
        call('DELETE', `/orgs/acme/members/${name}`, 'ann'),
        call('GET', `/orgs/acme/members/${name}`, 'ann'),
        call('PUT', `/orgs/acme/public_members/${name}`, 'ann'),
        call('GET', `/orgs/acme/public_members/${name}`, 'anonymous'),
      ]),
    )
    expect(new Set(answers.map(({ statusCode, body }) => `${statusCode} ${body}`)).size).toBe(1)
    expect(answers[0]!.statusCode).toBe(404)
  })

  test('are shown to everybody when they or an owner say so', async () => {
    await join('one', 'bob')
    await join('one', 'carl')
    const path = '/orgs/acme/public_members/bob'
    expect(await logins('/orgs/acme/members', 'dora')).toEqual([])
    expect(await status('GET', path, 'anonymous')).toBe(404)
    const put = (caller: string) => status('PUT', path, caller)
    expect([await put('anonymous'), await put('dora'), await put('carl'), await put('bob')]).toEqual([
      401, 403, 403, 204,
    ])
    expect(await status('PUT', '/orgs/acme/public_members/dora', 'dora')).toBe(403)
    expect(await status('PUT', '/orgs/acme/public_members/carl', 'ann')).toBe(204)
    expect(await status('GET', path, 'anonymous')).toBe(204)
    for (const list of ['members', 'public_members']) {
      expect(await logins(`/orgs/acme/${list}`, 'dora')).toEqual(['bob', 'carl'])
    }
    expect(await logins('/orgs/acme/members', 'carl')).toEqual(['ann', 'bob', 'carl'])
    expect(await logins('/orgs/acme/members', 'admin')).toEqual(['ann', 'bob', 'carl'])
    expect(await logins('/orgs/acme/public_members', 'carl')).toEqual(['bob', 'carl'])
    expect((await call('GET', '/orgs/acme/members?limit=1', 'ann')).headers['x-total-count']).toBe('3')
    const orgs = async (caller: string) =>
      ((await call('GET', '/users/bob/orgs', caller)).json() as { name: string }[]).map(({ name }) => name)
    await join('closed', 'bob')
    expect(await status('PUT', '/orgs/closed/public_members/bob', 'bob')).toBe(204)
    expect(await orgs('dora')).toEqual(['acme'])
    expect(await orgs('ann')).toEqual(['acme', 'closed'])
    await leave('closed', 'bob')
    const hide = (caller: string) => status('DELETE', path, caller)
    expect([await hide('carl'), await hide('ann'), await hide('bob')]).toEqual([403, 204, 204])
    expect(await logins('/orgs/acme/public_members', 'anonymous')).toEqual(['carl'])
    expect(await orgs('dora')).toEqual([])
    for (const name of ['bob', 'carl']) await leave('one', name)
  })

  test('who are private users are shown to other members only', async () => {
    expect(await status('PUT', seat('one', 'shy'), 'admin')).toBe(204)
    expect(await status('PUT', '/orgs/acme/public_members/shy', 'shy')).toBe(204)
    expect(await logins('/orgs/acme/public_members', 'anonymous')).toEqual([])
    expect(await logins('/orgs/acme/members', 'dora')).toEqual([])
    expect(await status('GET', '/orgs/acme/public_members/shy', 'dora')).toBe(404)
    expect(await logins('/orgs/acme/public_members', 'shy')).toEqual(['shy'])
    expect(await logins('/orgs/acme/members', 'ann')).toEqual(['ann', 'shy'])
    who['open'] = `token ${await app.createToken('ann', ['public-only', 'read:organization'], who['ann']!)}`
    expect(await logins('/orgs/acme/members', 'open')).toEqual([])
    expect(await logins(`/teams/${ids['one']}/members`, 'open')).toEqual([])
    expect(await logins(`/teams/${ids['one']}/members`, 'ann')).toEqual(['shy'])
    await leave('one', 'shy')
  })

  test('are asked for elsewhere by outsiders, whoever is asked for', async () => {
    for (const name of ['ann', 'shy', 'nobody', 'acme']) {
      const response = await call('GET', `/orgs/ACME/members/${name}`, 'dora')
      const { statusCode, headers, body } = response
      expect([statusCode, headers['location'], body]).toEqual([303, `/api/v1/orgs/acme/public_members/${name}`, ''])
    }
    expect(await status('GET', '/orgs/acme/members/dora', 'dora')).toBe(404)
    expect(await status('GET', '/orgs/acme/members/ann', 'anonymous')).toBe(401)
    for (const path of ['members', 'members/ann', 'public_members', 'public_members/ann']) {
      const [hidden, missing] = [
        await call('GET', `/orgs/closed/${path}`, 'dora'),
        await call('GET', `/orgs/absent/${path}`, 'dora'),
      ]
      expect(missing.statusCode).toBe(404)
      expect(hidden.body.replaceAll('closed', 'absent')).toBe(missing.body)
    }
  })

  test('may do what their teams say, from one request to the next (security.md S12)', async () => {
    ids['rights'] = await createTeam('closed', 'rights', 'none')
    const accessToken = `Bearer ${await app.createToken('carl', ['write:package'], who['carl']!)}`
    const issue = async () => {
      const url = '/v2/token?scope=repository:closed/app:pull,push'
      const response = await app.inject({ url, headers: { authorization: who['carl']! } })
      return `Bearer ${(response.json() as { token: string }).token}`
    }
    let registryToken = ''
    let count = 0
    const mayWrite = async () => {
      count += 1
      const upload = async (authorization: string, name: string) => {
        const url = `/api/packages/closed/generic/thing/${count}.0.0/${name}`
        const response = await app.inject({ method: 'PUT', url, headers: { authorization }, payload: Buffer.from('x') })
        return response.statusCode === 201
      }
      const headers = { authorization: registryToken }
      const push = await app.inject({ method: 'POST', url: '/v2/closed/app/blobs/uploads/', headers })
      return [await upload(who['carl']!, 'a'), await upload(accessToken, 'b'), push.statusCode === 202]
    }
    const rights = (payload: object) => call('PATCH', `/teams/${ids['rights']}`, 'ann', payload)

    expect(await mayWrite()).toEqual([false, false, false])
    await join('rights', 'carl')
    expect(await mayWrite()).toEqual([false, false, false])
    expect(await status('GET', '/packages/closed', 'carl')).toBe(200)
    await rights({ units_map: { 'repo.packages': 'write' } })
    registryToken = await issue()
    expect(await mayWrite()).toEqual([true, true, true])
    await rights({ units_map: { 'repo.packages': 'read' } })
    expect(await mayWrite()).toEqual([false, false, false])
    await rights({ permission: 'admin' })
    expect(await mayWrite()).toEqual([true, true, true])
    await leave('rights', 'carl')
    expect(await mayWrite()).toEqual([false, false, false])
    expect(await status('GET', '/packages/closed', 'carl')).toBe(403)
    await join('rights', 'carl')
    expect(await mayWrite()).toEqual([true, true, true])
    await call('DELETE', `/teams/${ids['rights']}`, 'ann')
    expect(await mayWrite()).toEqual([false, false, false])
  })

  test('are gone when their accounts are', async () => {
    const erik = await app.createUser('erik')
    await join('one', 'erik')
    await app.api('PUT', '/orgs/acme/public_members/erik', undefined, erik)
    expect(await status('DELETE', '/admin/users/erik', 'admin')).toBe(422)
    expect(await status('DELETE', '/admin/users/erik?purge=true', 'admin')).toBe(204)
    expect(await logins('/orgs/acme/members', 'ann')).toEqual(['ann'])
    expect(await app.services.models.publicMember.count()).toBe(0)
  })

  test('leave nothing behind, whoever is faster', async () => {
    const { models } = app.services
    for (const round of [1, 2, 3]) {
      const [name, org] = [`late-${round}`, `brief-${round}`]
      await app.createUser(name)
      await app.createOrganization(org, who['ann']!)
      ids[org] = await createTeam(org, 'crew')
      const team = { name: 'late', permission: 'admin' }
      await Promise.all([
        status('PUT', seat('two', name), 'ann'),
        status('DELETE', `/admin/users/${name}`, 'admin'),
        status('PUT', seat(org, 'carl'), 'ann'),
        status('POST', `/orgs/${org}/teams`, 'ann', team),
        status('DELETE', `/orgs/${org}`, 'ann'),
      ])
      await status('DELETE', `/admin/users/${name}?purge=true`, 'admin')
      expect(await models.teamUser.count({ where: { teamId: ids['two']! } })).toBe(0)
      const kept = await models.user.findAll({ where: { kind: 'organization' } })
      const orgIds = kept.map(({ id }) => id)
      for (const table of [models.team, models.teamUnit, models.teamUser]) {
        const rows = (await (table as typeof models.team).findAll()) as { orgId: number }[]
        expect(rows.filter(({ orgId }) => !orgIds.includes(orgId))).toEqual([])
      }
    }
  })

  describe('ask for permissions', () => {
    const path = (user: string, org: string) => `/users/${user}/orgs/${org}/permissions`
    const none = { is_owner: false, is_admin: false, can_write: false, can_read: false, can_create_repository: false }

    test('that follow their teams', async () => {
      expect((await call('GET', path('ann', 'closed'), 'ann')).json()).toEqual({
        is_owner: true,
        is_admin: true,
        can_write: true,
        can_read: true,
        can_create_repository: true,
      })
      await join('closed', 'bob')
      const of = async (caller = 'bob') => (await call('GET', path('bob', 'closed'), caller)).json()
      expect(await of()).toEqual({ ...none, can_read: true, can_write: true })
      await call('PATCH', `/teams/${ids['closed']}`, 'ann', { permission: 'admin', can_create_org_repo: true })
      const admin = { is_owner: false, is_admin: true, can_write: true, can_read: true, can_create_repository: true }
      expect([await of(), await of('ann'), await of('admin')]).toEqual([admin, admin, admin])
      expect((await call('GET', path('dora', 'acme'), 'dora')).json()).toEqual({ ...none, can_read: true })
    })

    test('and tell them to nobody else', async () => {
      expect(await status('GET', path('bob', 'closed'), 'anonymous')).toBe(401)
      expect(await status('GET', path('ann', 'acme'), 'dora')).toBe(404)
      expect(await status('GET', path('dora', 'closed'), 'dora')).toBe(404)
      expect(await status('GET', path('dora', 'closed'), 'ann')).toBe(404)
      expect(await status('GET', path('shy', 'acme'), 'ann')).toBe(404)
      expect(await status('GET', path('nobody', 'acme'), 'ann')).toBe(404)
      expect(await status('GET', path('acme', 'acme'), 'ann')).toBe(404)
      expect(await status('GET', path('ann', 'ann'), 'ann')).toBe(404)
      who['half'] = `token ${await app.createToken('ann', ['read:user'], who['ann']!)}`
      expect(await status('GET', path('ann', 'acme'), 'half')).toBe(403)
    })
  })
})
