import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeNpmRegistry } from '../../support/fake-npm-registry.ts'
import { createGate, silence } from '../../support/fake-upstream.ts'
import { TestApp, type TestAppOptions } from '../../support/test-app.ts'

const REG = '/api/packages/npmjs/npm'
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

let registry: FakeNpmRegistry
let server: TestApp
const started: TestApp[] = []

async function start(options: TestAppOptions = {}): Promise<TestApp> {
  const app = await TestApp.start({
    upstreams: { npmjs: { type: 'npm', owner: 'npmjs', url: registry.url, allowPrivateNetwork: true } },
    ...options,
  })
  started.push(app)
  return app
}

beforeEach(async () => {
  registry = await FakeNpmRegistry.start()
  server = await start()
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((app) => app.close()))
  await registry.close()
})

const get = (path: string, headers: Record<string, string> = {}, app = server) =>
  app.inject({ method: 'GET', url: `${REG}${path}`, headers })
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** Waits until what is being stored is stored. */
async function settle(app = server): Promise<void> {
  await app.services.upstream.settle()
}

interface Download {
  status: number
  body: Buffer
  /** null: the answer ended well. */
  error: string | null
}

/** A GET over a socket, which sees resets. */
function download(url: string, onData: (received: number, destroy: () => void) => void = () => {}): Promise<Download> {
  return new Promise((done) => {
    const chunks: Buffer[] = []
    let size = 0
    const outgoing = httpRequest(url, { agent: false }, (response) => {
      const end = (error: string | null) =>
        done({ status: response.statusCode ?? 0, body: Buffer.concat(chunks), error })
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        onData(size, () => outgoing.destroy())
      })
      response.on('end', () => end(null))
      response.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
    })
    outgoing.on('error', (error: NodeJS.ErrnoException) =>
      done({ status: 0, body: Buffer.concat(chunks), error: error.code ?? '?' }),
    )
    outgoing.end()
  })
}

