import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { type Route, startOpened } from '../support/routes.ts'
import { basic, TestApp } from '../support/test-app.ts'
import { exchange, secretOf, trust, upload } from './jobs.ts'
import { environment, ScriptedIssuer } from './scripted-issuer.ts'

let server: TestApp
let routes: readonly Route[]
let issuer: ScriptedIssuer
let ann: string

beforeAll(async () => {
  issuer = await ScriptedIssuer.start()
  const opened = await startOpened({ environment })
  server = opened.server
  routes = opened.routes
  ann = await server.createUser('ann')
  await server.createOrganization('acme', ann, 'private')
  await server.createOrganization('limited', server.admin, 'limited')
  await server.createOrganization('hidden', server.admin, 'private')
  await server.createOrganization('open', server.admin)
  for (const owner of ['acme', 'limited', 'hidden', 'open', 'root']) await publish(server, { owner, name: 'lib' })
  await trust(server, '/orgs/acme', issuer.url, { name: 'ci', claims: { sub: 'job' } })
})
afterAll(async () => {
  await server.close()
  await issuer.close()
})

const jobOf = async (owner = 'acme') => `Bearer ${await secretOf(server, await issuer.idToken(), owner)}`
const read = async (authorization: string, owner: string) =>
  (await server.inject({ url: `/api/packages/${owner}/generic/lib/1.0.0/file.txt`, headers: { authorization } }))
    .statusCode

