import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DocumentRequest } from '../../src/upstream/adapter.ts'
import { createGate, FakeUpstream } from '../support/fake-upstream.ts'
import { createMigratedDatabaseUrl } from '../support/test-database.ts'
import { TestEngine } from '../support/test-engine.ts'
import { digestOf, open, receive, sha256, wanted } from './wanted.ts'

const MIB = 1024 * 1024
const MINUTE = 60_000
const REDIS = process.env['TEST_REDIS_URL']
const PATH = 'v2/app/layer'
const AT = `/${PATH}`

let fake: FakeUpstream
let folder: string
let database: Awaited<ReturnType<typeof createMigratedDatabaseUrl>>
let one: TestEngine
let two: TestEngine

beforeEach(async () => {
  fake = await FakeUpstream.start()
  folder = await mkdtemp(join(tmpdir(), 'entrepot-replicas-'))
  database = await createMigratedDatabaseUrl(folder)
})
afterEach(async () => {
  for (const engine of [one, two]) await engine.close()
  await fake.close()
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

async function start(redis: string | null = REDIS ?? null): Promise<void> {
  const begin = () =>
    TestEngine.start({
      url: fake.url,
      dataDir: folder,
      databaseUrl: database.url,
      environment: redis === null ? {} : { ENTREPOT_REDIS_URL: redis },
    })
  one = await begin()
  two = await begin()
}

/** The Redis of the tests under an address of its own, which can go away. */
async function startRedis(): Promise<{ url: string; kill: () => void }> {
  const sockets = new Set<Socket>()
  const { hostname, port } = new URL(REDIS!)
  const server = createServer((socket) => {
    const redis = connect(Number(port || 6379), hostname)
    for (const one of [socket, redis]) {
      sockets.add(one)
      one.on('error', () => {})
    }
    socket.pipe(redis).pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    kill: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

const document: DocumentRequest<string> = {
  kind: 'doc',
  key: 'app',
  path: 'v2/app/doc',
  accept: 'text/plain',
  parse: (body) => body.toString(),
}

async function read(engine: TestEngine) {
  const held = await engine.services.upstream.documents.get(engine.upstream, document)
  return { text: await held.accepted(), ...held.status }
}

const get = (engine: TestEngine, body: Buffer) => open(engine, wanted(engine, PATH, { digest: digestOf(body) }))

describe.skipIf(REDIS === undefined)('two replicas with Redis', () => {
  test('§14 check 17: ask once for a small artifact that both want', async () => {
    await start()
    const body = randomBytes(2 * MIB)
    const gate = createGate()
    fake.on(AT, { body, before: gate.opened })
    const both = [one, two].map(async (engine) => receive(await get(engine, body)))
    await expect.poll(() => fake.count(AT)).toBe(1)
    gate.open()
    for (const { bytes, failure } of await Promise.all(both)) {
      expect({ failure, sha256: sha256(bytes) }).toEqual({ failure: null, sha256: sha256(body) })
    }
    expect(fake.count(AT)).toBe(1)
  })

  test('§14 check 17: ask at most twice for a large artifact, and neither client waits for the other', async () => {
    await start()
    const body = randomBytes(40 * MIB)
    const gate = createGate()
    fake.on(AT, { body, pauseAt: 20 * MIB, resume: gate.opened })
    const began: number[] = []
    const all = [one, two, one, two].map(async (engine, index) =>
      receive(await get(engine, body), { onBytes: () => began.push(index) }),
    )
    await expect.poll(() => new Set(began).size, { timeout: 20_000 }).toBe(4)
    gate.open()
    for (const { bytes } of await Promise.all(all)) expect(sha256(bytes)).toBe(sha256(body))
    expect(fake.count(AT)).toBe(2)
  })

  test('§14 check 17: are right without Redis when it is gone, and say that they are degraded', async () => {
    const redis = await startRedis()
    await start(redis.url)
    const body = randomBytes(2 * MIB)
    fake.on(AT, { body })
    fake.on('/v2/app/doc', { body: 'one', etag: true })
    redis.kill()
    for (const engine of [one, two]) {
      expect(sha256((await receive(await get(engine, body))).bytes)).toBe(sha256(body))
      expect((await read(engine)).text).toBe('one')
      await engine.settle()
    }
    expect(fake.count(AT)).toBeLessThanOrEqual(2)
    expect(await one.services.metrics.registry.metrics()).toContain('entrepot_coordination_degraded 1')
  })

  test('ask once for a document that both want, and both have what the answer made of it', async () => {
    await start()
    const gate = createGate()
    fake.on('/v2/app/doc', { body: 'one', before: gate.opened })
    const both = Promise.all([read(one), read(two)])
    await expect.poll(() => fake.count('/v2/app/doc')).toBe(1)
    gate.open()
    expect((await both).map(({ text }) => text)).toEqual(['one', 'one'])
    expect(fake.count('/v2/app/doc')).toBe(1)
  })

  test('a 304 makes the document fresh on both', async () => {
    await start()
    fake.on('/v2/app/doc', { body: 'one', etag: true })
    await read(one)
    await one.settle()
    await read(two)
    for (const engine of [one, two]) engine.clock.advance(20 * MINUTE)
    expect(await read(one)).toMatchObject({ fwdStatus: 304 })
    await one.settle()
    await expect.poll(async () => (await read(two)).ttl).toBeGreaterThan(0)
    expect(fake.count('/v2/app/doc')).toBe(2)
  })

  test('an absence that one hears of is one for the other, until somebody invalidates it', async () => {
    await start()
    fake.fallback = { status: 404 }
    await expect(read(one)).rejects.toMatchObject({ kind: 'not-found' })
    await one.settle()
    await expect
      .poll(async () => {
        fake.forget()
        await read(two).catch(() => {})
        await two.settle()
        return fake.requests.length
      })
      .toBe(0)
    fake.on('/v2/app/doc', { body: 'one' })
    await one.services.upstream.invalidate('probe')
    await expect.poll(() => read(two).catch(() => null)).toMatchObject({ text: 'one' })
  })

  test('an origin that one gives up on is left alone by the other', async () => {
    await start()
    fake.on('/v2/app/doc', { status: 429, headers: { 'retry-after': '30' } })
    await expect(read(one)).rejects.toMatchObject({ detail: 'RATE_LIMITED' })
    fake.forget()
    await expect
      .poll(async () => open(two, wanted(two, PATH)).catch((error: { detail: string }) => error.detail))
      .toBe('RATE_LIMITED')
    expect(fake.requests).toHaveLength(0)
  })

  test('what a removed file held is fetched again by both', async () => {
    await start()
    const body = randomBytes(1_000)
    fake.on(AT, { body })
    await receive(await get(one, body))
    await one.settle()
    expect((await get(two, body)).status.hit).toBe(true)
    await one.services.upstream.purge('probe')
    await expect.poll(async () => (await open(two, { ...wanted(two, PATH), method: 'HEAD' })).status.hit).toBe(false)
  })
})

describe('two replicas that cannot hear each other', () => {
  test('an answer that was asked for before an invalidation does not undo it (the fence of §4.3)', async () => {
    await start(null)
    fake.on('/v2/app/doc', { body: 'one', etag: true })
    await read(two)
    await two.settle()
    for (const engine of [one, two]) engine.clock.advance(20 * MINUTE)
    const gate = createGate()
    fake.on('/v2/app/doc', { body: 'one', etag: true, before: gate.opened })
    const late = read(two)
    await expect.poll(() => fake.count('/v2/app/doc')).toBe(2)
    await one.services.upstream.invalidate('probe')
    gate.open()
    await late
    await two.settle()
    fake.on('/v2/app/doc', { body: 'two', etag: true })
    expect((await read(one)).text).toBe('two')
  })

  test('the slower of two answers does not replace a newer one', async () => {
    await start(null)
    fake.on('/v2/app/doc', { body: 'one' })
    await read(one)
    await one.settle()
    await read(two)
    for (const engine of [one, two]) engine.clock.advance(20 * MINUTE)
    const gate = createGate()
    fake.on('/v2/app/doc', { body: 'older', before: gate.opened })
    const slow = read(one)
    await expect.poll(() => fake.count('/v2/app/doc')).toBe(2)
    fake.on('/v2/app/doc', { body: 'newer' })
    expect(await read(two)).toMatchObject({ text: 'newer' })
    await two.settle()
    gate.open()
    await slow
    await one.settle()
    fake.everything({ status: 500 })
    for (const engine of [one, two]) expect((await read(engine)).text).toBe('newer')
  })
})
