import { afterEach, describe, expect, test, vi } from 'vitest'
import { basic, TestApp } from '../support/test-app.ts'

const CLIENT = '198.51.100.7'
const WRONG = basic('root', 'wrong horse')

let t: TestApp
afterEach(() => t.close())

async function start(environment: Record<string, string>) {
  t = await TestApp.start({ environment })
}

function send(url: string, options: { method?: 'GET' | 'POST' | 'PUT' | 'DELETE'; as?: string; from?: string } = {}) {
  const { method = 'GET', as, from = CLIENT } = options
  const headers = as === undefined ? {} : { authorization: as }
  return t.inject({ method, url, headers, remoteAddress: from })
}

describe('limits of requests', () => {
  test('none for reads of packages and the API by default, and none is paid for', async () => {
    await start({})
    const add = vi.spyOn(t.services.tallies, 'add')
    for (const url of ['/api/packages/root/generic/a/1/b', '/api/v1/version', '/healthz']) {
      const answer = await send(url)
      expect(answer.headers).not.toHaveProperty('x-ratelimit-limit')
    }
    expect(add).not.toHaveBeenCalled()
  })

  test('writes to the API count per user wherever he is, for a minute; others go on', async () => {
    await start({ ENTREPOT_RATE_LIMITS_API_WRITES: '3' })
    const ann = await t.createUser('ann')
    t.clock.advance(60_000)
    const token = await t.createToken('ann', ['write:user'], ann)
    const write = (as: string, from?: string) =>
      send('/api/v1/users/ann/tokens/none', { method: 'DELETE', as, ...(from === undefined ? {} : { from }) })
    expect((await write(ann)).statusCode).toBe(404)
    expect((await write(basic('ann', token), '192.0.2.1')).statusCode).toBe(404)
    const refused = await write(ann, '192.0.2.2')
    expect(refused.statusCode).toBe(429)
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(50)
    expect(refused.headers['x-ratelimit-limit']).toBe('3')
    expect(refused.json()).toEqual({
      message: 'more than 3 requests within a minute',
      url: `${t.services.config.baseUrl}/api/swagger`,
    })
    expect((await send('/api/v1/user', { as: ann })).statusCode).toBe(200)
    expect((await write(t.admin)).statusCode).toBe(404)
    t.clock.advance(61_000)
    expect((await write(ann)).statusCode).toBe(404)
    expect(await t.services.metrics.registry.getSingleMetricAsString('entrepot_throttled_requests_total')).toContain(
      '{limit="apiWrites"} 1',
    )
  })

  test('whoever is not signed in counts by address, an IPv6 /64 as one', async () => {
    await start({ ENTREPOT_RATE_LIMITS_PACKAGE_READS: '2' })
    const read = (from: string) => send('/api/packages/root/generic/a/1/b', { from })
    const addresses = ['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8:0:1::1', '::ffff:192.0.2.1', '192.0.2.1']
    const statuses = []
    for (const address of [...addresses, '::ffff:192.0.2.1']) statuses.push((await read(address)).statusCode)
    expect(statuses).toEqual([404, 404, 429, 404, 404, 404, 429])
  })

  test('each ecosystem says it in its own words, with Retry-After', async () => {
    await start({ ENTREPOT_RATE_LIMITS_PACKAGE_READS: '0', ENTREPOT_RATE_LIMITS_CONTAINER_TOKENS: '0' })
    const text = 'more than 0 requests within a minute'
    const containers = { errors: [{ code: 'TOOMANYREQUESTS', message: text }] }
    const answers = [
      ['/v2/root/app/manifests/latest', containers],
      ['/v2/token', containers],
      ['/api/packages/root/npm/left-pad', { error: text }],
    ] as const
    for (const [url, body] of answers) {
      const answer = await send(url)
      expect([url, answer.statusCode, answer.json()]).toEqual([url, 429, body])
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
    }
    for (const url of ['/api/packages/root/maven/a/b/1/b-1.pom', '/api/packages/root/generic/a/1/b']) {
      const answer = await send(url)
      expect([url, answer.statusCode, answer.body]).toEqual([url, 429, `${text}\n`])
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
    }
  })

  test('npm login has its own', async () => {
    await start({ ENTREPOT_RATE_LIMITS_NPM_LOGINS: '1' })
    const login = (from: string) =>
      t.inject({
        method: 'PUT',
        url: '/api/packages/root/npm/-/user/org.couchdb.user:root',
        payload: { name: 'root', password: 'correct-horse-battery' },
        remoteAddress: from,
      })
    expect((await login(CLIENT)).statusCode).toBe(201)
    expect((await login(CLIENT)).statusCode).toBe(429)
    expect((await login('192.0.2.1')).statusCode).toBe(201)
  })

  test('a morning’s 500 jobs from one address pass with the defaults', async () => {
    await start({})
    const as = basic('root', await t.createToken('root', ['read:package'], t.admin))
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, job) =>
        send(job % 2 === 0 ? '/v2/token?scope=repository:root/app:pull' : '/api/packages/root/npm/left-pad', { as }),
      ),
    )
    expect(new Set(answers.map(({ statusCode }) => statusCode))).toEqual(new Set([200, 404]))
  })
})