describe('a job that acts for an organization', () => {
  test('writes and reads its packages, and nothing of others (security.md S8)', async () => {
    const job = await jobOf()
    expect(await upload(server, job, 'acme', 'lib')).toBe(201)
    expect(await read(job, 'acme')).toBe(200)
    for (const owner of ['limited', 'hidden', 'open', 'root', 'ann']) {
      expect([401, 403, 404], owner).toContain(await read(job, owner))
      expect([401, 403, 404], owner).toContain(await upload(server, job, owner, 'lib'))
    }
  })

  test('can use no other route: every one of them is tried', async () => {
    const job = await jobOf()
    const secret = job.slice('Bearer '.length)
    const values: Record<string, string> = {
      ...{ username: 'acme', org: 'acme', owner: 'acme', token: '1', name: 'lib', version: '1.0.0', type: 'generic' },
      ...{ hook: '1', publisher: '1', team: '1', repository: 'r', user: 'org.couchdb.user:acme', key: '1' },
    }
    const passed = new Set<string>()
    for (const { method, url, config } of routes) {
      const isForAll = config.access === 'public' && [config.scope ?? []].flat().length === 0
      // Tried elsewhere; afterwards nothing would be open.
      const isEnd = method === 'DELETE' && url === '/api/v1/token'
      if (method === 'HEAD' || isForAll || isEnd || /^\/(v2|mirror)\b/.test(url)) continue
      const path = url.replace(/:(\w+)(\([^)]*\))?/g, (_all, name: string) => values[name] ?? '1').replace('*', 'lib')
      const payload = ['GET', 'DELETE'].includes(method) ? {} : { payload: {} }
      for (const authorization of [job, basic('acme', secret)]) {
        const headers = { authorization }
        const { statusCode } = await server.inject({ method: method as 'GET', url: path, headers, ...payload })
        if (statusCode !== 401 && statusCode !== 403) passed.add(`${method} ${url}`)
      }
    }
    expect(await read(job, 'acme')).not.toBe(401)
    const ofPackages = /^\w+ \/api\/(v1\/)?packages\/(:owner(\/|$)|explain$|resolve$)/
    expect([...passed].filter((route) => !ofPackages.test(route))).toEqual(['GET /api/v1/token'])
    const ofAccounts = /\/npm\/-\/(user|npm\/v1\/(user|tokens)|whoami)/
    expect([...passed].filter((route) => ofAccounts.test(route))).toEqual([
      // Whoever knows a secret of his may end it; this was none.
      'DELETE /api/packages/:owner/npm/-/user/token/:token',
    ])
  })

  test('makes no tokens, by no way, and lists none (security.md S8)', async () => {
    const job = await jobOf()
    const secret = job.slice('Bearer '.length)
    const npm = '/api/packages/acme/npm/-'
    const name = 'another'
    const send = async (method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, payload?: object) => {
      const headers = { authorization: job, 'content-type': 'application/json' }
      return (await server.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) })).statusCode
    }
    const before = await server.services.models.accessToken.count()
    for (const user of ['acme', 'ann', 'root']) {
      const url = `/api/v1/users/${user}/tokens`
      expect(await send('POST', url, { name, scopes: ['write:package'] })).toBe(403)
      const payload = { name, scopes: ['write:package'] }
      expect((await server.api('POST', `/users/${user}/tokens`, payload, basic(user, secret))).statusCode).toBe(403)
    }
    expect(await send('POST', `${npm}/npm/v1/tokens`, { password: secret })).toBe(403)
    expect(await send('GET', `${npm}/npm/v1/tokens`)).toBe(403)
    // Who logs in with a token gets that one back.
    const url = `${npm}/user/org.couchdb.user:acme`
    const login = await server.inject({ method: 'PUT', url, payload: { name: 'acme', password: secret } })
    if (login.statusCode === 201) expect(login.json()).toMatchObject({ token: secret })
    else expect([401, 403]).toContain(login.statusCode)
    expect(await server.services.models.accessToken.count()).toBe(before)
  })

  test('cannot act as somebody else, nor for an administrator', async () => {
    const admins = await trust(server, '/user', issuer.url, { name: 'of-root', claims: { sub: 'job' } })
    for (const job of [await jobOf(), await jobOf('root')]) {
      const headers = { authorization: job, sudo: 'ann' }
      expect((await server.inject({ url: '/api/v1/packages/acme', headers })).statusCode).toBe(403)
    }
    const job = await jobOf('root')
    expect(await upload(server, job, 'root', 'lib')).toBe(201)
    for (const owner of ['acme', 'open', 'hidden']) expect(await upload(server, job, owner, 'lib')).not.toBe(201)
    for (const path of ['/admin/users', '/admin/audit', '/user', '/user/hooks', '/users/root/tokens']) {
      expect((await server.api('GET', path, undefined, job)).statusCode, path).toBe(403)
    }
    await server.api('DELETE', `/user/trusted_publishers/${admins}`)
  })

  test('decides nothing of the packages that it writes', async () => {
    const before = (await server.api('GET', '/packages/acme/generic/lib/1.0.0', undefined, ann)).json()
    const job = await jobOf()
    const own = '/packages/acme/generic/lib'
    for (const visibility of ['private', 'inherited']) {
      expect((await server.api('PATCH', own, { visibility }, job)).statusCode).toBe(403)
    }
    const npm = '/api/packages/acme/npm/-/package/lib/access'
    const headers = { authorization: job }
    const payload = { access: 'restricted' }
    expect((await server.inject({ method: 'POST', url: npm, headers, payload })).statusCode).toBe(403)
    expect((await server.api('POST', '/orgs/acme/repos', { name: 'app' }, ann)).statusCode).toBe(201)
    expect((await server.api('POST', `${own}/-/link/app`, undefined, job)).statusCode).toBe(201)
    expect((await server.api('POST', `${own}/-/unlink`, undefined, job)).statusCode).toBe(403)
    expect((await server.api('POST', `${own}/-/unlink`, undefined, ann)).statusCode).toBe(204)
    expect((await server.api('GET', '/packages/acme/generic/lib/1.0.0', undefined, ann)).json()).toEqual(before)
  })

  test('can look at its token and give it up', async () => {
    const job = await jobOf()
    expect((await server.api('GET', '/token', undefined, job)).json()).toMatchObject({
      scopes: ['write:package'],
      restrictions: { owners: ['acme'] },
      user: { login: 'acme' },
    })
    expect((await server.api('DELETE', '/token', undefined, job)).statusCode).toBe(204)
    expect(await read(job, 'acme')).toBe(401)
  })

  test('is shown as the maker of what it uploads', async () => {
    const job = await jobOf()
    const url = '/api/packages/acme/generic/shown/1.0.0/file.txt'
    await server.inject({ method: 'PUT', url, headers: { authorization: job }, payload: 'x' })
    const shown = (await server.api('GET', '/packages/acme/generic/shown/1.0.0', undefined, ann)).json()
    expect(shown).toMatchObject({ creator: { login: 'acme' } })
  })
})

