import { createHash } from 'node:crypto'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FakeContainerRegistry } from '../support/fake-container-registry.ts'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { TestApp } from '../support/test-app.ts'

// The headers of pull-through.md §10, row by row, and what §11 says of logs, events and metrics.

const PUBLIC_FILE = 'public, max-age=31536000, s-maxage=86400, immutable'
const PUBLIC_DOCUMENT = 'public, max-age=60, stale-while-revalidate=300, stale-if-error=86400'
const MINUTE = 60_000

type Line = Record<string, unknown>

let npm: FakeNpmRegistry
let images: FakeContainerRegistry
let server: TestApp
const lines: Line[] = []

beforeAll(async () => {
  npm = await FakeNpmRegistry.start()
  images = await FakeContainerRegistry.start()
  const declare = (owner: string, more: object = {}) => ({
    ...{ type: 'npm', owner, url: npm.url, allowPrivateNetwork: true, ...more },
  })
  server = await TestApp.start({
    upstreams: {
      npmjs: declare('npmjs'),
      secret: declare('secret', { visibility: 'private' }),
      shaky: declare('shaky'),
      corp: declare('corp', {
        visibility: 'private',
        auth: { kind: 'basic', usernameEnv: 'CORP_USER', passwordEnv: 'CORP_PASSWORD' },
      }),
      hub: { ...declare('hub'), type: 'container', url: images.url },
    },
    environment: { ENTREPOT_MIRRORS_RETRIES: '0', CORP_USER: 'robot', CORP_PASSWORD: 'hunter2-hunter2' },
    log: pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) }),
  })
})
afterAll(async () => {
  await server.close()
  await npm.close()
  await images.close()
})

const get = (path: string, headers: Record<string, string> = {}) =>
  server.inject({ method: 'GET', url: path.startsWith('/v2/') ? path : `/api/packages/${path}`, headers })
const settle = () => server.services.upstream.settle()
const metrics = () => server.services.metrics.registry.metrics()
const upstreamId = (name: string) => server.services.upstream.find(name)!.id
const tagOf = (type: string, name: string) =>
  `pkg-${createHash('sha256').update(`${type}/${name}`).digest('hex').slice(0, 16)}`

/** The value of a series whose labels include these; 0 when there is none. */
async function read(name: string, labels: Record<string, string>): Promise<number> {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  const series = (await metrics())
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) && wanted.every((one) => line.includes(one)))
  return series.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0)
}