describe('packuments', () => {
  test('are fetched once and rendered with our addresses', async () => {
    const tarball = await registry.publish({
      name: '@acme/lib',
      version: '1.0.0',
      manifest: { exports: { '.': './x.js' } },
    })
    const first = await get('/@acme%2flib')
    expect(first.statusCode).toBe(200)
    const { dist, exports } = first.json().versions['1.0.0']
    expect(dist.tarball).toBe('http://127.0.0.1:8080/api/packages/npmjs/npm/@acme/lib/-/lib-1.0.0.tgz')
    expect(dist.integrity).toBe(tarball.integrity)
    expect(exports).toEqual({ '.': './x.js' })
    expect(first.headers['cache-status']).toBe('Entrepot; fwd=uri-miss; fwd-status=200; stored')
    expect(first.headers['cache-control']).toBe('public, max-age=60, stale-while-revalidate=300, stale-if-error=86400')
    const second = await get('/@acme/lib')
    expect(second.body).toBe(first.body)
    expect(second.headers['cache-status']).toMatch(/^Entrepot; hit; ttl=\d+$/)
    expect(second.headers['x-cache']).toBe('HIT')
    expect(registry.upstream.count('/@acme/lib')).toBe(1)
  })

  test('come in both forms from one document, each with its ETag', async () => {
    await registry.publish({ name: 'left', version: '1.0.0', manifest: { custom: 1 } })
    const full = await get('/left')
    const short = await get('/left', {
      accept: 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*',
    })
    expect(short.headers['content-type']).toMatch('application/vnd.npm.install-v1+json')
    expect(short.json().versions['1.0.0'].custom).toBeUndefined()
    expect(short.json().time['1.0.0']).toBe(full.json().time['1.0.0'])
    expect(short.headers['etag']).not.toBe(full.headers['etag'])
    expect(short.headers['vary']).toBe('Accept, Accept-Encoding')
    const again = await get('/left', { 'if-none-match': String(full.headers['etag']) })
    expect(again.statusCode).toBe(304)
    expect(again.body).toBe('')
    expect(registry.upstream.count('/left')).toBe(1)
  })

  test('§3.1: are asked for again when a client says no-cache, at most once in ten seconds; only-if-cached asks nobody', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    const ask = async (cacheControl: string, path = '/left') =>
      (await get(path, { 'cache-control': cacheControl })).statusCode
    expect(await ask('only-if-cached')).toBe(504)
    expect(await ask('max-age=60, Only-If-Cached', '/left/-/left-1.0.0.tgz')).toBe(504)
    expect(registry.upstream.requests).toEqual([])
    expect(await ask('no-cache')).toBe(200)
    await settle()
    for (const [seconds, asked] of [
      [5, 1],
      [6, 2],
      [5, 2],
    ] as const) {
      server.clock.advance(seconds * 1_000)
      expect(await ask('max-age=0')).toBe(200)
      expect(await ask('no-cache')).toBe(200)
      await settle()
      expect(registry.upstream.count('/left')).toBe(asked)
    }
    server.clock.advance(DAY)
    expect(await ask('only-if-cached')).toBe(200)
    expect(await ask('only-if-cached', '/left/2.0.0')).toBe(504)
    expect(registry.upstream.count('/left')).toBe(2)
  })

  test('§14 check 9: are revalidated when they are no longer fresh, and 304 makes them fresh again', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await settle()
    server.clock.advance(16 * MINUTE)
    const revalidated = await get('/left')
    expect(revalidated.headers['cache-status']).toBe('Entrepot; fwd=stale; fwd-status=304')
    await settle()
    for (let i = 0; i < 3; i += 1) expect((await get('/left')).headers['x-cache']).toBe('HIT')
    expect(registry.upstream.count('/left')).toBe(2)
    expect(registry.upstream.asked('/left')[1]?.headers['if-none-match']).toBeDefined()
  })

  test('without validators are compared by their bytes and keep their ETag', async () => {
    registry.behaviour.etags = false
    await registry.publish({ name: 'left', version: '1.0.0' })
    const first = await get('/left')
    await settle()
    server.clock.advance(16 * MINUTE)
    const second = await get('/left')
    expect(second.headers['etag']).toBe(first.headers['etag'])
    expect(second.headers['cache-status']).toBe('Entrepot; fwd=stale; fwd-status=200')
  })

  test('a little stale are served at once and refreshed behind', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await settle()
    await registry.publish({ name: 'left', version: '1.1.0' })
    server.clock.advance(6 * MINUTE)
    const stale = await get('/left')
    expect(stale.json()['dist-tags'].latest).toBe('1.0.0')
    expect(stale.headers['cache-status']).toMatch(/hit; ttl=-\d+; detail=SWR$/)
    await settle()
    expect((await get('/left')).json()['dist-tags'].latest).toBe('1.1.0')
  })

  test('deprecations, tags and withdrawn versions of the upstream show after a refresh', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    await registry.publish({ name: 'left', version: '2.0.0' })
    await get('/left')
    await settle()
    registry.deprecate('left', '1.0.0', 'do not')
    registry.tag('left', 'old', '1.0.0')
    server.clock.advance(16 * MINUTE)
    const document = (await get('/left')).json()
    expect(document.versions['1.0.0'].deprecated).toBe('do not')
    expect(document['dist-tags'].old).toBe('1.0.0')
  })

  test('of an older state, from a lagging edge, do not replace newer ones', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    const before = registry.packument('left')
    await registry.publish({ name: 'left', version: '1.1.0' })
    await get('/left')
    await settle()
    registry.upstream.on('/left', { body: JSON.stringify(before) })
    server.clock.advance(16 * MINUTE)
    expect((await get('/left')).json()['dist-tags'].latest).toBe('1.1.0')
  })

  test('survive a restart', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    const first = await start({ dataDir: server.dataDir, databaseUrl: server.services.config.database.url })
    await get('/left', {}, first)
    await settle(first)
    const second = await start({ dataDir: server.dataDir, databaseUrl: server.services.config.database.url })
    expect((await get('/left', {}, second)).headers['x-cache']).toBe('HIT')
    expect(registry.upstream.count('/left')).toBe(1)
  })

  test('that the upstream does not have are 404, remembered for a minute', async () => {
    const missing = await get('/missing')
    expect(missing.statusCode).toBe(404)
    expect(missing.json()).toHaveProperty('error')
    expect(missing.headers['cache-control']).toBe('max-age=30')
    await get('/missing')
    expect(registry.upstream.count('/missing')).toBe(1)
    await registry.publish({ name: 'missing', version: '1.0.0' })
    server.clock.advance(MINUTE + 1)
    expect((await get('/missing')).statusCode).toBe(200)
  })

  test('§14 check 10: one manifest is served by version and by tag, a version younger than the held document too', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    expect((await get('/left/latest')).json().version).toBe('1.0.0')
    await settle()
    await registry.publish({ name: 'left', version: '1.1.0' })
    expect((await get('/left/1.1.0')).statusCode).toBe(404)
    server.clock.advance(11_000)
    expect((await get('/left/1.1.0')).json().version).toBe('1.1.0')
    expect((await get('/left/constructor')).statusCode).toBe(404)
  })

  test('names are case-sensitive', async () => {
    await registry.publish({ name: 'JSONStream', version: '1.0.0' })
    await registry.publish({ name: 'jsonstream', version: '2.0.0' })
    expect((await get('/JSONStream')).json().name).toBe('JSONStream')
    expect((await get('/jsonstream')).json().name).toBe('jsonstream')
  })
})