describe('failed sign-ins', () => {
  const WAYS: [string, (password: string) => Promise<{ statusCode: number; headers: object }>][] = [
    ['the API', (password) => send('/api/v1/version', { as: basic('root', password) })],
    ['packages', (password) => send('/api/packages/root/npm/left-pad', { as: basic('root', password) })],
    ['unknown paths', (password) => send('/api/v1/nothing', { as: basic('root', password) })],
    ['the token endpoint', (password) => send('/v2/token', { as: basic('root', password) })],
    [
      'the token endpoint by form',
      (password) =>
        t.inject({
          method: 'POST',
          url: '/v2/token',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          payload: `grant_type=password&username=root&password=${password}`,
          remoteAddress: CLIENT,
        }),
    ],
    [
      'npm login',
      (password) =>
        t.inject({
          method: 'PUT',
          url: '/api/packages/root/npm/-/user/org.couchdb.user:root',
          payload: { name: 'root', password },
          remoteAddress: CLIENT,
        }),
    ],
  ]

  test('are counted together, whatever the way', async () => {
    await start({})
    for (const [index, [way, signIn]] of WAYS.slice(0, 5).entries()) {
      expect([way, (await signIn(`wrong-${index}`)).statusCode]).toEqual([way, 401])
    }
    for (const [way, signIn] of WAYS) {
      const refused = await signIn('another-wrong-one')
      expect([way, refused.statusCode, refused.headers]).toMatchObject([way, 429, { 'retry-after': '5' }])
      // Even the right one, if nobody has shown it there yet: else guessing would go on.
      expect([way, (await signIn('correct-horse-battery')).statusCode]).toEqual([way, 429])
    }
    // That it is right elsewhere must not tell whoever guesses here.
    expect((await send('/api/v1/user', { as: t.admin, from: '192.0.2.1' })).statusCode).toBe(200)
    expect((await send('/api/v1/user', { as: t.admin })).statusCode).toBe(429)
    expect((await send('/api/v1/user', { as: basic('root', 'yet-another') })).statusCode).toBe(429)
  })

  test('do not keep those waiting who have signed in there before', async () => {
    await start({})
    expect((await send('/api/v1/user', { as: t.admin })).statusCode).toBe(200)
    for (let i = 0; i < 6; i += 1) await send('/api/v1/user', { as: basic('root', `wrong-${i}`) })
    expect((await send('/api/v1/user', { as: basic('root', 'yet-another') })).statusCode).toBe(429)
    expect((await send('/api/v1/user', { as: t.admin })).statusCode).toBe(200)
  })

  test('of accounts that do not exist count like others', async () => {
    await start({})
    for (const username of ['root', 'nobody', "x' OR 1=1"]) {
      const statuses = []
      for (let i = 0; i < 6; i += 1) {
        statuses.push((await send('/api/v1/version', { as: basic(username, `wrong-${i}`) })).statusCode)
      }
      expect(statuses).toEqual([401, 401, 401, 401, 401, 429])
    }
  })

  test('with one wrong password in 500 jobs keep nobody else out', async () => {
    await start({})
    const answers = await Promise.all(Array.from({ length: 500 }, () => send('/api/v1/version', { as: WRONG })))
    expect(new Set(answers.map(({ statusCode }) => statusCode))).toEqual(new Set([401]))
    expect((await send('/api/v1/user', { as: t.admin })).statusCode).toBe(200)
  })

  test('a token that is right is never kept waiting', async () => {
    await start({ ENTREPOT_RATE_LIMITS_FAILED_SIGN_INS_PER_ADDRESS: '1' })
    const token = await t.createToken('root', ['read:user'], t.admin)
    const wrong = (digit: string) => send('/api/v1/user', { as: `Bearer ${digit.repeat(40)}` })
    expect((await wrong('0')).statusCode).toBe(401)
    const refused = await wrong('1')
    expect([refused.statusCode, refused.headers['retry-after']]).toEqual([429, '5'])
    expect((await send('/api/v1/user', { as: `Bearer ${token}` })).statusCode).toBe(200)
    expect((await send('/api/v1/user', { as: basic('root', token) })).statusCode).toBe(200)
  })
})

