import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { buildPublication } from '../support/builders/npm.ts'
import { publish } from '../support/builders/published-package.ts'
import { basic, TestApp } from '../support/test-app.ts'
import { createTestDatabaseUrl } from '../support/test-database.ts'

const PASSWORD = 'a-long-password'

describe('renamed accounts', () => {
  let app: TestApp
  let ann: string
  let bob: string
  let count = 0

  beforeAll(async () => {
    app = await TestApp.start({
      upstreams: {
        npmjs: {
          type: 'npm',
          owner: 'npmjs',
          aliases: ['nodes'],
          url: 'http://127.0.0.1:1/',
          allowPrivateNetwork: true,
        },
      },
    })
    ann = await app.createUser('ann')
    bob = await app.createUser('bob')
  })
  afterAll(() => app.close())

  /** An organization of ann's with names that nobody else uses: what it is called first, and what later. */
  async function makeOrganization(visibility = 'public'): Promise<[before: string, after: string]> {
    count += 1
    await app.createOrganization(`Before${count}`, ann, visibility)
    return [`before${count}`, `After${count}`]
  }
  const rename = async (from: string, to: string, authorization = ann) =>
    (await app.api('POST', `/orgs/${from}/rename`, { new_name: to }, authorization)).statusCode
  const get = (path: string, authorization: string | null = ann) => app.api('GET', path, undefined, authorization)
  const raw = (method: 'GET' | 'HEAD' | 'PUT', url: string, authorization: string | null = ann, payload?: Buffer) =>
    app.inject({
      method,
      url,
      headers: authorization === null ? {} : { authorization },
      ...(payload === undefined ? {} : { payload }),
    })

  test('everything that belongs to an organization goes with it', async () => {
    const [before, after] = await makeOrganization()
    await publish(app, { owner: before, name: 'thing', creator: 'ann' })
    await app.api('POST', `/orgs/${before}/repos`, { name: 'source' }, ann)
    await app.api('POST', `/packages/${before}/generic/thing/-/link/source`, undefined, ann)
    await app.api('POST', `/orgs/${before}/teams`, { name: 'crew', units: ['repo.packages'] }, ann)
    await app.api('POST', `/orgs/${before}/cleanup-rules`, { type: 'generic', enabled: true }, ann)
    const { id } = (await get(`/orgs/${before}`)).json() as { id: number }

    expect(await rename(before, after)).toBe(204)
    expect((await get(`/orgs/${after}`)).json()).toMatchObject({ id, name: after, username: after })
    expect((await get(`/packages/${after}/generic/thing/1.0.0`)).json()).toMatchObject({
      owner: { login: after },
      repository: { full_name: `${after}/source` },
      html_url: `http://127.0.0.1:8080/${after}/-/packages/generic/thing/1.0.0`,
    })
    expect((await get(`/orgs/${after}/teams`)).json()).toHaveLength(2)
    expect((await get(`/orgs/${after}/cleanup-rules/generic`)).statusCode).toBe(200)
  })

  test('the old name leads to the new one, on REST and on package routes, whatever the method', async () => {
    const [before, after] = await makeOrganization()
    await publish(app, { owner: before, name: 'thing', creator: 'ann' })
    await rename(before, after)
    const upper = before.toUpperCase()
    const location = async (path: string) => {
      const { statusCode, headers } = await get(path)
      return [statusCode, headers['location'], headers['cache-control']]
    }
    const to = (path: string) => [307, path, 'no-store']
    expect(await location(`/orgs/${upper}`)).toEqual(to(`/api/v1/orgs/${after}`))
    expect(await location(`/packages/${before}?q=a%2Fb&page=2`)).toEqual(to(`/api/v1/packages/${after}?q=a%2Fb&page=2`))
    expect(await location(`/packages/${before}/npm/%40a%2Fb/-/latest`)).toEqual(
      to(`/api/v1/packages/${after}/npm/%40a%2Fb/-/latest`),
    )
    expect(await location(`/repos/${before}/${before}`)).toEqual(to(`/api/v1/repos/${after}/${before}`))
    expect(await location(`/users/ann/orgs/${before}/permissions`)).toEqual(
      to(`/api/v1/users/ann/orgs/${after}/permissions`),
    )
    const patched = await app.api('PATCH', `/orgs/${before}`, { description: 'x' }, ann)
    expect([patched.statusCode, patched.headers['location']]).toEqual([307, `/api/v1/orgs/${after}`])

    const generic = `/api/packages/${before}/generic/thing/1.0.0/file.txt`
    const moved = await raw('GET', generic)
    expect([moved.statusCode, moved.headers['location']]).toEqual([307, generic.replace(before, after)])
    expect((await raw('GET', moved.headers['location']!)).body).toBe('thing undefined')
    expect((await raw('HEAD', generic)).statusCode).toBe(307)
    expect((await raw('PUT', `${generic}.new`, ann, Buffer.from('x'))).statusCode).toBe(307)
    expect((await raw('GET', `/api/packages/${before}/npm/left-pad`)).headers['location']).toBe(
      `/api/packages/${after}/npm/left-pad`,
    )
    expect((await raw('GET', `/api/packages/${before}/maven/a/b/maven-metadata.xml`)).headers['location']).toBe(
      `/api/packages/${after}/maven/a/b/maven-metadata.xml`,
    )
  })

  test('a request that names the whole URL is not led to another host (S46)', async () => {
    const [before, after] = await makeOrganization()
    await rename(before, after)
    const response = await raw('GET', `http://evil.example/api/v1/orgs/${before}`)
    expect([response.statusCode, response.headers['location']]).toEqual([307, `/api/v1/orgs/${after}`])
  })

  test('the container registry knows no old names, and the images have the new one', async () => {
    const [before, after] = await makeOrganization()
    const push = (owner: string) =>
      raw('PUT', `/v2/${owner}/app/manifests/latest`, ann, Buffer.from('{"schemaVersion":2}'))
    await publish(app, { owner: before, name: 'app', type: 'container', creator: 'ann' })
    const { models, accounts } = app.services
    const { id: ownerId } = (await accounts.find(before))!
    const image = await models.package.findOne({ where: { ownerId } })
    const name = 'container.repository'
    await models.packageProperty.create({ refType: 2, refId: image!.id, name, value: `${before}/app` })
    await rename(before, after)
    const held = await models.packageProperty.findOne({ where: { refType: 2, refId: image!.id } })
    expect(held?.value).toBe(`${after.toLowerCase()}/app`)
    const [old, never] = [await raw('GET', `/v2/${before}/app/tags/list`), await raw('GET', '/v2/absent/app/tags/list')]
    expect([old.statusCode, old.body]).toEqual([404, never.body])
    expect((await push(before)).statusCode).toBe(404)
  })

  test('a registry token for the old name is good for neither of the two who have had it (S8)', async () => {
    const [before, after] = await makeOrganization()
    const scope = `repository:${before}/app:pull,push`
    const issued = await raw('GET', `/v2/token?service=127.0.0.1:8080&scope=${encodeURIComponent(scope)}`)
    const token = `Bearer ${(issued.json() as { token: string }).token}`
    const upload = async (owner: string) =>
      (await app.inject({ method: 'POST', url: `/v2/${owner}/app/blobs/uploads/`, headers: { authorization: token } }))
        .statusCode
    expect(await upload(before)).toBe(202)
    await rename(before, after)
    expect([await upload(before), await upload(after.toLowerCase())]).toEqual([404, 401])
    await app.createOrganization(before, bob)
    expect([await upload(before), await upload(after.toLowerCase())]).toEqual([403, 401])
  })

  test('who may not see the account is not told its new name (S4)', async () => {
    const [before, after] = await makeOrganization('private')
    await publish(app, { owner: before, name: 'thing', creator: 'ann' })
    await rename(before, after)
    for (const caller of [null, bob]) {
      for (const path of ['/orgs/NAME', '/users/NAME', '/packages/NAME', '/repos/NAME/x', '/orgs/NAME/repos']) {
        const [old, never] = [
          await get(path.replace('NAME', before), caller),
          await get(path.replace('NAME', 'absent'), caller),
        ]
        expect([old.statusCode, old.body.replaceAll(before, 'absent')]).toEqual([never.statusCode, never.body])
      }
      const file = (owner: string) => raw('GET', `/api/packages/${owner}/generic/thing/1.0.0/file.txt`, caller)
      const [old, never] = [await file(before), await file('absent')]
      expect([old.statusCode, old.body.replace(before, 'absent')]).toEqual([404, never.body])
    }
    const publicOnly = `Bearer ${await app.createToken('ann', ['public-only', 'all'], ann)}`
    expect((await get(`/orgs/${before}`, publicOnly)).statusCode).toBe(404)
    expect((await get(`/orgs/${before}`)).statusCode).toBe(307)
  })

  test('who takes the old name has it, and whoever had it before', async () => {
    const [before, after] = await makeOrganization()
    await rename(before, after)
    await app.createOrganization(before, bob)
    expect((await get(`/orgs/${before}`)).json()).toMatchObject({ name: before })
    // Given away and deleted again, the name leads nowhere.
    expect((await app.api('DELETE', `/orgs/${before}`, undefined, bob)).statusCode).toBe(204)
    expect((await get(`/orgs/${before}`)).statusCode).toBe(404)

    const [first, second] = await makeOrganization()
    await rename(first, second)
    expect(await rename(second, `${second}-again`)).toBe(204)
    expect((await get(`/orgs/${first}`)).headers['location']).toBe(`/api/v1/orgs/${second}-again`)
    expect((await get(`/orgs/${second}`)).headers['location']).toBe(`/api/v1/orgs/${second}-again`)
    expect(await rename(`${second}-again`, first)).toBe(204)
    expect((await get(`/orgs/${first}`)).json()).toMatchObject({ name: first })
    expect(await rename(first, first.toUpperCase())).toBe(204)
    expect((await get(`/orgs/${first}`)).json()).toMatchObject({ name: first.toUpperCase() })
    await app.api('DELETE', `/orgs/${first}`, undefined, ann)
    expect((await get(`/orgs/${second}`)).statusCode).toBe(404)
  })

  test('a taken, reserved or malformed name is refused, and so is a stranger', async () => {
    const [before] = await makeOrganization()
    for (const name of ['bob', 'BOB', 'npmjs', 'nodes', 'api', 'a--b', '-a', 'a/b', '', 'x'.repeat(41)]) {
      expect([name, await rename(before, name)]).toEqual([name, 422])
    }
    expect((await app.api('POST', `/orgs/${before}/rename`, {}, ann)).statusCode).toBe(422)
    expect(await rename(before, 'mine', bob)).toBe(403)
    expect(await rename('bob', 'mine', app.admin)).toBe(404)
    expect(await rename('npmjs', 'mine', app.admin)).toBe(404)
    const user = async (name: string, to: string, authorization = app.admin) =>
      (await app.api('POST', `/admin/users/${name}/rename`, { new_username: to }, authorization)).statusCode
    expect(await user('ann', 'mine', ann)).toBe(403)
    expect(await user(before, 'mine')).toBe(422)
    expect(await user('absent', 'mine')).toBe(404)
    expect(await user('npmjs', 'mine')).toBe(404)
    expect(await user('ann', 'root')).toBe(422)
    const both = await Promise.all([rename(before, 'wanted'), rename((await makeOrganization())[0], 'Wanted')])
    expect(both.sort()).toEqual([204, 422])
  })

  test('a user signs in by the new name only; tokens go on', async () => {
    const dan = await app.createUser('dan')
    const token = `Bearer ${await app.createToken('dan', ['all'], dan)}`
    expect((await get('/user', dan)).statusCode).toBe(200)
    const renamed = await app.api('POST', '/admin/users/dan/rename', { new_username: 'daniel' })
    expect([renamed.statusCode, renamed.body]).toEqual([204, ''])
    expect((await get('/user', dan)).statusCode).toBe(401)
    expect((await get('/user', basic('daniel', PASSWORD))).json()).toMatchObject({ login: 'daniel' })
    expect((await get('/user', token)).json()).toMatchObject({ login: 'daniel' })
    expect((await get('/users/dan', null)).headers['location']).toBe('/api/v1/users/daniel')
    const other = {
      username: 'dan',
      email: 'other@example.org',
      password: 'another-password',
      must_change_password: false,
    }
    expect((await app.api('POST', '/admin/users', other)).statusCode).toBe(201)
    expect((await get('/user', token)).json()).toMatchObject({ login: 'daniel' })
    expect((await get('/user', dan)).statusCode).toBe(401)
  })

  test('a token that is restricted to an owner stays his, and is not for who takes the old name (S9)', async () => {
    const [before, after] = await makeOrganization()
    const restrictions = [{ owners: [before] }, { packages: [{ owner: before, type: 'generic', name: '*' }] }]
    const tokens = await Promise.all(
      restrictions.map(async (restriction, index) => {
        const input = { name: `${before}-${index}`, scopes: ['write:package'], restrictions: restriction }
        const made = await app.api('POST', '/users/ann/tokens', input, ann)
        return `Bearer ${(made.json() as { sha1: string }).sha1}`
      }),
    )
    const put = async (owner: string, token: string, file: string) =>
      (await raw('PUT', `/api/packages/${owner}/generic/thing/1.0.0/${file}`, token, Buffer.from('x'))).statusCode
    for (const token of tokens) expect(await put(before, token, token.slice(-4))).toBe(201)
    await rename(before, after)
    await app.createOrganization(before, ann)
    for (const token of tokens) {
      expect(await put(before, token, 'new')).toBeGreaterThanOrEqual(401)
      expect(await put(after, token, `${token.slice(-4)}.2`)).toBe(201)
    }
  })

  test('rendered documents have the new name in their URLs', async () => {
    const [before, after] = await makeOrganization()
    const published = await app.inject({
      method: 'PUT',
      url: `/api/packages/${before}/npm/thing`,
      headers: { authorization: ann, 'content-type': 'application/json' },
      payload: await buildPublication({ name: 'thing', version: '1.0.0' }),
    })
    expect(published.statusCode).toBe(201)
    const packument = async (owner: string) => (await raw('GET', `/api/packages/${owner}/npm/thing`)).body
    expect(await packument(before)).toContain(`/api/packages/Before${count}/npm/`)
    await rename(before, after)
    expect(await packument(after)).toContain(`/api/packages/${after}/npm/`)
    expect(await packument(after)).not.toContain(`Before${count}`)
  })
})

/** Needs Redis: TEST_REDIS_URL. */
test.skipIf(process.env['TEST_REDIS_URL'] === undefined)(
  'what one replica renames the other knows by its new name, and whoever takes the old one',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-renames-'))
    const database = await createTestDatabaseUrl(folder)
    const start = () => TestApp.start({ databaseUrl: database.url, dataDir: folder })
    const [one, two] = [await start(), await start()]
    await one.createOrganization('before')
    const seen = async (name: string) => {
      const { statusCode, headers } = await two.api('GET', `/orgs/${name}`)
      return [statusCode, headers['location'] ?? null]
    }
    // Less than the half minute after which a replica looks for itself.
    const follows = (name: string, answer: unknown[]) =>
      vi.waitFor(async () => expect(await seen(name)).toEqual(answer), 5_000)

    await follows('before', [200, null])
    expect(await seen('after')).toEqual([404, null])
    await one.api('POST', '/orgs/before/rename', { new_name: 'after' })
    await follows('after', [200, null])
    await follows('before', [307, '/api/v1/orgs/after'])
    await one.createOrganization('before')
    await follows('before', [200, null])

    await one.close()
    await two.close()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  },
)