describe('tokens of the container registry', () => {
  const scope = 'repository:acme/app:pull,push'
  const tokenFor = (authorization: string, asked = scope, more = '') =>
    server.inject({
      url: `/v2/token?service=packages.example.org&scope=${encodeURIComponent(asked)}${more}`,
      headers: { authorization },
    })

  test('have what the job has, and end with it (security.md S8)', async () => {
    const id = await trust(server, '/orgs/open', issuer.url, {
      ...{ name: 'images', claims: { sub: 'job' }, lifetime: 60, packages: [{ type: 'container', name: 'app' }] },
    })
    const secret = (await jobOf('open')).slice('Bearer '.length)
    const push = async (bearer: string, image: string) => {
      const headers = { authorization: `Bearer ${bearer}` }
      return (await server.inject({ method: 'POST', url: `/v2/open/${image}/blobs/uploads/`, headers })).statusCode
    }
    const asked = ['app', 'other'].map((image) => `repository:open/${image}:pull,push,delete`).join(' ')
    const response = await tokenFor(basic('ci', secret), asked, '&offline_token=true')
    expect(response.statusCode, response.body).toBe(200)
    const { token, refresh_token: refresh, expires_in: life } = response.json() as Record<string, string>
    expect(Number(life)).toBeLessThanOrEqual(60)
    expect(await push(token!, 'app')).toBe(202)
    expect(await push(token!, 'other')).toBe(401)
    const again = async () => {
      const form = {
        grant_type: 'refresh_token',
        refresh_token: refresh!,
        service: 'packages.example.org',
        scope: asked,
      }
      const headers = { 'content-type': 'application/x-www-form-urlencoded' }
      const payload = new URLSearchParams(form).toString()
      return server.inject({ method: 'POST', url: '/v2/token', headers, payload })
    }
    const refreshed = (await again()).json() as { access_token: string; scope: string }
    expect(refreshed.scope).toBe('repository:open/app:pull,push,delete')
    expect(await push(refreshed.access_token, 'app')).toBe(202)
    await server.api('DELETE', `/orgs/open/trusted_publishers/${id}`)
    expect(await push(token!, 'app')).toBe(401)
    expect((await again()).statusCode).toBe(401)
    expect((await tokenFor(basic('ci', secret))).statusCode).toBe(401)
  })

  test('are not given for packages of another type', async () => {
    const packages = [{ type: 'npm', name: 'app' }]
    const id = await trust(server, '/orgs/open', issuer.url, { name: 'npm', claims: { sub: 'job' }, packages })
    const job = await jobOf('open')
    expect((await tokenFor(basic('ci', job.slice('Bearer '.length)))).statusCode).toBe(401)
    await server.api('DELETE', `/orgs/open/trusted_publishers/${id}`)
  })
})

