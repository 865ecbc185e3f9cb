import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { FakeContainerRegistry } from '../support/fake-container-registry.ts'
import { FakeMavenRepository } from '../support/fake-maven-repository.ts'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { TestApp } from '../support/test-app.ts'
import { createTestDatabaseUrl } from '../support/test-database.ts'

const CANARY = 'canary-3f9a1c'
const npm = (url: string, more: object = {}) => ({ type: 'npm', url, allowPrivateNetwork: true, ...more })
const create = (app: TestApp, body: object) => app.api('POST', '/admin/upstreams', body)
const get = (app: TestApp, url: string, authorization?: string) =>
  app.inject({ method: 'GET', url, headers: authorization === undefined ? {} : { authorization } })

/** An npm registry that knows one package and one way to sign in. */
async function startClosed(password: string) {
  const registry = await FakeUpstream.start()
  const closed = { password }
  const { url } = registry
  registry.on('/closed', ({ headers }) => {
    const expected = `Basic ${Buffer.from(`me:${closed.password}`).toString('base64')}`
    if (headers.authorization !== expected) return { status: 401, headers: { 'www-authenticate': 'Basic' } }
    const manifest = { name: 'closed', version: '1.0.0', dist: { tarball: `${url}/closed/-/closed-1.0.0.tgz` } }
    return {
      body: JSON.stringify({ name: 'closed', 'dist-tags': { latest: '1.0.0' }, versions: { '1.0.0': manifest } }),
    }
  })
  return { registry, closed }
}