describe('tarballs', () => {
  test('are fetched once, verified, stored and listed', async () => {
    const { bytes } = await registry.publish({ name: '@acme/lib', version: '1.0.0' })
    const first = await get('/@acme/lib/-/lib-1.0.0.tgz')
    expect(first.statusCode).toBe(200)
    expect(first.rawPayload.equals(bytes)).toBe(true)
    expect(first.headers['cache-control']).toBe('public, max-age=31536000, s-maxage=86400, immutable')
    expect(first.headers['content-encoding']).toBeUndefined()
    await settle()
    const second = await get('/@acme%2flib/-/lib-1.0.0.tgz')
    expect(second.rawPayload.equals(bytes)).toBe(true)
    expect(second.headers['x-cache']).toBe('HIT')
    expect(second.headers['etag']).toBe(`"sha256:${sha256(bytes)}"`)
    expect(registry.upstream.count('/@acme/lib/-/lib-1.0.0.tgz')).toBe(1)
    const [listed] = (await server.api('GET', '/packages/npmjs')).json()
    expect(listed).toMatchObject({
      type: 'npm',
      name: '@acme/lib',
      version: '1.0.0',
      origin: 'cached',
      upstream: 'npmjs',
    })
    const [file] = (await server.api('GET', '/packages/npmjs/npm/@acme%2Flib/1.0.0/files')).json()
    expect(file).toMatchObject({ name: 'lib-1.0.0.tgz', size: bytes.length, sha256: sha256(bytes) })
  })

  test('warm answers of every kind run no SQL and ask nobody', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    const paths = ['/left', '/left/-/left-1.0.0.tgz', '/-/package/left/dist-tags']
    const accept = { accept: 'application/vnd.npm.install-v1+json' }
    for (const path of paths) await get(path)
    await get('/left', accept)
    await settle()
    for (const path of paths) await get(path)
    await server.quiet()
    const { queries } = server.services.db
    const asked = registry.upstream.requests.length
    for (const path of paths) expect((await get(path)).statusCode).toBe(200)
    expect((await get('/left', accept)).statusCode).toBe(200)
    const etag = String((await get('/left')).headers['etag'])
    expect((await get('/left', { 'if-none-match': etag })).statusCode).toBe(304)
    expect(server.services.db.queries).toBe(queries)
    expect(registry.upstream.requests.length).toBe(asked)
  })

  test('are served in ranges, and HEAD on a miss asks the upstream by HEAD', async () => {
    const { bytes } = await registry.publish({ name: 'left', version: '1.0.0' })
    const head = await server.inject({ method: 'HEAD', url: `${REG}/left/-/left-1.0.0.tgz` })
    expect(head.statusCode).toBe(200)
    expect(head.headers['content-length']).toBe(String(bytes.length))
    expect(registry.upstream.count('/left/-/left-1.0.0.tgz', 'GET')).toBe(0)
    const miss = await get('/left/-/left-1.0.0.tgz', { range: 'bytes=10-19' })
    expect(miss.statusCode).toBe(206)
    expect(miss.rawPayload.equals(bytes.subarray(10, 20))).toBe(true)
    await settle()
    const hit = await get('/left/-/left-1.0.0.tgz', { range: 'bytes=-5' })
    expect(hit.rawPayload.equals(bytes.subarray(-5))).toBe(true)
    expect((await get('/left/-/left-1.0.0.tgz', { range: 'bytes=99999999-' })).statusCode).toBe(416)
  })

  test('50 clients at once cause one upstream request, for the document too', async () => {
    const { bytes } = await registry.publish({ name: 'big', version: '1.0.0', padding: 3_000_000 })
    const url = `${await server.listen()}${REG}/big/-/big-1.0.0.tgz`
    const downloads = await Promise.all(Array.from({ length: 50 }, () => download(url)))
    for (const { status, body, error } of downloads) {
      expect({ status, error, digest: sha256(body) }).toEqual({ status: 200, error: null, digest: sha256(bytes) })
    }
    expect(registry.upstream.count('/big/-/big-1.0.0.tgz')).toBe(1)
    expect(registry.upstream.count('/big')).toBe(1)
  })

  test('the first byte does not wait for the last, and a client that leaves does not stop the fetch', async () => {
    const { bytes } = await registry.publish({ name: 'big', version: '1.0.0', padding: 3_000_000 })
    const gate = createGate()
    registry.upstream.on('/big/-/big-1.0.0.tgz', {
      ...registry.tarballAnswer('big', '1.0.0'),
      pauseAt: 1_000_000,
      resume: gate.opened,
    })
    const url = `${await server.listen()}${REG}/big/-/big-1.0.0.tgz`
    const left = await download(url, (_received, destroy) => destroy())
    expect(left.error).not.toBeNull()
    gate.open()
    await settle()
    const after = await download(url)
    expect(sha256(after.body)).toBe(sha256(bytes))
    expect(registry.upstream.count('/big/-/big-1.0.0.tgz')).toBe(1)
  })

  test('small ones that contradict the published integrity are never delivered and never stored', async () => {
    await registry.publish({ name: 'left', version: '1.0.0', digests: 'lying' })
    const refused = await get('/left/-/left-1.0.0.tgz')
    expect(refused.statusCode).toBe(502)
    expect(refused.json().error).toMatch(/npmjs.*sha512/)
    expect(refused.headers['cache-status']).toMatch('detail=BAD_DIGEST')
    expect(refused.headers['cache-control']).toBe('no-store')
    await settle()
    expect((await server.api('GET', '/packages/npmjs')).json()).toEqual([])
    expect((await get('/left/-/left-1.0.0.tgz')).statusCode).toBe(502)
    expect(registry.upstream.count('/left/-/left-1.0.0.tgz')).toBe(1)
    await registry.publish({ name: 'left', version: '1.0.0' })
    server.clock.advance(20 * MINUTE)
    expect((await get('/left/-/left-1.0.0.tgz')).statusCode).toBe(200)
  })

  test('§14 check 4: large ones are cut off before their end, so that no client ends well', async () => {
    const { bytes } = await registry.publish({ name: 'big', version: '1.0.0', padding: 3_000_000 })
    registry.upstream.on('/big/-/big-1.0.0.tgz', {
      ...registry.tarballAnswer('big', '1.0.0'),
      corruptAt: bytes.length - 100,
    })
    const url = `${await server.listen()}${REG}/big/-/big-1.0.0.tgz`
    for (const { body, error } of await Promise.all([download(url), download(url)])) {
      expect(error).not.toBeNull()
      expect(body.length).toBeLessThan(bytes.length)
    }
    await settle()
    expect((await server.api('GET', '/packages/npmjs')).json()).toEqual([])
    expect(await readdir(join(server.dataDir, 'spool'))).toEqual([])
    expect(await download(url)).toMatchObject({ status: 502, error: null })
  })

  test('with a SHA-1 only are checked by it', async () => {
    await registry.publish({ name: 'old', version: '0.1.0', digests: 'shasum' })
    expect((await get('/old/-/old-0.1.0.tgz')).statusCode).toBe(200)
    const other = await registry.publish({ name: 'else', version: '0.1.0', digests: 'shasum' })
    registry.upstream.on('/else/-/else-0.1.0.tgz', { body: other.bytes, corruptAt: 20 })
    expect((await get('/else/-/else-0.1.0.tgz')).statusCode).toBe(502)
  })

  test('§14 check 5: that break off are taken up again where they ended', async () => {
    const { bytes } = await registry.publish({ name: 'big', version: '1.0.0', padding: 3_000_000 })
    registry.upstream.on('/big/-/big-1.0.0.tgz', (_request, attempt) => ({
      ...registry.tarballAnswer('big', '1.0.0'),
      ...(attempt === 1 ? { cutAt: 2_000_000 } : {}),
    }))
    const { body, error } = await download(`${await server.listen()}${REG}/big/-/big-1.0.0.tgz`)
    expect({ error, digest: sha256(body) }).toEqual({ error: null, digest: sha256(bytes) })
    expect(registry.upstream.asked('/big/-/big-1.0.0.tgz')[1]?.headers['range']).toMatch(/^bytes=\d+-$/)
  })

  test('§14 check 14: that were removed here and republished with other bytes upstream are refused', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left/-/left-1.0.0.tgz')
    await settle()
    expect((await server.api('DELETE', '/packages/npmjs/npm/left/1.0.0')).statusCode).toBe(204)
    expect((await get('/left/-/left-1.0.0.tgz')).statusCode).toBe(200)
    expect(registry.upstream.count('/left/-/left-1.0.0.tgz')).toBe(2)
    await settle()
    await server.api('DELETE', '/packages/npmjs/npm/left/1.0.0')
    await registry.publish({ name: 'left', version: '1.0.0', padding: 10 })
    server.clock.advance(20 * MINUTE)
    const refused = await get('/left/-/left-1.0.0.tgz')
    expect(refused.statusCode).toBe(502)
    expect(refused.headers['cache-status']).toMatch('detail=REPUBLISHED')
  })

  test('whose document has not the version, or not the file, are 404 without a transfer', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    expect((await get('/left/-/left-9.9.9.tgz')).statusCode).toBe(404)
    expect((await get('/left/-/else.tgz')).statusCode).toBe(404)
    expect((await get('/nobody/-/nobody-1.0.0.tgz')).statusCode).toBe(404)
  })

  test('under a name of their own are found by it, and served under the standard one', async () => {
    registry.behaviour.tarballPath = (name, version) => `/${name}/download/${name}@${version}.tgz?token=x`
    const { bytes } = await registry.publish({ name: 'odd', version: '1.0.0' })
    expect((await get('/odd/-/odd-1.0.0.tgz')).rawPayload.equals(bytes)).toBe(true)
    await settle()
    expect((await get('/odd/-/odd@1.0.0.tgz')).headers['x-cache']).toBe('HIT')
  })

  test('said to be on a foreign host are asked of the upstream itself, or not at all', async () => {
    registry.behaviour.tarballOrigin = 'http://169.254.169.254'
    const { bytes } = await registry.publish({ name: 'left', version: '1.0.0' })
    expect((await get('/left/-/left-1.0.0.tgz')).rawPayload.equals(bytes)).toBe(true)
    registry.behaviour.tarballPath = () => '/latest/meta-data/'
    await registry.publish({ name: 'evil', version: '1.0.0' })
    const refused = await get('/evil/-/evil-1.0.0.tgz')
    expect(refused.statusCode).toBe(502)
    expect(refused.headers['cache-status']).toMatch('detail=FOREIGN_HOST')
  })
})

