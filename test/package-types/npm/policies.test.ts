import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeNpmRegistry } from '../../support/fake-npm-registry.ts'
import { TestApp } from '../../support/test-app.ts'

const REG = '/api/packages/npmjs/npm'
const HOUR = 3_600_000
const DAY = 24 * HOUR
const ABBREVIATED = 'application/vnd.npm.install-v1+json'

let registry: FakeNpmRegistry
let server: TestApp
/** When the young versions came; the clock of the server moves with the tests. */
let now: number

beforeEach(async () => {
  now = Date.now()
  registry = await FakeNpmRegistry.start()
  const file = { type: 'npm', url: registry.url, allowPrivateNetwork: true }
  server = await TestApp.start({
    upstreams: { npmjs: { ...file, owner: 'npmjs' }, trusted: { ...file, owner: 'trusted', trust: 'trusted' } },
  })
})
afterEach(async () => {
  await server.close()
  await registry.close()
})

const get = (path: string, headers: Record<string, string> = {}, prefix = REG) =>
  server.inject({ method: 'GET', url: `${prefix}${path}`, headers })
const policy = async (fields: object, path = '/admin/policies') => {
  const response = await server.api('POST', path, fields)
  expect(response.statusCode, response.body).toBe(201)
  return response.json() as { id: number }
}
const recommended = () => server.api('POST', '/admin/policies/presets/recommended')
const later = async (ms: number) => {
  server.clock.advance(ms)
  await server.services.upstream.settle()
}

/** `left`: 1.0.0 and 1.1.0 are old, 1.2.0 and 2.0.0-rc.1 are young. */
async function publishLeft(): Promise<void> {
  await registry.publish({ name: 'left', version: '1.0.0' })
  await registry.publish({ name: 'left', version: '1.1.0' })
  await registry.publish({ name: 'left', version: '1.2.0', publishedAt: now - HOUR })
  await registry.publish({ name: 'left', version: '2.0.0-rc.1', publishedAt: now - HOUR, tag: 'next' })
}

