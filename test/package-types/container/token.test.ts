import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { anonymous } from '../../../src/auth/doer.ts'
import { Grants } from '../../../src/auth/grants.ts'
import { basic, TestApp } from '../../support/test-app.ts'
import { createTestDatabaseUrl } from '../../support/test-database.ts'
import {
  askToken,
  bearer,
  getToken,
  postToken,
  readChallenge,
  readClaims,
  readError,
  readGrants,
  request,
  type TokenJson,
} from './token-client.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const REALM = 'http://127.0.0.1:8080/v2/token'
const SERVICE = '127.0.0.1:8080'

let app: TestApp
let ann: string

beforeAll(async () => {
  app = await TestApp.start()
  ann = await app.createUser('ann')
  await app.createUser('bob')
  await app.createOrganization('acme', ann)
  await app.createOrganization('hidden', ann, 'private')
})
afterAll(() => app.close())

const status = async (...parameters: [method: 'GET' | 'POST' | 'DELETE', url: string, authorization: string | null]) =>
  (await request(app, ...parameters)).statusCode
const root = (authorization: string | null) => status('GET', '/v2/', authorization)
/** Pulls and pushes that are let through find nothing, or begin. */
const canPull = async (authorization: string | null, repository = 'acme/app') =>
  readError(await request(app, 'GET', `/v2/${repository}/manifests/latest`, authorization))
const canPush = (authorization: string | null, repository = 'acme/app') =>
  request(app, 'POST', `/v2/${repository}/blobs/uploads/`, authorization)
const grants = async (...parameters: [authorization: string | null, scopes: string | string[]]) =>
  readGrants((await getToken(app, ...parameters)).token)

describe('/v2/', () => {
  test.each(['/v2/', '/v2'])('%s asks everybody for a token, though all may read', async (url) => {
    for (const method of ['GET', 'HEAD'] as const) {
      const response = await request(app, method, url)
      expect(response.statusCode).toBe(401)
      expect(readChallenge(response)).toEqual({ scheme: 'Bearer', parameters: { realm: REALM, service: SERVICE } })
      if (method === 'HEAD') expect(response.body).toBe('')
      else expect(readError(response)).toMatchObject({ code: 'UNAUTHORIZED' })
    }
  })

  test('a password, an access token and a registry token open it, in every carrier', async () => {
    const secret = await app.createToken('ann', ['read:package'], ann)
    const carriers = [ann, basic('ann', secret), basic(secret, ''), `Bearer ${secret}`, await bearer(app, ann)]
    for (const authorization of carriers) {
      const response = await request(app, 'GET', '/v2/', authorization)
      expect([response.statusCode, response.body]).toEqual([200, '{}'])
      expect(response.headers['docker-distribution-api-version']).toBe('registry/2.0')
      expect(response.headers['cache-control']).toBe('no-store')
    }
  })

  test('wrong credentials are refused, and a bad token is said to be bad', async () => {
    const wrong = await request(app, 'GET', '/v2/', basic('ann', 'wrong'))
    expect(wrong.statusCode).toBe(401)
    expect(readChallenge(wrong).parameters).toEqual({ realm: REALM, service: SERVICE })
    for (const authorization of ['Bearer a.b.c', `Bearer ${'0'.repeat(40)}`, 'Bearer', 'Nonsense x']) {
      const response = await request(app, 'GET', '/v2/', authorization)
      expect(response.statusCode).toBe(401)
      expect(readChallenge(response).parameters).toMatchObject({ error: 'invalid_token' })
    }
  })
})