describe('addresses that a proxy reports (S16)', () => {
  const forged = (remoteAddress: string, forwarded: string) =>
    t.inject({
      url: '/api/packages/root/generic/a/1/b',
      headers: { 'x-forwarded-for': forwarded, 'x-real-ip': forwarded, forwarded: `for=${forwarded}` },
      remoteAddress,
    })

  test('are not believed of a stranger', async () => {
    await start({ ENTREPOT_RATE_LIMITS_PACKAGE_READS: '1' })
    expect((await forged(CLIENT, '192.0.2.1')).statusCode).toBe(404)
    expect((await forged(CLIENT, '192.0.2.2')).statusCode).toBe(429)
    expect((await forged('127.0.0.1', CLIENT)).statusCode).toBe(404)
    expect((await forged('127.0.0.1', '192.0.2.3')).statusCode).toBe(429)
  })

  test('are believed of configured ones, from the right to the left, up to the first stranger', async () => {
    await start({
      ENTREPOT_RATE_LIMITS_PACKAGE_READS: '1',
      ENTREPOT_TRUSTED_PROXIES: '10.0.0.0/8, 2001:db8::1',
    })
    expect((await forged('10.1.2.3', '192.0.2.1')).statusCode).toBe(404)
    // What the client wrote itself stands on the left.
    expect((await forged('10.1.2.3', '203.0.113.1, 192.0.2.1')).statusCode).toBe(429)
    expect((await forged('2001:db8::1', '10.9.9.9, 192.0.2.1, 10.4.5.6')).statusCode).toBe(429)
    expect((await forged('10.1.2.3', '192.0.2.1:51234')).statusCode).toBe(429)
    expect((await forged('10.1.2.3', '192.0.2.2')).statusCode).toBe(404)
    expect((await forged('11.1.2.3', '192.0.2.5')).statusCode).toBe(404)
    expect((await forged('11.1.2.3', '192.0.2.6')).statusCode).toBe(429)
  })

  test('change neither user, scheme nor host', async () => {
    await start({})
    const seen: unknown[] = []
    const headers = {
      'x-forwarded-for': '192.0.2.1',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      'x-webauth-user': 'root',
      'x-forwarded-user': 'root',
      'remote-user': 'root',
    }
    vi.spyOn(t.services.authenticator, 'authenticate').mockImplementation(async (authorization, options) => {
      seen.push([authorization, options?.address])
      throw new Error('stop')
    })
    await t.inject({ url: '/api/v1/user', headers, remoteAddress: CLIENT })
    expect(seen).toEqual([[undefined, CLIENT]])
    vi.restoreAllMocks()
    expect((await t.inject({ url: '/api/v1/user', headers, remoteAddress: CLIENT })).statusCode).toBe(401)
    const challenge = await t.inject({ url: '/v2/', headers, remoteAddress: CLIENT })
    expect(challenge.headers['www-authenticate']).toContain(t.services.config.baseUrl)
    expect(JSON.stringify(challenge.headers)).not.toContain('evil')
  })
})