describe('the end of a token', () => {
  const change = async (payload: object) => {
    const id = await trust(server, '/orgs/open', issuer.url, { claims: { sub: 'job' } })
    const job = await jobOf('open')
    expect(await upload(server, job, 'open', 'lib')).toBe(201)
    expect((await server.api('PATCH', `/orgs/open/trusted_publishers/${id}`, payload)).statusCode).toBe(200)
    const status = await upload(server, job, 'open', 'lib')
    await server.api('DELETE', `/orgs/open/trusted_publishers/${id}`)
    return status
  }

  test.each([
    { claims: { sub: ['job', 'other'] } },
    { packages: [{ type: 'generic', name: '*' }] },
    { lifetime: 60 },
    { issuer: 'https://issuer.example.org' },
  ])('comes with another %j of the publisher', async (payload) => {
    expect(await change(payload)).toBe(401)
  })

  test.each([{ name: 'renamed' }, {}, { lifetime: 900 }])('does not come with %j', async (payload) => {
    expect(await change(payload)).toBe(201)
  })

  test('comes on all servers at once', async () => {
    const other = await TestApp.start({ environment, databaseUrl: server.services.config.database.url })
    const id = await trust(server, '/orgs/open', issuer.url, { claims: { sub: 'job' } })
    const idToken = await issuer.idToken()
    const job = `Bearer ${await secretOf(other, idToken, 'open')}`
    expect((await exchange(server, idToken, 'open')).statusCode).toBe(401)
    expect(await upload(server, job, 'open', 'lib')).toBe(201)
    expect(await upload(other, job, 'open', 'lib')).toBe(201)
    await server.api('DELETE', `/orgs/open/trusted_publishers/${id}`)
    expect(await upload(server, job, 'open', 'lib')).toBe(401)
    // Without Redis the other hears of it after a minute at the latest.
    const isTold = server.services.config.redis.url !== ''
    if (isTold) expect(await upload(other, job, 'open', 'lib')).toBe(401)
    await other.close()
  })

  test('comes with the owner', async () => {
    await server.createOrganization('short-lived')
    await trust(server, '/orgs/short-lived', issuer.url, { claims: { sub: 'job' } })
    const job = await jobOf('short-lived')
    const { id } = (await server.services.accounts.find('short-lived'))!
    expect(await server.services.models.accessToken.count({ where: { userId: id } })).toBe(1)
    expect(await read(job, 'short-lived')).toBe(404)
    expect((await server.api('DELETE', '/orgs/short-lived')).statusCode).toBe(204)
    expect(await read(job, 'open')).toBe(401)
    const { accessToken, trustedPublisher } = server.services.models
    expect(await accessToken.count({ where: { userId: id } })).toBe(0)
    expect(await trustedPublisher.count({ where: { ownerId: id } })).toBe(0)
  })

  test('comes with a user who may not sign in, and he gets no new one', async () => {
    const bob = await server.createUser('bob')
    await trust(server, '/user', issuer.url, { claims: { sub: 'job' } }, bob)
    const job = await jobOf('bob')
    expect(await upload(server, job, 'bob', 'lib')).toBe(201)
    await server.api('PATCH', '/admin/users/bob', { login_name: 'bob', prohibit_login: true })
    expect(await upload(server, job, 'bob', 'lib')).not.toBe(201)
    expect((await exchange(server, await issuer.idToken(), 'bob')).statusCode).toBe(403)
    await server.api('PATCH', '/admin/users/bob', { login_name: 'bob', prohibit_login: false })
    expect(await upload(server, job, 'bob', 'lib')).toBe(201)
  })

  test('does not come with the name of the owner: it goes with him', async () => {
    await server.createOrganization('before')
    await trust(server, '/orgs/before', issuer.url, { claims: { sub: 'job' } })
    const job = await jobOf('before')
    await server.api('POST', '/orgs/before/rename', { new_name: 'after' })
    expect(await upload(server, job, 'after', 'lib')).toBe(201)
    expect(await upload(server, await jobOf('after'), 'after', 'lib')).toBe(201)
    await server.createOrganization('before')
    expect(await upload(server, job, 'before', 'lib')).toBe(403)
  })

  test('comes by auth.maxTokenLifetime, if that is before', async () => {
    const other = await TestApp.start({ environment: { ...environment, ENTREPOT_AUTH_MAX_TOKEN_LIFETIME: '90s' } })
    await other.createOrganization('acme')
    await trust(other, '/orgs/acme', issuer.url, { claims: { sub: 'job' } })
    const { expires_at: end } = (await exchange(other, await issuer.idToken())).json() as { expires_at: string }
    expect(Date.parse(end) - other.clock.now()).toBeLessThanOrEqual(90_000)
    await other.close()
  })
})

test('tokens of jobs are not among those of the user', async () => {
  const eve = await server.createUser('eve')
  await trust(server, '/user', issuer.url, { claims: { sub: 'job' } }, eve)
  const job = await jobOf('eve')
  expect((await server.api('GET', '/users/eve/tokens', undefined, eve)).json()).toEqual([])
  const url = '/api/packages/acme/npm/-/npm/v1/tokens'
  const listed = await server.inject({ url: url.replace('acme', 'eve'), headers: { authorization: eve } })
  expect(listed.json()).toMatchObject({ objects: [] })
  expect(await upload(server, job, 'eve', 'lib')).toBe(201)
})