describe('an upstream that fails', () => {
  const failures = {
    'is down': async () => registry.upstream.down(),
    'answers 500': async () => registry.upstream.everything({ status: 500 }),
    'answers 503': async () => registry.upstream.everything({ status: 503 }),
    'answers 429': async () => registry.upstream.everything({ status: 429, headers: { 'retry-after': '120' } }),
    'refuses us with 403': async () => registry.upstream.everything({ status: 403 }),
    'answers HTML': async () =>
      registry.upstream.everything({ headers: { 'content-type': 'text/html' }, body: '<html>log in</html>' }),
    'cuts its answers': async () => registry.upstream.everything({ body: 'x'.repeat(5_000), cutAt: 100 }),
    'speaks of another package': async () => registry.upstream.everything({ body: '{"name":"other","versions":{}}' }),
  }

  test.each(Object.entries(failures))(
    '%s: what is held is served, what is not held is never 404',
    async (_name, fail) => {
      await registry.publish({ name: 'left', version: '1.0.0' })
      await registry.publish({ name: 'right', version: '1.0.0' })
      await get('/left')
      await get('/left/-/left-1.0.0.tgz')
      await settle()
      await fail()
      server.clock.advance(2 * DAY)
      const document = await get('/left')
      expect(document.statusCode).toBe(200)
      expect(document.headers['cache-status']).toMatch(/hit; ttl=-\d+; detail=STALE_ERROR/)
      expect(document.headers['x-cache']).toBe('STALE')
      expect((await get('/left/-/left-1.0.0.tgz')).statusCode).toBe(200)
      for (const path of ['/right', '/right/-/right-1.0.0.tgz', '/right/latest']) {
        const unknown = await get(path)
        expect([502, 503, 504], `${path}: ${unknown.body}`).toContain(unknown.statusCode)
        expect(unknown.json().error).toMatch(/npmjs|upstream|http/)
        expect(unknown.headers['cache-control']).toBe('no-store')
      }
    },
  )

  test('recovers without a restart, and 404s were not remembered', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    registry.upstream.everything({ status: 500 })
    for (let i = 0; i < 6; i += 1) expect((await get('/left')).statusCode).toBeGreaterThanOrEqual(500)
    const asked = registry.upstream.requests.length
    expect((await get('/left')).statusCode).toBe(503)
    expect(registry.upstream.requests.length).toBe(asked)
    registry.upstream.everything(null)
    server.clock.advance(20_000)
    expect((await get('/left')).statusCode).toBe(200)
  })

  test('hangs: a stale document is served after the wait, and the next one at once', async () => {
    await server.close()
    started.pop()
    server = await start({
      environment: { ENTREPOT_MIRRORS_STALE_WAIT: '50ms', ENTREPOT_MIRRORS_DOCUMENT_TIMEOUT: '2s' },
    })
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await settle()
    registry.upstream.everything(silence)
    server.clock.advance(DAY)
    const slow = await get('/left')
    expect(slow.statusCode).toBe(200)
    expect(slow.headers['cache-status']).toMatch('detail=STALE_SLOW')
    const unknown = await get('/right')
    expect(unknown.statusCode).toBe(504)
  })

  test('too long ago: beyond staleIfError the failure is told', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await settle()
    await registry.upstream.down()
    server.clock.advance(8 * DAY)
    expect((await get('/left')).statusCode).toBe(502)
  })

  test('is another one since the restart, and down: what is held is served all the same', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    const { dataDir } = server
    const databaseUrl = server.services.config.database.url
    const first = await start({ dataDir, databaseUrl })
    await get('/left', {}, first)
    await settle(first)
    const url = 'http://127.0.0.1:9/'
    const upstreams = { npmjs: { type: 'npm', owner: 'npmjs', url, allowPrivateNetwork: true } }
    const second = await start({ dataDir, databaseUrl, upstreams })
    const held = await get('/left', {}, second)
    expect(held.statusCode).toBe(200)
    expect(held.headers['cache-status']).toMatch('detail=STALE_ERROR')
  })

  test('fails after an invalidation: what is held is served', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await settle()
    await server.api('POST', '/admin/upstreams/npmjs/invalidate', {})
    await registry.upstream.down()
    expect((await get('/left')).headers['cache-status']).toMatch('detail=STALE_ERROR')
  })

  test('denies what it once had: the held copy stays', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await get('/left/-/left-1.0.0.tgz')
    await settle()
    registry.unpublish('left')
    server.clock.advance(DAY)
    const document = await get('/left')
    expect(document.statusCode).toBe(200)
    expect(document.headers['cache-status']).toMatch('detail=GONE')
    expect((await get('/left/-/left-1.0.0.tgz')).statusCode).toBe(200)
  })

  test('never sees the client: no credentials, no cookies, no address', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    const token = await server.createToken('root', ['read:package'], server.admin)
    const headers = {
      authorization: `Bearer ${token}`,
      cookie: 'a=b',
      'npm-session': 'x',
      'x-forwarded-for': '10.9.8.7',
    }
    await get('/left', headers)
    await get('/left/-/left-1.0.0.tgz', headers)
    await get('/-/v1/search?text=left&size=20', headers)
    await server.inject({
      method: 'POST',
      url: `${REG}/-/npm/v1/security/advisories/bulk`,
      headers: { ...headers, 'content-type': 'application/json' },
      payload: { left: ['1.0.0'] },
    })
    expect(registry.searches).toHaveLength(1)
    expect(registry.audits).toHaveLength(1)
    expect(registry.upstream.requests.length).toBeGreaterThanOrEqual(4)
    for (const request of registry.upstream.requests) {
      for (const name of ['authorization', 'cookie', 'npm-session', 'x-forwarded-for', 'forwarded', 'via']) {
        expect(request.headers[name], `${request.path} ${name}`).toBeUndefined()
      }
      expect(JSON.stringify(request.headers)).not.toContain(token)
      expect(request.headers['user-agent']).toMatch(/^Entrepot\//)
    }
  })
})

