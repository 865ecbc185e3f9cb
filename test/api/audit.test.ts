import Fastify from 'fastify'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { api } from '../../src/api/index.ts'
import { loadConfig } from '../../src/config/config.ts'
import { declaredAction, declaredRoutes, isUnsafe } from '../../src/http/audit-actions.ts'
import { packageTypes } from '../../src/package-types/index.ts'
import { pages } from '../../src/pages/routes.ts'
import { Pusher } from '../package-types/container/pusher.ts'
import { buildPublication } from '../support/builders/npm.ts'
import { basic, TestApp } from '../support/test-app.ts'

interface Event {
  id: number
  created_at: string
  action: string
  actor: { id: number; login: string } | null
  sudoer: { login: string } | null
  token: { id: number; name: string } | null
  address: string
  target: { kind: string; owner: { id: number; login: string } | null; type: string; name: string; version: string }
  details: Record<string, unknown>
}

async function list(t: TestApp, query = '', as = t.admin, path = '/admin/audit'): Promise<Event[]> {
  const response = await t.api('GET', `${path}?limit=50${query}`, undefined, as)
  expect([response.statusCode, response.body]).toEqual([200, expect.any(String)])
  return response.json()
}

test('every route that may change something says what the log calls it, and no other is named', async () => {
  const app = Fastify({ routerOptions: { maxParamLength: 1_000 } })
  // Routes are made, never called: services that have everything are enough.
  const anything: object = new Proxy(() => {}, { get: (_, key) => (key === 'then' ? undefined : anything) })
  const config = await loadConfig({})
  const services = new Proxy({ config } as Record<string, object>, {
    // Fastify looks whether it is an accessor.
    get: (known, key) => known[String(key)] ?? (key === 'getter' || key === 'setter' ? undefined : anything),
  })
  app.decorate('services', services as never)
  const [undeclared, seen]: [string[], string[]] = [[], []]
  app.addHook('onRoute', (route) => {
    for (const method of [route.method].flat().filter(isUnsafe)) {
      seen.push(`${method} ${route.url}`)
      if (declaredAction(route, method) === undefined) undeclared.push(`${method} ${route.url}`)
    }
  })
  await app.register(api, { prefix: '/api/v1' })
  for (const { routes, prefixes, originRoutes } of packageTypes) {
    for (const prefix of prefixes) await app.register(routes as never, { prefix })
    if (originRoutes !== undefined) await app.register(originRoutes as never)
  }
  await app.register(pages as never, { prefix: '/login' })
  await app.ready()
  expect(seen.length).toBeGreaterThan(60)
  expect(undeclared).toEqual([])
  expect(declaredRoutes.filter((route) => !seen.includes(route))).toEqual([])
})

