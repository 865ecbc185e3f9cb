import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ArtifactRequest } from '../../../src/upstream/artifacts.ts'
import { FakeNpmRegistry } from '../../support/fake-npm-registry.ts'
import { createGate } from '../../support/fake-upstream.ts'
import { TestApp, type TestAppOptions } from '../../support/test-app.ts'

const REG = '/api/packages/npmjs/npm'
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

let registry: FakeNpmRegistry
let server: TestApp
const started: TestApp[] = []

async function start({ upstream, ...options }: TestAppOptions & { upstream?: object } = {}): Promise<TestApp> {
  const file = { type: 'npm', owner: 'npmjs', url: registry.url, allowPrivateNetwork: true, ...upstream }
  server = await TestApp.start({ upstreams: { npmjs: file }, ...options })
  started.push(server)
  return server
}

beforeEach(async () => {
  registry = await FakeNpmRegistry.start()
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((app) => app.close()))
  await registry.close()
})

const get = (path: string, headers: Record<string, string> = {}) =>
  server.inject({ method: 'GET', url: `${REG}${path}`, headers })
const settle = () => server.services.upstream.settle()

/** A document that carries more than a registry would send. */
const documentWith = (name: string, versions: string) =>
  `{"name":"${name}","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"${name}","version":"1.0.0","dist":{}},${versions}}}`

describe('a failing upstream', () => {
  test('does not make 404 of a version that is younger than the held document', async () => {
    await start()
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await settle()
    await registry.publish({ name: 'left', version: '2.0.0' })
    server.clock.advance(20_000)
    registry.upstream.everything({ status: 500 })
    for (const path of ['/left/2.0.0', '/left/-/left-2.0.0.tgz', '/left/-/renamed.tgz']) {
      const answer = await get(path)
      expect([path, answer.statusCode]).toEqual([path, 503])
      expect(answer.headers['cache-control']).toBe('no-store')
    }
    expect((await get('/left/1.0.0')).statusCode).toBe(200)
    registry.upstream.everything(null)
    server.clock.advance(MINUTE)
    expect((await get('/left/2.0.0')).statusCode).toBe(200)
  })

  test('that begins answers and never ends them is left alone after a while', async () => {
    await start()
    registry.upstream.everything({ body: 'x'.repeat(5_000), cutAt: 100 })
    for (let i = 0; i < 5; i += 1) expect((await get(`/left-${i}`)).statusCode).toBe(502)
    const asked = registry.upstream.requests.length
    expect((await get('/left-6')).statusCode).toBe(503)
    expect(registry.upstream.requests.length).toBe(asked)
  })

  test('is not what a queue of our own making looks like: the breaker stays closed', async () => {
    await start({
      environment: {
        ENTREPOT_MIRRORS_CONNECTIONS: '2',
        ENTREPOT_MIRRORS_ARTIFACT_TIMEOUT: '200ms',
        ENTREPOT_MIRRORS_DOCUMENT_TIMEOUT: '2s',
      },
    })
    const names = ['large', 'a', 'b', 'c', 'd', 'e', 'f']
    for (const name of names) await registry.publish({ name, version: '1.0.0' })
    await Promise.all(names.map((name) => get(`/${name}`)))
    await settle()
    const gate = createGate()
    const tarball = registry.tarballAnswer('large', '1.0.0')
    registry.upstream.on('/large/-/large-1.0.0.tgz', { ...tarball, pauseAt: 1, resume: gate.opened })
    const large = get('/large/-/large-1.0.0.tgz')
    await expect.poll(() => registry.upstream.count('/large/-/large-1.0.0.tgz')).toBe(1)
    const waiting = await Promise.all(names.slice(1).map((name) => get(`/${name}/-/${name}-1.0.0.tgz`)))
    for (const answer of waiting) {
      expect(answer.statusCode).toBe(503)
      expect(answer.headers['retry-after']).toBe('5')
    }
    expect(server.services.upstream.list()[0]?.origins).toMatchObject([{ state: 'closed' }])
    // Metadata does not wait for downloads.
    await registry.publish({ name: 'new', version: '1.0.0' })
    expect((await get('/new')).statusCode).toBe(200)
    gate.open()
    expect((await large).statusCode).toBe(200)
    expect((await get('/a/-/a-1.0.0.tgz')).statusCode).toBe(200)
  })

  test('that was slow is waited for again when the spell is over, however many ask meanwhile', async () => {
    await start({ environment: { ENTREPOT_MIRRORS_STALE_WAIT: '150ms' } })
    for (const name of ['slow', 'a', 'b']) {
      await registry.publish({ name, version: '1.0.0' })
      await get(`/${name}`)
    }
    await settle()
    server.clock.advance(16 * MINUTE)
    const answer = (name: string, delay: number) =>
      registry.upstream.on(`/${name}`, () => ({ body: JSON.stringify(registry.packument(name)), delay }))
    answer('slow', 400)
    answer('a', 20)
    answer('b', 20)
    expect((await get('/slow')).headers['cache-status']).toMatch('STALE_SLOW')
    // Not settled by what was slow itself: that it came in the end says nothing of the next one.
    server.clock.advance(9_000)
    expect((await get('/a')).headers['cache-status']).toMatch('STALE_SLOW')
    server.clock.advance(9_000)
    expect((await get('/b')).headers['cache-status']).toMatch('fwd-status=200')
    await settle()
  })

  test('withholds for legal reasons what is held here too', async () => {
    await start()
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await settle()
    registry.upstream.on('/left', { status: 451 })
    server.clock.advance(16 * MINUTE)
    expect((await get('/left')).statusCode).toBe(451)
  })
})

