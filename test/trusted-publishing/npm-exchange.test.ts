import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'
import { trust } from './jobs.ts'
import { AUDIENCE, environment, ScriptedIssuer } from './scripted-issuer.ts'

let server: TestApp
let issuer: ScriptedIssuer

beforeAll(async () => {
  issuer = await ScriptedIssuer.start()
  server = await TestApp.start({ environment })
  for (const owner of ['acme', 'other']) await server.createOrganization(owner)
})
afterAll(async () => {
  await server.close()
  await issuer.close()
})

const npm = (claims: object = {}) => issuer.idToken({ aud: 'npm:packages.example.org', ...claims })
const ask = (name: string, authorization?: string) =>
  server.inject({
    method: 'POST',
    url: `/-/npm/v1/oidc/token/exchange/package/${name.replace('/', '%2f')}`,
    headers: authorization === undefined ? {} : { authorization },
  })

test('npm gets a token for the packages of the publisher, in the form that it knows', async () => {
  const packages = [
    { type: 'npm', name: '@acme/*' },
    { type: 'npm', name: 'tool' },
  ]
  const id = await trust(server, '/orgs/acme', issuer.url, { packages })
  for (const [name, aud] of [
    ['@acme/lib', 'npm:packages.example.org'],
    ['tool', AUDIENCE],
  ] as const) {
    const response = await ask(name, `Bearer ${await npm({ aud })}`)
    expect(response.statusCode, response.body).toBe(201)
    expect(response.headers['cache-control']).toBe('no-store')
    const { token, created, expires, ...rest } = response.json() as Record<string, string>
    expect(rest).toEqual({ token_type: 'oidc' })
    expect(Math.round((Date.parse(expires!) - Date.parse(created!)) / 1_000)).toBe(900)
    const seen = async (path: string) => {
      const headers = { authorization: `Bearer ${token}` }
      return (await server.inject({ url: `/api/packages/acme/npm/${path}`, headers })).statusCode
    }
    expect(await seen('@acme%2flib')).toBe(404)
    expect(await seen('tool')).toBe(404)
    expect(await seen('tool2')).toBe(403)
  }
  expect((await ask('tool2', `Bearer ${await npm()}`)).statusCode).toBe(403)
  expect((await ask('@other/lib', `Bearer ${await npm()}`)).statusCode).toBe(403)
  await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
})

test('the owner is the one whose publishers have the package; two are one too many', async () => {
  const ofAcme = await trust(server, '/orgs/acme', issuer.url, { packages: [{ type: 'npm', name: 'a-*' }] })
  const ofOther = await trust(server, '/orgs/other', issuer.url, { packages: [{ type: 'npm', name: '*-b' }] })
  const generic = await trust(server, '/orgs/other', issuer.url, { packages: [{ type: 'generic', name: '*' }] })
  for (const [name, status] of [
    ['a-1', 201],
    ['1-b', 201],
    ['a-b', 400],
    ['c', 403],
  ] as const) {
    expect((await ask(name, `Bearer ${await npm()}`)).statusCode, name).toBe(status)
  }
  await server.api('DELETE', `/orgs/acme/trusted_publishers/${ofAcme}`)
  for (const id of [ofOther, generic]) await server.api('DELETE', `/orgs/other/trusted_publishers/${id}`)
})

test('what is no id-token for this host is refused, with a message for npm (security.md S15)', async () => {
  const id = await trust(server, '/orgs/acme', issuer.url)
  for (const aud of [
    'npm:other.example.org',
    'npm:packages.example.org.evil.org',
    'npm:',
    ['npm:packages.example.org', 'x'],
  ]) {
    const response = await ask('tool', `Bearer ${await npm({ aud })}`)
    expect(response.statusCode).toBe(401)
    const { error, message } = response.json() as Record<string, string>
    expect(message).toBe(error)
    expect(`${message} ${response.headers['www-authenticate']}`).not.toMatch(/one-time|otp/i)
  }
  for (const authorization of [undefined, 'Basic YTpi', 'Bearer x', 'nonsense', server.admin]) {
    expect((await ask('tool', authorization)).statusCode).toBe(401)
  }
  const idToken = await npm()
  expect((await ask('tool', `Bearer ${idToken}`)).statusCode).toBe(201)
  expect((await ask('tool', `Bearer ${idToken}`)).statusCode).toBe(401)
  await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
})

test('names that are none are for nobody', async () => {
  const id = await trust(server, '/orgs/acme', issuer.url, { packages: [{ type: 'npm', name: 'tool' }] })
  for (const name of ['..%2f..', 'tool%00', '%00', 'x'.repeat(300), 'tool%20', '*']) {
    expect([400, 403, 404]).toContain((await ask(name, `Bearer ${await npm()}`)).statusCode)
  }
  await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
})