describe('the audit log', () => {
  let t: TestApp
  let ann: string
  beforeAll(async () => {
    t = await TestApp.start()
    ann = await t.createUser('ann')
    await t.createUser('bob')
    await t.createOrganization('acme', ann)
    await t.createOrganization('other')
  })
  afterAll(() => t.close())

  test('tells who did what to whom, from where, with which token', async () => {
    const secret = await t.createToken('ann', ['all'], ann)
    const headers = { authorization: `Bearer ${secret}` }
    const team = await t.app.inject({
      method: 'POST',
      url: '/api/v1/orgs/acme/teams',
      headers,
      payload: {
        name: 'readers',
        permission: 'none',
        units_map: { 'repo.packages': 'read' },
        description: 'who reads',
      },
      remoteAddress: '198.51.100.7',
    })
    expect(team.statusCode).toBe(201)
    const url = `/api/v1/teams/${(team.json() as { id: number }).id}/members/bob`
    expect((await t.app.inject({ method: 'PUT', url, headers })).statusCode).toBe(204)
    const [added, created] = await list(t, '&actor=ann&owner=acme')
    expect(created).toMatchObject({
      action: 'team.created',
      actor: { login: 'ann' },
      sudoer: null,
      token: { name: expect.stringMatching(/^token-/) },
      address: '198.51.100.7',
      target: { kind: 'team', owner: { login: 'acme' }, name: 'readers' },
      details: {
        fields: ['name', 'permission', 'units_map', 'description'],
        to: { name: 'readers', permission: 'none', units_map: { 'repo.packages': 'read' } },
      },
    })
    expect(JSON.stringify(created)).not.toContain('who reads')
    expect(added).toMatchObject({
      action: 'team.member.added',
      target: { kind: 'team.member', owner: { login: 'acme' }, name: 'readers' },
      details: { username: 'bob' },
    })
    expect(Date.parse(added!.created_at)).toBeGreaterThanOrEqual(Date.parse(created!.created_at))
  })

  test.each([
    [
      'POST',
      '/admin/users',
      { username: 'new', email: 'new@example.org', password: 'secret horse' },
      'user.created',
      'new',
    ],
    ['PATCH', '/admin/users/new', { login_name: 'new', source_id: 0, active: false }, 'user.updated', 'new'],
    ['PATCH', '/orgs/acme', { visibility: 'limited' }, 'organization.updated', 'acme'],
    ['PUT', '/orgs/acme/reserved-names/npm', ['@acme/*'], 'reserved-names.replaced', 'acme'],
    ['POST', '/orgs/acme/cleanup-rules', { type: 'npm', keep_count: 3 }, 'cleanup-rule.created', 'acme'],
    ['DELETE', '/orgs/acme/cleanup-rules/npm', undefined, 'cleanup-rule.deleted', 'acme'],
    ['PUT', '/admin/users/ann/quota/limits', { total_size: 1_000_000 }, 'quota.changed', 'ann'],
    ['DELETE', '/admin/users/new', undefined, 'user.deleted', 'new'],
  ] as const)('%s %s', async (method, path, payload, action, owner) => {
    const response = await t.api(method, path, payload as object | undefined)
    expect([response.statusCode, response.body]).toEqual([expect.toSatisfy((status) => status < 300), response.body])
    const [event] = await list(t)
    expect(event).toMatchObject({ action, actor: { login: 'root' }, target: { owner: { login: owner } } })
    if (payload !== undefined && !Array.isArray(payload)) expect(event!.details['fields']).toEqual(Object.keys(payload))
    if (Array.isArray(payload)) expect(event!.details).toEqual({ list: payload })
    expect(JSON.stringify(event)).not.toContain('secret horse')
  })

  test('an account that is deleted with its packages is told besides these', async () => {
    const zoe = await t.createUser('zoe')
    const url = '/api/packages/zoe/generic/tool/1/file'
    const upload = await t.inject({ method: 'PUT', url, headers: { authorization: zoe }, payload: 'x' })
    expect(upload.statusCode).toBe(201)
    expect((await t.api('DELETE', '/admin/users/zoe?purge=true')).statusCode).toBe(204)
    const events = (await list(t)).filter(({ target }) => target.owner?.login === 'zoe')
    expect(
      events
        .slice(0, 2)
        .map(({ action }) => action)
        .sort(),
    ).toEqual(['package.deleted', 'user.deleted'])
  })

  test('what is refused or only read leaves nothing', async () => {
    const before = (await list(t))[0]!.id
    expect((await t.api('PATCH', '/orgs/acme', { visibility: 'nonsense' })).statusCode).toBe(422)
    expect((await t.api('DELETE', '/orgs/acme', undefined, await t.createUser('mallory'))).statusCode).not.toBe(204)
    expect((await t.api('GET', '/orgs/acme', undefined, ann)).statusCode).toBe(200)
    const after = await list(t)
    expect(after.filter(({ id, action }) => id > before && action !== 'user.created')).toEqual([])
  })

  test('packages come and go with their doer and his address, and by a cleanup rule with nobody', async () => {
    const put = (version: string, filename: string) =>
      t.app.inject({
        method: 'PUT',
        url: `/api/packages/acme/generic/tool/${version}/${filename}`,
        headers: { authorization: ann },
        payload: Buffer.from(`${version} ${filename}`),
        remoteAddress: '2001:db8::7',
      })
    for (const version of ['1', '2', '3']) expect((await put(version, 'a')).statusCode).toBe(201)
    expect((await put('3', 'b')).statusCode).toBe(201)
    expect((await t.api('DELETE', '/packages/acme/generic/tool/2', undefined, ann)).statusCode).toBe(204)
    const [deleted, changed, ...created] = await list(t, '&owner=acme&actor=ann')
    expect(created.slice(0, 3)).toMatchObject(
      ['3', '2', '1'].map((version) => ({
        action: 'package.created',
        address: '2001:db8::7',
        target: { kind: 'package', owner: { login: 'acme' }, type: 'generic', name: 'tool', version },
      })),
    )
    const path = '/api/packages/acme/generic/tool/3/b'
    expect(changed).toMatchObject({
      action: 'package.changed',
      target: { type: 'generic', name: 'tool' },
      details: { path },
    })
    // Once, though both the route and the event have something to say.
    expect(deleted).toMatchObject({ action: 'package.deleted', address: '127.0.0.1', target: { version: '2' } })
    expect(await list(t, '&action=package.deleted&owner=acme')).toHaveLength(1)

    expect(
      (await t.api('POST', '/orgs/acme/cleanup-rules', { type: 'generic', enabled: true, keep_count: 1 })).statusCode,
    ).toBe(201)
    t.clock.advance(86_400_000)
    await t.services.packages.cleanupRules.runAll()
    expect((await list(t, '&action=package.deleted'))[0]).toMatchObject({
      actor: null,
      token: null,
      address: '',
      target: { name: 'tool', version: '1' },
    })
  })

  test('publishing with npm and docker is what came of it, with the address it came from', async () => {
    const payload = await buildPublication({ name: 'left-pad', version: '1.2.3' })
    const url = '/api/packages/acme/npm/left-pad'
    const headers = { authorization: ann }
    expect((await t.app.inject({ method: 'PUT', url, headers, payload })).statusCode).toBe(201)
    const pusher = new Pusher(t, 'acme/app', ann)
    await pusher.pushImage('v1', [{ digest: await pusher.push('layer'), size: 5 }])
    const events = (await list(t, '&owner=acme&actor=ann')).filter(({ target }) =>
      ['npm', 'container'].includes(target.type),
    )
    expect(new Set(events.map(({ action, actor, address }) => `${action} ${actor?.login} ${address}`))).toEqual(
      new Set(['package.created ann 127.0.0.1']),
    )
    expect(events.map(({ target }) => `${target.name} ${target.version}`)).toEqual(
      expect.arrayContaining(['left-pad 1.2.3', 'app v1']),
    )
    // A tag that moves is no new version.
    await pusher.pushImage('v1', [{ digest: await pusher.push('other'), size: 5 }])
    expect((await list(t, '&owner=acme'))[0]).toMatchObject({
      action: expect.stringMatching(/^package\.(created|changed)$/),
      target: { type: 'container', name: 'app' },
    })
  })

  test('sudo names both; either finds it', async () => {
    const headers = { authorization: t.admin, sudo: 'ann' }
    const url = '/api/v1/orgs/acme/public_members/ann'
    expect((await t.app.inject({ method: 'PUT', url, headers })).statusCode).toBe(204)
    for (const actor of ['ann', 'root']) {
      const [event] = await list(t, `&actor=${actor}&action=organization.member.shown`)
      expect(event).toMatchObject({ actor: { login: 'ann' }, sudoer: { login: 'root' }, details: { username: 'ann' } })
    }
  })

  test('logins and logouts of npm are tokens of who made them', async () => {
    const login = await t.app.inject({
      method: 'PUT',
      url: '/api/packages/acme/npm/-/user/org.couchdb.user:bob',
      payload: { name: 'bob', password: 'a-long-password' },
    })
    expect(login.statusCode).toBe(201)
    const { token } = login.json() as { token: string }
    const url = `/api/packages/acme/npm/-/user/token/${token}`
    const headers = { authorization: `Bearer ${token}` }
    expect((await t.app.inject({ method: 'DELETE', url, headers })).statusCode).toBe(200)
    const events = await list(t, '&actor=bob')
    expect(events.map(({ action }) => action)).toEqual(['token.deleted', 'token.created'])
    for (const event of events) expect(event.target).toMatchObject({ owner: { login: 'bob' }, name: '' })
    expect(JSON.stringify(events)).not.toContain(token)
  })

  test('owners of an organization see what touched it, and nothing else', async () => {
    expect((await t.api('PATCH', '/orgs/other', { description: 'x' })).statusCode).toBe(200)
    const events = await list(t, '', ann, '/orgs/acme/audit')
    expect(events.length).toBeGreaterThan(3)
    expect(new Set(events.map(({ target }) => target.owner?.login))).toEqual(new Set(['acme']))
    for (const [path, as, status] of [
      ['/orgs/acme/audit', basic('bob', 'a-long-password'), 403],
      ['/orgs/other/audit', ann, 403],
      ['/admin/audit', ann, 403],
      ['/admin/audit/export', ann, 403],
      ['/admin/audit', null, 401],
    ] as const) {
      expect([path, (await t.api('GET', path, undefined, as)).statusCode]).toEqual([path, status])
    }
    const token = await t.createToken('root', ['read:organization', 'read:package'], t.admin)
    expect((await t.api('GET', '/admin/audit', undefined, `token ${token}`)).statusCode).toBe(403)
  })

  test('is read in pages, between times, and refuses what is no time', async () => {
    const first = await t.api('GET', '/admin/audit?limit=2')
    const total = Number(first.headers['x-total-count'])
    expect(total).toBeGreaterThan(10)
    expect(first.headers['link']).toContain('page=2')
    const second = await t.api('GET', '/admin/audit?limit=2&page=2')
    const ids = [...first.json(), ...second.json()].map(({ id }: Event) => id)
    expect(ids).toEqual(ids.toSorted((a, b) => b - a))
    expect(new Set(ids).size).toBe(4)
    const middle = encodeURIComponent((await list(t, '&action=package.deleted')).at(-1)!.created_at)
    const count = async (query: string) =>
      Number((await t.api('GET', `/admin/audit?${query}`)).headers['x-total-count'])
    const [before, after] = [await count(`until=${middle}`), await count(`since=${middle}`)]
    expect(before).toBeGreaterThan(0)
    expect(after).toBeGreaterThan(0)
    expect(before + after).toBeGreaterThan(total)
    expect(await count('action=nothing')).toBe(0)
    for (const query of ['since=yesterday', 'until=2026-13-01T00:00:00Z', 'since=5']) {
      expect((await t.api('GET', `/admin/audit?${query}`)).statusCode).toBe(422)
    }
  })

  test('is exported as JSON lines, all of it, oldest first', async () => {
    const many = Array.from({ length: 2_500 }, (_, i) => ({ version: `${i}` }))
    const nobody = { user: null, sudoer: null, token: null, address: '' }
    for (const target of many) t.services.audit.record(nobody, 'test.event', target)
    const response = await t.api('GET', '/admin/audit/export?action=test.event')
    expect(response.headers['content-type']).toContain('application/x-ndjson')
    const lines = response.body.trimEnd().split('\n')
    expect(lines.map((line) => ({ version: (JSON.parse(line) as Event).target.version }))).toEqual(many)
  })
})

