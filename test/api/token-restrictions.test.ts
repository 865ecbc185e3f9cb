import Fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { api } from '../../src/api/index.ts'
import type { RestrictionLists } from '../../src/auth/restriction.ts'
import { publish } from '../support/builders/published-package.ts'
import { TestApp } from '../support/test-app.ts'

let app: TestApp
let made = 0

beforeAll(async () => {
  const upstream = { type: 'npm', owner: 'glass', url: 'http://127.0.0.1:9', allowPrivateNetwork: true }
  app = await TestApp.start({ upstreams: { glass: { ...upstream, aliases: ['looking-glass'] } } })
  for (const name of ['acme', 'other']) {
    await app.createOrganization(name)
    for (const type of ['generic', 'container', 'maven']) {
      for (const one of ['app', 'app-x', 'lib_a', 'libba'])
        await publish(app, { owner: name, type, name: one, creator: 'root' })
    }
  }
  await app.createOrganization('third')
  await publish(app, { owner: 'glass', type: 'npm', name: 'Cached', creator: null })
})
afterAll(() => app.close())

/** A token of the administrator, who may everything, so that nothing but the restriction stands in the way. */
async function restricted(restrictions: RestrictionLists, scopes = ['all']): Promise<string> {
  made += 1
  const response = await app.api('POST', '/users/root/tokens', { name: `restricted ${made}`, scopes, restrictions })
  expect(response.statusCode, response.body).toBe(201)
  return `Bearer ${response.json().sha1}`
}