describe('where an upstream leads', () => {
  test('redirects are followed, within bounds (security.md S39, S40)', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    registry.upstream.on('/moved', { status: 302, headers: { location: '/left' } })
    registry.upstream.on('/loop', { status: 302, headers: { location: '/loop' } })
    registry.upstream.on('/metadata', { status: 302, headers: { location: 'http://169.254.169.254/latest/' } })
    registry.upstream.on('/file', { status: 302, headers: { location: 'file:///etc/passwd' } })
    // It is about another package than the one asked for.
    expect((await get('/moved')).statusCode).toBe(502)
    for (const path of ['/loop', '/metadata', '/file']) expect((await get(path)).statusCode).toBe(502)
    expect(registry.upstream.count('/loop')).toBe(6)
  })

  test('a private network is refused unless the upstream file allows it, in words', async () => {
    const closed = await start({ upstreams: { npmjs: { type: 'npm', owner: 'npmjs', url: registry.url } } })
    const refused = await get('/left', {}, closed)
    expect(refused.statusCode).toBe(502)
    expect(refused.json().error).toMatch(/private network/)
    expect(registry.upstream.requests).toEqual([])
  })
})

describe('hostile paths on a mirror', () => {
  test.each([
    '/..%2f..%2fetc%2fpasswd',
    '/%2e%2e/%2e%2e/x',
    '/a%00b',
    '/a%5cb',
    '/@scope%2f..%2fx',
    '/left/-/..%2f..%2fx.tgz',
    '/left/-/%2e%2e',
    `/${'a'.repeat(215)}`,
    '/a%0d%0aSet-Cookie:x',
    '/%',
    '/%ff',
  ])('%s is refused and nothing is asked', async (path) => {
    const response = await get(path)
    expect([400, 404]).toContain(response.statusCode)
    expect(
      registry.upstream.requests.filter(({ path: asked }) => asked.includes('..') || asked.includes('\0')),
    ).toEqual([])
  })
})