describe('§10', () => {
  test('a file of a public mirror: kept for ever by clients, for a day by shared caches', async () => {
    const { bytes } = await npm.publish({ name: 'file', version: '1.0.0' })
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const path = 'npmjs/npm/file/-/file-1.0.0.tgz'
    const first = await get(path)
    expect(first.headers).toMatchObject({
      'cache-control': PUBLIC_FILE,
      etag: `"sha256:${sha256}"`,
      'cache-status': 'Entrepot; fwd=uri-miss; fwd-status=200; stored',
      'x-cache': 'MISS',
      'x-upstream': 'npmjs',
      'accept-ranges': 'bytes',
    })
    expect(first.headers).not.toHaveProperty('age')
    await settle()
    server.clock.advance(10 * MINUTE)
    const held = await get(path)
    expect(held.headers).toMatchObject({
      'cache-control': PUBLIC_FILE,
      'cache-status': 'Entrepot; hit',
      'x-cache': 'HIT',
      // Checked by its digest and by the rules just now: s-maxage counts from here.
      age: '0',
      'surrogate-key': `up-${upstreamId('npmjs')} ${tagOf('npm', 'file')}`,
      'cache-tag': `up-${upstreamId('npmjs')},${tagOf('npm', 'file')}`,
    })
    expect(held.headers).not.toHaveProperty('vary')
    const known = await get(path, { 'if-none-match': String(held.headers['etag']) })
    expect(known.statusCode).toBe(304)
    expect(known.headers).toMatchObject({ 'cache-status': 'Entrepot; hit', 'x-upstream': 'npmjs' })
    const headed = await server.inject({ method: 'HEAD', url: `/api/packages/${path}` })
    for (const name of ['cache-control', 'etag', 'cache-status', 'x-cache', 'surrogate-key', 'content-length']) {
      expect(headed.headers[name]).toBe(held.headers[name])
    }
  })

  test('a file of a private mirror: for who asked alone', async () => {
    await npm.publish({ name: 'own', version: '1.0.0' })
    const { headers } = await get('secret/npm/own/-/own-1.0.0.tgz', { authorization: server.admin })
    expect(headers).toMatchObject({ 'cache-control': 'private, max-age=31536000, immutable', vary: 'Authorization' })
  })

  test('a file on its way whose digest nobody knows: not to be kept, and without ETag', async () => {
    await npm.publish({ name: 'vague', version: '1.0.0', digests: 'none', padding: 2 * 1024 * 1024 })
    const { headers, statusCode } = await get('npmjs/npm/vague/-/vague-1.0.0.tgz')
    expect(statusCode).toBe(200)
    expect(headers['cache-control']).toBe('no-store')
    expect(headers).not.toHaveProperty('etag')
  })

  test('a document: for a minute, with its age, its Last-Modified and a strong ETag', async () => {
    await npm.publish({ name: 'doc', version: '1.0.0' })
    await get('npmjs/npm/doc')
    server.clock.advance(2 * MINUTE)
    const { headers } = await get('npmjs/npm/doc')
    expect(headers).toMatchObject({
      'cache-control': PUBLIC_DOCUMENT,
      vary: 'Accept, Accept-Encoding',
      etag: expect.stringMatching(/^"[\w-]+"$/),
      'x-cache': 'HIT',
      'cache-status': expect.stringMatching(/^Entrepot; hit; ttl=\d+$/),
      'surrogate-key': `up-${upstreamId('npmjs')} ${tagOf('npm', 'doc')}`,
    })
    expect(Number(headers['age'])).toBeGreaterThanOrEqual(120)
    expect(Number(headers['age'])).toBeLessThan(180)
    const own = await get('secret/npm/doc', { authorization: server.admin })
    expect(own.headers).toMatchObject({
      'cache-control': 'private, max-age=60',
      vary: 'Accept, Accept-Encoding, Authorization',
    })
  })

  test('a tag and the list of tags: asked for each time; a manifest by digest: for ever', async () => {
    const { manifest } = images.addImage('library/alpine', '3.20')
    const byTag = await get('/v2/hub/library/alpine/manifests/3.20')
    expect(byTag.headers).toMatchObject({
      'cache-control': 'public, max-age=0, must-revalidate',
      vary: 'Accept',
      etag: `"${manifest.digest}"`,
      'surrogate-key': `up-${upstreamId('hub')} ${tagOf('container', 'library/alpine')}`,
    })
    const list = await get('/v2/hub/library/alpine/tags/list')
    expect(list.headers).toMatchObject({ 'cache-control': 'public, max-age=0, must-revalidate', vary: 'Accept' })
    const byDigest = await get(`/v2/hub/library/alpine/manifests/${manifest.digest}`)
    expect(byDigest.headers).toMatchObject({ 'cache-control': PUBLIC_FILE, etag: `"${manifest.digest}"` })
  })

  test('a true absence: for half a minute, and the next one says that it was remembered', async () => {
    const first = await get('npmjs/npm/absent')
    expect(first.statusCode).toBe(404)
    expect(first.headers).toMatchObject({
      'cache-control': 'max-age=30',
      'cache-status': 'Entrepot; fwd=uri-miss; fwd-status=404',
      'x-cache': 'MISS',
      'x-upstream': 'npmjs',
      'surrogate-key': `up-${upstreamId('npmjs')} ${tagOf('npm', 'absent')}`,
    })
    expect((await get('npmjs/npm/absent')).headers).toMatchObject({
      'cache-control': 'max-age=30',
      'cache-status': 'Entrepot; hit; detail=NEGATIVE',
      'x-cache': 'HIT',
    })
  })

  test('what an offline mirror does not hold: not to be kept, it may be there', async () => {
    await server.services.upstream.setMode('shaky', 'offline')
    const { headers, statusCode } = await get('shaky/npm/unheld')
    await server.services.upstream.setMode('shaky', 'online')
    expect(statusCode).toBe(404)
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'cache-status': 'Entrepot; detail=OFFLINE',
      'x-upstream': 'shaky',
    })
  })

  test('a mirror that is blocked: refused, and not to be kept', async () => {
    await server.services.upstream.setMode('shaky', 'blocked')
    const { headers, statusCode } = await get('shaky/npm/unheld')
    await server.services.upstream.setMode('shaky', 'online')
    expect(statusCode).toBe(403)
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'cache-status': 'Entrepot; detail=POLICY' })
  })

  test('a package of our own has no headers of a mirror', async () => {
    const { headers } = await get('root/npm/mine')
    for (const name of ['cache-status', 'x-cache', 'x-upstream', 'surrogate-key', 'age']) {
      expect(headers).not.toHaveProperty(name)
    }
  })
})

