import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.ts'
import type { UpstreamAdapter } from '../../src/upstream/adapter.ts'
import { UpstreamClient } from '../../src/upstream/client.ts'
import type { UpstreamRequest, UpstreamResponse } from '../../src/upstream/exchange.ts'
import { Credentials, type UpstreamAuth } from '../../src/upstream/upstream-auth.ts'
import type { UpstreamSettings } from '../../src/upstream/upstream-settings.ts'
import { type Answer, createGate, FakeUpstream, type Script } from '../support/fake-upstream.ts'
import { StoppedClock } from '../support/test-engine.ts'
import { settingsOf } from '../support/upstream-settings.ts'

const BASIC = `Basic ${Buffer.from('mirror:hunter2').toString('base64')}`

let registry: FakeUpstream
let auth: FakeUpstream
let clock: StoppedClock
const clients: UpstreamClient[] = []
/** Tokens that the registry takes now. */
const valid = new Set<string>()

beforeEach(async () => {
  ;[registry, auth] = await Promise.all([FakeUpstream.start(), FakeUpstream.start()])
  clock = new StoppedClock()
  auth.on('/token', issue())
  registry.fallback = guarded({ body: 'content' })
})
afterEach(async () => {
  valid.clear()
  await Promise.all(clients.splice(0).map((client) => client.close()))
  await Promise.all([registry.close(), auth.close()])
})

/** A token service; each token is a new one. */
function issue(answer: (token: string) => Answer = (token) => ({ body: JSON.stringify({ token, expires_in: 300 }) })) {
  return ((_, attempt) => {
    valid.add(`Bearer secret-${attempt}`)
    return answer(`secret-${attempt}`)
  }) satisfies Script
}

function challenge(header: string): Answer {
  return { status: 401, headers: { 'www-authenticate': header }, body: '{"errors":[{"code":"UNAUTHORIZED"}]}' }
}

function bearer(path: string, realm = `${auth.url}/token`): Answer {
  return challenge(`Bearer realm="${realm}",service="registry.example",scope="${scopeOf(path)}"`)
}

/** The answer for who has a valid token, else the challenge. */
function guarded(answer: Answer): Script {
  return ({ headers, path }) => (valid.has(headers.authorization ?? '') ? answer : bearer(path))
}

function scopeOf(path: string): string {
  return `repository:${path.split('/')[2]}:pull`
}

interface StartOptions extends Partial<Pick<UpstreamSettings, 'auth' | 'privateNetwork'>> {
  adapter?: Partial<UpstreamAdapter>
}

function start({ adapter: changes, ...file }: StartOptions = {}): UpstreamClient {
  const adapter: UpstreamAdapter = {
    nameDocument: () => {
      throw new Error('not asked')
    },
    tokenScope: (url) => scopeOf(url.pathname),
    absentStatuses: [401, 403],
    ...changes,
  }
  const settings = settingsOf(`${registry.url}/`, file)
  const client = new UpstreamClient({ settings, adapter, config, clock, version: '0' })
  clients.push(client)
  return client
}

const { mirrors: config } = await loadConfig({ ENTREPOT_MIRRORS_RETRIES: '0' })
const withCredentials = (kind: 'docker' | 'basic'): UpstreamAuth => ({
  kind,
  credentials: Credentials.basic('mirror', 'hunter2'),
  realmHosts: [],
})

async function get(client: UpstreamClient, path = '/v2/app/x', more: Partial<UpstreamRequest> = {}) {
  const response = await client.send({
    url: new URL(path, registry.url),
    headers: { accept: '*/*' },
    use: 'document',
    headersTimeout: 5_000,
    signal: AbortSignal.timeout(10_000),
    ...more,
  })
  const body = await textOf(response)
  return { status: response.status, isAbsence: response.isAbsence, body }
}

