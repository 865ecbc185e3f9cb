import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Blocked, NotFound } from '../../src/errors.ts'
import type { ArtifactRequest, OpenedArtifact } from '../../src/upstream/artifacts.ts'
import { type Answer, createGate, FakeUpstream } from '../support/fake-upstream.ts'
import { TestEngine, type TestEngineOptions } from '../support/test-engine.ts'

const LAYER = Buffer.from('the bytes of a layer')
const DIGEST = { algorithm: 'sha256', hex: createHash('sha256').update(LAYER).digest('hex') } as const
const MINUTE = 60_000

let fake: FakeUpstream
let engine: TestEngine
const started: TestEngine[] = []

beforeEach(async () => {
  fake = await FakeUpstream.start()
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((one) => one.close()))
  await fake.close()
})

async function start(options: Partial<TestEngineOptions> = {}): Promise<void> {
  engine = await TestEngine.start({ url: fake.url, ...options })
  started.push(engine)
}

/** The layer, whichever repository it is asked of. */
function layerOf(repository: string, changes: Partial<ArtifactRequest> = {}): ArtifactRequest {
  return {
    key: `sha256:${DIGEST.hex}`,
    within: repository,
    method: 'GET',
    locate: async () => ({ url: `v2/${repository}/layer`, digest: DIGEST }),
    file: async (content, properties, also) => {
      const info = { owner: engine.upstream.owner, type: 'probe', name: repository, version: '1', metadata: {} }
      await engine.services.packages.addCachedFile(
        info,
        { filename: 'layer', content, isLead: true, overwrite: true, properties },
        also,
      )
    },
    ...changes,
  }
}

const open = (request: ArtifactRequest) => engine.services.upstream.artifacts.open(engine.upstream, request)
const confirm = (path: string) => engine.services.upstream.artifacts.confirm(engine.upstream, { path })

async function bytesOf(opened: OpenedArtifact): Promise<Buffer> {
  const source = await opened.source()
  const buffer = Buffer.alloc(1_000)
  let size = 0
  for (let read = -1; read !== 0; size += read) read = await source.read(buffer.subarray(size), size)
  source.close()
  return buffer.subarray(0, size)
}

describe('an artifact', () => {
  test('is asked for by the accept header of its location, by GET and HEAD', async () => {
    await start()
    fake.fallback = { body: LAYER }
    const locate = async () => ({ url: 'v2/app/layer', digest: DIGEST, accept: 'application/x-layer' })
    await open(layerOf('app', { method: 'HEAD', locate }))
    await bytesOf(await open(layerOf('app', { locate })))
    await engine.settle()
    await open(layerOf('app', { method: 'HEAD', key: 'other' }))
    expect(fake.requests.map(({ method, headers }) => `${method} ${headers.accept}`)).toEqual([
      'HEAD application/x-layer',
      'GET application/x-layer',
      'HEAD */*',
    ])
  })

  test('that several places have is fetched once for all', async () => {
    await start()
    const gate = createGate()
    fake.fallback = { body: LAYER, before: gate.opened }
    const both = Promise.all(['app', 'tool'].map(async (repository) => bytesOf(await open(layerOf(repository)))))
    await expect.poll(() => fake.requests.length).toBe(1)
    gate.open()
    expect(await both).toEqual([LAYER, LAYER])
    await engine.settle()
    expect((await open(layerOf('third'))).status.hit).toBe(true)
    expect(fake.requests).toHaveLength(1)
  })

  test('that is not at one place may be at the other, for those who came for that one', async () => {
    await start()
    const gate = createGate()
    fake.on('/v2/app/layer', { status: 404, before: gate.opened })
    fake.on('/v2/tool/layer', { body: LAYER })
    const first = open(layerOf('app'))
    await expect.poll(() => fake.requests.length).toBe(1)
    const others = ['app', 'tool', 'tool', 'app'].map((repository) => open(layerOf(repository)))
    gate.open()
    await expect(first).rejects.toThrow(NotFound)
    const results = await Promise.allSettled(others)
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'rejected'])
    await engine.settle()
    expect([fake.count('/v2/app/layer'), fake.count('/v2/tool/layer')]).toEqual([1, 1])
    expect(engine.services.upstream.artifacts.flights).toBe(0)
  })

  test('is absent by the statuses of the adapter, once there is a token', async () => {
    await start({ adapter: { tokenScope: () => 'x', absentStatuses: [401, 403] } })
    fake.on('/token', { body: '{"token":"T"}' })
    fake.on('/v2/app/layer', { status: 403 })
    for (const method of ['GET', 'HEAD'] as const) {
      await expect(open(layerOf('app', { method }))).rejects.toMatchObject({ kind: 'upstream-unavailable' })
    }
    const challenge = { 'www-authenticate': `Bearer realm="${fake.url}/token"` }
    fake.on('/v2/app/layer', ({ headers }) =>
      headers.authorization === undefined ? { status: 401, headers: challenge } : { status: 403 },
    )
    for (const method of ['GET', 'HEAD'] as const) {
      await expect(open(layerOf('app', { method }))).rejects.toThrow(NotFound)
    }
  })

  test('whose address is signed for GET alone is there for HEAD, of unknown size', async () => {
    await start()
    const cdn = await FakeUpstream.start()
    cdn.fallback = { status: 403 }
    fake.fallback = { status: 307, headers: { location: `${cdn.url}/x?signature` } }
    expect(await open(layerOf('app', { method: 'HEAD' }))).toMatchObject({ size: null })
    cdn.fallback = { status: 404 }
    await expect(open(layerOf('app', { method: 'HEAD' }))).rejects.toThrow(NotFound)
    await cdn.close()
  })

  test('is not blamed for an upstream that limits the rate or refuses our credentials', async () => {
    await start({ adapter: { tokenScope: () => 'x' } })
    fake.on('/v2/app/layer', { status: 429, headers: { 'retry-after': '20' } })
    await expect(open(layerOf('app'))).rejects.toMatchObject({ detail: 'RATE_LIMITED', retryAfter: 20 })
    await engine.settle()
    engine.clock.advance(21_000)
    fake.on('/token', { status: 403 })
    fake.on('/v2/app/layer', { status: 401, headers: { 'www-authenticate': `Bearer realm="${fake.url}/token"` } })
    await expect(open(layerOf('app'))).rejects.toMatchObject({ detail: 'AUTH_FAILED' })
    await engine.settle()
    await engine.services.upstream.invalidate('probe')
    fake.on('/v2/app/layer', { body: LAYER })
    expect(await bytesOf(await open(layerOf('app')))).toEqual(LAYER)
  })
})

