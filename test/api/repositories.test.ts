import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { basic, TestApp } from '../support/test-app.ts'

interface RepositoryJson {
  id: number
  name: string
}

/** The keys that rest-api.md §3 lists, without those that Gitea leaves out when they are empty. */
const keys = `id, owner, name, full_name, description, empty, private, fork, template, mirror, size, language,
  languages_url, html_url, url, link, ssh_url, clone_url, original_url, website, stars_count, forks_count,
  watchers_count, open_issues_count, open_pr_counter, release_counter, default_branch, archived, created_at, updated_at,
  archived_at, permissions, has_code, has_issues, has_wiki, has_pull_requests, has_projects, projects_mode, has_releases,
  has_packages, has_actions, ignore_whitespace_conflicts, allow_merge_commits, allow_rebase, allow_rebase_explicit,
  allow_squash_merge, allow_fast_forward_only_merge, allow_rebase_update, allow_manual_merge, autodetect_manual_merge,
  default_delete_branch_after_merge, default_merge_style, default_allow_maintainer_edit, avatar_url, internal,
  mirror_interval, object_format_name, mirror_updated, topics, licenses`.split(/,\s+/)

describe('repositories over REST', () => {
  let app: TestApp
  let ann: string
  let bob: string
  let writer: string

  beforeAll(async () => {
    app = await TestApp.start({
      upstreams: { npmjs: { type: 'npm', owner: 'npmjs', url: 'http://127.0.0.1:1/', allowPrivateNetwork: true } },
    })
    ann = await app.createUser('Ann')
    bob = await app.createUser('bob')
    writer = await app.createUser('writer')
    await app.createOrganization('acme', ann)
    await app.createOrganization('closed', ann, 'private')
    await makeTeam('acme', 'writers', { units_map: { 'repo.packages': 'write' } }, 'writer')
  })
  afterAll(() => app.close())

  async function makeTeam(org: string, name: string, input: object, member: string): Promise<void> {
    const response = await app.api('POST', `/orgs/${org}/teams`, { name, ...input }, ann)
    const { id } = response.json() as { id: number }
    expect((await app.api('PUT', `/teams/${id}/members/${member}`, undefined, ann)).statusCode).toBe(204)
  }
  const get = (path: string, authorization: string | null = ann) => app.api('GET', path, undefined, authorization)
  const names = async (path: string, authorization: string | null = ann) =>
    ((await get(path, authorization)).json() as RepositoryJson[]).map(({ name }) => name)

  test('a repository has the keys of Gitea, and tells where the real one is', async () => {
    const input = { name: 'Thing', description: 'all of it', private: true, website: 'https://git.example.org/thing' }
    const made = await app.api('POST', '/user/repos', input, ann)
    expect(made.statusCode).toBe(201)
    expect(Object.keys(made.json() as object).sort()).toEqual(keys.toSorted())
    expect(made.json()).toMatchObject({
      id: expect.any(Number),
      owner: { login: 'Ann' },
      name: 'Thing',
      full_name: 'Ann/Thing',
      description: 'all of it',
      private: true,
      internal: false,
      website: 'https://git.example.org/thing',
      url: 'http://127.0.0.1:8080/api/v1/repos/Ann/Thing',
      html_url: 'http://127.0.0.1:8080/Ann/Thing',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      permissions: { admin: true, push: true, pull: true },
      has_packages: true,
    })
    expect((await get('/repos/ANN/thing')).json()).toEqual(made.json())
    const open = await app.api('POST', '/orgs/closed/repos', { name: 'open' }, ann)
    expect(open.json()).toMatchObject({ private: false, internal: true, website: '', description: '' })
  })

  test('what the clients of Gitea send about git is accepted by name, anything else is refused (S24)', async () => {
    const create = async (input: object) => (await app.api('POST', '/user/repos', input, bob)).statusCode
    const git = { auto_init: true, issue_labels: '', gitignores: 'Go', license: 'MIT', readme: '', trust_model: '' }
    expect(await create({ name: 'git', ...git, default_branch: 'main', template: false, private: null })).toBe(201)
    expect(await create({ name: 'other', owner: 'ann' })).toBe(422)
    const edit = async (input: object) => app.api('PATCH', '/repos/bob/git', input, bob)
    expect((await edit({ has_wiki: true, internal_tracker: {}, archived: true })).json()).toMatchObject({
      has_wiki: false,
      archived: false,
    })
    expect((await edit({ owner_id: 1 })).statusCode).toBe(422)
  })

  test.each([
    [{}, 422],
    [{ name: '' }, 422],
    [{ name: 'a b' }, 422],
    [{ name: 'a/b' }, 422],
    [{ name: '..' }, 422],
    [{ name: '-' }, 422],
    [{ name: 'code.GIT' }, 422],
    [{ name: 'é' }, 422],
    [{ name: 'x'.repeat(101) }, 422],
    [{ name: 'ok', website: 'javascript:alert(1)' }, 422],
    [{ name: 'ok', website: 'git@example.org:a/b' }, 422],
    [{ name: 'ok', description: 'x'.repeat(2049) }, 422],
    [{ name: 'ok', private: 'yes' }, 422],
    [{ name: 'x'.repeat(100) }, 201],
    [{ name: '.a-B_c' }, 201],
    [{ name: '.A-b_C' }, 409],
  ])('POST /user/repos %j: %i', async (input, status) => {
    const response = await app.api('POST', '/user/repos', input, writer)
    expect(response.statusCode).toBe(status)
    if (status !== 201) expect(Object.keys(response.json() as object)).toEqual(['message', 'url'])
  })

  test('of two at the same time one is made', async () => {
    const posts = ['Same', 'same', 'SAME'].map((name) => app.api('POST', '/user/repos', { name }, bob))
    expect((await Promise.all(posts)).map(({ statusCode }) => statusCode).sort()).toEqual([201, 409, 409])
  })

  test('PATCH changes what is named and nothing else; names stay unique', async () => {
    await app.api('POST', '/orgs/acme/repos', { name: 'first', description: 'one', website: 'https://a.example' }, ann)
    await app.api('POST', '/orgs/acme/repos', { name: 'second' }, ann)
    const patch = (path: string, input: object) => app.api('PATCH', path, input, ann)
    expect((await patch('/repos/acme/first', { name: 'First', private: true })).json()).toMatchObject({
      name: 'First',
      description: 'one',
      website: 'https://a.example',
      private: true,
    })
    expect((await patch('/repos/acme/first', { name: 'SECOND' })).statusCode).toBe(422)
    expect((await patch('/repos/acme/first', { name: 'a b' })).statusCode).toBe(422)
    expect((await patch('/repos/acme/first', { website: 'ftp://a.example' })).statusCode).toBe(422)
    expect((await patch('/repos/acme/first', { website: '', private: false })).json()).toMatchObject({ website: '' })
    expect((await patch('/repos/acme/first', { name: 'third' })).json()).toMatchObject({ name: 'third' })
    expect((await get('/repos/acme/first')).statusCode).toBe(404)
    expect((await patch('/repos/acme/first', {})).statusCode).toBe(404)
  })

  test('in an organization its owners make them, and members of teams that may', async () => {
    const create = async (name: string, authorization: string, path = '/orgs/acme/repos') =>
      (await app.api('POST', path, { name }, authorization)).statusCode
    expect(await create('by-writer', writer)).toBe(403)
    await makeTeam('acme', 'makers', { permission: 'none', units: ['repo.packages'], can_create_org_repo: true }, 'bob')
    expect(await create('by-bob', bob)).toBe(201)
    expect(await create('by-ann', ann, '/org/acme/repos')).toBe(201)
    expect(await create('by-root', app.admin)).toBe(201)
    expect(await create('x', bob, '/orgs/closed/repos')).toBe(404)
    expect(await create('x', ann, '/orgs/missing/repos')).toBe(404)
    expect(await create('x', ann, '/orgs/npmjs/repos')).toBe(404)
  })

  test('who may write the packages sees private ones; who has admin access changes them (S4)', async () => {
    await app.api('POST', '/orgs/acme/repos', { name: 'hidden', private: true }, ann)
    const status = async (method: 'GET' | 'PATCH' | 'DELETE', authorization: string | null, name = 'hidden') =>
      (await app.api(method, `/repos/acme/${name}`, method === 'PATCH' ? {} : undefined, authorization)).statusCode
    expect(await status('GET', writer)).toBe(200)
    for (const stranger of [null, bob]) {
      const hidden = await get('/repos/acme/hidden', stranger)
      const missing = await get('/repos/acme/absent', stranger)
      expect([hidden.statusCode, hidden.body.replace('hidden', 'absent')]).toEqual([404, missing.body])
    }
    expect([await status('PATCH', null), await status('DELETE', null)]).toEqual([401, 401])
    expect([await status('PATCH', bob), await status('DELETE', bob)]).toEqual([404, 404])
    expect([await status('PATCH', writer), await status('DELETE', writer)]).toEqual([403, 403])
    expect([await status('PATCH', app.admin), await status('DELETE', ann)]).toEqual([200, 204])
    expect(await status('GET', ann)).toBe(404)
  })

  test('repositories of a hidden owner are as absent as he is (S4)', async () => {
    const [hidden, missing] = [await get('/repos/closed/open', bob), await get('/repos/absent/open', bob)]
    expect([hidden.statusCode, hidden.body.replace('closed', 'absent')]).toEqual([404, missing.body])
  })

  test('lists show what the caller may see, by name, paged', async () => {
    await app.createOrganization('listed', ann)
    await makeTeam('listed', 'writers', { units_map: { 'repo.packages': 'write' } }, 'writer')
    for (const name of ['b', 'A', 'c']) {
      await app.api('POST', '/orgs/listed/repos', { name, private: name === 'A' }, ann)
    }
    expect(await names('/orgs/listed/repos', null)).toEqual(['b', 'c'])
    expect(await names('/orgs/listed/repos', bob)).toEqual(['b', 'c'])
    expect(await names('/orgs/listed/repos', writer)).toEqual(['A', 'b', 'c'])
    const page = await get('/orgs/listed/repos?limit=2&page=2')
    expect([page.headers['x-total-count'], (page.json() as RepositoryJson[]).map(({ name }) => name)]).toEqual([
      '3',
      ['c'],
    ])
    expect(page.headers['link']).toContain('limit=2&page=1>; rel="first"')
    expect(await names('/user/repos')).toEqual(['Thing'])
    expect(await names('/users/ann/repos')).toEqual(['Thing'])
    expect(await names('/users/ann/repos', bob)).toEqual([])
    expect((await get('/orgs/closed/repos', bob)).statusCode).toBe(404)
    expect((await get('/orgs/ann/repos', bob)).statusCode).toBe(404)
  })

  test('a public-only token neither sees nor makes private ones (S10)', async () => {
    await app.api('POST', '/user/repos', { name: 'mine', private: true }, bob)
    await app.api('POST', '/user/repos', { name: 'yours' }, bob)
    const token = `Bearer ${await app.createToken('bob', ['public-only', 'all'], bob)}`
    expect((await get('/repos/bob/mine', token)).statusCode).toBe(403)
    expect((await app.api('DELETE', '/repos/bob/mine', undefined, token)).statusCode).toBe(403)
    expect(await names('/user/repos', token)).not.toContain('mine')
    expect((await app.api('POST', '/user/repos', { name: 'x', private: true }, token)).statusCode).toBe(403)
    expect((await app.api('PATCH', '/repos/bob/yours', { private: true }, token)).statusCode).toBe(403)
    expect((await get('/repos/bob/yours', token)).json()).toMatchObject({ private: false })
  })

  test('an owner with repositories is not deleted; a purge takes them along', async () => {
    await app.createUser('gone')
    const gone = basic('gone', 'a-long-password')
    await app.api('POST', '/user/repos', { name: 'left' }, gone)
    await publish(app, { owner: 'gone', name: 'thing' })
    await app.api('POST', '/packages/gone/generic/thing/-/link/left', undefined, gone)
    const remove = async (path: string, authorization = app.admin) =>
      (await app.api('DELETE', path, undefined, authorization)).statusCode
    expect(await remove('/packages/gone/generic/thing', gone)).toBe(204)
    expect(await remove('/admin/users/gone')).toBe(422)
    expect(await remove('/admin/users/gone?purge=true')).toBe(204)
    await app.createUser('gone')
    expect(await names('/user/repos', gone)).toEqual([])
    await app.createOrganization('brief', ann)
    await app.api('POST', '/orgs/brief/repos', { name: 'left' }, ann)
    expect(await remove('/orgs/brief', ann)).toBe(422)
    expect([await remove('/repos/brief/left', ann), await remove('/orgs/brief', ann)]).toEqual([204, 204])
  })
})