describe('a cooldown (pull-through.md §14.12)', () => {
  test('§14 check 12: hides young versions in both forms, and tags go back', async () => {
    await publishLeft()
    const before = await get('/left')
    expect((await recommended()).statusCode).toBe(201)
    for (const accept of ['application/json', ABBREVIATED]) {
      const document = (await get('/left', { accept })).json()
      expect(Object.keys(document.versions)).toEqual(['1.0.0', '1.1.0'])
      expect(document['dist-tags']).toEqual({ latest: '1.1.0', next: '1.1.0' })
      expect(Object.keys(document.time)).toEqual(expect.arrayContaining(['1.0.0', '1.1.0']))
      expect(document.time).not.toHaveProperty(['1.2.0'])
      expect(Object.keys(document.policyRestrictions.versions)).toEqual(['2.0.0-rc.1', '1.2.0'])
      expect(document.policyRestrictions.message).toMatch(/left 1\.2\.0 is younger than 3 days .* until 20/)
    }
    expect((await get('/-/package/left/dist-tags')).json()).toEqual({ latest: '1.1.0', next: '1.1.0' })
    expect((await get('/left/latest')).json().version).toBe('1.1.0')
    expect((await get('/left/1.2.0')).statusCode).toBe(403)
    expect(before.json()['dist-tags'].latest).toBe('1.2.0')
  })

  test('§14 check 12: refuses the file of a young version, held or not, by every verb (security.md S28)', async () => {
    await publishLeft()
    const path = '/left/-/left-1.2.0.tgz'
    expect((await get(path)).statusCode).toBe(200)
    await server.services.upstream.settle()
    await recommended()
    for (const [method, headers] of [
      ['GET', {}],
      ['HEAD', {}],
      ['GET', { range: 'bytes=0-10' }],
      ['GET', { 'if-none-match': '*' }],
    ] as const) {
      const response = await server.inject({ method, url: `${REG}${path}`, headers })
      expect(response.statusCode, method).toBe(403)
      expect(response.headers['npm-notice']).toMatch(/left 1\.2\.0 is younger than 3 days/)
      expect(response.headers['cache-status']).toBe('Entrepot; detail=POLICY')
      expect(response.headers['cache-control']).toBe('no-store')
      if (method === 'GET') expect(response.json().error).toMatch(/most malicious releases are found within days/)
    }
    expect((await get('/left/-/left-2.0.0-rc.1.tgz')).statusCode).toBe(403)
    expect((await get('/left/-/left-1.1.0.tgz')).statusCode).toBe(200)
    const metrics = (await server.inject({ url: '/metrics' })).body
    expect(metrics).toMatch(/entrepot_policy_denials_total\{rule="\d+",action="cooldown"\} 5/)
  })

  test('§14 check 12: ends without any action, and caches are told when', async () => {
    await publishLeft()
    await recommended()
    expect((await get('/left')).headers['cache-control']).toMatch(/^public, max-age=60,/)
    await later(71 * HOUR - 20_000)
    const soon = Number(/max-age=(\d+)/.exec(String((await get('/left')).headers['cache-control']))![1])
    expect(soon).toBeGreaterThan(0)
    expect(soon).toBeLessThanOrEqual(20)
    await later(21_000)
    const document = (await get('/left')).json()
    expect(document['dist-tags'].latest).toBe('1.2.0')
    expect(document).not.toHaveProperty('policyRestrictions')
    expect((await get('/left/-/left-1.2.0.tgz')).statusCode).toBe(200)
  })

  test('leaves an empty document of a package that is too young as a whole', async () => {
    await registry.publish({ name: 'new', version: '1.0.0', publishedAt: now - HOUR })
    await recommended()
    const response = await get('/new', { accept: ABBREVIATED })
    expect(response.statusCode).toBe(200)
    expect(response.json()).toMatchObject({ 'dist-tags': {}, versions: {} })
    expect(response.json().policyRestrictions.versions['1.0.0']).toEqual({ name: 'new', version: '1.0.0' })
  })

  test('believes no time that lies before the version was seen to be absent', async () => {
    await publishLeft()
    await get('/left')
    await later(HOUR)
    await registry.publish({ name: 'left', version: '1.1.1', publishedAt: now - 300 * DAY })
    await get('/left')
    await server.services.upstream.settle()
    await get('/left')
    await recommended()
    expect(Object.keys((await get('/left')).json().versions)).toEqual(['1.0.0', '1.1.0'])
    expect((await get('/left/-/left-1.1.1.tgz')).statusCode).toBe(403)
    await later(72 * HOUR + 1_000)
    expect(Object.keys((await get('/left')).json().versions)).toContain('1.1.1')
  })

  test('holds back what has no time at all, and takes the time of the document for old ones', async () => {
    registry.behaviour.time = false
    await registry.publish({ name: 'timeless', version: '1.0.0' })
    await recommended()
    expect((await get('/timeless')).json().versions).toEqual({})
    expect((await get('/timeless/-/timeless-1.0.0.tgz')).statusCode).toBe(403)
  })

  test('does not hold for trusted upstreams', async () => {
    await publishLeft()
    await recommended()
    const prefix = '/api/packages/trusted/npm'
    expect((await get('/left', {}, prefix)).json()['dist-tags'].latest).toBe('1.2.0')
    expect((await get('/left/-/left-1.2.0.tgz', {}, prefix)).statusCode).toBe(200)
  })

  test('can be broken for one version, for a while', async () => {
    await publishLeft()
    await recommended()
    expect((await get('/left/-/left-1.2.0.tgz')).statusCode).toBe(403)
    const expires = new Date(server.clock.now() + 2 * HOUR).toISOString()
    const allow = { action: 'allow', type: 'npm', name: 'left', versions: '1.2.0', expires_at: expires }
    await policy({ ...allow, reason: 'fixes a hole' })
    expect((await get('/left/-/left-1.2.0.tgz')).statusCode).toBe(200)
    expect((await get('/left')).json()['dist-tags'].latest).toBe('1.2.0')
    await later(2 * HOUR)
    expect((await get('/left/-/left-1.2.0.tgz')).statusCode).toBe(403)
    expect((await get('/left')).json()['dist-tags'].latest).toBe('1.1.0')
  })
})