describe('docker login', () => {
  test.each(['password', 'access token'])('signs in with a %s: challenge, token, /v2/', async (kind) => {
    const secret = kind === 'password' ? 'a-long-password' : await app.createToken('ann', ['write:package'], ann)
    const { parameters } = readChallenge(await request(app, 'GET', '/v2/'))
    const { pathname } = new URL(parameters['realm']!)
    const query = new URLSearchParams({
      account: 'ann',
      client_id: 'docker',
      offline_token: 'true',
      service: parameters['service']!,
    })
    const response = await request(app, 'GET', `${pathname}?${query}`, basic('ann', secret))
    expect(response.statusCode).toBe(200)
    const answer = response.json() as TokenJson
    expect(answer.access_token).toBe(answer.token)
    expect(answer.expires_in).toBe(900)
    expect(Math.abs(Date.parse(answer.issued_at) - app.clock.now())).toBeLessThan(MINUTE)
    expect(answer.refresh_token).toBeTypeOf('string')
    expect(readGrants(answer.token)).toEqual([])
    expect(await root(`Bearer ${answer.token}`)).toBe(200)
    // The push that follows has a token of its own.
    const push = await postToken(app, {
      grant_type: 'refresh_token',
      refresh_token: answer.refresh_token!,
      scope: 'repository:acme/app:push,pull',
    })
    expect(readGrants((push.json() as TokenJson).access_token)).toEqual(['acme/app:pull,push'])
  })

  test('without offline_token there is no refresh token, and never one for nobody', async () => {
    expect(await getToken(app, ann)).not.toHaveProperty('refresh_token')
    expect(await getToken(app, null, [], { offline_token: 'true' })).not.toHaveProperty('refresh_token')
  })

  test('a wrong password is refused by the endpoint, which takes Basic', async () => {
    for (const authorization of [basic('ann', 'wrong'), basic('nobody', 'wrong'), 'Bearer x', 'Basic %%%']) {
      const response = await askToken(app, authorization, 'repository:acme/app:pull')
      expect(readError(response)).toMatchObject({ status: 401, code: 'UNAUTHORIZED' })
      expect(readChallenge(response).scheme).toBe('Basic')
      expect(response.headers['cache-control']).toBe('no-store')
    }
  })

  test('an access token without any right to packages cannot log in, as in Gitea', async () => {
    const secret = await app.createToken('ann', ['write:user'], ann)
    expect(readError(await askToken(app, basic('ann', secret)))).toMatchObject({ status: 401, code: 'UNAUTHORIZED' })
    expect(await root(basic('ann', secret))).toBe(401)
  })

  test.each([{ active: false }, { prohibit_login: true }, { must_change_password: true }])(
    'whoever has %j gets no token',
    async (change) => {
      const name = `blocked-${Object.keys(change)[0]!.replaceAll('_', '-')}`
      const credentials = await app.createUser(name)
      const { refresh_token = '', token } = await getToken(app, credentials, [], { offline_token: 'true' })
      await app.api('PATCH', `/admin/users/${name}`, { login_name: name, ...change })
      expect(readError(await askToken(app, credentials))).toMatchObject({ status: 403, code: 'DENIED' })
      const refreshed = await postToken(app, { grant_type: 'refresh_token', refresh_token })
      expect(readError(refreshed)).toMatchObject({ status: 403, code: 'DENIED' })
      expect(await root(credentials)).toBe(403)
      expect(await root(`Bearer ${token}`)).toBe(403)
    },
  )
})