describe('an upstream made over REST', () => {
  let app: TestApp
  let registry: FakeNpmRegistry

  beforeAll(async () => {
    registry = await FakeNpmRegistry.start()
    await registry.publish({ name: 'left-pad', version: '1.0.0' })
    const filed = { ...npm(registry.url), owner: 'filed', aliases: ['filed-alias'] }
    app = await TestApp.start({ upstreams: { filed } })
    await app.createUser('ann')
  })
  afterAll(async () => {
    await app.close()
    await registry.close()
  })

  test('of npm serves packages at once', async () => {
    const made = await create(
      app,
      npm(registry.url, { name: 'corp', owner: 'corp', aliases: ['Corp-Alias'], fresh: '1m' }),
    )
    expect(made.statusCode).toBe(201)
    expect(made.json()).toMatchObject({
      ...{ name: 'corp', type: 'npm', owner: 'corp', origin: 'rest', mode: 'online', problem: null },
      settings: { aliases: ['corp-alias'], fresh: '60s', visibility: 'public', auth: null, allowPrivateNetwork: true },
    })
    for (const owner of ['corp', 'corp-alias']) {
      const document = await get(app, `/api/packages/${owner}/npm/left-pad`)
      expect(document.statusCode).toBe(200)
      const { dist } = document.json().versions['1.0.0']
      expect((await get(app, new URL(dist.tarball).pathname)).statusCode).toBe(200)
    }
    const list = (await app.api('GET', '/admin/upstreams')).json() as { name: string; origin: string }[]
    expect(list.map(({ name, origin }) => [name, origin])).toEqual([
      ['filed', 'file'],
      ['corp', 'rest'],
    ])
  })

  test('of containers and of Maven serve at once', async () => {
    const images = await FakeContainerRegistry.start()
    const { manifest } = images.addImage('library/alpine', '3.20')
    const repository = await FakeMavenRepository.start()
    repository.add('com/acme/app/1.0/app-1.0.jar', 'jar')
    for (const [name, type, url, more] of [
      ['images', 'container', images.url, { options: { defaultNamespace: 'library' }, serves: ['images.example'] }],
      ['jars', 'maven', repository.url, { options: { snapshots: false } }],
    ] as const) {
      const made = await create(app, { name, type, owner: name, url, allowPrivateNetwork: true, ...more })
      expect([made.statusCode, made.json().settings?.options]).toEqual([201, more.options])
    }
    const { token } = (await get(app, '/v2/token?scope=repository:images/alpine:pull')).json()
    const pulled = await get(app, '/v2/images/alpine/manifests/3.20', `Bearer ${token}`)
    expect([pulled.statusCode, pulled.headers['docker-content-digest']]).toEqual([200, manifest.digest])
    expect((await get(app, '/api/packages/jars/maven/com/acme/app/1.0/app-1.0.jar')).body).toBe('jar')
    await images.close()
    await repository.close()
  })

  test('S19: keeps its secret to itself, sealed in its row', async () => {
    const body = npm(registry.url, { name: 'secretive', owner: 'secretive' })
    const auth = { kind: 'basic', username: 'me', password: CANARY }
    const made = await create(app, { ...body, auth })
    expect(made.json().settings.auth).toEqual({ kind: 'basic', username: 'me', hasSecret: true, realmHosts: [] })
    expect(made.json().settings.visibility).toBe('private')
    const edited = await app.api('PATCH', '/admin/upstreams/secretive', { fresh: '10s' })
    const answers = [
      ...[made, edited, await app.api('GET', '/admin/upstreams'), await app.api('GET', '/admin/upstreams/secretive')],
      ...[await app.api('POST', '/admin/upstreams/secretive/test'), await app.api('GET', '/admin/audit?limit=50')],
      await create(app, { ...body, name: 'again', auth }),
      await create(app, { ...body, name: 'again', auth: { kind: 'bearer', token: CANARY, password: CANARY } }),
      await create(app, { ...body, name: 'again', url: `https://me:${CANARY}@corp.example/` }),
      await create(app, { ...body, name: 'again', url: `ftp://me:${CANARY}@corp.example/` }),
    ]
    for (const { body } of answers) expect(body).not.toContain(CANARY)
    expect((await app.services.accounts.find('secretive'))?.visibility).toBe('private')
    const rows = await app.services.models.upstream.findAll({ raw: true })
    expect(JSON.stringify(rows)).not.toContain(CANARY)
    expect(rows.find(({ name }) => name === 'secretive')?.sealedSecrets).toMatch(/^[0-9a-f]{8}\./)
    expect(answers.slice(-4).map(({ statusCode }) => statusCode)).toEqual([409, 422, 422, 422])
  })

  test('is recorded, without secrets', async () => {
    const { body } = await app.api('GET', '/admin/audit?limit=50')
    for (const action of ['upstream.created', 'upstream.updated']) expect(body).toContain(action)
  })

  test('opens what its credentials open only when that is confirmed', async () => {
    const auth = { kind: 'bearer', token: CANARY }
    const body = npm(registry.url, { name: 'open', owner: 'open', auth, visibility: 'limited' })
    expect((await create(app, body)).statusCode).toBe(422)
    expect((await create(app, { ...body, confirm_exposes_credentials: true })).statusCode).toBe(201)
    const edit = (changes: object) => app.api('PATCH', '/admin/upstreams/secretive', changes)
    expect((await edit({ visibility: 'public' })).statusCode).toBe(422)
    expect((await app.services.accounts.find('secretive'))?.visibility).toBe('private')
    expect((await edit({ visibility: 'public', confirm_exposes_credentials: true })).statusCode).toBe(200)
    expect((await app.services.accounts.find('secretive'))?.visibility).toBe('public')
    expect((await edit({ visibility: null })).json().settings.visibility).toBe('private')
  })

  test('sends its secret nowhere else without being given it again', async () => {
    const edit = (changes: object) => app.api('PATCH', '/admin/upstreams/secretive', changes)
    const auth = { kind: 'basic', username: 'me' }
    for (const changes of [
      { url: 'http://127.0.0.1:1/' },
      { network: { proxy: 'http://127.0.0.1:1' } },
      { network: { insecureTls: true } },
      { auth: { ...auth, realmHosts: ['evil.example'] } },
      { auth: { kind: 'bearer' } },
    ]) {
      expect((await edit(changes)).statusCode).toBe(422)
    }
    expect((await edit({ url: 'http://127.0.0.1:1/', auth: { ...auth, password: 'x' } })).statusCode).toBe(200)
    expect((await edit({ auth: null, visibility: 'private' })).json().settings.auth).toBeNull()
  })

  test('keeps shut what its credentials brought, also without them, until opening is confirmed', async () => {
    const body = npm(registry.url, { name: 'shut', owner: 'shut' })
    expect((await create(app, { ...body, auth: { kind: 'bearer', token: CANARY } })).statusCode).toBe(201)
    const visibility = async () => (await app.services.accounts.find('shut'))?.visibility
    expect((await app.api('PATCH', '/admin/upstreams/shut', { auth: null })).statusCode).toBe(422)
    expect((await app.api('DELETE', '/admin/upstreams/shut')).statusCode).toBe(204)
    const again = await create(app, body)
    expect([again.statusCode, again.json().message]).toEqual([422, expect.stringContaining('may have come by')])
    expect(await visibility()).toBe('private')
    expect((await create(app, { ...body, confirm_exposes_credentials: true })).statusCode).toBe(201)
    expect(await visibility()).toBe('public')
  })

  test.each([
    ['a name that a file has', { name: 'filed' }, 409],
    ['an owner that a file has', { owner: 'Filed' }, 409],
    ['an owner that is an alias', { owner: 'filed-alias' }, 409],
    ['an owner that another one has', { owner: 'corp' }, 409],
    ['an owner that is a user', { owner: 'ann' }, 409],
    ['an alias that is a user', { aliases: ['ANN'] }, 409],
    ['an alias that is a mirror', { aliases: ['corp'] }, 409],
    ['an alias that is another alias', { aliases: ['corp-alias'] }, 409],
    ['a reserved owner', { owner: 'api' }, 422],
    ['an impossible owner', { owner: '../x' }, 422],
    ['an impossible alias', { aliases: ['a/b'] }, 422],
    ['an impossible name', { name: 'a/../b' }, 422],
    ['a type that is not mirrored', { type: 'generic' }, 422],
    ['no type', { type: undefined }, 422],
    ['a URL with a user', { url: 'https://user@corp.example/' }, 422],
    ['a URL with a query', { url: 'https://corp.example/?x=1' }, 422],
    ['another scheme', { url: 'file:///etc/passwd' }, 422],
    ['no URL', { url: undefined }, 422],
    ['a host that is none', { artifactHosts: ['https://cdn.example/x'] }, 422],
    ['a host with a line end', { serves: ['a.example\r\nx: y'], type: 'container' }, 422],
    ['too short a time', { fresh: '4s' }, 422],
    ['too long a time', { fresh: '25h' }, 422],
    ['no time', { fresh: 'soon' }, 422],
    ['options that the type has not', { options: { x: 1 } }, 422],
    ['names of variables', { auth: { kind: 'basic', usernameEnv: 'A', passwordEnv: 'B' } }, 422],
    ['files of the server', { network: { caFile: '/etc/passwd' } }, 422],
    ['a certificate that is none', { network: { ca: 'x' } }, 422],
    ['a user name that Basic cannot say', { auth: { kind: 'basic', username: 'a:b', password: 'c' } }, 422],
    ['half of the credentials', { auth: { kind: 'basic', username: 'a' } }, 422],
    ['a token with a line end', { auth: { kind: 'bearer', token: 'a\r\nx: y' } }, 422],
    ['tokens of registries for npm', { auth: { kind: 'docker' } }, 422],
    ['an unknown key', { id: 7 }, 422],
  ])('is not made with %s', async (_what, more, status) => {
    const before = await app.services.models.upstream.count()
    const body = { ...npm('https://corp.example/', { name: 'new', owner: 'new-owner' }), ...more }
    expect((await create(app, body)).statusCode).toBe(status)
    expect(await app.services.models.upstream.count()).toBe(before)
  })

  test('keeps its names from others', async () => {
    for (const username of ['corp', 'corp-alias']) {
      const answer = await app.api('POST', '/orgs', { username })
      expect(answer.statusCode).toBe(422)
    }
  })

  test('has fields that no change reaches', async () => {
    for (const changes of [{ type: 'maven' }, { owner: 'x' }, { name: 'x' }, { aliases: ['ann'] }, { url: null }]) {
      expect((await app.api('PATCH', '/admin/upstreams/corp', changes)).statusCode).toBeGreaterThanOrEqual(409)
    }
    expect((await app.api('PATCH', '/admin/upstreams/none', {})).statusCode).toBe(404)
    for (const method of ['PATCH', 'DELETE'] as const) {
      const answer = await app.api(method, '/admin/upstreams/filed', method === 'PATCH' ? {} : undefined)
      expect([answer.statusCode, answer.json().message]).toEqual([409, expect.stringContaining('filed.yaml')])
    }
  })

  test('is tried, before it is made and after', async () => {
    const body = npm(registry.url, { owner: 'tried' })
    const good = (await app.api('POST', '/admin/upstreams/test', { ...body, package: 'left-pad' })).json()
    expect(good).toMatchObject({ ok: true, error: null, status: 200, redirectedTo: null, hostsToAllow: [] })
    const unknown = (await app.api('POST', '/admin/upstreams/test', body)).json()
    expect(unknown).toMatchObject({ ok: false, status: 404, error: expect.stringContaining('lodash') })
    registry.behaviour.tarballOrigin = 'https://cdn.example'
    const elsewhere = await app.api('POST', '/admin/upstreams/corp/test', { package: 'left-pad' })
    registry.behaviour.tarballOrigin = null
    expect(elsewhere.json()).toMatchObject({ ok: true, hostsToAllow: ['cdn.example'] })
    for (const url of ['http://127.0.0.1:1/', 'http://169.254.169.254/']) {
      const answer = await app.api('POST', '/admin/upstreams/test', { ...body, url })
      expect([answer.statusCode, answer.json().ok, answer.json().status]).toEqual([200, false, null])
    }
    const guarded = await app.api('POST', '/admin/upstreams/test', { ...body, allowPrivateNetwork: false })
    expect(guarded.json()).toMatchObject({ ok: false, error: expect.stringContaining('127.0.0.1') })
    expect((await app.api('POST', '/admin/upstreams/none/test')).statusCode).toBe(404)
    expect(await app.services.accounts.find('tried')).toBeNull()
  })

  test('§15 #13: recovers from corrected credentials without a restart', async () => {
    const { registry: closed, closed: door } = await startClosed('right')
    const auth = { kind: 'basic', username: 'me', password: 'wrong' }
    await create(app, npm(`${closed.url}/`, { name: 'corrected', owner: 'corrected', auth }))
    const status = async () => (await get(app, '/api/packages/corrected/npm/closed', app.admin)).statusCode
    expect(await status()).toBe(502)
    const health = async () => (await app.api('GET', '/admin/upstreams/corrected/health')).json()
    expect(await health()).toMatchObject({
      credentialsRefused: true,
      origins: [{ origin: closed.url, state: 'closed' }],
    })
    const edited = await app.api('PATCH', '/admin/upstreams/corrected', { auth: { ...auth, password: 'right' } })
    expect(edited.statusCode).toBe(200)
    expect(await status()).toBe(200)
    expect(await health()).toMatchObject({ credentialsRefused: false })
    // What is not said stays as it is, the secret too.
    await app.api('PATCH', '/admin/upstreams/corrected', { auth: { kind: 'basic', username: 'me' }, trust: 'trusted' })
    door.password = 'right'
    expect((await app.api('POST', '/admin/upstreams/corrected/test', { package: 'closed' })).json().ok).toBe(true)
    closed.everything({ status: 500 })
    await app.api('POST', '/admin/upstreams/corrected/invalidate')
    await get(app, '/api/packages/corrected/npm/other', app.admin)
    expect((await health()).origins[0].lastError).toMatchObject({ message: 'answered 500' })
    await closed.close()
  })

  test('forgets by a change what it was believed not to have', async () => {
    const other = await FakeNpmRegistry.start()
    await other.publish({ name: 'late', version: '1.0.0' })
    expect((await get(app, '/api/packages/corp/npm/late')).statusCode).toBe(404)
    await app.api('PATCH', '/admin/upstreams/corp', { url: other.url })
    expect((await get(app, '/api/packages/corp/npm/late')).statusCode).toBe(200)
    await app.api('PATCH', '/admin/upstreams/corp', { url: registry.url })
    await other.close()
  })

  test('is switched, invalidated and purged as others are', async () => {
    const post = async (action: string, body?: object) =>
      (await app.api('POST', `/admin/upstreams/corp/${action}`, body)).statusCode
    expect(await post('mode', { mode: 'blocked' })).toBe(200)
    expect((await get(app, '/api/packages/corp/npm/left-pad')).statusCode).toBe(403)
    expect(await post('mode', { mode: 'online' })).toBe(200)
    expect(await post('invalidate')).toBe(204)
    expect(await post('purge')).toBe(204)
    expect((await get(app, '/api/packages/corp/npm/left-pad')).statusCode).toBe(200)
  })

  test('goes, with what it held, when no organization attaches it any more', async () => {
    await app.createOrganization('acme')
    await app.api('PUT', '/orgs/acme/upstreams/npm', ['corp'])
    expect((await app.api('DELETE', '/admin/upstreams/corp')).statusCode).toBe(409)
    expect((await get(app, '/api/packages/acme/npm/left-pad')).statusCode).toBe(200)
    await app.api('PUT', '/orgs/acme/upstreams/npm', [])
    expect((await app.api('DELETE', '/admin/upstreams/corp')).statusCode).toBe(204)
    for (const owner of ['corp', 'corp-alias']) {
      expect((await get(app, `/api/packages/${owner}/npm/left-pad`)).statusCode).toBe(404)
    }
    expect((await app.api('DELETE', '/admin/upstreams/corp')).statusCode).toBe(404)
    expect((await app.api('PUT', '/orgs/acme/upstreams/npm', ['corp'])).statusCode).toBe(422)
    await app.services.upstream.settle()
    const { id } = (await app.services.accounts.find('corp'))!
    expect(await app.services.models.package.count({ where: { ownerId: id } })).toBe(0)
    // The mirror's name is still nobody else's, the alias anybody's; who comes back finds the digests again.
    expect((await app.api('POST', '/orgs', { username: 'corp' })).statusCode).toBe(422)
    expect((await app.api('POST', '/orgs', { username: 'corp-alias' })).statusCode).toBe(201)
    const rows = await app.services.models.upstream.count()
    expect((await create(app, npm(registry.url, { name: 'renamed', owner: 'corp' }))).statusCode).toBe(201)
    expect(await app.services.models.upstream.count()).toBe(rows)
    expect((await get(app, '/api/packages/corp/npm/left-pad')).statusCode).toBe(200)
  })

  test('is made once, however many try at a time', async () => {
    const bodies = Array.from({ length: 8 }, (_, index) => npm(registry.url, { name: `race-${index}`, owner: 'race' }))
    const answers = await Promise.all(bodies.map((body) => create(app, body)))
    expect(answers.map(({ statusCode }) => statusCode).sort()).toEqual([201, ...Array(7).fill(409)])
  })
})