describe('a confirmation', () => {
  const PATH = 'v2/app/layer'
  const AT = `/${PATH}`

  test('is asked by HEAD, follows nothing, and is believed for five minutes', async () => {
    await start()
    const cdn = await FakeUpstream.start()
    fake.on(AT, { status: 307, headers: { location: `${cdn.url}/x` } })
    expect(await confirm(PATH)).toBe(true)
    engine.clock.advance(5 * MINUTE - 1_000)
    expect(await confirm(PATH)).toBe(true)
    expect(fake.requests.map(({ method }) => method)).toEqual(['HEAD'])
    expect(cdn.requests).toHaveLength(0)
    fake.on(AT, {})
    engine.clock.advance(2_000)
    expect(await confirm(PATH)).toBe(true)
    expect(fake.requests).toHaveLength(2)
    await cdn.close()
  })

  test('of an absence is believed for one minute', async () => {
    await start()
    expect(await confirm(PATH)).toBe(false)
    fake.on(AT, {})
    engine.clock.advance(MINUTE - 1_000)
    expect(await confirm(PATH)).toBe(false)
    engine.clock.advance(2_000)
    expect(await confirm(PATH)).toBe(true)
  })

  test('counts the statuses of the adapter as absence', async () => {
    await start({ adapter: { tokenScope: () => 'x', absentStatuses: [401, 403] } })
    fake.on('/token', { body: '{"token":"T"}' })
    fake.on(AT, { status: 401, headers: { 'www-authenticate': `Bearer realm="${fake.url}/token"` } })
    expect(await confirm(PATH)).toBe(false)
  })

  test('is asked once however many want it', async () => {
    await start()
    const gate = createGate()
    fake.on(AT, { before: gate.opened })
    const all = Promise.all(Array.from({ length: 10 }, () => confirm(PATH)))
    await expect.poll(() => fake.requests.length).toBe(1)
    gate.open()
    expect(await all).toEqual(Array(10).fill(true))
    expect(fake.requests).toHaveLength(1)
  })

  test.each([
    ['500', { status: 500 }],
    ['401', { status: 401 }],
    ['403', { status: 403 }],
    ['405', { status: 405 }],
    ['429', { status: 429 }],
    ['a cut', { refuse: true }],
  ] satisfies [string, Answer][])('is neither yes nor no after %s, and nothing is remembered', async (_, answer) => {
    await start()
    fake.on(AT, answer)
    await expect(confirm(PATH)).rejects.toMatchObject({ kind: 'upstream-unavailable' })
    fake.on(AT, {})
    engine.clock.advance(20 * MINUTE)
    expect(await confirm(PATH)).toBe(true)
  })

  test('is worth nothing after an invalidation', async () => {
    await start()
    fake.on(AT, {})
    expect(await confirm(PATH)).toBe(true)
    fake.off(AT)
    await engine.services.upstream.invalidate('probe')
    expect(await confirm(PATH)).toBe(false)
  })

  test('of an upstream that is switched off is not asked for', async () => {
    await start()
    fake.on(AT, {})
    await engine.services.upstream.setMode('probe', 'offline')
    expect(await confirm(PATH)).toBe(false)
    await engine.services.upstream.setMode('probe', 'blocked')
    await expect(confirm(PATH)).rejects.toThrow(Blocked)
    expect(fake.requests).toHaveLength(0)
  })
})