describe('§11', () => {
  test('every exchange with an upstream is one line that names the client’s request, without query and credentials', async () => {
    images.addImage('library/busybox', '1')
    lines.length = 0
    await get('/v2/hub/library/busybox/manifests/1', { authorization: server.admin })
    await settle()
    const answered = lines.find(({ path }) => String(path).endsWith('/busybox/manifests/1'))!
    const exchanges = lines.filter(({ msg }) => msg === 'upstream asked')
    expect(exchanges.length).toBeGreaterThanOrEqual(3)
    for (const line of exchanges) {
      expect(line).toMatchObject({
        reqId: answered['reqId'],
        upstream: 'hub',
        method: expect.stringMatching(/^(GET|HEAD)$/),
        url: expect.stringMatching(/^127\.0\.0\.1:\d+\/[^?]*$/),
        status: expect.any(Number),
        ms: expect.any(Number),
        bytes: expect.any(Number),
      })
    }
    expect(exchanges.some(({ url }) => String(url).endsWith('/token'))).toBe(true)
    const manifest = exchanges.find(({ url, method }) => /\/manifests\/sha256:/.test(String(url)) && method === 'GET')
    expect(manifest?.['bytes']).toBeGreaterThan(0)
    expect(JSON.stringify(exchanges)).not.toMatch(/bearer|basic|authorization|scope=/i)
  })

  test('bytes are counted by where they came from, and what the cache saves is their difference', async () => {
    const { bytes } = await npm.publish({ name: 'weighed', version: '1.0.0', padding: 50_000 })
    const file = { upstream: 'npmjs', type: 'npm', class: 'artifact' }
    const served = () =>
      Promise.all([
        read('entrepot_mirror_served_bytes_total', { ...file, source: 'upstream' }),
        read('entrepot_mirror_served_bytes_total', { ...file, source: 'cache' }),
        read('entrepot_upstream_fetched_bytes_total', file),
      ])
    const before = await served()
    const address = `${await server.listen()}/api/packages/npmjs/npm/weighed/-/weighed-1.0.0.tgz`
    const fetchIt = async () => (await (await fetch(address)).arrayBuffer()).byteLength
    expect(await fetchIt()).toBe(bytes.length)
    await settle()
    expect(await fetchIt()).toBe(bytes.length)
    expect(await fetchIt()).toBe(bytes.length)
    await expect
      .poll(async () => (await served()).map((value, index) => value - before[index]!))
      .toEqual([bytes.length, 2 * bytes.length, bytes.length])
    const labels = { upstream: 'npmjs', type: 'npm' }
    const sum =
      (await read('entrepot_mirror_served_bytes_total', labels)) -
      (await read('entrepot_upstream_fetched_bytes_total', labels))
    expect(await read('entrepot_mirror_saved_bytes', labels)).toBe(sum)
    expect(await read('entrepot_mirror_requests_total', { ...file, result: 'hit' })).toBeGreaterThanOrEqual(2)
    expect(await read('entrepot_upstream_responses_total', { ...file, status: '200' })).toBeGreaterThanOrEqual(1)
    expect(await read('entrepot_upstream_response_seconds_count', file)).toBeGreaterThanOrEqual(1)
    expect(await read('entrepot_upstream_queue_seconds_count', file)).toBeGreaterThanOrEqual(1)
    expect(await read('entrepot_mirror_document_age_seconds_count', labels)).toBeGreaterThanOrEqual(1)
    expect(await read('entrepot_upstream_flights', { ...labels, state: 'active' })).toBe(0)
    expect(await metrics()).toMatch(/^entrepot_spool_claimed_bytes 0$/m)
  })

  test('an upstream that limits the rate: Retry-After for clients, an event and a gauge for operators', async () => {
    npm.upstream.everything({ status: 429, headers: { 'retry-after': '120' } })
    const refused = await get('shaky/npm/limited')
    expect(refused.statusCode).toBe(503)
    expect(refused.headers).toMatchObject({
      'cache-control': 'no-store',
      'retry-after': '120',
      'cache-status': 'Entrepot; fwd=uri-miss; detail=RATE_LIMITED',
      'x-upstream': 'shaky',
    })
    expect(lines).toContainEqual(expect.objectContaining({ event: 'rate_limited', upstream: 'shaky', ms: 120_000 }))
    expect(await read('entrepot_upstream_events_total', { upstream: 'shaky', event: 'rate_limited' })).toBe(1)
    expect(await read('entrepot_upstream_trouble', { upstream: 'shaky', state: 'rate_limited' })).toBe(1)
    server.clock.advance(3 * MINUTE)
    npm.upstream.everything(null)
    expect(await read('entrepot_upstream_trouble', { upstream: 'shaky', state: 'rate_limited' })).toBe(0)
  })

  test('a registry that limits the rate: its clients are told so by 429', async () => {
    images.upstream.everything({ status: 429, headers: { 'retry-after': '90' } })
    const refused = await get('/v2/hub/library/limited/manifests/1')
    images.upstream.everything(null)
    server.clock.advance(2 * MINUTE)
    expect(refused.statusCode).toBe(429)
    expect(refused.headers).toMatchObject({
      'cache-control': 'no-store',
      'retry-after': '90',
      'cache-status': 'Entrepot; fwd=uri-miss; detail=RATE_LIMITED',
      'x-upstream': 'hub',
    })
  })

  test('what an upstream once had and denies now is an event, once', async () => {
    await npm.publish({ name: 'gone', version: '1.0.0' })
    await get('npmjs/npm/gone')
    await settle()
    npm.upstream.on('/gone', { status: 404 })
    for (let i = 0; i < 3; i += 1) {
      server.clock.advance(20 * MINUTE)
      expect((await get('npmjs/npm/gone')).headers).toMatchObject({ 'cache-status': expect.stringContaining('GONE') })
      await settle()
    }
    const told = lines.filter(({ event, upstream }) => event === 'withdrawn' && upstream === 'npmjs')
    expect(told.map(({ document }) => document)).toEqual(['packument:gone'])
  })

  test('what is passed on and never stored is in the log too', async () => {
    lines.length = 0
    expect((await get('npmjs/npm/-/v1/search?text=secret-plan')).statusCode).toBe(200)
    const passed = lines.filter(({ msg }) => msg === 'upstream asked')
    const answered = lines.find(({ path }) => String(path).endsWith('/-/v1/search'))!
    expect(passed).toEqual([
      expect.objectContaining({
        ...{ reqId: answered['reqId'], upstream: 'npmjs', status: 200 },
        url: expect.stringMatching(/\/-\/v1\/search$/),
      }),
    ])
    expect(JSON.stringify(lines)).not.toContain('secret-plan')
    expect(await read('entrepot_upstream_responses_total', { upstream: 'npmjs', class: 'pass', status: '200' })).toBe(1)
  })

  test('an upstream that is down is told of once, and once that it is back', async () => {
    npm.upstream.everything({ status: 500 })
    for (let i = 0; i < 8; i += 1) expect((await get(`shaky/npm/down-${i}`)).statusCode).toBeGreaterThanOrEqual(502)
    expect(await read('entrepot_upstream_trouble', { upstream: 'shaky', state: 'down' })).toBe(1)
    server.clock.advance(MINUTE)
    await get('shaky/npm/down-again')
    npm.upstream.everything(null)
    server.clock.advance(10 * MINUTE)
    expect((await get('shaky/npm/down-1')).statusCode).toBe(404)
    const told = lines.filter(({ upstream, event }) => upstream === 'shaky' && /^upstream\./.test(String(event)))
    expect(told.map(({ event }) => event)).toEqual(['upstream.down', 'upstream.up'])
    expect(await read('entrepot_upstream_events_total', { upstream: 'shaky', event: 'upstream.down' })).toBe(1)
    expect(await read('entrepot_upstream_trouble', { upstream: 'shaky', state: 'down' })).toBe(0)
  })

  test('refused credentials are an event, once a minute, and nowhere in the log', async () => {
    lines.length = 0
    npm.upstream.everything({ status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } })
    for (const name of ['a', 'b', 'c']) {
      const refused = await get(`corp/npm/${name}`, { authorization: server.admin })
      expect(refused.statusCode).toBe(502)
      expect(refused.headers['cache-status']).toBe('Entrepot; fwd=uri-miss; detail=AUTH_FAILED')
    }
    npm.upstream.everything(null)
    expect(lines.filter(({ event }) => event === 'auth_failed')).toMatchObject([{ upstream: 'corp' }])
    expect(await read('entrepot_upstream_trouble', { upstream: 'corp', state: 'auth_failed' })).toBe(1)
    server.clock.advance(2 * MINUTE)
    expect(await read('entrepot_upstream_trouble', { upstream: 'corp', state: 'auth_failed' })).toBe(0)
    const secrets = ['hunter2', Buffer.from('robot:hunter2-hunter2').toString('base64')]
    for (const secret of secrets) expect(JSON.stringify(lines)).not.toContain(secret)
  })

  test('bytes that contradict their digest are an event', async () => {
    await npm.publish({ name: 'liar', version: '1.0.0', digests: 'lying' })
    const refused = await get('npmjs/npm/liar/-/liar-1.0.0.tgz')
    expect(refused.statusCode).toBe(502)
    expect(refused.headers).toMatchObject({
      'cache-control': 'no-store',
      'cache-status': 'Entrepot; fwd=uri-miss; detail=BAD_DIGEST',
      'x-cache': 'MISS',
    })
    await settle()
    expect(lines).toContainEqual(
      expect.objectContaining({ event: 'integrity', upstream: 'npmjs', key: 'liar/-/liar-1.0.0.tgz' }),
    )
    expect(await read('entrepot_upstream_events_total', { upstream: 'npmjs', event: 'integrity' })).toBe(1)
  })
})