describe('upstreams made over REST', () => {
  test('outlive a restart, and make way for a file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-upstreams-'))
    const database = await createTestDatabaseUrl(folder)
    const { registry: closed } = await startClosed('right')
    const start = (more: object = {}) => TestApp.start({ databaseUrl: database.url, dataDir: folder, ...more })
    const first = await start()
    const auth = { kind: 'basic', username: 'me', password: 'right' }
    for (const name of ['kept', 'lost']) await create(first, npm(`${closed.url}/`, { name, owner: name, auth }))
    const path = (owner: string) => `/api/packages/${owner}/npm/closed`
    expect((await get(first, path('kept'), first.admin)).statusCode).toBe(200)
    await first.close()

    const second = await start({ upstreams: { filed: { ...npm('http://127.0.0.1:1/'), owner: 'lost' } } })
    expect((await get(second, path('kept'), second.admin)).statusCode).toBe(200)
    const list = (await second.api('GET', '/admin/upstreams')).json() as { name: string; origin: string }[]
    expect(list.map(({ name, origin }) => [name, origin])).toEqual([
      ['filed', 'file'],
      ['kept', 'rest'],
    ])
    await second.close()

    // Another key: nobody knows the secret any more, and nobody is told that there are no such packages.
    const environment = { ENTREPOT_SECRET_KEY: Buffer.alloc(32, 7).toString('base64') }
    const third = await start({ environment, upstreams: {} })
    const broken = (await third.api('GET', '/admin/upstreams/kept')).json()
    expect(broken).toMatchObject({ name: 'kept', settings: null, problem: expect.stringContaining('another key') })
    expect((await get(third, path('kept'), third.admin)).statusCode).toBe(503)
    const repaired = await third.api('PATCH', '/admin/upstreams/kept', { auth })
    expect([repaired.statusCode, repaired.json().problem]).toEqual([200, null])
    expect((await get(third, path('kept'), third.admin)).statusCode).toBe(200)
    await third.close()

    await closed.close()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  })

  test('are at work at other replicas, too', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-upstreams-'))
    const database = await createTestDatabaseUrl(folder)
    const registry = await FakeNpmRegistry.start()
    await registry.publish({ name: 'left-pad', version: '1.0.0' })
    const start = () => TestApp.start({ databaseUrl: database.url, dataDir: folder })
    const [one, two] = [await start(), await start()]
    const status = async () => (await get(two, '/api/packages/corp/npm/left-pad')).statusCode
    expect(await status()).toBe(404)
    await create(one, npm(registry.url, { name: 'corp', owner: 'corp' }))
    // At once with Redis; without its notices when what is known of accounts is read again.
    const patience = { timeout: 50_000, interval: 500 }
    await vi.waitFor(async () => expect(await status()).toBe(200), patience)
    await one.api('DELETE', '/admin/upstreams/corp')
    await vi.waitFor(async () => expect(await status()).toBe(404), patience)
    await one.close()
    await two.close()
    await registry.close()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  }, 120_000)
})
