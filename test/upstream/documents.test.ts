import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NotFound } from '../../src/errors.ts'
import type { DocumentRequest } from '../../src/upstream/adapter.ts'
import { type Answer, createGate, FakeUpstream, silence } from '../support/fake-upstream.ts'
import { TestEngine, type TestEngineOptions } from '../support/test-engine.ts'

const SECOND = 1_000
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const PATH = '/v2/app/doc'

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

const plain: DocumentRequest<string> = {
  kind: 'doc',
  key: 'app',
  path: PATH.slice(1),
  accept: 'text/plain',
  parse: (body) => body.toString(),
}

/** As containers have it for tags: the digest, from the headers or of the body. */
const described: DocumentRequest<string> = {
  ...plain,
  kind: 'described',
  times: { fresh: MINUTE, staleWhileRevalidate: 0, staleWait: 10 * SECOND },
  describe: {
    fromHead: (headers) => (headers['digest'] === undefined ? null : Buffer.from(headers['digest'])),
    fromBody: (_, body) => {
      if (body.length === 0) throw new Error('it is empty')
      return Buffer.from(digestOf(body))
    },
  },
}

/** Pages of lines; each names the next in its Link header, in brackets. */
const paged: DocumentRequest<string> = {
  ...plain,
  kind: 'paged',
  pages: {
    next: (headers) => /<(.*)>/.exec(headers['link'] ?? '')?.[1] ?? null,
    join: (bodies) => Buffer.from(bodies.map(String).join('+')),
  },
}

async function get(request: DocumentRequest<string> = plain, revalidate = false) {
  const held = await engine.services.upstream.documents.get(engine.upstream, request, { revalidate })
  return { text: await held.accepted(), version: held.version, ...held.status }
}

const methods = () => fake.requests.map(({ method }) => method)

function digestOf(body: Buffer | string): string {
  return createHash('sha256').update(body).digest('hex').slice(0, 12)
}

function tagged(body: string): Answer {
  return { body, headers: { digest: digestOf(body) } }
}

describe('a document that is described', () => {
  test('is made by HEAD alone, and again when it is not fresh any more', async () => {
    await start()
    fake.on(PATH, tagged('one'))
    const first = await get(described)
    expect(first).toMatchObject({ text: digestOf('one'), hit: false, stored: true })
    await engine.settle()
    expect(await get(described)).toMatchObject({ text: digestOf('one'), hit: true, ttl: 60 })
    expect(methods()).toEqual(['HEAD'])
    engine.clock.advance(MINUTE + SECOND)
    expect(await get(described)).toMatchObject({ version: first.version, fwd: 'stale', fwdStatus: 200 })
    await engine.settle()
    expect(await get(described)).toMatchObject({ hit: true, ttl: 60 })
    expect(methods()).toEqual(['HEAD', 'HEAD'])
  })

  test('is asked for as it is, without validators, by the accept header of the request', async () => {
    await start()
    fake.on(PATH, { ...tagged('one'), etag: true, lastModified: 0 })
    await get(described)
    await engine.settle()
    engine.clock.advance(MINUTE + SECOND)
    await get(described)
    for (const { headers } of fake.requests) {
      expect(headers).toMatchObject({ accept: 'text/plain', 'accept-encoding': 'identity' })
      expect(headers).not.toHaveProperty('if-none-match')
      expect(headers).not.toHaveProperty('if-modified-since')
    }
    expect(methods()).toEqual(['HEAD', 'HEAD'])
  })

  test('changes by HEAD alone', async () => {
    await start()
    fake.on(PATH, tagged('one'))
    const { version } = await get(described)
    await engine.settle()
    fake.on(PATH, tagged('two'))
    engine.clock.advance(MINUTE + SECOND)
    const second = await get(described)
    expect(second.text).toBe(digestOf('two'))
    expect(second.version).not.toBe(version)
    expect(methods()).toEqual(['HEAD', 'HEAD'])
  })

  test.each([
    ['tells too little', { body: 'one' }],
    ['is 405', { status: 405 }],
    ['is 501', { status: 501 }],
  ] satisfies [string, Answer][])('whose HEAD %s is made from the body', async (_, head) => {
    await start()
    fake.on(PATH, ({ method }) => (method === 'HEAD' ? head : { body: 'one' }))
    expect((await get(described)).text).toBe(digestOf('one'))
    expect(methods()).toEqual(['HEAD', 'GET'])
    expect(fake.requests[1]?.headers['accept-encoding']).toBe('identity')
    await engine.settle()
    engine.clock.advance(MINUTE + SECOND)
    expect((await get(described)).text).toBe(digestOf('one'))
    expect(methods()).toEqual(['HEAD', 'GET', 'HEAD', 'GET'])
  })

  test('is absent by HEAD, and no failure of HEAD is answered by GET', async () => {
    await start()
    await expect(get(described)).rejects.toThrow(NotFound)
    for (const status of [400, 401, 403, 500]) {
      fake.on(PATH, { status })
      await expect(get({ ...described, key: `app-${status}` })).rejects.toMatchObject({ kind: 'upstream-unavailable' })
    }
    expect(new Set(methods())).toEqual(new Set(['HEAD']))
  })

  test('whose body is not usable is a failure', async () => {
    await start()
    fake.on(PATH, {})
    await expect(get(described)).rejects.toMatchObject({ status: 502, message: expect.stringContaining('it is empty') })
    await engine.settle()
    expect(engine.services.upstream.list()).toHaveLength(1)
  })
})

