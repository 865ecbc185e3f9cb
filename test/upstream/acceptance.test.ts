import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.ts'
import { digestsOf } from '../../src/storage/digest.ts'
import type { DocumentRequest, UpstreamAdapter } from '../../src/upstream/adapter.ts'
import { UpstreamClient } from '../../src/upstream/client.ts'
import type { DocumentOptions } from '../../src/upstream/documents.ts'
import { type Answer, createGate, FakeUpstream, silence } from '../support/fake-upstream.ts'
import { TestEngine, type TestEngineOptions } from '../support/test-engine.ts'
import { settingsOf } from '../support/upstream-settings.ts'
import { digestOf, open, receive, sha256, wanted } from './wanted.ts'

// The acceptance checks of pull-through.md §14, each by its number, on the engine itself. What needs a package type or a
// second server is elsewhere under the same kind of title: 4, 5, 9, 10 and 14 again by HTTP in
// package-types/npm/mirror.test.ts, 11 in package-types/npm/organization-view.test.ts, 12 in
// package-types/npm/policies.test.ts, 15 in full-disk.test.ts, 16 in chain.test.ts, 17 in replicas.test.ts.

const MIB = 1024 * 1024
const SECOND = 1_000
const MINUTE = 60 * SECOND
const PATH = 'v2/app/layer'
const AT = `/${PATH}`

let fake: FakeUpstream
let engine: TestEngine
const closing: { close(): Promise<void> }[] = []

beforeEach(async () => {
  fake = await FakeUpstream.start()
})
afterEach(async () => {
  for (const one of closing.splice(0).reverse()) await one.close()
  await fake.close()
})

async function start(options: Partial<TestEngineOptions> = {}): Promise<void> {
  engine = await TestEngine.start({ url: fake.url, ...options })
  closing.push(engine)
}

async function startOther(): Promise<FakeUpstream> {
  const other = await FakeUpstream.start()
  closing.push(other)
  return other
}

const document: DocumentRequest<string> = {
  kind: 'doc',
  key: 'app',
  path: 'v2/app/doc',
  accept: 'text/plain',
  parse: (body) => body.toString(),
}
const DOC = '/v2/app/doc'

async function read(options: DocumentOptions = {}, request = document) {
  const held = await engine.services.upstream.documents.get(engine.upstream, request, options)
  return { text: await held.accepted(), ...held.status }
}

const get = (location = {}, path = PATH) => open(engine, wanted(engine, path, location))

describe('an artifact that is not held', () => {
  const BODY = randomBytes(8 * MIB)

  test('§14 check 1: is fetched once for 50 clients, whose first bytes do not wait for its last', async () => {
    await start()
    const gate = createGate()
    fake.on(AT, { body: BODY, pauseAt: 4 * MIB, resume: gate.opened })
    const begun = new Set<number>()
    const clients = Array.from({ length: 50 }, async (_, index) =>
      receive(await get({ digest: digestOf(BODY) }), { onBytes: () => begun.add(index) }),
    )
    await expect.poll(() => begun.size, { timeout: 30_000 }).toBe(50)
    gate.open()
    for (const { bytes, failure } of await Promise.all(clients)) {
      expect(failure).toBe(null)
      expect(bytes.equals(BODY)).toBe(true)
    }
    expect(fake.count(AT)).toBe(1)
  })

  test('§14 check 2: reaches a fast client whole while a slow one takes its time', async () => {
    await start()
    fake.on(AT, { body: BODY })
    const gate = createGate()
    const slow = receive(await get(), { onBytes: () => gate.opened })
    const fast = await receive(await get())
    expect(sha256(fast.bytes)).toBe(sha256(BODY))
    gate.open()
    expect(sha256((await slow).bytes)).toBe(sha256(BODY))
    expect(fake.count(AT)).toBe(1)
  })

  test('§14 check 3: is fetched to its end for a client that leaves at 60 %, and held for the next', async () => {
    await start()
    const gate = createGate()
    fake.on(AT, { body: BODY, pauseAt: 6 * MIB, resume: gate.opened })
    const { failure } = await receive(await get(), {
      onBytes: (received) => {
        if (received > 0.6 * BODY.length) throw new Error('gone')
      },
    })
    expect(failure).toMatchObject({ message: 'gone' })
    gate.open()
    await engine.settle()
    const next = await get()
    expect(next.status.hit).toBe(true)
    expect(sha256((await receive(next)).bytes)).toBe(sha256(BODY))
    expect(fake.count(AT)).toBe(1)
  })

  test('§14 check 4, S41: with a wrong end never ends well, leaves nothing, and is refused for a minute', async () => {
    await start()
    fake.on(AT, { body: BODY, corruptAt: BODY.length - 1_000 })
    const { bytes, failure } = await receive(await get({ digest: digestOf(BODY) }))
    expect(failure).toMatchObject({ status: 502, detail: 'BAD_DIGEST' })
    expect(bytes.length).toBeLessThan(BODY.length)
    await engine.settle()
    const { models } = engine.services
    expect(await models.packageFile.count()).toBe(0)
    expect(await models.packageBlob.count()).toBe(0)
    await expect(get({ digest: digestOf(BODY) })).rejects.toMatchObject({ status: 502 })
    expect(fake.count(AT)).toBe(1)
    engine.clock.advance(MINUTE + SECOND)
    fake.on(AT, { body: BODY })
    expect(sha256((await receive(await get({ digest: digestOf(BODY) }))).bytes)).toBe(sha256(BODY))
  })

  test('§14 check 5: is taken up again by Range when the upstream closes at 70 %', async () => {
    await start()
    const cutAt = Math.floor(0.7 * BODY.length)
    fake.on(AT, (_, attempt) => ({ body: BODY, etag: true, ranges: true, ...(attempt === 1 ? { cutAt } : {}) }))
    const { bytes, failure } = await receive(await get())
    expect({ failure, sha256: sha256(bytes) }).toEqual({ failure: null, sha256: sha256(BODY) })
    expect(fake.asked(AT).map(({ headers }) => headers.range)).toEqual([undefined, `bytes=${cutAt}-`])
  })
})

