import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Blocked, NotFound, UpstreamUnavailable } from '../../src/errors.ts'
import { type Algorithm, algorithms, digestsOf } from '../../src/storage/digest.ts'
import type { ArtifactLocation } from '../../src/upstream/adapter.ts'
import type { ArtifactRequest, OpenedArtifact } from '../../src/upstream/artifacts.ts'
import { type Answer, createGate, FakeUpstream } from '../support/fake-upstream.ts'
import { TestEngine, type TestEngineOptions } from '../support/test-engine.ts'

const LAYER = Buffer.from('the bytes of a layer')
const DIGEST = { algorithm: 'sha256', hex: createHash('sha256').update(LAYER).digest('hex') } as const
const LARGE = randomBytes(2 * 1024 * 1024)
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

/** What a client gets, and what the rest failed of. */
async function received(opened: OpenedArtifact): Promise<{ bytes: Buffer; failure: unknown }> {
  const source = await opened.source()
  const buffer = Buffer.alloc(LARGE.length + 1)
  let size = 0
  let failure: unknown = null
  try {
    for (let read = -1; read !== 0; size += read) read = await source.read(buffer.subarray(size), size)
  } catch (error) {
    failure = error
  } finally {
    source.close()
  }
  return { bytes: buffer.subarray(0, size), failure }
}