describe('a document in pages', () => {
  const link = (target: string, body: string): Answer => ({ body, headers: { link: `<${target}>; rel="next"` } })

  test('is followed to its end, relative to each page, compressed or not', async () => {
    await start()
    fake.on(PATH, ({ query }) =>
      query === '' ? link('?last=a', 'a') : query === 'last=a' ? link('/v2/app/more?n=1', 'b') : { status: 500 },
    )
    fake.on('/v2/app/more', { body: 'c', gzip: 'always' })
    expect(await get(paged)).toMatchObject({ text: 'a+b+c', fwdStatus: 200 })
    expect(fake.requests.map(({ path, query }) => `${path}?${query}`)).toEqual([
      `${PATH}?`,
      `${PATH}?last=a`,
      '/v2/app/more?n=1',
    ])
  })

  test('is asked for whole each time: validators of one page say nothing of the others', async () => {
    await start()
    fake.on(PATH, ({ query }) => (query === '' ? { ...link('?last=a', 'a'), etag: true } : { body: 'b' }))
    await get(paged)
    await engine.settle()
    engine.clock.advance(DAY)
    fake.on(PATH, ({ query }) => (query === '' ? { ...link('?last=a', 'a'), etag: true } : { body: 'b2' }))
    expect((await get(paged)).text).toBe('a+b2')
  })

  test.each([
    ['another host', 'http://localhost:9/v2/app/doc'],
    ['another port', 'http://127.0.0.1:9/v2/app/doc'],
    ['another scheme', 'file:///etc/passwd'],
    ['another origin without a scheme', '//evil.example/v2/'],
    ['no place at all', 'http://'],
    ['a place outside of the URL of the upstream', '/elsewhere'],
    ['a place that climbs out of it', '../../../elsewhere'],
  ])('that goes on at %s is refused', async (_, target) => {
    await start({ url: `${fake.url}/v2` })
    fake.on(PATH, link(target, 'a'))
    await expect(get({ ...paged, path: 'app/doc' })).rejects.toMatchObject({ detail: 'FOREIGN_HOST' })
    expect(fake.requests).toHaveLength(1)
  })

  test('that never ends stops: after 500 pages, or where it has been', async () => {
    await start()
    let page = 0
    fake.on(PATH, () => {
      page += 1
      return link(`?page=${page}`, 'a')
    })
    await expect(get(paged)).rejects.toMatchObject({ status: 502 })
    expect(fake.requests).toHaveLength(500)
    fake.forget()
    fake.on('/v2/loop', ({ query }) => link(query === '' ? '?x' : '/v2/loop', 'a'))
    await expect(get({ ...paged, key: 'loop', path: 'v2/loop' })).rejects.toMatchObject({ status: 502 })
    expect(fake.requests).toHaveLength(2)
  })

  test('is limited in all, not page by page', async () => {
    await start({ environment: { ENTREPOT_MIRRORS_MAX_DOCUMENT_SIZE: '25' } })
    const answerPages = (count: number) =>
      fake.on(PATH, ({ query }) =>
        Number(query) < count - 1 ? link(`?${Number(query) + 1}`, '0123456789') : { body: 'xyz' },
      )
    answerPages(4)
    await expect(get(paged)).rejects.toThrow(/more than 25 bytes/)
    answerPages(3)
    expect((await get(paged)).text).toBe('0123456789+0123456789+xyz')
  })

  test('of which one is missing is a failure, of which the first is missing is absent', async () => {
    await start()
    fake.on(PATH, ({ query }) => (query === '' ? link('?last=a', 'a') : { status: 404 }))
    await expect(get(paged)).rejects.toMatchObject({ kind: 'upstream-unavailable' })
    await expect(get({ ...paged, key: 'none', path: 'v2/none' })).rejects.toThrow(NotFound)
  })

  test('is waited for in all, not page by page', async () => {
    await start({ environment: { ENTREPOT_MIRRORS_FETCH_TIMEOUT: '300ms' } })
    fake.on(PATH, ({ query }) => (query === '' ? link('?last=a', 'a') : silence))
    await expect(get(paged)).rejects.toMatchObject({ status: 504 })
  })
})

