import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { TestApp } from '../support/test-app.ts'

describe('links of packages to repositories', () => {
  let app: TestApp
  let ann: string
  let bob: string
  let writer: string
  let keeper: string

  beforeAll(async () => {
    app = await TestApp.start({
      upstreams: { npmjs: { type: 'npm', owner: 'npmjs', url: 'http://127.0.0.1:1/', allowPrivateNetwork: true } },
    })
    ann = await app.createUser('ann')
    bob = await app.createUser('bob')
    writer = await app.createUser('writer')
    keeper = await app.createUser('keeper')
    await app.createOrganization('acme', ann)
    for (const [name, mode, member] of [
      ['writers', 'write', 'writer'],
      ['keepers', 'admin', 'keeper'],
    ] as const) {
      const team = await app.api('POST', '/orgs/acme/teams', { name, units_map: { 'repo.packages': mode } }, ann)
      const { id } = team.json() as { id: number }
      await app.api('PUT', `/teams/${id}/members/${member}`, undefined, ann)
    }
    await app.api('POST', '/orgs/acme/repos', { name: 'Source', website: 'https://git.example.org/acme' }, ann)
    await app.api('POST', '/orgs/acme/repos', { name: 'secret', private: true }, ann)
    await app.api('POST', '/user/repos', { name: 'annes' }, ann)
    for (const name of ['plain', '@scope/thing', 'other']) await publish(app, { owner: 'acme', name, creator: 'ann' })
    await publish(app, { owner: 'npmjs', type: 'npm', name: 'left-pad', creator: null })
  })
  afterAll(() => app.close())

  const post = (path: string, authorization: string | null = ann) =>
    app.api('POST', `/packages/${path}`, undefined, authorization)
  const status = async (path: string, authorization: string | null = ann) =>
    (await post(path, authorization)).statusCode
  const repositoryOf = async (name: string, authorization = ann) => {
    const response = await app.api('GET', `/packages/acme/generic/${name}/1.0.0`, undefined, authorization)
    return (response.json() as { repository: object | null }).repository
  }

  test('link and unlink answer in the order of the checks', async () => {
    const link = 'acme/generic/plain/-/link'
    const unlink = 'acme/generic/plain/-/unlink'
    expect(await status(`${link}/source`, null)).toBe(401)
    expect(await status(`${link}/source`, bob)).toBe(403)
    expect(await status('acme/generic/absent/-/link/source')).toBe(404)
    expect(await status(`${link}/absent`)).toBe(404)
    expect(await status(`${link}/annes`)).toBe(404)
    expect(await status(unlink)).toBe(400)
    expect(await status(unlink, writer)).toBe(400)
    expect(await status('acme/generic/absent/-/unlink')).toBe(404)
    const linked = await post(`${link}/SOURCE`, writer)
    expect([linked.statusCode, linked.body]).toEqual([201, ''])
    expect(await status(`${link}/source`)).toBe(400)
    expect(await status(`${link}/secret`)).toBe(400)
    expect(await status(`${link}/absent`)).toBe(404)
    expect(await status(unlink, bob)).toBe(403)
    expect(await status(unlink, writer)).toBe(403)
    expect(await repositoryOf('plain')).not.toBeNull()
    const unlinked = await post(unlink, keeper)
    expect([unlinked.statusCode, unlinked.body]).toEqual([204, ''])
    expect(await repositoryOf('plain')).toBeNull()
    expect(await status(unlink, keeper)).toBe(400)
    expect(await status('npmjs/npm/left-pad/-/link/source', app.admin)).toBe(405)
    expect(await status('npmjs/npm/left-pad/-/unlink', app.admin)).toBe(405)
  })

  test('of several at the same time one links', async () => {
    const links = ['source', 'secret', 'source'].map((name) => status(`acme/generic/other/-/link/${name}`))
    expect((await Promise.all(links)).sort()).toEqual([201, 400, 400])
    expect(await status('acme/generic/other/-/unlink')).toBe(204)
  })

  test('every answer about a package shows its repository', async () => {
    expect(await status('acme/generic/%40scope%2Fthing/-/link/source')).toBe(201)
    const whole = (await app.api('GET', '/repos/acme/source', undefined, ann)).json()
    const get = async (path: string) => (await app.api('GET', `/packages/acme${path}`, undefined, ann)).json()
    const name = '/generic/%40scope%2Fthing'
    expect(await get(`${name}/1.0.0`)).toMatchObject({ repository: whole })
    expect(await get(`${name}/-/latest`)).toMatchObject({ repository: whole })
    expect(await get(name)).toMatchObject([{ repository: whole }])
    expect(await get('?q=thing')).toMatchObject([{ repository: whole }])
    // Links are by id, so that a new name changes nothing, and a new version has the link of its package.
    await app.api('PATCH', '/repos/acme/source', { name: 'origin' }, ann)
    await publish(app, { owner: 'acme', name: '@scope/thing', version: '2.0.0', creator: 'ann' })
    expect(await get(`${name}/-/latest`)).toMatchObject({ version: '2.0.0', repository: { full_name: 'acme/origin' } })
    expect(await repositoryOf('%40scope%2Fthing', bob)).toMatchObject({
      full_name: 'acme/origin',
      permissions: { admin: false, push: false, pull: true },
    })
  })

  test('a private repository is shown to those who may write the packages only (S4)', async () => {
    expect(await status('acme/generic/plain/-/link/secret', writer)).toBe(201)
    expect(await repositoryOf('plain', writer)).toMatchObject({
      private: true,
      permissions: { admin: false, push: true, pull: true },
    })
    expect(await repositoryOf('plain', bob)).toBeNull()
    const list = await app.api('GET', '/packages/acme?q=plain', undefined, bob)
    expect(list.json()).toMatchObject([{ name: 'plain', repository: null }])
    const token = `Bearer ${await app.createToken('ann', ['public-only', 'all'], ann)}`
    expect(await repositoryOf('plain', token)).toBeNull()
    expect(await status('acme/generic/other/-/link/secret', token)).toBe(403)
    const reader = `Bearer ${await app.createToken('ann', ['read:package'], ann)}`
    expect(await status('acme/generic/plain/-/unlink', reader)).toBe(403)
  })

  test('when the repository is deleted its packages are linked to nothing', async () => {
    expect((await app.api('DELETE', '/repos/acme/secret', undefined, ann)).statusCode).toBe(204)
    expect(await repositoryOf('plain')).toBeNull()
    expect(await status('acme/generic/plain/-/unlink')).toBe(400)
    expect(await status('acme/generic/plain/-/link/origin')).toBe(201)
  })

  test('webhooks tell the repository', async () => {
    const hook = { type: 'gitea', events: ['package'], active: true }
    const config = { url: 'http://203.0.113.1/', content_type: 'json' }
    expect((await app.api('POST', '/orgs/acme/hooks', { ...hook, config }, ann)).statusCode).toBe(201)
    await publish(app, { owner: 'acme', name: 'plain', version: '2.0.0', creator: 'ann' })
    await expect
      .poll(async () => (await app.services.models.hookTask.findOne({ order: [['id', 'DESC']] }))?.payload)
      .toBeDefined()
    const task = await app.services.models.hookTask.findOne({ order: [['id', 'DESC']] })
    const payload = JSON.parse(task!.payload) as { package: object }
    expect(payload.package).toMatchObject({ version: '2.0.0', repository: { full_name: 'acme/origin' } })
    expect(payload.package).not.toHaveProperty('repository.permissions')
  })
})