describe('credentials', () => {
  const secrets = { U: 'me', P: 'secret' }
  const auth = (kind: 'basic' | 'docker') => ({ auth: { kind, usernameEnv: 'U', passwordEnv: 'P' } })

  test('§14 check 6: stay behind when the upstream redirects to another host', async () => {
    await start({ file: auth('basic'), environment: secrets })
    const cdn = await startOther()
    cdn.fallback = { body: 'bytes' }
    fake.on(AT, { status: 302, headers: { location: `${cdn.url}/signed?by=them` } })
    expect((await receive(await get())).bytes.toString()).toBe('bytes')
    expect(fake.requests[0]?.headers.authorization).toMatch(/^Basic /)
    expect(cdn.requests[0]?.headers).not.toHaveProperty('authorization')
    expect(cdn.requests[0]?.headers).not.toHaveProperty('cookie')
  })

  test('§14 check 6: a redirect to a private or a metadata address is refused (security.md S40)', async () => {
    const { mirrors } = await loadConfig({ ENTREPOT_MIRRORS_RETRIES: '0' })
    const settings = settingsOf(fake.url, { privateNetwork: 'origin' })
    const client = new UpstreamClient({
      ...{ settings, adapter: {} as UpstreamAdapter, config: mirrors, clock: { now: Date.now }, version: '0' },
    })
    closing.push(client)
    const { port } = new URL(fake.url)
    for (const host of [`127.0.0.2:${port}`, `localhost:${port}`, '169.254.169.254', '[::ffff:10.0.0.1]', '0.0.0.0']) {
      fake.on('/x', { status: 302, headers: { location: `http://${host}/y` } })
      const signal = AbortSignal.timeout(10_000)
      const asked = client.send({
        url: new URL('/x', fake.url),
        headers: {},
        use: 'document',
        headersTimeout: 5_000,
        signal,
      })
      await expect(asked).rejects.toMatchObject({ kind: 'upstream-unavailable', status: 502 })
    }
    expect(fake.count('/y')).toBe(0)
  })

  test('§14 check 7: are not sent to a realm on a foreign host', async () => {
    await start({ file: auth('docker'), environment: secrets, adapter: { tokenScope: () => 'repository:app:pull' } })
    const thief = await startOther()
    const realm = `${thief.url.replace('127.0.0.1', 'localhost')}/token`
    fake.on(AT, { status: 401, headers: { 'www-authenticate': `Bearer realm="${realm}",service="s"` } })
    await expect(get()).rejects.toMatchObject({ detail: 'FOREIGN_HOST' })
    expect(thief.connections).toBe(0)
  })
})