async function textOf(response: UpstreamResponse): Promise<string> {
  const chunks: Buffer[] = []
  if (!response.body.destroyed) for await (const chunk of response.body) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

describe('a registry with tokens', () => {
  test('gets one, fetched anonymously for the scope of its challenge, and kept', async () => {
    const client = start()
    expect(await get(client)).toEqual({ status: 200, isAbsence: false, body: 'content' })
    const [asked] = auth.requests
    expect(asked?.method).toBe('GET')
    expect([...new URLSearchParams(asked?.query)]).toEqual([
      ['service', 'registry.example'],
      ['scope', 'repository:app:pull'],
    ])
    expect(asked?.headers.authorization).toBeUndefined()
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, 'Bearer secret-1'])
    await get(client)
    expect(registry.requests).toHaveLength(3)
    expect(auth.requests).toHaveLength(1)
  })

  test('is asked for with the configured credentials, which go nowhere else', async () => {
    await get(start({ auth: withCredentials('docker') }))
    expect(auth.requests.map(({ headers }) => headers.authorization)).toEqual([BASIC])
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, 'Bearer secret-1'])
  })

  test('gives each of several scopes its own token, the later ones without a 401 first', async () => {
    const client = start()
    await get(client, '/v2/app/x')
    await get(client, '/v2/tool/x')
    expect(auth.requests.map(({ query }) => new URLSearchParams(query).get('scope'))).toEqual([
      'repository:app:pull',
      'repository:tool:pull',
    ])
    expect(registry.asked('/v2/tool/x').map(({ headers }) => headers.authorization)).toEqual(['Bearer secret-2'])
  })

  test('is asked for one token by twenty requests at once', async () => {
    const gate = createGate()
    auth.on('/token', (request, attempt) => ({ ...issue()(request, attempt), before: gate.opened }))
    const client = start()
    const answers = Promise.all(Array.from({ length: 20 }, () => get(client)))
    await expect.poll(() => registry.requests.length).toBe(20)
    gate.open()
    expect((await answers).map(({ status }) => status)).toEqual(Array(20).fill(200))
    expect(auth.requests).toHaveLength(1)
  })

  test.each([
    ['{"token":"T","expires_in":300}', 289_000, 291_000],
    ['{"access_token":"T"}', 49_000, 51_000],
    ['{"token":"","access_token":"T","expires_in":4}', 1_000, 2_500],
    ['{"token":"T","expires_in":-1}', 49_000, 51_000],
    ['{"token":"T","expires_in":"300"}', 49_000, 51_000],
  ])('%s is kept a little shorter than it lives', async (body, stillHeld, expired) => {
    valid.add('Bearer T')
    auth.on('/token', { body })
    const client = start()
    await get(client)
    clock.advance(stillHeld)
    await get(client)
    expect(auth.requests).toHaveLength(1)
    clock.advance(expired - stillHeld)
    await get(client)
    expect(auth.requests).toHaveLength(2)
  })

  test('that no longer takes a token gets another one, once for all who were refused', async () => {
    const client = start()
    await get(client)
    valid.clear()
    const answers = await Promise.all(Array.from({ length: 5 }, () => get(client)))
    expect(answers.map(({ status }) => status)).toEqual(Array(5).fill(200))
    expect(auth.requests).toHaveLength(2)
  })

  test('that takes no token at all is believed after one: 401, and absence', async () => {
    registry.fallback = ({ path }) => bearer(path)
    const client = start()
    expect(await get(client)).toMatchObject({ status: 401, isAbsence: true })
    expect([registry.requests.length, auth.requests.length]).toEqual([2, 1])
    // The token it did not take is not believed in for longer than one more try.
    expect(await get(client)).toMatchObject({ status: 401, isAbsence: true })
    expect([registry.requests.length, auth.requests.length]).toEqual([4, 2])
  })

  test('that takes no token fetched beforehand either is not asked twice', async () => {
    const client = start()
    await get(client, '/v2/app/x')
    registry.on('/v2/hidden/x', ({ path }) => bearer(path))
    expect(await get(client, '/v2/hidden/x')).toMatchObject({ status: 401, isAbsence: true })
    expect([registry.count('/v2/hidden/x'), auth.requests.length]).toEqual([1, 2])
  })

  test('that asks for another scope each time does not go on for ever', async () => {
    registry.fallback = (_, attempt) => bearer(`/v2/app-${attempt}/x`)
    expect(await get(start())).toMatchObject({ status: 401 })
    expect(registry.requests).toHaveLength(2)
  })

  test('that asks for a scope nobody expected gets it without a 401 the next time', async () => {
    registry.fallback = ({ headers }) =>
      valid.has(headers.authorization ?? '')
        ? { body: 'content' }
        : challenge(`Bearer realm="${auth.url}/token",scope="*"`)
    const client = start()
    await get(client)
    await get(client)
    expect(registry.requests).toHaveLength(3)
    expect(auth.requests.map(({ query }) => query)).toEqual(['scope=*'])
  })

  test('gets a scope for every word of its challenge', async () => {
    registry.fallback = challenge(`Bearer realm="${auth.url}/token?x=1",scope="repository:a:pull  repository:b:pull"`)
    await get(start())
    expect([...new URLSearchParams(auth.requests[0]?.query)]).toEqual([
      ['x', '1'],
      ['scope', 'repository:a:pull'],
      ['scope', 'repository:b:pull'],
    ])
  })

  test('is absent by 403 with a token, and only refuses without one or by Basic', async () => {
    registry.on('/v2/app/x', guarded({ status: 403 }))
    const client = start()
    expect(await get(client)).toMatchObject({ status: 403, isAbsence: true })
    registry.on('/v2/app/x', { status: 403 })
    expect(await get(start())).toMatchObject({ status: 403, isAbsence: false })
    expect(await get(start({ auth: withCredentials('basic') }))).toMatchObject({ status: 403, isAbsence: false })
  })

  test('is asked anew after a reset', async () => {
    const client = start()
    await get(client)
    client.resetHealth()
    await get(client)
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      'Bearer secret-1',
      undefined,
      'Bearer secret-2',
    ])
  })
})

