import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

const packageTeam = { permission: 'none', units_map: { 'repo.packages': 'write' } }
const allUnits = [
  ...['repo.code', 'repo.issues', 'repo.ext_issues', 'repo.pulls', 'repo.releases', 'repo.wiki', 'repo.ext_wiki'],
  ...['repo.projects', 'repo.packages', 'repo.actions'],
]

interface TeamJson {
  id: number
  name: string
  permission: string
  units: string[]
  units_map: Record<string, string>
  organization: { name: string } | null
}

describe('teams', () => {
  let app: TestApp
  const who: Record<string, string | null> = { anonymous: null }
  const ids: Record<string, number> = {}

  beforeAll(async () => {
    app = await TestApp.start()
    who['admin'] = app.admin
    for (const name of ['ann', 'bob', 'carl', 'dora']) who[name] = await app.createUser(name)
    await app.createOrganization('acme', who['ann']!)
    await app.createOrganization('closed', who['ann']!, 'private')
    await app.createOrganization('rival', who['dora']!)
    for (const name of ['private', 'limited', 'public']) {
      ids[name] = await create('acme', { name: `is-${name}`, visibility: name, ...packageTeam })
    }
    ids['crew'] = await create('acme', { name: 'crew', ...packageTeam })
    ids['hidden'] = await create('closed', { name: 'hidden', visibility: 'public', ...packageTeam })
    ids['owners'] = (await teamsOf('acme', 'ann')).find(({ name }) => name === 'Owners')!.id
    await call('PUT', `/teams/${ids['private']}/members/bob`, 'ann')
    await call('PUT', `/teams/${ids['crew']}/members/carl`, 'ann')
  })
  afterAll(() => app.close())

  type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  const call = (method: Method, path: string, caller: string, payload?: object) =>
    app.api(method, path, payload, who[caller] ?? null)
  const status = async (...request: Parameters<typeof call>) => (await call(...request)).statusCode
  async function create(org: string, payload: object): Promise<number> {
    const response = await call('POST', `/orgs/${org}/teams`, 'ann', payload)
    if (response.statusCode !== 201) throw new Error(response.body)
    return (response.json() as TeamJson).id
  }
  const teamsOf = async (org: string, caller: string, query = '') =>
    (await call('GET', `/orgs/${org}/teams${query}`, caller)).json() as TeamJson[]
  const names = (teams: TeamJson[]) => teams.map(({ name }) => name)

  describe('are made', () => {
    test('in the form of Gitea, with the organization where Gitea tells it', async () => {
      const response = await call('POST', '/orgs/acme/teams', 'ann', {
        name: 'Pub-1.x_y',
        description: 'publishes',
        permission: 'none',
        units_map: { 'repo.packages': 'write', 'repo.code': 'read' },
        includes_all_repositories: true,
        can_create_org_repo: null,
      })
      expect(response.statusCode).toBe(201)
      const team = response.json()
      expect(team).toEqual({
        id: expect.any(Number),
        name: 'Pub-1.x_y',
        description: 'publishes',
        organization: (await call('GET', '/orgs/acme', 'ann')).json(),
        includes_all_repositories: true,
        permission: 'none',
        units: ['repo.code', 'repo.packages'],
        units_map: { 'repo.code': 'read', 'repo.packages': 'write' },
        can_create_org_repo: false,
        visibility: 'private',
      })
      expect(Object.keys(team)).toEqual([
        ...['id', 'name', 'description', 'organization', 'includes_all_repositories', 'permission', 'units'],
        ...['units_map', 'can_create_org_repo', 'visibility'],
      ])
      expect((await call('GET', `/teams/${team.id}`, 'ann')).json()).toEqual(team)
      const edited = await call('PATCH', `/teams/${team.id}`, 'ann', { description: '' })
      expect(edited.json()).toEqual({ ...team, description: '', organization: null })
      const listed = (await teamsOf('acme', 'ann')).find(({ id }) => id === team.id)
      expect(listed).toEqual({ ...team, description: '', organization: null })
      expect(await status('DELETE', `/teams/${team.id}`, 'ann')).toBe(204)
      expect(await status('GET', `/teams/${team.id}`, 'ann')).toBe(404)
    })

    test.each([
      [{ permission: 'write', units: ['repo.packages', 'repo.code', 'repo.code'] }, 'none', 'write'],
      [{ permission: 'read', units: ['repo.packages', 'repo.code'] }, 'none', 'read'],
      [{ units: ['repo.packages', 'repo.code'] }, 'none', 'none'],
      [
        { permission: 'write', units: ['repo.wiki'], units_map: { 'repo.packages': 'admin', 'repo.code': 'admin' } },
        'none',
        'admin',
      ],
    ])('%j has permission %s and units %s', async (payload, permission, mode) => {
      const id = await create('acme', { name: 'short-lived', ...payload })
      expect((await call('GET', `/teams/${id}`, 'ann')).json()).toMatchObject({
        permission,
        units: ['repo.code', 'repo.packages'],
        units_map: { 'repo.code': mode, 'repo.packages': mode },
      })
      await call('DELETE', `/teams/${id}`, 'ann')
    })

    test('as administrators with all units, of which external ones can only be read', async () => {
      const id = await create('acme', { name: 'admins', permission: 'admin', units: ['repo.code'] })
      const team = (await call('GET', `/teams/${id}`, 'ann')).json() as TeamJson
      expect(team).toMatchObject({ permission: 'admin', units: allUnits })
      expect(team.units_map).toMatchObject({ 'repo.packages': 'admin', 'repo.ext_wiki': 'read' })
      await call('DELETE', `/teams/${id}`, 'ann')
    })

    test.each([
      [{}, '[Name]: Required'],
      [{ name: '' }, '[Name]: Required'],
      [{ name: 'a b' }, '[Name]: has characters that are not allowed'],
      [{ name: 'a/b' }, '[Name]: has characters that are not allowed'],
      [{ name: 'é' }, '[Name]: has characters that are not allowed'],
      [{ name: 'x'.repeat(256) }, '[Name]:'],
      [{ name: 'New' }, 'reserved'],
      [{ name: 'CREW' }, 'team already exists'],
      [{ name: 'owners' }, 'team already exists'],
      [{ units_map: {} }, '[Units]: units permission should not be empty'],
      [{ permission: 'write', units_map: null }, '[Units]: units permission should not be empty'],
      [{ units: ['repo.everything'] }, '[Units.0]: must be one of'],
      [{ description: 'x'.repeat(256) }, '[Description]:'],
      [{ visibility: 'secret' }, '[Visibility]: must be one of'],
    ])('not from %j, which is 422', async (payload, message) => {
      const rest = Object.keys(payload).some((key) => key.startsWith('unit')) ? {} : packageTeam
      const named = 'name' in payload || Object.keys(payload).length === 0 ? {} : { name: 'wrong' }
      const response = await call('POST', '/orgs/acme/teams', 'ann', { ...rest, ...named, ...payload })
      expect([response.statusCode, response.json().message]).toEqual([422, expect.stringContaining(message)])
    })

    // What nobody may give, and what is not the caller's to choose (security.md S23, S24).
    test.each([
      { permission: 'owner' },
      { units_map: { 'repo.packages': 'owner' } },
      { units_map: { 'repo.everything': 'write' } },
      { org_id: 1 },
      { id: 1 },
      { members: ['bob'] },
      { is_owner: true },
    ])('nor changed with %j', async (payload) => {
      const body = { ...packageTeam, ...payload }
      expect(await status('POST', '/orgs/acme/teams', 'ann', { name: 'sly', ...body })).toBe(422)
      expect(await status('PATCH', `/teams/${ids['crew']}`, 'ann', body)).toBe(422)
      expect(await teamsOf('acme', 'ann')).toContainEqual(
        expect.objectContaining({ name: 'crew', permission: 'none', units_map: { 'repo.packages': 'write' } }),
      )
    })

    test('once, of many who want a name at the same time', async () => {
      const payload = { name: 'race', ...packageTeam }
      const asked = await Promise.all([1, 2, 3, 4].map(() => status('POST', '/orgs/acme/teams', 'ann', payload)))
      expect(asked.sort()).toEqual([201, 422, 422, 422])
      const [{ id }] = (await teamsOf('acme', 'ann')).filter(({ name }) => name === 'race') as [TeamJson]
      expect(await status('DELETE', `/teams/${id}`, 'ann')).toBe(204)
    })
  })

  describe('are changed', () => {
    test('only in what is given', async () => {
      const id = await create('acme', {
        name: 'changing',
        description: 'one',
        can_create_org_repo: true,
        ...packageTeam,
      })
      const patch = async (payload: object) => {
        const response = await call('PATCH', `/teams/${id}`, 'ann', payload)
        return response.statusCode === 200 ? (response.json() as TeamJson) : response.statusCode
      }
      const before = await patch({})
      expect(before).toMatchObject({ name: 'changing', description: 'one', can_create_org_repo: true })
      const nothing = { name: '', permission: '', units: null, units_map: null, visibility: null, description: null }
      expect(await patch(nothing)).toEqual(before)
      expect(await patch({ name: 'Changing', visibility: 'limited' })).toMatchObject({
        name: 'Changing',
        visibility: 'limited',
        units_map: { 'repo.packages': 'write' },
      })
      expect(await patch({ name: 'crew' })).toBe(422)
      expect(await patch({ name: 'new' })).toBe(422)
      expect(await patch({ permission: 'read' })).toMatchObject({ units_map: { 'repo.packages': 'write' } })
      expect(await patch({ units_map: { 'repo.code': 'read' } })).toMatchObject({ units: ['repo.code'] })
      expect(await patch({ permission: 'admin' })).toMatchObject({ permission: 'admin', units: allUnits })
      expect(await patch({ description: 'x' })).toMatchObject({ permission: 'admin', units: allUnits })
      // A restriction without effect, and a team without rights, are refused instead of answered with 200.
      expect(await patch({ units_map: { 'repo.packages': 'read' } })).toBe(422)
      expect(await patch({ permission: 'none' })).toMatchObject({ permission: 'none', units: allUnits })
      expect(await patch({ permission: 'write', units: ['repo.packages'] })).toMatchObject({
        permission: 'none',
        units_map: { 'repo.packages': 'write' },
      })
      expect(await status('DELETE', `/teams/${id}`, 'ann')).toBe(204)
    })

    test('but never the owners, of whom only the description is free', async () => {
      const path = `/teams/${ids['owners']}`
      const owners = (await call('GET', path, 'ann')).json() as TeamJson
      expect(owners).toMatchObject({
        name: 'Owners',
        permission: 'owner',
        units: allUnits,
        includes_all_repositories: true,
        can_create_org_repo: true,
      })
      expect(owners.units_map['repo.packages']).toBe('owner')
      for (const payload of [
        { name: 'Bosses' },
        { permission: 'none' },
        { permission: 'admin' },
        { units: ['repo.packages'] },
        { units_map: { 'repo.packages': 'none' } },
        { visibility: 'public' },
        { can_create_org_repo: false },
        { includes_all_repositories: false },
      ]) {
        expect([payload, await status('PATCH', path, 'ann', payload)]).toEqual([payload, 422])
        expect([payload, await status('PATCH', path, 'admin', payload)]).toEqual([payload, 422])
      }
      expect(await status('DELETE', path, 'ann')).toBe(422)
      expect(await status('DELETE', path, 'admin')).toBe(422)
      const same = { name: 'Owners', permission: '', can_create_org_repo: true, visibility: 'private' }
      expect(await status('PATCH', path, 'ann', { ...same, description: 'in charge' })).toBe(200)
      expect((await call('GET', path, 'ann')).json()).toEqual({ ...owners, description: 'in charge' })
    })
  })

  describe('are known to', () => {
    // Columns: GET the team, its members, its repositories; PATCH, DELETE; PUT, DELETE a member. `carl` is in another
    // team of the organization, `bob` in the private team, `dora` in none.
    const table = `
      private anonymous 401 401 401 401 401 401 401
      private dora      404 404 404 404 404 404 404
      private carl      403 403 403 403 403 403 403
      private bob       200 200 200 403 403 403 403
      private ann       200 200 200 200 -   204 204
      private admin     200 200 200 200 -   204 204
      limited anonymous 401 401 401 401 401 401 401
      limited dora      404 404 404 404 404 404 404
      limited carl      200 200 200 403 403 403 403
      limited ann       200 200 200 200 -   204 204
      public  anonymous 401 401 401 401 401 401 401
      public  dora      200 403 200 403 403 403 403
      public  carl      200 200 200 403 403 403 403
      public  admin     200 200 200 200 -   204 204
      hidden  anonymous 401 401 401 401 401 401 401
      hidden  dora      404 404 404 404 404 404 404
      hidden  carl      404 404 404 404 404 404 404
      hidden  ann       200 200 200 200 -   204 204
    `
    const rows = table
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/) as [team: string, caller: string, ...statuses: string[]])

    test.each(rows)('team %s, caller %s: %s %s %s %s %s %s %s', async (team, caller, ...expected) => {
      const path = `/teams/${ids[team]}`
      const requests: [Method, string, object?][] = [
        ['GET', path],
        ['GET', `${path}/members`],
        ['GET', `${path}/repos`],
        ['PATCH', path, {}],
        ['DELETE', path],
        ['PUT', `${path}/members/root`],
        ['DELETE', `${path}/members/root`],
      ]
      const got: string[] = []
      for (const [index, [method, url, payload]] of requests.entries()) {
        got.push(expected[index] === '-' ? '-' : String(await status(method, url, caller, payload)))
      }
      expect(got).toEqual(expected)
    })

    test('nobody else, for whom they are as ids that no team has (security.md S4, S13)', async () => {
      const unknown = await call('GET', '/teams/999999', 'dora')
      expect(unknown.statusCode).toBe(404)
      for (const id of [ids['private'], ids['hidden'], ids['owners'], 0, -1, 'x', '1e1', '%00', '9'.repeat(30)]) {
        for (const [method, path] of [
          ['GET', ''],
          ['PATCH', ''],
          ['DELETE', ''],
          ['GET', '/members'],
          ['GET', '/members/ann'],
          ['PUT', '/members/dora'],
          ['DELETE', '/members/ann'],
          ['GET', '/repos'],
        ] as const) {
          const { statusCode, body } = await call(method, `/teams/${id}${path}`, 'dora')
          expect([method, path, id, statusCode, body]).toEqual([method, path, id, 404, unknown.body])
        }
      }
      expect(names(await teamsOf('acme', 'ann'))).toContain('is-private')
    })

    test('tokens with the scope, and with public-only where the organization is public', async () => {
      const token = async (...scopes: string[]) => `token ${await app.createToken('ann', scopes, who['ann']!)}`
      who['reader'] = await token('read:organization')
      who['stranger'] = await token('all', 'public-only')
      who['other'] = await token('write:user', 'write:package')
      expect(await status('GET', `/teams/${ids['crew']}`, 'reader')).toBe(200)
      expect(await status('PATCH', `/teams/${ids['crew']}`, 'reader', {})).toBe(403)
      expect(await status('GET', `/teams/${ids['crew']}`, 'other')).toBe(403)
      expect(await status('GET', '/orgs/acme/teams', 'other')).toBe(403)
      expect(await status('GET', `/teams/${ids['crew']}`, 'stranger')).toBe(200)
      expect(await status('GET', `/teams/${ids['hidden']}`, 'stranger')).toBe(403)
      expect(await status('PATCH', `/teams/${ids['hidden']}`, 'stranger', {})).toBe(403)
      expect(await status('GET', '/orgs/closed/teams', 'stranger')).toBe(403)
      expect(await status('GET', '/user/teams', 'stranger')).toBe(403)
      expect(await status('GET', '/user/teams', 'other')).toBe(200)
      expect(await status('GET', '/user/teams', 'reader')).toBe(403)
    })
  })

  describe('are listed', () => {
    test('to owners and administrators all, owners first; to members theirs and those that are not private', async () => {
      const all = ['Owners', 'crew', 'is-limited', 'is-private', 'is-public']
      expect(names(await teamsOf('acme', 'ann'))).toEqual(all)
      expect(names(await teamsOf('acme', 'admin'))).toEqual(all)
      expect(names(await teamsOf('acme', 'bob'))).toEqual(['is-limited', 'is-private', 'is-public'])
      expect(names(await teamsOf('acme', 'carl'))).toEqual(['crew', 'is-limited', 'is-public'])
      const total = async (caller: string) => (await call('GET', '/orgs/acme/teams', caller)).headers['x-total-count']
      expect([await total('ann'), await total('carl')]).toEqual(['5', '3'])
      expect(await status('GET', '/orgs/acme/teams', 'anonymous')).toBe(401)
      expect(await status('GET', '/orgs/acme/teams', 'dora')).toBe(403)
      expect(await status('POST', '/orgs/acme/teams', 'carl', { name: 'x', ...packageTeam })).toBe(403)
    })

    test('to nobody who may not know of the organization', async () => {
      for (const path of ['/teams', '/teams/search']) {
        const [hidden, missing] = [
          await call('GET', `/orgs/closed${path}`, 'dora'),
          await call('GET', `/orgs/absent${path}`, 'dora'),
        ]
        expect(missing.statusCode).toBe(404)
        expect(hidden.body.replaceAll('closed', 'absent')).toBe(missing.body)
      }
      expect(await status('GET', '/orgs/bob/teams', 'ann')).toBe(404)
      expect(await status('POST', '/orgs/closed/teams', 'dora', { name: 'x', ...packageTeam })).toBe(404)
    })

    test('by what they are searched for, in pages', async () => {
      await call('PATCH', `/teams/${ids['crew']}`, 'ann', { description: 'Ships 100% of it' })
      const search = async (query: string, caller = 'ann') => {
        const response = await call('GET', `/orgs/acme/teams/search?${query}`, caller)
        const { ok, data } = response.json() as { ok: boolean; data: TeamJson[] }
        expect([ok, data.every(({ organization }) => organization === null)]).toEqual([true, true])
        return { names: names(data), total: response.headers['x-total-count'], link: response.headers['link'] }
      }
      expect((await search('q=IS-P')).names).toEqual(['is-private', 'is-public'])
      expect((await search('q=is-p', 'carl')).names).toEqual(['is-public'])
      expect((await search('q=ships')).names).toEqual(['crew'])
      expect((await search('q=ships&include_desc=false')).names).toEqual([])
      expect((await search('q=%25')).names).toEqual(['crew'])
      expect((await search('q=_')).names).toEqual([])
      const page = await search('q=is-&page=2&limit=2')
      expect(page).toMatchObject({ names: ['is-public'], total: '3' })
      expect(page.link).toContain('/api/v1/orgs/acme/teams/search?q=is-&page=1&limit=2>; rel="first"')
      expect(await status('GET', '/orgs/acme/teams/search', 'dora')).toBe(403)
      expect((await teamsOf('acme', 'ann', '?page=2&limit=1')).map(({ name }) => name)).toEqual(['crew'])
    })

    test('of the caller, with their organizations', async () => {
      const response = await call('GET', '/user/teams?limit=2', 'ann')
      expect(response.json()).toMatchObject([
        { name: 'Owners', organization: { name: 'acme' } },
        { name: 'Owners', organization: { name: 'closed', visibility: 'private' } },
      ])
      expect(response.headers['x-total-count']).toBe('2')
      expect(names((await call('GET', '/user/teams', 'bob')).json())).toEqual(['is-private'])
      expect(await status('GET', '/user/teams', 'anonymous')).toBe(401)
    })

    test('without repositories', async () => {
      const response = await call('GET', `/teams/${ids['crew']}/repos`, 'carl')
      expect([response.json(), response.headers['x-total-count']]).toEqual([[], '0'])
      for (const method of ['GET', 'PUT', 'DELETE'] as const) {
        expect(await status(method, `/teams/${ids['crew']}/repos/acme/thing`, 'ann')).toBe(404)
      }
    })
  })
})