async function bytesOf(opened: OpenedArtifact): Promise<Buffer> {
  const { bytes, failure } = await received(opened)
  if (failure !== null) throw failure
  return bytes
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

describe('a digest that is published with the file', () => {
  const AT = '/v2/app/layer'
  type FindDigest = NonNullable<ArtifactLocation['publishedDigest']>
  const byHeader: FindDigest = async (headers) => ({
    algorithm: 'sha1',
    hex: headers['x-checksum-sha1'] ?? '',
  })
  const KEY = 'g/a/1/a-1.jar'
  const file = (publishedDigest: FindDigest, changes: Partial<ArtifactRequest> = {}) =>
    layerOf('app', {
      key: KEY,
      locate: async () => ({ url: AT.slice(1), digest: null, publishedDigest }),
      ...changes,
    })
  const digestOf = (algorithm: Algorithm, key = KEY) =>
    engine.services.upstream.artifacts.digestOf(engine.upstream, key, algorithm)
  const sha1 = (bytes: Buffer) => ({ 'X-Checksum-SHA1': digestsOf(bytes).sha1 })

  test('is looked for once, in the headers of the answer', async () => {
    await start()
    fake.on(AT, { body: LAYER, headers: sha1(LAYER) })
    let asked = 0
    const counted: FindDigest = (headers) => {
      asked += 1
      return byHeader(headers)
    }
    const both = await Promise.all([open(file(counted)), open(file(counted))])
    for (const opened of both) {
      expect(opened).toMatchObject({ isVerified: true, digests: digestsOf(LAYER) })
      expect(await bytesOf(opened)).toEqual(LAYER)
    }
    await engine.settle()
    expect(asked).toBe(1)
    expect(await open(file(counted))).toMatchObject({ status: { hit: true }, digests: digestsOf(LAYER) })
    expect(asked).toBe(1)
  })

  test.each([
    ['small', LAYER],
    ['large', LARGE],
  ])('is compared in every algorithm: %s', async (_, body) => {
    await start()
    fake.on(AT, { body })
    const right = digestsOf(body)
    for (const algorithm of algorithms) {
      const hex = right[algorithm].replace(/^./, (first) => (first === '0' ? '1' : '0'))
      const wrong = file(async () => ({ algorithm, hex }), { key: `wrong ${algorithm}` })
      const opened = await open(wrong).catch((error: unknown) => error)
      const failure = body === LARGE ? (await received(opened as OpenedArtifact)).failure : opened
      expect(failure).toMatchObject({ kind: 'upstream-unavailable', detail: 'BAD_DIGEST' })
      const good = file(async () => ({ algorithm, hex: right[algorithm] }), { key: `right ${algorithm}` })
      expect((await bytesOf(await open(good))).equals(body)).toBe(true)
    }
  })

  test('that the bytes contradict keeps them out, and away from the upstream for a minute', async () => {
    await start()
    fake.on(AT, { body: LAYER, headers: sha1(LARGE) })
    await expect(open(file(byHeader))).rejects.toMatchObject({ detail: 'BAD_DIGEST' })
    await engine.settle()
    expect(await digestOf('sha256')).toBe(null)
    await expect(open(file(byHeader))).rejects.toMatchObject({ detail: 'BAD_DIGEST' })
    expect(fake.requests).toHaveLength(1)
    engine.clock.advance(MINUTE + 1_000)
    fake.on(AT, { body: LAYER, headers: sha1(LAYER) })
    expect(await bytesOf(await open(file(byHeader)))).toEqual(LAYER)
  })

  test('that a large file contradicts costs every client the end of it', async () => {
    await start()
    fake.on(AT, { body: LARGE, headers: sha1(LAYER) })
    const opened = await open(file(byHeader))
    expect(opened).toMatchObject({ isVerified: true, sha256: null, digests: { sha1: digestsOf(LAYER).sha1 } })
    const { bytes, failure } = await received(opened)
    expect(failure).toMatchObject({ detail: 'BAD_DIGEST' })
    expect(bytes.length).toBeLessThanOrEqual(LARGE.length - 64 * 1024)
  })

  test.each([
    ['small', LAYER],
    ['large', LARGE],
    ['of unknown length', LARGE],
  ])('is waited for before anybody is answered: %s', async (how, body) => {
    await start()
    fake.on(AT, { body, chunked: how === 'of unknown length' })
    const gate = createGate()
    const right = { algorithm: 'md5', hex: digestsOf(body).md5 } as const
    let asked = 0
    const late = file(async () => {
      asked += 1
      await gate.opened
      return right
    })
    let answers = 0
    const all = Array.from({ length: 3 }, async () => {
      const opened = await open(late)
      answers += 1
      return opened
    })
    await expect.poll(() => asked).toBe(1)
    // So long that a file that did not wait would be there.
    await sleep(100)
    expect(answers).toBe(0)
    gate.open()
    for (const opened of await Promise.all(all)) {
      expect(opened).toMatchObject({ isVerified: true, digests: { md5: right.hex } })
      expect((await bytesOf(opened)).equals(body)).toBe(true)
    }
    expect([asked, fake.requests.length]).toEqual([1, 1])
  })

  test.each([
    ['small', { body: LAYER }],
    ['large', { body: LARGE }],
    ['endless', { body: LARGE, pauseAt: 1_000_000 }],
  ] satisfies [string, Answer][])('that cannot be told fails the file before its first byte: %s', async (_, answer) => {
    await start()
    fake.on(AT, answer)
    const gate = createGate()
    const failing = file(async () => {
      await gate.opened
      throw new UpstreamUnavailable('no sidecar', { status: 503, retryAfter: 7 })
    })
    const all = Array.from({ length: 3 }, () => open(failing))
    await expect.poll(() => fake.requests.length).toBe(1)
    gate.open()
    for (const result of await Promise.allSettled(all)) {
      expect(result).toMatchObject({ reason: { message: 'no sidecar', status: 503, retryAfter: 7 } })
    }
    await engine.settle()
    fake.on(AT, { body: LAYER })
    expect(await bytesOf(await open(file(async () => null)))).toEqual(LAYER)
  })

  test.each([
    ['NotFound', new NotFound('file', 'a-1.jar.sha1')],
    ['a bug', new TypeError('x')],
  ])('that fails with %s is no absence of the file', async (_, error) => {
    await start()
    fake.on(AT, { body: LAYER })
    const failing = () => {
      throw error
    }
    await expect(open(file(failing, { remembersAbsence: true }))).rejects.toMatchObject({
      kind: 'upstream-unavailable',
      status: 502,
      cause: error,
    })
    await engine.settle()
    expect(await bytesOf(await open(file(async () => null, { remembersAbsence: true })))).toEqual(LAYER)
  })

  test("that fails when the file has failed already is nobody's", async () => {
    await start()
    fake.on(AT, { body: LAYER, etag: true, cutAt: 5 })
    const gate = createGate()
    const failing = file(async () => {
      await gate.opened
      throw new UpstreamUnavailable('too late')
    })
    await expect(open(failing)).rejects.toMatchObject({ detail: 'TRUNCATED' })
    await engine.settle()
    gate.open()
    // A rejection that nobody takes fails the run.
    await sleep(10)
  })

  test('may be missing: the file is verified by its first digest only', async () => {
    await start()
    fake.on(AT, { body: LARGE })
    const none = file(async () => null)
    const opened = await open(none)
    expect(opened).toMatchObject({ isVerified: false, sha256: null, digests: {} })
    expect((await bytesOf(opened)).equals(LARGE)).toBe(true)
    await engine.settle()
    expect(await open(none)).toMatchObject({ isVerified: true, digests: digestsOf(LARGE) })
    fake.on('/v2/other/layer', { body: LAYER })
    const locate = async () => ({ url: 'v2/other/layer', digest: null })
    const small = await open(file(byHeader, { key: 'other', locate }))
    expect(small).toMatchObject({ isVerified: true, digests: { sha256: DIGEST.hex } })
  })

  test.each([
    ['a web page', { headers: { 'content-type': 'text/html; charset=utf-8' } }],
    ['an encoding', { headers: { 'content-encoding': 'x-gzip' } }],
  ] satisfies [string, Answer][])('decides whether %s is the file', async (_, answer) => {
    await start()
    for (const body of [LAYER, LARGE]) {
      fake.on(AT, { ...answer, body })
      const none = file(async () => null)
      await expect(open(none)).rejects.toMatchObject({ kind: 'upstream-unavailable', status: 502 })
      await engine.settle()
      const known = file(async () => ({ algorithm: 'sha1', hex: digestsOf(body).sha1 }), { key: `${body.length}` })
      expect((await bytesOf(await open(known))).equals(body)).toBe(true)
      await engine.settle()
    }
  })

  test('decides whether a file without a strong ETag is taken up again after a break', async () => {
    await start()
    const broken = (_: unknown, attempt: number): Answer => ({
      body: LARGE,
      ranges: true,
      ...(attempt % 2 === 1 ? { cutAt: 1_500_000 } : {}),
    })
    fake.on(AT, broken)
    const { failure } = await received(await open(file(async () => null)))
    expect(failure).toMatchObject({ detail: 'TRUNCATED' })
    await engine.settle()
    fake.forget()
    const gate = createGate()
    const late = file(async () => {
      await gate.opened
      return { algorithm: 'sha1', hex: digestsOf(LARGE).sha1 }
    })
    const opened = open(late)
    await expect.poll(() => fake.requests.length).toBe(1)
    gate.open()
    expect((await bytesOf(await opened)).equals(LARGE)).toBe(true)
    expect(fake.requests.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=1500000-'])
  })

  test('is not looked for by HEAD', async () => {
    await start()
    fake.on(AT, { body: LAYER, headers: sha1(LAYER) })
    const never = () => expect.unreachable()
    expect(await open(file(never, { method: 'HEAD' }))).toMatchObject({ isVerified: false, digests: {} })
    const locate = layerOf('app').locate
    expect(await open(file(never, { method: 'HEAD', locate }))).toMatchObject({ digests: { sha256: DIGEST.hex } })
  })

  test('of a file in flight is told at once, another one when all bytes are there', async () => {
    await start()
    expect(await digestOf('sha1')).toBe(null)
    for (const body of [LAYER, LARGE]) {
      const gate = createGate()
      fake.on(AT, { body, headers: sha1(body), pauseAt: 10, resume: gate.opened })
      const opened = open(file(byHeader))
      await expect.poll(() => digestOf('sha1')).toBe(digestsOf(body).sha1)
      let isTold = false
      const others = Promise.all(algorithms.map((algorithm) => digestOf(algorithm))).finally(() => {
        isTold = true
      })
      await sleep(20)
      expect(isTold).toBe(false)
      gate.open()
      expect(await others).toEqual(inOrder(body))
      await bytesOf(await opened)
      await engine.settle()
      expect(await Promise.all(algorithms.map((algorithm) => digestOf(algorithm)))).toEqual(inOrder(body))
      await engine.services.upstream.purge('probe')
      await engine.services.db.sequelize.query('DELETE FROM upstream_digest')
    }
    expect(fake.requests).toHaveLength(2)
  })

  test('of a file whose flight fails is null, and of an upstream that is switched off nobody is told', async () => {
    await start()
    const gate = createGate()
    fake.on(AT, { body: LAYER, headers: sha1(LARGE), before: gate.opened })
    const opened = open(file(byHeader))
    await expect.poll(() => fake.requests.length).toBe(1)
    const told = digestOf('sha256')
    gate.open()
    await expect(opened).rejects.toMatchObject({ detail: 'BAD_DIGEST' })
    expect(await told).toBe(null)
    await engine.settle()
    const locating = createGate()
    const locate = async () => {
      await locating.opened
      throw new NotFound('file')
    }
    const unlocated = open(file(byHeader, { key: 'other', locate }))
    unlocated.catch(() => {})
    await expect.poll(() => engine.services.upstream.artifacts.flights).toBe(1)
    const toldNothing = digestOf('sha1', 'other')
    locating.open()
    expect(await toldNothing).toBe(null)
    await expect(unlocated).rejects.toThrow(NotFound)
    await engine.services.upstream.setMode('probe', 'blocked')
    await expect(digestOf('sha1')).rejects.toThrow(Blocked)
  })
})

function inOrder(body: Buffer): string[] {
  return algorithms.map((algorithm) => digestsOf(body)[algorithm])
}

describe('an absence', () => {
  const AT = '/v2/app/layer'
  const wanted = (method: 'GET' | 'HEAD' = 'GET', changes: Partial<ArtifactRequest> = {}) =>
    layerOf('app', { remembersAbsence: true, method, ...changes })
  const isAbsent = async (request: ArtifactRequest) => {
    await expect(open(request)).rejects.toThrow(NotFound)
    await engine.settle()
  }

  test('is believed for a minute, doubled with each further miss up to a quarter of an hour', async () => {
    await start()
    for (const [index, minutes] of [1, 2, 4, 8, 15, 15].entries()) {
      await isAbsent(wanted())
      expect(fake.requests).toHaveLength(index + 1)
      engine.clock.advance(minutes * MINUTE - 1_000)
      await isAbsent(wanted())
      expect(fake.requests).toHaveLength(index + 1)
      engine.clock.advance(2_000)
    }
  })

  test.each([
    ['GET', 'HEAD'],
    ['HEAD', 'GET'],
  ] as const)('that %s found is one for %s', async (first, second) => {
    await start()
    await isAbsent(wanted(first))
    await isAbsent(wanted(second))
    expect(fake.requests.map(({ method }) => method)).toEqual([first])
  })

  test('is asked for once, and is one miss, however many wait', async () => {
    await start()
    const gate = createGate()
    fake.on(AT, { status: 404, before: gate.opened })
    const heads = Array.from({ length: 10 }, () => open(wanted('HEAD')))
    await expect.poll(() => fake.requests.length).toBe(1)
    const gets = Array.from({ length: 10 }, () => open(wanted('GET')))
    await expect.poll(() => fake.requests.length).toBe(2)
    gate.open()
    for (const result of await Promise.allSettled([...heads, ...gets])) {
      expect(result).toMatchObject({ reason: { kind: 'not-found' } })
    }
    await engine.settle()
    expect(fake.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET'])
    engine.clock.advance(MINUTE + 1_000)
    fake.on(AT, { body: LAYER })
    expect(await bytesOf(await open(wanted()))).toEqual(LAYER)
  })

  test('starts anew once the upstream had the file', async () => {
    await start()
    await isAbsent(wanted())
    engine.clock.advance(MINUTE + 1_000)
    fake.on(AT, { body: LAYER })
    await open(wanted('HEAD'))
    fake.off(AT)
    await isAbsent(wanted())
    engine.clock.advance(MINUTE + 1_000)
    fake.on(AT, { body: LAYER })
    expect(await bytesOf(await open(wanted()))).toEqual(LAYER)
  })

  test('is not remembered where nobody wants that, nor what locate says', async () => {
    await start()
    await isAbsent(layerOf('app'))
    await isAbsent(layerOf('app', { method: 'HEAD' }))
    await isAbsent(layerOf('app'))
    expect(fake.requests).toHaveLength(3)
    await isAbsent(wanted())
    await isAbsent(layerOf('app'))
    expect(fake.requests).toHaveLength(5)
    await engine.services.upstream.invalidate('probe')
    let located = 0
    const locate = async () => {
      located += 1
      throw new NotFound('file')
    }
    for (const method of ['GET', 'HEAD', 'GET'] as const) await isAbsent(wanted(method, { locate }))
    expect(located).toBe(3)
  })

  test.each([
    ['500', { status: 500 }],
    ['503', { status: 503 }],
    ['401', { status: 401 }],
    ['403', { status: 403 }],
    ['429', { status: 429 }],
    ['a cut', { refuse: true }],
  ] satisfies [string, Answer][])('is never made of a failure: %s', async (_, answer) => {
    await start()
    fake.on(AT, answer)
    for (const method of ['GET', 'HEAD'] as const) {
      await expect(open(wanted(method))).rejects.toMatchObject({ kind: 'upstream-unavailable' })
      await engine.settle()
    }
    engine.clock.advance(2 * MINUTE)
    fake.on(AT, { body: LAYER })
    expect(await bytesOf(await open(wanted()))).toEqual(LAYER)
  })

  test('is not one when the file vanishes while it is being sent', async () => {
    await start()
    fake.on(AT, (_, attempt) => (attempt === 1 ? { body: LAYER, etag: true, cutAt: 5 } : { status: 404 }))
    await expect(open(wanted())).rejects.toMatchObject({ kind: 'upstream-unavailable', detail: 'TRUNCATED' })
    await engine.settle()
    await isAbsent(wanted())
    expect(fake.requests).toHaveLength(3)
  })

  test('is one of the place that was asked, where there are several', async () => {
    await start()
    fake.on('/v2/tool/layer', { body: LAYER })
    await isAbsent(wanted())
    expect(await bytesOf(await open(layerOf('tool', { remembersAbsence: true })))).toEqual(LAYER)
  })

  test('is nothing to what is held', async () => {
    await start()
    const gate = createGate()
    fake.on(AT, ({ method }) => (method === 'HEAD' ? { status: 404, before: gate.opened } : { body: LAYER }))
    const late = open(wanted('HEAD'))
    await expect.poll(() => fake.requests.length).toBe(1)
    await bytesOf(await open(wanted()))
    await engine.settle()
    gate.open()
    await expect(late).rejects.toThrow(NotFound)
    for (const method of ['GET', 'HEAD'] as const) {
      expect(await open(wanted(method))).toMatchObject({ status: { hit: true } })
    }
  })

  test.each([
    ['an invalidation', () => engine.services.upstream.invalidate('probe')],
    ['a purge', () => engine.services.upstream.purge('probe')],
  ])('is worth nothing after %s', async (_, clear) => {
    await start()
    await isAbsent(wanted())
    await clear()
    fake.on(AT, { body: LAYER })
    expect(await bytesOf(await open(wanted()))).toEqual(LAYER)
  })

  test.each(['GET', 'HEAD'] as const)('that %s hears of after an invalidation is not remembered', async (method) => {
    await start()
    const gate = createGate()
    fake.on(AT, (_, attempt) => (attempt === 1 ? { status: 404, before: gate.opened } : { body: LAYER }))
    const before = open(wanted(method))
    await expect.poll(() => fake.requests.length).toBe(1)
    await engine.services.upstream.invalidate('probe')
    const after = open(wanted(method))
    gate.open()
    await expect(before).rejects.toThrow(NotFound)
    expect((await after).status.hit).toBe(false)
    expect(fake.requests).toHaveLength(2)
    await engine.settle()
    expect((await open(wanted('HEAD'))).size).toBe(LAYER.length)
  })

  test('that is heard of after an invalidation is not remembered, even if nobody asks meanwhile', async () => {
    await start()
    for (const method of ['GET', 'HEAD'] as const) {
      const gate = createGate()
      fake.on(AT, { status: 404, before: gate.opened })
      const before = open(wanted(method))
      const asked = fake.requests.length
      await expect.poll(() => fake.requests.length).toBe(asked + 1)
      await engine.services.upstream.invalidate('probe')
      gate.open()
      await expect(before).rejects.toThrow(NotFound)
      await engine.settle()
      fake.on(AT, { body: LAYER })
      expect((await open(wanted('HEAD'))).size).toBe(LAYER.length)
    }
  })
})
