import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

describe('repositories of teams', () => {
  let app: TestApp
  let ann: string
  let bob: string
  let team: string
  let all: string

  beforeAll(async () => {
    app = await TestApp.start()
    ann = await app.createUser('ann')
    bob = await app.createUser('bob')
    for (const org of ['acme', 'other']) {
      await app.createOrganization(org, ann)
      await app.api('POST', `/orgs/${org}/repos`, { name: 'tool' }, ann)
      await app.api('POST', `/orgs/${org}/repos`, { name: 'secret', private: true }, ann)
    }
    team = await makeTeam('crew', { units_map: { 'repo.packages': 'read' } })
    all = await makeTeam('everything', { units_map: { 'repo.packages': 'read' }, includes_all_repositories: true })
  })
  afterAll(() => app.close())

  async function makeTeam(name: string, input: object): Promise<string> {
    const { id } = (await app.api('POST', '/orgs/acme/teams', { name, ...input }, ann)).json() as { id: number }
    await app.api('PUT', `/teams/${id}/members/bob`, undefined, ann)
    return `/teams/${id}/repos`
  }
  const status = async (method: 'GET' | 'PUT' | 'DELETE', path: string, as: string) =>
    (await app.api(method, path, undefined, as)).statusCode
  async function list(path: string, as: string): Promise<{ names: string[]; total: unknown }> {
    const response = await app.api('GET', path, undefined, as)
    expect(response.statusCode).toBe(200)
    const names = (response.json() as { full_name: string }[]).map((repository) => repository.full_name)
    return { names, total: response.headers['x-total-count'] }
  }

  test('are given and taken by owners, once or twice', async () => {
    for (const name of ['tool', 'secret']) {
      expect(await status('GET', `${team}/acme/${name}`, ann)).toBe(404)
      expect(await status('PUT', `${team}/acme/${name}`, bob)).toBe(403)
      expect(await status('PUT', `${team}/acme/${name}`, ann)).toBe(204)
      expect(await status('PUT', `${team}/acme/${name}`, ann)).toBe(204)
      expect(await status('GET', `${team}/acme/${name}`, ann)).toBe(200)
    }
    expect(await list(team, ann)).toEqual({ names: ['acme/secret', 'acme/tool'], total: '2' })
    expect(await list(`${team}?limit=1&page=2`, ann)).toEqual({ names: ['acme/tool'], total: '2' })
    expect(await status('DELETE', `${team}/acme/secret`, ann)).toBe(204)
    expect(await status('DELETE', `${team}/acme/secret`, ann)).toBe(204)
    expect(await list(team, ann)).toEqual({ names: ['acme/tool'], total: '1' })
  })

  test('S13: are of the team’s organization only', async () => {
    expect(await status('PUT', `${team}/other/tool`, ann)).toBe(404)
    expect(await status('PUT', `${team}/acme/nothing`, ann)).toBe(404)
    expect(await status('PUT', `${team}/nobody/tool`, ann)).toBe(404)
  })

  test('S4: show nobody what is private, and give no rights', async () => {
    await app.api('PUT', `${team}/acme/secret`, undefined, ann)
    expect(await list(team, bob)).toEqual({ names: ['acme/tool'], total: '1' })
    expect(await status('GET', `${team}/acme/secret`, bob)).toBe(404)
    expect(await list(all, bob)).toEqual({ names: ['acme/tool'], total: '1' })
    expect(await list(all, ann)).toEqual({ names: ['acme/secret', 'acme/tool'], total: '2' })
    expect(await status('GET', `${all}/acme/secret`, ann)).toBe(200)
  })

  test('go with the repository and with the team', async () => {
    await app.api('POST', '/orgs/acme/repos', { name: 'short' }, ann)
    expect(await status('PUT', `${team}/acme/short`, ann)).toBe(204)
    await app.api('DELETE', '/repos/acme/short', undefined, ann)
    const { teamRepository } = app.services.models
    const before = await teamRepository.count()
    expect((await list(team, ann)).total).toBe(String(before))
    await app.api('DELETE', team.replace('/repos', ''), undefined, ann)
    expect(await teamRepository.count()).toBe(0)
  })

  test('GET /admin/users/{user}/orgs lists those of a user, private ones too', async () => {
    await app.createOrganization('hidden', bob, 'private')
    const response = await app.api('GET', '/admin/users/bob/orgs')
    expect((response.json() as { name: string }[]).map(({ name }) => name)).toEqual(['acme', 'hidden'])
    expect(response.headers['x-total-count']).toBe('2')
    expect((await app.api('GET', '/admin/users/nobody/orgs')).statusCode).toBe(404)
  })

  test('GET /admin/users filters by the source and name of the sign-in', async () => {
    const count = async (query: string) => (await app.api('GET', `/admin/users?${query}`)).headers['x-total-count']
    expect(await count('source_id=0')).toBe('3')
    expect(await count('source_id=7')).toBe('0')
    expect(await count('login_name=somebody')).toBe('0')
  })
})