describe('credentials', () => {
  test('do not go to a foreign realm, nor does anything else (S38)', async () => {
    const realm = auth.url.replace('127.0.0.1', 'localhost')
    registry.fallback = ({ path }) => bearer(path, `${realm}/token`)
    await expect(get(start({ auth: withCredentials('docker') }))).rejects.toMatchObject({
      detail: 'FOREIGN_HOST',
      message: expect.stringContaining(new URL(realm).host),
    })
    expect(auth.requests).toHaveLength(0)
  })

  test('are left behind by a redirect to another origin, even if it leads back (S39)', async () => {
    const cdn = await FakeUpstream.start()
    cdn.on('/blob', { status: 302, headers: { location: `${registry.url}/v2/app/other` } })
    registry.on('/v2/app/x', guarded({ status: 307, headers: { location: `${cdn.url}/blob?signature=x` } }))
    registry.on('/v2/app/other', { body: 'back again' })
    for (const kind of ['docker', 'basic'] as const) {
      valid.add(BASIC)
      expect(await get(start({ auth: withCredentials(kind) }))).toMatchObject({ status: 200, body: 'back again' })
      for (const { headers } of [...cdn.requests, ...registry.asked('/v2/app/other')]) {
        expect(headers.authorization).toBeUndefined()
      }
    }
    expect(cdn.requests).toHaveLength(2)
    await cdn.close()
  })

  test('stay with a redirect within the origin', async () => {
    registry.on('/v2/app/x', guarded({ status: 307, headers: { location: '/v2/app/other' } }))
    registry.on('/v2/app/other', guarded({ body: 'other' }))
    expect(await get(start())).toMatchObject({ body: 'other' })
    expect(auth.requests).toHaveLength(1)
  })

  test('are not followed by a token service that redirects', async () => {
    auth.on('/token', { status: 307, headers: { location: `${registry.url}/elsewhere` } })
    await expect(get(start({ auth: withCredentials('docker') }))).rejects.toMatchObject({ status: 502 })
    expect(registry.count('/elsewhere')).toBe(0)
  })

  test('of kind basic are sent at once, and a 401 to them is a failure', async () => {
    registry.fallback = ({ headers }) => (headers.authorization === BASIC ? { body: 'content' } : { status: 401 })
    const client = start({ auth: withCredentials('basic') })
    expect(await get(client)).toMatchObject({ status: 200 })
    expect(registry.requests).toHaveLength(1)
    registry.fallback = challenge('Basic realm="x"')
    await expect(get(client)).rejects.toMatchObject({ detail: 'AUTH_FAILED' })
    expect(registry.requests).toHaveLength(2)
  })

  test('of kind docker answer a Basic challenge too, which is remembered', async () => {
    registry.fallback = ({ headers }) =>
      headers.authorization === BASIC ? { body: 'content' } : challenge('Basic realm="Registry"')
    const client = start({ auth: withCredentials('docker') })
    await get(client)
    await get(client)
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, BASIC, BASIC])
    registry.fallback = challenge('Basic realm="Registry"')
    await expect(get(start({ auth: withCredentials('docker') }))).rejects.toMatchObject({ detail: 'AUTH_FAILED' })
  })

  test('that are not there cannot answer a Basic challenge: 401, which is no absence', async () => {
    registry.fallback = challenge('Basic realm="Registry"')
    expect(await get(start())).toMatchObject({ status: 401, isAbsence: false })
    expect(registry.requests).toHaveLength(1)
  })

  test('are nothing that printing or serializing shows', () => {
    const auth = withCredentials('docker')
    expect(inspect(auth, { depth: 9, showHidden: true }) + JSON.stringify(auth)).not.toMatch(/hunter2|bWlycm9y/)
  })

  test('without a type that knows tokens, Bearer challenges are not answered', async () => {
    const client = start({ adapter: { tokenScope: undefined } as never })
    expect(await get(client)).toMatchObject({ status: 401, isAbsence: false })
    expect(auth.requests).toHaveLength(0)
  })
})