test('no secret gets into rows, logs or answers (S19)', async () => {
  const logged: string[] = []
  const t = await TestApp.start({ log: pino({ level: 'trace' }, { write: (line: string) => logged.push(line) }) })
  try {
    const canary = (what: string) => `canary-${what}-4711`
    await t.createUser('ann', canary('password'))
    await t.createOrganization('acme')
    const ann = basic('ann', canary('password'))
    const secret = await t.createToken('ann', ['all'], ann)
    const hook = await t.api('POST', '/orgs/acme/hooks', {
      type: 'gitea',
      config: {
        url: `https://example.org/${canary('path')}?key=${canary('url')}`,
        content_type: 'json',
        secret: canary('secret'),
      },
      authorization_header: `Bearer ${canary('header')}`,
      events: ['package'],
      active: true,
    })
    expect([hook.statusCode, hook.body]).toEqual([201, expect.any(String)])
    const hookPath = `/orgs/acme/hooks/${(hook.json() as { id: number }).id}`
    expect((await t.api('PATCH', hookPath, { authorization_header: canary('another') })).statusCode).toBe(200)
    const changed = { login_name: 'ann', source_id: 0, password: canary('new-password') }
    expect((await t.api('PATCH', '/admin/users/ann', changed)).statusCode).toBe(200)
    const url = `/api/packages/acme/npm/-/user/token/${secret}?otp=${canary('query')}`
    await t.app.inject({
      method: 'DELETE',
      url,
      headers: { authorization: `Bearer ${secret}`, cookie: canary('cookie') },
    })
    for (const authorization of [
      basic(canary('typed-as-name'), 'x'),
      basic('ann', canary('wrong')),
      `Bearer ${canary('bearer')}`,
      canary('nonsense'),
    ]) {
      expect((await t.api('GET', '/user', undefined, authorization)).statusCode).toBe(401)
    }
    const form = `grant_type=password&username=ann&password=${canary('form')}`
    await t.app.inject({
      method: 'POST',
      url: '/v2/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: form,
    })
    const events = await list(t)
    const exported = (await t.api('GET', '/admin/audit/export')).body
    expect(events.filter(({ action }) => action === 'signin.failed')).toMatchObject([
      { actor: null, address: '127.0.0.1', target: { owner: { login: 'ann' } } },
      { target: { owner: { login: 'ann' } } },
      { target: { owner: null } },
    ])
    expect(events.map(({ action }) => action)).toEqual(
      expect.arrayContaining(['user.created', 'user.updated', 'token.created', 'token.deleted', 'webhook.created']),
    )
    const rows = JSON.stringify(await t.services.models.auditEvent.findAll({ raw: true }))
    expect(logged.length).toBeGreaterThan(10)
    for (const text of [
      rows,
      exported,
      JSON.stringify(events),
      logged.join(''),
      await t.services.metrics.registry.metrics(),
    ]) {
      expect(text).not.toContain('canary')
      expect(text).not.toContain(secret)
    }
  } finally {
    await t.close()
  }
})

test('another replica tells it too', async () => {
  const here = await TestApp.start()
  const databaseUrl = here.services.config.database.url
  const there = await TestApp.start({ databaseUrl, dataDir: here.dataDir })
  try {
    await here.createOrganization('acme')
    await here.services.audit.settle()
    expect(await list(there, '&action=organization.created')).toMatchObject([{ target: { owner: { login: 'acme' } } }])
  } finally {
    await there.close()
    await here.close()
  }
})