describe('the times of a kind of document', () => {
  const times = { fresh: MINUTE, staleWhileRevalidate: 2 * MINUTE, staleWait: 10 * SECOND }
  const timed = { ...plain, times }

  test('win over the configuration', async () => {
    await start()
    fake.on(PATH, { body: 'one', etag: true })
    await get(timed)
    await engine.settle()
    engine.clock.advance(MINUTE - SECOND)
    expect(await get(timed)).toMatchObject({ hit: true, ttl: 1 })
    engine.clock.advance(2 * SECOND)
    expect(await get(timed)).toMatchObject({ hit: true, detail: 'SWR' })
    await engine.settle()
    engine.clock.advance(3 * MINUTE + SECOND)
    expect(await get(timed)).toMatchObject({ hit: false, fwdStatus: 304 })
    await engine.settle()
    engine.clock.advance(3 * MINUTE + SECOND)
    const gate = createGate()
    fake.on(PATH, { body: 'one', before: gate.opened })
    const impatient = { ...timed, times: { ...times, staleWait: 10 } }
    expect(await get(impatient)).toMatchObject({ hit: true, detail: 'STALE_SLOW' })
    gate.open()
  })

  test('yield to the file of the upstream as far as it says something', async () => {
    await start({ file: { fresh: '10m' } })
    fake.on(PATH, { body: 'one', etag: true })
    await get(timed)
    await engine.settle()
    engine.clock.advance(9 * MINUTE)
    expect(await get(timed)).toMatchObject({ hit: true, ttl: 60 })
    engine.clock.advance(2 * MINUTE)
    expect(await get(timed)).toMatchObject({ hit: true, detail: 'SWR' })
    await engine.settle()
    engine.clock.advance(13 * MINUTE)
    expect(await get(timed)).toMatchObject({ hit: false, fwdStatus: 304 })
  })

  test('longer than the usual ones do not outlive an invalidation', async () => {
    await start({ environment: { ENTREPOT_MIRRORS_FRESH: '10s', ENTREPOT_MIRRORS_STALE_WHILE_REVALIDATE: '10s' } })
    const long = { ...plain, times: { fresh: 30 * MINUTE, staleWhileRevalidate: 30 * MINUTE, staleWait: SECOND } }
    fake.on(PATH, { body: 'one' })
    await get(long)
    await engine.settle()
    fake.on(PATH, { body: 'two' })
    await engine.services.upstream.invalidate('probe')
    expect((await get(long)).text).toBe('two')
    await engine.settle()
    await engine.services.upstream.invalidate('probe')
    fake.on(PATH, { status: 500 })
    expect(await get(long)).toMatchObject({ text: 'two', detail: 'STALE_ERROR' })
  })
})