describe('other rules', () => {
  test('a denied range is gone, and comes back with the rule', async () => {
    await publishLeft()
    const { id } = await policy({ action: 'deny', type: 'npm', name: 'left', versions: '>=1.1.0 <2', reason: 'stolen' })
    const document = (await get('/left')).json()
    expect(Object.keys(document.versions)).toEqual(['1.0.0', '2.0.0-rc.1'])
    expect(document['dist-tags']).toEqual({ latest: '1.0.0', next: '2.0.0-rc.1' })
    expect((await get('/left/-/left-1.1.0.tgz')).json().error).toBe(`left 1.1.0 is denied: stolen (policy ${id})`)
    expect((await server.api('DELETE', `/admin/policies/${id}`)).statusCode).toBe(204)
    expect((await get('/left')).json()['dist-tags'].latest).toBe('1.2.0')
    expect((await get('/left/-/left-1.1.0.tgz')).statusCode).toBe(200)
  })

  test('a denied name is denied in every spelling of its address (security.md S27)', async () => {
    await registry.publish({ name: '@bad/lib', version: '1.0.0' })
    await policy({ action: 'quarantine', type: 'npm', name: '@Bad/*' })
    for (const path of ['/@bad/lib/-/lib-1.0.0.tgz', '/@bad%2flib/-/lib-1.0.0.tgz', '/%40bad/lib/-/lib-1.0.0.tgz']) {
      expect((await get(path)).statusCode, path).toBe(403)
    }
    expect((await get('/@bad%2Flib')).json().versions).toEqual({})
    expect(registry.upstream.count('/@bad/lib/-/lib-1.0.0.tgz')).toBe(0)
  })

  test('a pin leaves one version, and tags name it', async () => {
    await publishLeft()
    await policy({ action: 'pin', type: 'npm', name: 'left', versions: '1.0.0' })
    const document = (await get('/left')).json()
    expect(Object.keys(document.versions)).toEqual(['1.0.0'])
    expect(document['dist-tags']).toEqual({ latest: '1.0.0', next: '1.0.0' })
    await policy({ action: 'pin', type: 'npm', name: 'left', versions: '>=2.0.0-rc' })
    expect((await get('/left')).json().versions).toEqual({})
  })

  test('a freeze and a list', async () => {
    await publishLeft()
    await registry.publish({ name: 'right', version: '1.0.0' })
    const frozen = await policy({ action: 'freeze', type: 'npm', not_after: '2020-01-01T12:00:00Z' })
    expect(Object.keys((await get('/left')).json().versions)).toEqual(['1.0.0'])
    await server.api('DELETE', `/admin/policies/${frozen.id}`)
    await policy({ action: 'allow_only', type: 'npm', name: 'left', versions: '1.x' })
    expect(Object.keys((await get('/left')).json().versions)).toEqual(['1.0.0', '1.1.0', '1.2.0'])
    expect((await get('/right/-/right-1.0.0.tgz')).statusCode).toBe(403)
    expect((await get('/right')).json().versions).toEqual({})
  })

  test('a warning is shown and nothing else', async () => {
    await publishLeft()
    await policy({ action: 'warn', type: 'npm', name: 'left', versions: '<1.1', reason: 'old' })
    const old = await get('/left/-/left-1.0.0.tgz')
    expect([old.statusCode, old.headers['npm-notice']]).toEqual([200, 'left: old'])
    expect((await get('/left/-/left-1.1.0.tgz')).headers['npm-notice']).toBeUndefined()
    expect((await get('/left')).json()).not.toHaveProperty('policyRestrictions')
  })

  test('an organization has its own, in its view alone', async () => {
    await publishLeft()
    await server.createOrganization('acme')
    await server.api('PUT', '/orgs/acme/upstreams/npm', [{ upstream: 'npmjs' }])
    await policy({ action: 'deny', type: 'npm', name: 'left', versions: '1.1.0' }, '/orgs/acme/policies')
    const view = '/api/packages/acme/npm'
    expect((await get('/left/-/left-1.1.0.tgz', {}, view)).statusCode).toBe(403)
    expect(Object.keys((await get('/left', {}, view)).json().versions)).not.toContain('1.1.0')
    expect((await get('/left/-/left-1.1.0.tgz')).statusCode).toBe(200)
    await policy({ action: 'deny', upstream: 'npmjs', type: 'npm', name: 'left', versions: '1.0.0' })
    for (const prefix of [view, REG]) {
      expect((await get('/left/-/left-1.0.0.tgz', {}, prefix)).statusCode).toBe(403)
    }
    expect((await get('/left/-/left-1.0.0.tgz', {}, '/api/packages/trusted/npm')).statusCode).toBe(200)
  })
})

test('a rendered document is made once for a policy, and warm answers run no SQL', async () => {
  await publishLeft()
  await recommended()
  const paths = [
    '/left',
    '/left/-/left-1.1.0.tgz',
    '/left/-/left-1.2.0.tgz',
    '/left/1.0.0',
    '/-/package/left/dist-tags',
  ]
  for (let round = 1; round <= 2; round += 1) {
    for (const path of paths) await get(path)
    await server.quiet()
  }
  const { etag } = (await get('/left')).headers
  const { queries } = server.services.db
  for (const path of paths) await get(path)
  expect(server.services.db.queries).toBe(queries)
  expect((await get('/left', { 'if-none-match': String(etag) })).statusCode).toBe(304)
})
