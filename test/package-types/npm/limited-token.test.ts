import { afterAll, beforeAll, expect, test } from 'vitest'
import { Restriction, type RestrictionLists } from '../../../src/auth/restriction.ts'
import { Scopes } from '../../../src/auth/scopes.ts'
import { basic, TestApp } from '../../support/test-app.ts'
import { Registry } from './registry.ts'

const password = 'a-long-password'
const alice = basic('alice', password)
const HOUR = 3_600_000

let server: TestApp
let acme: Registry
let made = 0

beforeAll(async () => {
  const upstream = { type: 'npm', owner: 'npmjs', url: 'http://127.0.0.1:9', allowPrivateNetwork: true }
  server = await TestApp.start({ upstreams: { npmjs: upstream } })
  await server.createUser('alice')
  await server.createOrganization('acme', alice)
  await server.createOrganization('beta', alice)
  acme = new Registry(server, 'acme', alice)
  for (const name of ['@acme/app', '@acme/app-x', 'tool', 'tool_x', 'tooljx']) {
    expect((await acme.publish({ name, version: '1.0.0' })).statusCode).toBe(201)
  }
})
afterAll(() => server.close())

async function tokenWith(lists: RestrictionLists, expiresAt: number | null = null): Promise<string> {
  const user = (await server.services.accounts.find('alice'))!
  made += 1
  const limits = { restriction: new Restriction(lists), expiresAt }
  const scopes = Scopes.parse(['write:package'])
  return (await server.services.accessTokens.create(user, `limited ${made}`, scopes, limits)).secret
}

const bearer = async (lists: RestrictionLists) => `Bearer ${await tokenWith(lists)}`
const rule = (name: string, owner = 'acme') => ({ packages: [{ owner, type: 'npm', name }] })
const user = { _id: 'org.couchdb.user:alice', name: 'alice', type: 'user', roles: [] }

test.each<[RestrictionLists, string[]]>([
  [{ owners: ['acme'] }, ['@acme/app', '@acme/app-x', 'tool', 'tool_x', 'tooljx']],
  [rule('@acme/*'), ['@acme/app', '@acme/app-x']],
  [rule('tool_x'), ['tool_x']],
  [rule('*o*x'), ['tool_x', 'tooljx']],
])('%j finds %j (security.md S4)', async (lists, expected) => {
  const registry = acme.as(await bearer(lists))
  for (const [query, found] of [
    ['', expected],
    ['text=tool', expected.filter((name) => name.includes('tool'))],
    ['text=maintainer:alice', expected],
    ['size=1', expected.slice(0, 1)],
  ] as const) {
    const { objects, total } = (await registry.get(`/-/v1/search?${query}`)).json()
    expect(objects.map((one: { package: { name: string } }) => one.package.name)).toEqual(found)
    expect(total).toBe(query === 'size=1' ? expected.length : found.length)
  }
})

test('a token for other owners or types finds nothing, and asks no upstream for what it may not see', async () => {
  for (const lists of [{ owners: ['beta'] }, { types: ['maven'] }, rule('*', 'beta')]) {
    expect((await acme.as(await bearer(lists)).get('/-/v1/search')).statusCode).toBe(403)
  }
  const mirror = new Registry(server, 'npmjs', null)
  const search = async (lists: RestrictionLists) =>
    (await mirror.as(await bearer(lists)).get('/-/v1/search?text=x')).statusCode
  // The upstream does not answer; who sees some packages only is shown those that are held.
  expect(await search({ owners: ['npmjs'] })).toBeGreaterThanOrEqual(500)
  expect(await search(rule('left-pad', 'npmjs'))).toBe(200)
})

test('routes about the user are for tokens of the registry, and routes that name no package for those of all', async () => {
  const some = acme.as(await bearer(rule('tool')))
  const other = acme.as(await bearer({ owners: ['beta'] }))
  for (const path of ['/-/whoami', '/-/npm/v1/user', '/-/npm/v1/tokens', '/-/user/org.couchdb.user:alice']) {
    expect((await some.get(path)).statusCode, path).toBe(200)
    expect((await other.get(path)).statusCode, path).toBe(403)
  }
  expect((await some.post('/-/npm/v1/security/advisories/bulk', { tool: ['1.0.0'] })).statusCode).toBe(200)
  expect((await some.get('/-/npm/v1/attestations/tool@1.0.0')).statusCode).toBe(403)
  expect((await some.get('/-/package/tool/dist-tags')).statusCode).toBe(200)
  expect((await some.get('/-/package/tool_x/dist-tags')).statusCode).toBe(403)
  expect((await some.put('/-/package/tool_x/dist-tags/next', '"1.0.0"')).statusCode).toBe(403)
})

test('npm login with a limited token is that token (security.md S8)', async () => {
  const secret = await tokenWith(rule('tool'), server.clock.now() + HOUR)
  const response = await acme.as(null).put('/-/user/org.couchdb.user:alice', { ...user, password: secret })
  expect(response.json().token).toBe(secret)
})

test('npm token create inherits the limits, and npm token lists and revokes nothing stronger', async () => {
  const expiresAt = server.clock.now() + HOUR
  const limited = acme.as(`Bearer ${await tokenWith({ owners: ['acme'], types: ['npm'] }, expiresAt)}`)
  const strong = (
    await server.services.accessTokens.create(
      (await server.services.accounts.find('alice'))!,
      'strong',
      Scopes.parse(['write:package']),
    )
  ).row
  const created = (await limited.post('/-/npm/v1/tokens', { password, readonly: false, cidr_whitelist: [] })).json()
  const row = (await server.services.accessTokens.findBySecret(created.token))!
  expect(row.expiresAt).toBe(expiresAt)
  expect(row.restriction?.toLists()).toEqual({ owners: ['acme'], types: ['npm'] })
  const listed = (await limited.get('/-/npm/v1/tokens')).json().objects as { key: string }[]
  expect(listed.map(({ key }) => key)).toContain(created.key)
  expect(listed.map(({ key }) => key)).not.toContain(String(strong.id))
  expect((await limited.delete(`/-/npm/v1/tokens/token/${strong.id}`)).statusCode).toBe(404)
})

test('npm logout works wherever', async () => {
  const secret = await tokenWith({ owners: ['beta'] })
  const registry = acme.as(`Bearer ${secret}`)
  expect((await registry.delete(`/-/user/token/${secret}`)).statusCode).toBe(200)
  expect((await registry.get('/-/whoami')).statusCode).toBe(401)
})