describe('scopes', () => {
  test('are granted as far as the user has the right', async () => {
    const wanted = ['acme/app', 'hidden/app', 'bob/app', 'nobody/app'].map(
      (name) => `repository:${name}:pull,push,delete`,
    )
    expect(await grants(ann, wanted)).toEqual([
      'acme/app:pull,push,delete',
      'hidden/app:pull,push,delete',
      'bob/app:pull',
    ])
    expect(await grants(basic('bob', 'a-long-password'), wanted)).toEqual(['acme/app:pull', 'bob/app:pull,push,delete'])
    expect(await grants(null, wanted)).toEqual(['acme/app:pull', 'bob/app:pull'])
  })

  test('come repeated or divided by spaces, and what cannot be read is ignored', async () => {
    const joined = ['* nonsense repository:acme/a:pull repository:acme/b:pull', 'repository:ACME/X:pull', '']
    expect(await grants(ann, joined)).toEqual(['acme/a:pull', 'acme/b:pull'])
    expect(
      await grants(ann, ['repository:acme:pull', 'repository:../acme/x:pull', 'repository:acme/a"b:pull']),
    ).toEqual([])
  })

  test('of a token to read narrow what it gets, and the push says so', async () => {
    const secret = await app.createToken('ann', ['read:package'], ann)
    const authorization = await bearer(app, basic('ann', secret), 'repository:acme/app:pull,push')
    expect(readGrants(authorization.slice(7))).toEqual(['acme/app:pull'])
    expect(await canPull(authorization)).toMatchObject({ status: 404 })
    const response = await canPush(authorization)
    expect(readError(response)).toMatchObject({ status: 401, code: 'UNAUTHORIZED' })
    expect(readChallenge(response).parameters).toEqual({
      realm: REALM,
      service: SERVICE,
      scope: 'repository:acme/app:pull,push',
      error: 'insufficient_scope',
    })
    // With the token itself the server can say more.
    expect(readError(await canPush(basic('ann', secret)))).toMatchObject({ status: 403, code: 'DENIED' })
  })

  test('of a token for public owners leave out the others', async () => {
    const secret = await app.createToken('ann', ['public-only', 'write:package'], ann)
    const scopes = ['repository:acme/app:pull,push', 'repository:hidden/app:pull,push']
    expect(await grants(basic('ann', secret), scopes)).toEqual(['acme/app:pull,push'])
    const authorization = await bearer(app, basic('ann', secret), scopes)
    expect((await canPush(authorization)).statusCode).toBe(202)
    expect(await canPull(authorization, 'hidden/app')).toMatchObject({ status: 404, code: 'NAME_UNKNOWN' })
  })

  test('bind a token to its repositories and actions, however much its user may do', async () => {
    const pull = await bearer(app, ann, 'repository:acme/app:pull')
    expect(await canPull(pull)).toMatchObject({ status: 404 })
    expect((await canPush(pull)).statusCode).toBe(401)
    expect(await canPull(pull, 'acme/other')).toMatchObject({ status: 401 })
    expect(await canPull(pull, 'acme/app/more')).toMatchObject({ status: 401 })
    const push = await bearer(app, ann, 'repository:acme/app:pull,push')
    expect((await canPush(push)).statusCode).toBe(202)
    const response = await request(app, 'DELETE', '/v2/acme/app/manifests/latest', push)
    expect(response.statusCode).toBe(401)
    expect(readChallenge(response).parameters).toMatchObject({ scope: 'repository:acme/app:delete' })
    const remove = await bearer(app, ann, 'repository:acme/app:delete')
    expect(await status('DELETE', '/v2/acme/app/manifests/latest', remove)).toBe(404)
    expect(await canPull(remove)).toMatchObject({ status: 401 })
  })

  test('to push are enough to give up an upload', async () => {
    const push = await bearer(app, ann, 'repository:acme/app:pull,push')
    const upload = String((await canPush(push)).headers['location'])
    const refused = await request(app, 'DELETE', upload, await bearer(app, ann, 'repository:acme/app:pull,delete'))
    expect(refused.statusCode).toBe(401)
    expect(readChallenge(refused).parameters).toMatchObject({ scope: 'repository:acme/app:pull,push' })
    expect(await status('DELETE', upload, push)).toBe(204)
  })
})