describe('a token service', () => {
  test.each([
    ['is down', { refuse: true }, { status: 502 }],
    ['answers 500', { status: 500 }, { status: 502 }],
    ['answers 503', { status: 503 }, { status: 503 }],
    ['answers 404', { status: 404 }, { status: 502 }],
    ['answers 429', { status: 429, headers: { 'retry-after': '7' } }, { detail: 'RATE_LIMITED', retryAfter: 7 }],
    ['refuses by 401', { status: 401 }, { detail: 'AUTH_FAILED' }],
    ['refuses by 403', { status: 403 }, { detail: 'AUTH_FAILED' }],
    ['sends no JSON', { body: '<html>secret-1' }, { status: 502 }],
    ['sends JSON without a token', { body: '{"token":null}' }, { status: 502 }],
    ['sends null', { body: 'null' }, { status: 502 }],
    ['sends a token that is no header', { body: '{"token":"secret-1\\r\\nx: y"}' }, { status: 502 }],
    ['sends too much', { body: `{"token":"secret-1","x":"${'x'.repeat(2 ** 20)}"}` }, { status: 502 }],
    ['breaks off', { body: '{"token":"secret-1"}'.padEnd(5_000), cutAt: 100 }, { status: 502 }],
  ] satisfies [string, Answer, object][])('that %s is a failure, and no 404', async (_, answer, failure) => {
    auth.on('/token', answer)
    const error = await get(start()).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ kind: 'upstream-unavailable', ...failure })
    expect(inspect(error, { depth: 9 })).not.toContain('secret-1')
    expect(registry.requests).toHaveLength(1)
  })

  test('that refuses a scope is left alone with it for a minute, and with no other', async () => {
    auth.on('/token', (request, attempt) =>
      request.query.includes('secret-app') ? { status: 403 } : issue()(request, attempt),
    )
    const client = start()
    const refused = () => expect(get(client, '/v2/secret-app/x')).rejects.toMatchObject({ detail: 'AUTH_FAILED' })
    await refused()
    await refused()
    expect(auth.requests).toHaveLength(1)
    expect(await get(client, '/v2/app/x')).toMatchObject({ status: 200 })
    clock.advance(61_000)
    await refused()
    expect(auth.requests).toHaveLength(3)
  })

  test('that failed is asked again by the next request', async () => {
    auth.on('/token', (request, attempt) => (attempt === 1 ? { status: 500 } : issue()(request, attempt)))
    const client = start()
    await expect(get(client)).rejects.toMatchObject({ status: 502 })
    expect(await get(client)).toMatchObject({ status: 200 })
  })

  test('has a breaker of its own: the registry is not blamed for it', async () => {
    auth.on('/token', { status: 500 })
    const client = start()
    for (let i = 0; i < 6; i += 1) await get(client).catch(() => {})
    expect(client.states()).toContainEqual({ origin: auth.url, state: 'open' })
    expect(client.states()).toContainEqual({ origin: registry.url, state: 'closed' })
    expect(auth.requests).toHaveLength(5)
  })

  test('on a private network is refused like any other address', async () => {
    const realmHosts = ['127.0.0.2']
    const client = start({ privateNetwork: 'origin', auth: { kind: 'docker', credentials: null, realmHosts } })
    registry.fallback = challenge('Bearer realm="http://127.0.0.2:1/token"')
    await expect(get(client)).rejects.toThrow(/private network/)
  })
})

describe('requests', () => {
  test('may want redirects as they are', async () => {
    registry.on('/v2/app/x', { status: 307, headers: { location: `${auth.url}/blob` } })
    expect(await get(start(), '/v2/app/x', { method: 'HEAD', redirect: 'manual' })).toMatchObject({ status: 307 })
    expect(auth.requests).toHaveLength(0)
  })

  test('are not sent while the origin limits their rate, and say so', async () => {
    registry.fallback = { status: 429, headers: { 'retry-after': '30' } }
    const client = start()
    const limited = () =>
      expect(get(client)).rejects.toMatchObject({ detail: 'RATE_LIMITED', status: 503, retryAfter: 30 })
    await limited()
    await limited()
    expect(registry.requests).toHaveLength(1)
    registry.fallback = { body: 'content' }
    clock.advance(30_001)
    expect(await get(client)).toMatchObject({ status: 200 })
  })
})