test('publishing to a mirror is 405, signing in there 403', async () => {
  for (const [method, path] of [
    ['PUT', '/left'],
    ['DELETE', '/left/-rev/1'],
    ['PUT', '/-/package/left/dist-tags/x'],
  ] as const) {
    const response = await server.inject({
      method,
      url: `${REG}${path}`,
      headers: { authorization: server.admin },
      payload: '"1.0.0"',
    })
    expect(response.statusCode).toBe(405)
    expect(response.json().error).toMatch(/mirror/)
  }
  const login = await server.inject({
    method: 'PUT',
    url: `${REG}/-/user/org.couchdb.user:root`,
    payload: { name: 'root', password: 'correct-horse-battery' },
  })
  expect(login.statusCode).toBe(403)
  expect(registry.upstream.requests).toEqual([])
})

describe('an upstream that is switched', () => {
  const mode = (to: string) => server.api('POST', '/admin/upstreams/npmjs/mode', { mode: to })

  test('§14 check 18: offline, nothing is asked, what is held is served, what is not is 404 with the reason', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await get('/left/-/left-1.0.0.tgz')
    await settle()
    expect((await mode('offline')).statusCode).toBeLessThan(300)
    const asked = registry.upstream.requests.length
    server.clock.advance(30 * DAY)
    expect((await get('/left')).headers['cache-status']).toMatch('detail=OFFLINE')
    expect((await get('/left/-/left-1.0.0.tgz')).statusCode).toBe(200)
    const missing = await get('/right')
    expect(missing.statusCode).toBe(404)
    expect(missing.json().error).toMatch(/offline/)
    expect(registry.upstream.requests.length).toBe(asked)
  })

  test('blocked: nothing is served', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await mode('blocked')
    expect((await get('/left')).statusCode).toBe(403)
    expect((await get('/left/-/left-1.0.0.tgz')).statusCode).toBe(403)
    await mode('online')
    expect((await get('/left')).statusCode).toBe(200)
  })

  test('invalidate asks again, purge forgets', async () => {
    await registry.publish({ name: 'left', version: '1.0.0' })
    await get('/left')
    await get('/left/-/left-1.0.0.tgz')
    await settle()
    await server.api('POST', '/admin/upstreams/npmjs/invalidate', { name: 'left' })
    expect((await get('/left')).headers['cache-status']).toMatch('fwd=stale')
    await settle()
    await server.api('POST', '/admin/upstreams/npmjs/purge', { name: 'left' })
    expect((await server.api('GET', '/packages/npmjs')).json()).toEqual([])
    expect((await get('/left/-/left-1.0.0.tgz')).headers['x-cache']).toBe('MISS')
  })
})