describe('a registry token', () => {
  test('of nobody opens what is public, and only for reading', async () => {
    const authorization = await bearer(app, null, ['repository:acme/app:pull,push', 'repository:hidden/app:pull'])
    expect(readGrants(authorization.slice(7))).toEqual(['acme/app:pull'])
    expect(await root(authorization)).toBe(200)
    expect(await canPull(authorization)).toMatchObject({ status: 404 })
    expect((await canPush(authorization)).statusCode).toBe(401)
    expect(await canPull(authorization, 'hidden/app')).toMatchObject({ status: 401 })
  })

  test('dies with the access token it was made for, and so does its refresh token', async () => {
    const secret = await app.createToken('ann', ['write:package'], ann)
    const scope = 'repository:acme/app:pull,push'
    const answer = await getToken(app, basic('ann', secret), scope, { offline_token: 'true' })
    expect((await canPush(`Bearer ${answer.token}`)).statusCode).toBe(202)
    expect((await app.api('DELETE', '/token', undefined, `Bearer ${secret}`)).statusCode).toBe(204)
    const response = await canPush(`Bearer ${answer.token}`)
    expect(response.statusCode).toBe(401)
    expect(readChallenge(response).parameters).toMatchObject({ scope, error: 'invalid_token' })
    expect(await root(`Bearer ${answer.token}`)).toBe(401)
    const refreshed = await postToken(app, { grant_type: 'refresh_token', refresh_token: answer.refresh_token! })
    expect(refreshed.statusCode).toBe(401)
  })

  test('dies with the password it was made for, and so does its refresh token', async () => {
    const carl = await app.createUser('carl')
    const answer = await getToken(app, carl, 'repository:carl/app:pull,push', { offline_token: 'true' })
    expect(await canPull(`Bearer ${answer.token}`, 'carl/app')).toMatchObject({ status: 404 })
    await app.api('PATCH', '/admin/users/carl', { login_name: 'carl', password: 'another-long-one' })
    expect(await canPull(`Bearer ${answer.token}`, 'carl/app')).toMatchObject({ status: 401 })
    const refreshed = await postToken(app, { grant_type: 'refresh_token', refresh_token: answer.refresh_token! })
    expect(refreshed.statusCode).toBe(401)
    expect(await root(await bearer(app, basic('carl', 'another-long-one')))).toBe(200)
  })

  test('dies with its user', async () => {
    const gone = await app.createUser('gone')
    const secret = await app.createToken('gone', ['all'], gone)
    const tokens = [await bearer(app, gone), await bearer(app, basic('gone', secret))]
    for (const token of tokens) expect(await root(token)).toBe(200)
    expect((await app.api('DELETE', '/admin/users/gone')).statusCode).toBe(204)
    for (const token of tokens) expect(await root(token)).toBe(401)
  })

  test('does not outlive a right of its user', async () => {
    const dora = await app.createUser('dora')
    await app.createOrganization('insiders', ann, 'limited')
    const admin = (is_admin: boolean) => app.api('PATCH', '/admin/users/dora', { login_name: 'dora', admin: is_admin })
    await admin(true)
    const scopes = ['repository:acme/app:pull,push', 'repository:insiders/app:pull']
    const authorization = await bearer(app, dora, scopes)
    expect((await canPush(authorization)).statusCode).toBe(202)
    await admin(false)
    expect(readError(await canPush(authorization))).toMatchObject({ status: 403, code: 'DENIED' })
    expect(await canPull(authorization, 'insiders/app')).toMatchObject({
      status: 404,
      message: expect.not.stringContaining('known to'),
    })
    await app.api('PATCH', '/orgs/insiders', { visibility: 'private' }, ann)
    expect(await canPull(authorization, 'insiders/app')).toMatchObject({
      status: 404,
      message: expect.stringContaining('known to'),
    })
  })

  test('is no credential anywhere else (security.md S8, S15)', async () => {
    const token = await getToken(app, app.admin, 'repository:acme/app:pull,push,delete', { offline_token: 'true' })
    for (const jwt of [token.token, token.refresh_token!]) {
      for (const authorization of [`Bearer ${jwt}`, `token ${jwt}`, basic('root', jwt), basic(jwt, '')]) {
        const others = ['/api/v1/user', '/api/v1/version', '/api/v1/packages/acme', '/api/packages/acme/npm/app']
        for (const url of [...others, '/api/packages/acme/generic/app/1.0.0/file', '/v2/token']) {
          expect(await status('GET', url, authorization), url).toBe(401)
        }
      }
    }
  })

  test('as a Basic password is none, neither is a refresh token a token nor the reverse', async () => {
    const answer = await getToken(app, ann, 'repository:acme/app:pull', { offline_token: 'true' })
    expect(await root(basic('ann', answer.token))).toBe(401)
    const response = await request(app, 'GET', '/v2/', `Bearer ${answer.refresh_token}`)
    expect(response.statusCode).toBe(401)
    expect(readChallenge(response).parameters).toMatchObject({ error: 'invalid_token' })
    const swapped = await postToken(app, { grant_type: 'refresh_token', refresh_token: answer.token })
    expect(readError(swapped)).toMatchObject({ status: 401, code: 'UNAUTHORIZED' })
  })

  test('that was changed, is unsigned, or is enormous is refused', async () => {
    const { token } = await getToken(app, ann, 'repository:acme/app:pull')
    const [header, payload, signature] = token.split('.') as [string, string, string]
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const { claims } = readClaims(token)
    const access = [{ type: 'repository', name: 'hidden/app', actions: ['pull'] }]
    const bad = [
      `${header}.${encode({ ...claims, access })}.${signature}`,
      `${encode({ alg: 'none', typ: 'JWT' })}.${payload}.`,
      `${encode({ alg: 'HS256', typ: 'JWT', kid: '1' })}.${payload}.${signature}`,
      `${header}.${payload}.${signature.slice(0, -2)}`,
      `${header}.${payload}`,
      `${token}${'a'.repeat(100_000)}`,
    ]
    for (const one of bad) {
      const response = await request(app, 'GET', '/v2/acme/app/manifests/latest', `Bearer ${one}`)
      expect(readError(response)).toMatchObject({ status: 401, code: 'UNAUTHORIZED' })
      expect(readChallenge(response).parameters).toMatchObject({ error: 'invalid_token' })
    }
    expect(await canPull(`Bearer ${token}`)).toMatchObject({ status: 404 })
  })

  test('costs no SQL when warm', async () => {
    const secret = await app.createToken('ann', ['read:package'], ann)
    for (const authorization of [
      await bearer(app, ann),
      await bearer(app, basic('ann', secret)),
      await bearer(app, null),
    ]) {
      expect(await root(authorization)).toBe(200)
      await app.quiet()
      const before = app.services.db.queries
      expect(await root(authorization)).toBe(200)
      expect(app.services.db.queries).toBe(before)
    }
  })
})