describe('a document', () => {
  test.each([
    ['nested so deep that it could not be written again', `"2.0.0":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
    ['with a version that no address can hold', '"\\ud800":{}'],
  ])('%s is refused, and does not replace what is held', async (_, versions) => {
    await start()
    await registry.publish({ name: 'left', version: '1.0.0' })
    const first = await get('/left')
    await settle()
    registry.upstream.on('/left', { body: documentWith('left', versions) })
    registry.upstream.on('/right', { body: documentWith('right', versions) })
    server.clock.advance(16 * MINUTE)
    const second = await get('/left')
    expect(second.headers['cache-status']).toMatch('STALE_ERROR')
    expect(second.body).toBe(first.body)
    expect((await get('/right')).statusCode).toBe(502)
  })

  test('from a lagging edge is asked for again soon, also where documents are fresh for a day', async () => {
    await start({ upstream: { fresh: '24h' } })
    await registry.publish({ name: 'left', version: '1.0.0' })
    const old = JSON.stringify(registry.packument('left'))
    await registry.publish({ name: 'left', version: '1.1.0' })
    await get('/left')
    await settle()
    registry.upstream.on('/left', { body: old })
    server.clock.advance(2 * DAY)
    expect((await get('/left')).json()['dist-tags'].latest).toBe('1.1.0')
    await settle()
    server.clock.advance(MINUTE)
    const asked = registry.upstream.count('/left')
    await get('/left')
    await settle()
    expect(registry.upstream.count('/left')).toBe(asked + 1)
  })

  test.each(['invalidate', 'purge'])(
    'asked for before %s does not pass for the answer to what is asked after',
    async (how) => {
      await start()
      await registry.publish({ name: 'left', version: '1.0.0' })
      const gate = createGate()
      registry.upstream.on('/left', { body: JSON.stringify(registry.packument('left')), before: gate.opened })
      const before = get('/left')
      await expect.poll(() => registry.upstream.count('/left')).toBe(1)
      expect((await server.api('POST', `/admin/upstreams/npmjs/${how}`, {})).statusCode).toBeLessThan(300)
      await registry.publish({ name: 'left', version: '2.0.0' })
      const during = get('/left')
      // Another server might be asking: with Redis it is waited for, for a while.
      await expect.poll(() => registry.upstream.count('/left'), { timeout: 10_000 }).toBe(2)
      gate.open()
      expect(Object.keys((await before).json().versions)).toEqual(['1.0.0'])
      expect(Object.keys((await during).json().versions)).toEqual(['1.0.0', '2.0.0'])
      await settle()
      expect(Object.keys((await get('/left')).json().versions)).toEqual(['1.0.0', '2.0.0'])
    },
  )

  test('is read and parsed once for all who wait for it', async () => {
    const { dataDir } = await start()
    const databaseUrl = server.services.config.database.url
    for (let i = 0; i < 20; i += 1) await registry.publish({ name: 'left', version: `1.0.${i}` })
    await get('/left')
    await settle()
    await start({ dataDir, databaseUrl })
    let reads = 0
    const { blobs } = server.services.packages
    const open = blobs.open.bind(blobs)
    blobs.open = (sha256) => {
      reads += 1
      return open(sha256)
    }
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => get(`/left/1.0.${i}`)))
    expect(answers.map((answer) => answer.json().version)).toContain('1.0.19')
    expect(reads).toBe(1)
  })

  test('is not for shared caches where everybody must sign in, nor is a tarball (security.md S43)', async () => {
    await start({ environment: { ENTREPOT_AUTH_REQUIRE_SIGN_IN: 'true' } })
    await registry.publish({ name: 'left', version: '1.0.0' })
    for (const path of ['/left', '/left/latest', '/left/-/left-1.0.0.tgz']) {
      const answer = await get(path, { authorization: server.admin })
      expect(answer.statusCode).toBe(200)
      expect(answer.headers['cache-control']).toMatch(/^private/)
      expect(answer.headers['vary']).toMatch('Authorization')
    }
  })
})

describe('a tarball', () => {
  test('without a digest is refused when it is a part nobody asked for, or encoded', async () => {
    await start()
    for (const name of ['part', 'encoded', 'plain']) await registry.publish({ name, version: '1.0.0', digests: 'none' })
    const { body, ...answer } = registry.tarballAnswer('part', '1.0.0')
    const part = (body as Buffer).subarray(0, 100)
    registry.upstream.on('/part/-/part-1.0.0.tgz', {
      ...answer,
      status: 206,
      headers: { 'content-range': 'bytes 0-99/1000' },
      body: part,
    })
    registry.upstream.on('/encoded/-/encoded-1.0.0.tgz', {
      ...registry.tarballAnswer('encoded', '1.0.0'),
      gzip: 'always',
    })
    expect((await get('/part/-/part-1.0.0.tgz')).statusCode).toBe(502)
    expect((await get('/encoded/-/encoded-1.0.0.tgz')).statusCode).toBe(502)
    expect((await get('/plain/-/plain-1.0.0.tgz')).statusCode).toBe(200)
    await settle()
    expect(await server.services.models.upstreamDigest.count()).toBe(1)
  })

  test('can be asked for by HEAD where the upstream answers GET only', async () => {
    await start()
    await registry.publish({ name: 'left', version: '1.0.0' })
    registry.upstream.on('/left/-/left-1.0.0.tgz', (request) =>
      request.method === 'HEAD' ? { status: 405 } : registry.tarballAnswer('left', '1.0.0'),
    )
    const head = (file: string) => server.inject({ method: 'HEAD', url: `${REG}/left/-/${file}` })
    expect((await head('left-1.0.0.tgz')).statusCode).toBe(200)
    expect((await head('left-9.0.0.tgz')).statusCode).toBe(404)
  })

  test('can still be read by who joined a transfer that ended meanwhile', async () => {
    await start()
    const { bytes } = await registry.publish({ name: 'left', version: '1.0.0', padding: 2_000_000 })
    await get('/left/-/left-1.0.0.tgz')
    await settle()
    // Its bytes stay in the store, so the next transfer does not move its own there.
    await server.api('POST', '/admin/upstreams/npmjs/purge', {})
    const { upstream, packages } = server.services
    const npmjs = upstream.find('npmjs')!
    const info = { owner: npmjs.owner, type: 'npm', name: 'left', version: '1.0.0', metadata: {} }
    const request: ArtifactRequest = {
      key: 'left/-/left-1.0.0.tgz',
      method: 'GET',
      locate: async () => ({ url: 'left/-/left-1.0.0.tgz', digest: null }),
      file: async (content, properties, also) => {
        const file = { filename: 'left-1.0.0.tgz', content, isLead: true, overwrite: true, properties }
        await packages.addCachedFile(info, file, also)
      },
    }
    const opened = await upstream.artifacts.open(npmjs, request)
    await settle()
    const source = await opened.source()
    const head = Buffer.alloc(1_000)
    expect(await source.read(head, 0)).toBe(1_000)
    expect(head.equals(bytes.subarray(0, 1_000))).toBe(true)
    source.close()
  })
})

describe('what is passed through', () => {
  test('does not run in a browser, and does not tell the client how the upstream treats us', async () => {
    await start()
    const search = () => get('/-/v1/search?text=x')
    registry.upstream.on('/-/v1/search', { headers: { 'content-type': 'text/html' }, body: '<script>1</script>' })
    const page = await search()
    expect(page.headers['x-content-type-options']).toBe('nosniff')
    expect(page.headers['content-security-policy']).toBe("default-src 'none'; sandbox")
    for (const status of [302, 401, 403, 407]) {
      registry.upstream.on('/-/v1/search', { status, body: 'x'.repeat(1_000), gzip: 'always' })
      const refused = await search()
      expect(refused.statusCode).toBe(502)
      expect(refused.json().error).toMatch(`answered ${status}`)
      expect(refused.headers['content-encoding']).toBeUndefined()
    }
    registry.upstream.on('/-/v1/search', { status: 404 })
    expect((await search()).statusCode).toBe(404)
  })
})