describe('a document', () => {
  test.each([
    ['503', { status: 503 }, 503],
    ['500', { status: 500 }, 502],
    ['429', { status: 429, headers: { 'retry-after': '7' } }, 503],
    ['a silence', silence, 504],
    ['a cut', { refuse: true }, 502],
  ] satisfies [string, Answer, number][])(
    '§14 check 8: is served stale after %s, a failure but no absence where none is held, and recovers by itself',
    async (_, failing, status) => {
      await start({ environment: { ENTREPOT_MIRRORS_DOCUMENT_TIMEOUT: '300ms' } })
      fake.on(DOC, { body: 'one', etag: true })
      await read()
      await engine.settle()
      engine.clock.advance(20 * MINUTE)
      fake.everything(failing)
      expect(await read()).toMatchObject({ text: 'one', detail: 'STALE_ERROR' })
      await engine.settle()
      engine.clock.advance(20 * MINUTE)
      const other = { ...document, key: 'other', path: 'v2/other/doc' }
      await expect(read({}, other)).rejects.toMatchObject({ kind: 'upstream-unavailable', status })
      await engine.settle()
      fake.everything(null)
      fake.on('/v2/other/doc', { body: 'other' })
      engine.clock.advance(20 * MINUTE)
      expect((await read({}, other)).text).toBe('other')
      expect(await read()).toMatchObject({ text: 'one', fwdStatus: 304 })
    },
  )

  test('§14 check 9: is asked for once per fresh time, for a 304 makes it fresh', async () => {
    await start()
    fake.on(DOC, { body: 'one', etag: true })
    await read()
    await engine.settle()
    for (let round = 1; round <= 3; round += 1) {
      engine.clock.advance(16 * MINUTE)
      for (let request = 0; request < 5; request += 1) {
        await read()
        await engine.settle()
      }
      expect(fake.count(DOC)).toBe(1 + round)
    }
  })

  test('§14 check 10: that is fresh is asked for again for what it does not name, once within ten seconds', async () => {
    await start()
    fake.on(DOC, { body: '1.0' })
    await read()
    await engine.settle()
    fake.on(DOC, { body: '1.0 1.1' })
    engine.clock.advance(9 * SECOND)
    expect((await read({ revalidate: true })).text).toBe('1.0')
    engine.clock.advance(2 * SECOND)
    expect((await read()).text).toBe('1.0')
    for (let request = 0; request < 5; request += 1) {
      expect((await read({ revalidate: true })).text).toBe('1.0 1.1')
      await engine.settle()
    }
    expect(fake.count(DOC)).toBe(2)
  })

  test('§3.1: from a lagging edge does not replace a newer one, and is asked for again after half a minute', async () => {
    await start()
    const counted = { ...document, isOlder: (candidate: string, held: string) => Number(candidate) < Number(held) }
    fake.on(DOC, { body: '2' })
    await read({}, counted)
    await engine.settle()
    fake.on(DOC, { body: '1' })
    engine.clock.advance(20 * MINUTE)
    expect((await read({}, counted)).text).toBe('2')
    await engine.settle()
    engine.clock.advance(29 * SECOND)
    await read({}, counted)
    await engine.settle()
    expect(fake.count(DOC)).toBe(2)
    fake.on(DOC, { body: '3' })
    engine.clock.advance(2 * SECOND)
    await read({}, counted)
    await engine.settle()
    expect((await read({}, counted)).text).toBe('3')
  })

  test('§3.1: wanted only if it is held is served as it is, or 504', async () => {
    await start()
    fake.on(DOC, { body: 'one' })
    await expect(read({ onlyIfCached: true })).rejects.toMatchObject({ status: 504 })
    await read()
    await engine.settle()
    engine.clock.advance(60 * MINUTE)
    fake.on(AT, { body: 'bytes' })
    expect((await read({ onlyIfCached: true })).text).toBe('one')
    await expect(open(engine, wanted(engine, PATH, {}, { onlyIfCached: true }))).rejects.toMatchObject({ status: 504 })
    expect(fake.requests).toHaveLength(1)
  })

  test('§6.3: that is a tag is left alone for hours when hardly any requests are left', async () => {
    await start()
    const tag: DocumentRequest<string> = {
      ...document,
      times: { fresh: MINUTE, staleWhileRevalidate: 0, staleWait: SECOND },
      describe: { fromHead: ({ digest }) => Buffer.from(digest ?? ''), fromBody: (_, body) => body },
    }
    const answer = (remaining: number): Answer => ({
      headers: { digest: 'sha256:1', 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': `${remaining};w=21600` },
    })
    fake.on(DOC, answer(5))
    await read({}, tag)
    await engine.settle()
    engine.clock.advance(5 * 60 * MINUTE)
    expect(await read({}, tag)).toMatchObject({ hit: true })
    expect(fake.count(DOC)).toBe(1)
    engine.clock.advance(2 * 60 * MINUTE)
    await read({}, tag)
    expect(fake.count(DOC)).toBe(2)
  })
})

describe('what is held', () => {
  test('§14 check 14: and removed here is refused when it comes back with other bytes', async () => {
    await start()
    fake.on(AT, { body: 'first' })
    await receive(await get())
    await engine.settle()
    await engine.services.upstream.purge('probe')
    fake.on(AT, { body: 'other' })
    await expect(get()).rejects.toMatchObject({ status: 502, detail: 'REPUBLISHED' })
    await engine.settle()
    await engine.services.upstream.invalidate('probe')
    fake.on(AT, { body: 'first' })
    expect((await receive(await get())).bytes.toString()).toBe('first')
  })

  test('§14 check 18: is all that a mirror offline serves, and no socket is opened', async () => {
    await start()
    fake.on(AT, { body: 'bytes' })
    fake.on(DOC, { body: 'one' })
    await receive(await get())
    await read()
    await engine.settle()
    await engine.services.upstream.setMode('probe', 'offline')
    const { connections } = fake
    fake.forget()
    engine.clock.advance(400 * 24 * 60 * MINUTE)
    expect((await receive(await get())).bytes.toString()).toBe('bytes')
    expect(await read({ revalidate: true })).toMatchObject({ text: 'one', detail: 'OFFLINE' })
    for (const method of ['GET', 'HEAD'] as const) {
      const other = wanted(engine, 'v2/other/layer', {}, { method })
      await expect(open(engine, other)).rejects.toMatchObject({ kind: 'not-found', message: /offline/ })
    }
    await expect(read({}, { ...document, key: 'other' })).rejects.toMatchObject({ kind: 'not-found' })
    await engine.settle()
    expect([fake.connections, fake.requests.length]).toEqual([connections, 0])
  })

  test('§14 check 19: under keys that differ in case only is two things', async () => {
    await start()
    for (const name of ['Foo', 'foo']) {
      fake.on(`/v2/${name}`, { body: `artifact ${name}` })
      fake.on(`/doc/${name}`, { body: `document ${name}` })
    }
    const documentOf = (name: string) => ({ ...document, key: name, path: `doc/${name}` })
    for (let round = 0; round < 2; round += 1) {
      for (const name of ['Foo', 'foo']) {
        expect((await receive(await get({}, `v2/${name}`))).bytes.toString()).toBe(`artifact ${name}`)
        expect((await read({}, documentOf(name))).text).toBe(`document ${name}`)
        await engine.settle()
      }
    }
    expect(fake.requests).toHaveLength(4)
  })

  test('§14 check 20: with equal MD5 digests is held twice', async () => {
    await start()
    const [one, two] = COLLISION.map((hex) => Buffer.from(hex, 'hex')) as [Buffer, Buffer]
    expect(digestsOf(one).md5).toBe(digestsOf(two).md5)
    fake.on('/v2/one', { body: one })
    fake.on('/v2/two', { body: two })
    for (let round = 0; round < 2; round += 1) {
      for (const [name, body] of [
        ['one', one],
        ['two', two],
      ] as const) {
        expect((await receive(await get({}, `v2/${name}`))).bytes.equals(body)).toBe(true)
        await engine.settle()
      }
    }
    expect(fake.requests).toHaveLength(2)
  })
})

/** Wang and Yu's: two blocks, six bits apart. */
const COLLISION = [
  'd131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70',
  'd131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f8955ad340609f4b30283e4888325f1415a085125e8f7cdc99fd91dbd7280373c5bd8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0e99f33420f577ee8ce54b67080280d1ec69821bcb6a8839396f965ab6ff72a70',
] as const