describe('POST /v2/token', () => {
  test('takes name and password, and answers as OAuth2 does', async () => {
    const form = { grant_type: 'password', username: 'ann', password: 'a-long-password', access_type: 'offline' }
    const response = await postToken(app, {
      ...form,
      scope: '* repository:acme/app:pull,push repository:nobody/x:pull',
    })
    expect(response.statusCode).toBe(200)
    expect(response.headers['cache-control']).toBe('no-store')
    const answer = response.json() as TokenJson
    expect(answer).toMatchObject({ expires_in: 900, scope: 'repository:acme/app:pull,push' })
    expect((await canPush(`Bearer ${answer.access_token}`)).statusCode).toBe(202)
    expect(answer.refresh_token).toBeTypeOf('string')
    const without = (await postToken(app, { ...form, access_type: 'online' })).json() as TokenJson
    expect(without).not.toHaveProperty('refresh_token')
  })

  test('takes an access token for a password, with its scopes (security.md S9)', async () => {
    const secret = await app.createToken('ann', ['read:package'], ann)
    const form = { grant_type: 'password', username: 'ann', password: secret, scope: 'repository:acme/app:pull,push' }
    expect((await postToken(app, form)).json()).toMatchObject({ scope: 'repository:acme/app:pull' })
  })

  test('takes a refresh token again and again, never beyond its end', async () => {
    const own = await TestApp.start()
    const eve = await own.createUser('eve')
    const { refresh_token } = await getToken(own, eve, [], { offline_token: 'true' })
    const form = { grant_type: 'refresh_token', refresh_token: refresh_token!, scope: 'repository:eve/app:push' }
    const answers = await Promise.all([postToken(own, form), postToken(own, form)])
    for (const answer of answers) {
      expect(answer.json()).toMatchObject({ scope: 'repository:eve/app:push', expires_in: 900, refresh_token })
    }
    own.clock.advance(30 * DAY - 5 * MINUTE)
    const last = (await postToken(own, form)).json() as TokenJson
    expect(last.expires_in).toBeLessThanOrEqual(5 * 60)
    expect((await request(own, 'GET', '/v2/', `Bearer ${last.token}`)).statusCode).toBe(200)
    own.clock.advance(5 * MINUTE)
    expect((await request(own, 'GET', '/v2/', `Bearer ${last.token}`)).statusCode).toBe(401)
    expect((await postToken(own, form)).statusCode).toBe(401)
    await own.close()
  })

  test('takes Basic where no grant is named', async () => {
    expect((await postToken(app, { scope: 'repository:acme/app:push' }, ann)).json()).toMatchObject({
      scope: 'repository:acme/app:push',
    })
  })

  test('refuses wrong credentials, and what it does not know', async () => {
    const wrong = { grant_type: 'password', username: 'ann', password: 'wrong' }
    const nonsense = { grant_type: 'refresh_token', refresh_token: 'nonsense' }
    for (const form of [wrong, nonsense, { grant_type: 'password' }, { grant_type: 'refresh_token' }]) {
      const response = await postToken(app, form)
      expect(readError(response)).toMatchObject({ status: 401, code: 'UNAUTHORIZED' })
      expect(readChallenge(response).scheme).toBe('Basic')
    }
    for (const form of [{ grant_type: 'authorization_code' }, {}]) {
      expect(readError(await postToken(app, form))).toMatchObject({ status: 400 })
    }
    expect(readError(await postToken(app, { password: 'x'.repeat(100_000) }))).toMatchObject({ status: 413 })
  })
})