describe('a restricted token over REST', () => {
  test('uses routes of packages, looks at its user and itself, and nothing else (security.md S11)', async () => {
    const routes: { method: string; url: string; isOpen: boolean }[] = []
    const other = Fastify()
    other.decorate('services', app.services)
    other.addHook('onRoute', ({ method, url, config }) => {
      if (method === 'HEAD') return
      const right = String(config?.access)
      // What asks nobody who he is cannot ask for more of a token.
      const isForAll = right === 'public' && [config?.scope ?? []].flat().length === 0
      routes.push({ method: String(method), url, isOpen: isForAll || ['read', 'write', 'remove'].includes(right) })
    })
    await other.register(api)
    await other.close()
    const token = await restricted({ owners: ['acme'], types: ['generic'] })
    const open = ['GET /user', 'GET /token', 'DELETE /token']
    const refused = routes.filter(({ method, url, isOpen }) => !isOpen && !open.includes(`${method} ${url}`))
    expect(refused.length).toBeGreaterThan(60)
    const values: Record<string, string> = { org: 'acme', username: 'root', owner: 'acme', type: 'generic' }
    for (const { method, url } of refused) {
      const path = url.replace(/:(\w+)/g, (_match, name: string) => values[name] ?? '1')
      const response = await app.api(method as 'GET', path, ['GET', 'DELETE'].includes(method) ? undefined : {}, token)
      expect([method, url, response.statusCode]).toEqual([method, url, 403])
    }
    for (const path of ['/version', '/user', '/token']) {
      expect((await app.api('GET', path, undefined, token)).statusCode, path).toBe(200)
    }
    expect((await app.api('DELETE', '/token', undefined, token)).statusCode).toBe(204)
  })

  test('still needs its scopes', async () => {
    const token = await restricted({ owners: ['acme'] }, ['read:package'])
    expect((await app.api('GET', '/user', undefined, token)).statusCode).toBe(403)
    expect((await app.api('DELETE', '/packages/acme/generic/app/1.0.0', undefined, token)).statusCode).toBe(403)
    expect((await app.api('GET', '/packages/acme/generic/app/1.0.0', undefined, token)).statusCode).toBe(200)
  })

  const rule = (owner: string, type: string, name: string) => ({ owner, type, name })
  test.each<[RestrictionLists, owner: string, expected: string[] | 403]>([
    [
      { owners: ['acme'], types: ['generic'] },
      'acme',
      ['generic app', 'generic app-x', 'generic lib_a', 'generic libba'],
    ],
    [{ owners: ['acme'] }, 'other', 403],
    [{ packages: [rule('acme', 'generic', 'app')] }, 'acme', ['generic app']],
    [{ packages: [rule('acme', 'generic', 'APP*')] }, 'acme', ['generic app', 'generic app-x']],
    [{ packages: [rule('acme', 'generic', 'lib_a')] }, 'acme', ['generic lib_a']],
    [
      { packages: [rule('acme', 'generic', 'app'), rule('acme', 'maven', '*-x'), rule('other', 'maven', '*')] },
      'acme',
      ['generic app', 'maven app-x'],
    ],
    [
      { types: ['maven'], packages: [rule('acme', 'generic', 'app'), rule('acme', 'maven', 'app')] },
      'acme',
      ['maven app'],
    ],
    [{ types: ['maven'], packages: [rule('acme', 'generic', 'app')] }, 'acme', 403],
    [{ types: ['pypi'] }, 'acme', []],
    [{ owners: ['looking-glass'], packages: [rule('Glass', 'npm', 'cach*')] }, 'glass', ['npm Cached']],
  ])('%j lists of %s: %j (security.md S4)', async (restrictions, owner, expected) => {
    const token = await restricted(restrictions)
    const response = await app.api('GET', `/packages/${owner}?limit=50`, undefined, token)
    if (expected === 403) {
      expect(response.statusCode).toBe(403)
      return
    }
    const found = response.json() as { type: string; name: string }[]
    expect(found.map(({ type, name }) => `${type} ${name}`).sort()).toEqual(expected)
    expect(response.headers['x-total-count']).toBe(String(expected.length))
    const everything = (await app.api('GET', `/packages/${owner}?limit=50`)).json() as typeof found
    for (const { type, name } of everything) {
      const status = (await app.api('GET', `/packages/${owner}/${type}/${name}`, undefined, token)).statusCode
      expect(status, `${type} ${name}`).toBe(expected.includes(`${type} ${name}`) ? 200 : 403)
    }
  })

  test('writes only what it is for', async () => {
    const token = await restricted({ packages: [rule('acme', 'generic', 'gone-*')] })
    await publish(app, { owner: 'acme', name: 'gone-1', creator: 'root' })
    await publish(app, { owner: 'acme', name: 'kept-1', creator: 'root' })
    const remove = (path: string) => app.api('DELETE', path, undefined, token)
    for (const path of ['/packages/acme/generic/kept-1', '/packages/acme/generic/kept-1/1.0.0']) {
      expect((await remove(path)).statusCode).toBe(403)
    }
    expect((await remove('/packages/acme/generic/gone-1/1.0.0')).statusCode).toBe(204)
  })

  test('makes no other tokens', async () => {
    const token = (await restricted({ owners: ['acme'] })).slice('Bearer '.length)
    const authorization = `Basic ${Buffer.from(`root:${token}`).toString('base64')}`
    const body = { name: 'child', scopes: ['all'] }
    expect((await app.api('POST', '/users/root/tokens', body, authorization)).statusCode).toBe(403)
    expect((await app.api('GET', '/users/root/tokens', undefined, authorization)).statusCode).toBe(403)
  })
})

describe('a restricted token in the catalog of containers (security.md S4)', () => {
  const catalog = async (authorization: string, query = '') =>
    (await app.inject({ method: 'GET', url: `/v2/_catalog${query}`, headers: { authorization } })).json().repositories

  test.each<[RestrictionLists, string[]]>([
    [{ owners: ['other'] }, ['other/app', 'other/app-x', 'other/lib_a', 'other/libba']],
    [{ types: ['generic'] }, []],
    [{ owners: ['third'] }, []],
    [
      {
        packages: [
          { owner: 'acme', type: 'container', name: 'lib_a' },
          { owner: 'acme', type: 'generic', name: '*' },
          { owner: 'other', type: 'container', name: 'app*' },
        ],
      },
      ['acme/lib_a', 'other/app', 'other/app-x'],
    ],
  ])('%j: %j', async (restrictions, expected) => {
    const token = await restricted(restrictions, ['read:package'])
    expect(await catalog(token)).toEqual(expected)
    expect(await catalog(token, '?n=2')).toEqual(expected.slice(0, 2))
    expect(await catalog(token, '?last=acme/zzz')).toEqual(expected.filter((name) => name > 'acme/zzz'))
  })
})