describe('an upstream that denies by other statuses than 404', () => {
  const adapter = { tokenScope: () => 'repository:app:pull', absentStatuses: [401, 403] }
  const challenge = (): Answer => ({
    status: 401,
    headers: { 'www-authenticate': `Bearer realm="${fake.url}/token",service="s"` },
  })
  /** As registries answer for what does not exist or is not for us. */
  const deny = (status: number) =>
    fake.on(PATH, ({ headers }) => (headers.authorization === undefined || status === 401 ? challenge() : { status }))
  const allow = () =>
    fake.on(PATH, ({ headers }) => (headers.authorization === undefined ? challenge() : { body: 'one' }))

  beforeEach(async () => {
    fake.on('/token', { body: '{"token":"T","expires_in":86400}' })
    await start({ adapter })
  })

  test.each([401, 403])('%i: what is not held is absent, and that is remembered', async (status) => {
    deny(status)
    await expect(get()).rejects.toThrow(NotFound)
    const asked = fake.requests.length
    await expect(get()).rejects.toThrow(NotFound)
    expect(fake.requests.length).toBe(asked)
  })

  test.each([401, 403])('%i: what is held stays, and says that it is gone', async (status) => {
    allow()
    await get()
    await engine.settle()
    deny(status)
    engine.clock.advance(DAY)
    expect(await get()).toMatchObject({ text: 'one', detail: 'GONE', fwdStatus: status })
    await engine.settle()
    allow()
    engine.clock.advance(DAY)
    expect((await get()).detail).toBeUndefined()
  })

  test('keeps no more alive than a failing one: what is held is absent when the last confirmation is too old', async () => {
    allow()
    await get()
    await engine.settle()
    deny(403)
    for (let day = 1; day <= 6; day += 1) {
      engine.clock.advance(DAY)
      expect(await get()).toMatchObject({ text: 'one', detail: 'GONE' })
      await engine.settle()
    }
    engine.clock.advance(2 * DAY)
    await expect(get()).rejects.toThrow(NotFound)
    allow()
    engine.clock.advance(6 * MINUTE)
    expect((await get()).detail).toBeUndefined()
  })

  test('is not asked again within the fresh time, whether what is held is still served or not', async () => {
    const tag = { ...plain, times: { fresh: MINUTE, staleWhileRevalidate: 0, staleWait: 10 * SECOND } }
    allow()
    await get(tag)
    await engine.settle()
    deny(403)
    const seen = () => fake.count(PATH)
    for (const outcome of ['GONE', 'not-found']) {
      engine.clock.advance(5 * DAY)
      const ask = (revalidate = false) =>
        get(tag, revalidate).then(
          ({ detail }) => detail,
          ({ kind }: NotFound) => kind,
        )
      expect(await ask()).toBe(outcome)
      await engine.settle()
      const before = seen()
      engine.clock.advance(MINUTE - SECOND)
      expect(await ask()).toBe(outcome)
      expect(seen()).toBe(before)
      expect(await ask(true)).toBe(outcome)
      await engine.settle()
      const forced = seen()
      expect(forced).toBeGreaterThan(before)
      engine.clock.advance(MINUTE + SECOND)
      expect(await ask()).toBe(outcome)
      await engine.settle()
      expect(seen()).toBeGreaterThan(forced)
    }
    await engine.services.upstream.invalidate('probe')
    allow()
    expect(await get(tag)).toMatchObject({ text: 'one', hit: false })
  })

  test('elsewhere denies nothing: it may be a place that we were sent to without a token', async () => {
    const cdn = await FakeUpstream.start()
    cdn.fallback = { status: 403 }
    fake.on(PATH, ({ headers }) =>
      headers.authorization === undefined ? challenge() : { status: 307, headers: { location: `${cdn.url}/x` } },
    )
    await expect(get()).rejects.toMatchObject({ kind: 'upstream-unavailable' })
    expect(cdn.requests).toHaveLength(1)
    await cdn.close()
  })

  test('denies nothing while its token service fails: what is held is served', async () => {
    allow()
    await get()
    await engine.settle()
    for (const failure of [{ status: 500 }, { status: 403 }, { refuse: true }] satisfies Answer[]) {
      fake.on('/token', failure)
      engine.clock.advance(DAY + MINUTE)
      expect(await get()).toMatchObject({ text: 'one', detail: 'STALE_ERROR' })
      await engine.settle()
      await expect(get({ ...plain, key: 'other' })).rejects.toMatchObject({ kind: 'upstream-unavailable' })
      await engine.services.upstream.invalidate('probe')
    }
  })
})

describe('an upstream that limits the rate', () => {
  const limited: Answer = { status: 429, headers: { 'retry-after': '120' } }

  test('is left alone meanwhile: what is held is served, and what is not says so', async () => {
    await start()
    fake.on(PATH, tagged('one'))
    await get(described)
    await engine.settle()
    engine.clock.advance(DAY)
    fake.everything(limited)
    fake.forget()
    for (let i = 0; i < 3; i += 1) expect(await get(described)).toMatchObject({ hit: true, detail: 'STALE_ERROR' })
    await engine.settle()
    const other = get({ ...described, key: 'other', path: 'v2/other' })
    await expect(other).rejects.toMatchObject({ status: 503, detail: 'RATE_LIMITED', retryAfter: 120 })
    expect(fake.requests).toHaveLength(1)
    fake.everything(null)
    engine.clock.advance(121 * SECOND)
    expect(await get(described)).toMatchObject({ hit: false, fwdStatus: 200 })
  })
})