describe('in time', () => {
  test('a token ends after a quarter of an hour, and the client is told to get another', async () => {
    const own = await TestApp.start()
    const authorization = await bearer(own, own.admin, 'repository:root/app:pull')
    own.clock.advance(15 * MINUTE - 2_000)
    expect((await request(own, 'GET', '/v2/', authorization)).statusCode).toBe(200)
    own.clock.advance(2_000)
    const response = await request(own, 'GET', '/v2/root/app/tags/list', authorization)
    expect(readError(response)).toMatchObject({ status: 401, message: 'the token has expired' })
    expect(readChallenge(response).parameters).toMatchObject({
      scope: 'repository:root/app:pull',
      error: 'invalid_token',
    })
    await own.close()
  })

  test('keys change at midnight UTC, and a token of the evening is good in the morning', async () => {
    const own = await TestApp.start()
    own.clock.advance(DAY - (own.clock.now() % DAY) - 5 * MINUTE)
    const evening = await getToken(own, own.admin)
    own.clock.advance(10 * MINUTE)
    const morning = await getToken(own, own.admin)
    expect(Number(readClaims(morning.token).header['kid'])).toBe(Number(readClaims(evening.token).header['kid']) + 1)
    for (const { token } of [evening, morning]) {
      expect((await request(own, 'GET', '/v2/', `Bearer ${token}`)).statusCode).toBe(200)
    }
    await own.close()
  })
})

test('two replicas accept each other’s tokens, also when both have just started', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'entrepot-tokens-'))
  const database = await createTestDatabaseUrl(dataDir)
  const start = () => TestApp.start({ databaseUrl: database.url, dataDir })
  const [one, two] = [await start(), await start()]
  const [here, there] = await Promise.all([bearer(one, one.admin), bearer(two, two.admin)])
  expect((await request(two, 'GET', '/v2/', here)).statusCode).toBe(200)
  expect((await request(one, 'GET', '/v2/', there)).statusCode).toBe(200)
  await one.close()
  await two.close()
  await database.drop()
  await rm(dataDir, { recursive: true, force: true })
})

test('where sign-in is required nobody gets an anonymous token', async () => {
  const closed = await TestApp.start({ environment: { ENTREPOT_AUTH_REQUIRE_SIGN_IN: 'true' } })
  const response = await askToken(closed, null, 'repository:root/app:pull')
  expect(readError(response)).toMatchObject({ status: 401, code: 'UNAUTHORIZED' })
  expect(readChallenge(response).scheme).toBe('Basic')
  const authorization = await bearer(closed, closed.admin)
  expect((await request(closed, 'GET', '/v2/', authorization)).statusCode).toBe(200)
  // One from before the setting was changed.
  const repositories = [{ name: 'root/app', actions: ['pull'] as const }]
  const { token } = await closed.services.registryTokens.issue(anonymous, new Grants({ repositories, catalog: false }))
  for (const url of ['/v2/', '/v2/root/app/tags/list']) {
    expect((await request(closed, 'GET', url, `Bearer ${token}`)).statusCode).toBe(401)
  }
  await closed.close()
})
