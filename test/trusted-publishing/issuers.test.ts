import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'
import { exchange, trust } from './jobs.ts'
import { AUDIENCE, environment, makeKey, ScriptedIssuer } from './scripted-issuer.ts'

const PAUSE = 31_000
const HOUR = 3_600_000

let server: TestApp
let issuer: ScriptedIssuer
let forget: () => Promise<unknown>

beforeAll(async () => {
  server = await TestApp.start({ environment })
  await server.createOrganization('acme')
})
afterAll(() => server.close())
beforeEach(async () => {
  issuer = await ScriptedIssuer.start()
  const id = await trust(server, '/orgs/acme', issuer.url)
  forget = () => server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
})
afterEach(async () => {
  await forget()
  await issuer.close()
})

/** As the clock of the server has it. */
const idToken = (claims: object = {}, more?: Parameters<ScriptedIssuer['idToken']>[1]) => {
  const now = Math.floor(server.clock.now() / 1_000)
  return issuer.idToken({ iat: now, exp: now + 300, ...claims }, more)
}
const statusOf = async (token: string) => (await exchange(server, token)).statusCode

describe('the keys of an issuer', () => {
  test('are fetched once, for parallel jobs and for an hour', async () => {
    const tokens = await Promise.all(Array.from({ length: 10 }, () => idToken()))
    const answers = await Promise.all(tokens.map(statusOf))
    expect(answers).toEqual(Array(10).fill(201))
    expect(issuer.requests).toEqual(['/.well-known/openid-configuration', '/jwks'])
    server.clock.advance(HOUR - 60_000)
    expect(await statusOf(await idToken())).toBe(201)
    expect(issuer.requests).toHaveLength(2)
    server.clock.advance(2 * 60_000)
    expect(await statusOf(await idToken())).toBe(201)
    expect(issuer.requests).toHaveLength(4)
  })

  test('are fetched again for a new key, but not for every invented one', async () => {
    expect(await statusOf(await idToken())).toBe(201)
    const next = await makeKey()
    issuer.keys.push(next)
    expect(await statusOf(await idToken({}, { key: next }))).toBe(401)
    server.clock.advance(PAUSE)
    expect(await statusOf(await idToken({}, { key: next }))).toBe(201)
    expect(issuer.requests).toHaveLength(4)
    const invented = await makeKey()
    for (let count = 0; count < 20; count += 1) {
      expect(await statusOf(await idToken({}, { key: { ...invented, kid: `kid-${count}` } }))).toBe(401)
    }
    expect(issuer.requests).toHaveLength(4)
  })

  test('that it has withdrawn end within the hour', async () => {
    const [old] = issuer.keys
    expect(await statusOf(await idToken())).toBe(201)
    issuer.keys = [await makeKey()]
    server.clock.advance(HOUR + 1_000)
    expect(await statusOf(await idToken({}, { key: old! }))).toBe(401)
    server.clock.advance(PAUSE)
    expect(await statusOf(await idToken())).toBe(201)
  })

  test('go on being used for a day while it fails, then nothing is believed (security.md S26)', async () => {
    expect(await statusOf(await idToken())).toBe(201)
    issuer.handler = (_request, response) => response.writeHead(500).end()
    for (const hours of [2, 20]) {
      server.clock.advance(hours * HOUR)
      expect(await statusOf(await idToken())).toBe(201)
    }
    server.clock.advance(3 * HOUR)
    expect(await statusOf(await idToken())).toBe(503)
    issuer.handler = null
    server.clock.advance(PAUSE)
    expect(await statusOf(await idToken())).toBe(201)
  })
})

describe('an issuer that cannot be believed (security.md S26)', () => {
  const refused = async () => {
    const response = await exchange(server, await idToken())
    expect(response.statusCode, response.body).toBe(503)
    expect(response.headers['retry-after']).toBe('30')
    expect(response.body).not.toContain('127.0.0.1')
    // And it is left alone for a while.
    const { length } = issuer.requests
    expect(await statusOf(await idToken())).toBe(503)
    expect(issuer.requests).toHaveLength(length)
  }

  test('is not there', async () => {
    const token = await idToken()
    await issuer.close()
    expect(await statusOf(token)).toBe(503)
    issuer = await ScriptedIssuer.start()
  })

  test('accepts and never answers', async () => {
    issuer.handler = () => {}
    const start = Date.now()
    await refused()
    expect(Date.now() - start).toBeLessThan(15_000)
  })

  test('sends its answer byte by byte', async () => {
    issuer.handler = (_request, response) => {
      const timer = setInterval(() => response.write(' '), 200)
      response.once('close', () => clearInterval(timer))
    }
    await refused()
  })

  test('sends without end', async () => {
    let sent = 0
    issuer.handler = (_request, response) => {
      const chunk = Buffer.alloc(65_536, 32)
      const send = () => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.length
        sent += chunk.length
      }
      response.on('drain', send)
      send()
    }
    await refused()
    expect(sent).toBeLessThan(16 * 1024 * 1024)
  })

  test('redirects (security.md S40)', async () => {
    const elsewhere = await ScriptedIssuer.start()
    issuer.handler = (_request, response) =>
      response.writeHead(302, { location: `${elsewhere.url}/.well-known/openid-configuration` }).end()
    await refused()
    expect(elsewhere.requests).toEqual([])
    await elsewhere.close()
  })

  test.each<[string, () => object]>([
    ['describes another issuer', () => ({ issuer: 'https://token.actions.githubusercontent.com' })],
    ['describes itself with a slash', () => ({ issuer: `${issuer.url}/` })],
    ['names no keys', () => ({ jwks_uri: undefined })],
    ['names keys at no URL', () => ({ jwks_uri: 'keys' })],
    ['names keys in a file', () => ({ jwks_uri: 'file:///etc/passwd' })],
    ['names keys with credentials', () => ({ jwks_uri: issuer.url.replace('http://', 'http://user:password@') })],
    ['names keys on a metadata address (S40)', () => ({ jwks_uri: 'http://169.254.169.254/latest' })],
    ['names keys on a metadata address, over https (S40)', () => ({ jwks_uri: 'https://169.254.169.254/latest' })],
    ['names keys on another private address (S40)', () => ({ jwks_uri: 'https://10.0.0.1/jwks' })],
    ['names keys on an IPv4-mapped address (S40)', () => ({ jwks_uri: 'https://[::ffff:10.0.0.1]/jwks' })],
  ])('%s', async (_name, discovery) => {
    issuer.discovery = discovery()
    await refused()
    expect(issuer.requests).toEqual(['/.well-known/openid-configuration'])
  })

  test.each<[string, string]>([
    ['no JSON', '<html>'],
    ['null', 'null'],
    ['no keys', '{}'],
    ['keys that are none', '{"keys":{}}'],
    ['too many keys', JSON.stringify({ keys: Array(500).fill({ kty: 'RSA', n: 'x'.repeat(200), e: 'AQAB' }) })],
  ])('has %s', async (_name, document) => {
    issuer.handler = (request, response) => {
      if (request.url === '/jwks') response.end(document)
      else response.end(JSON.stringify({ issuer: issuer.url, jwks_uri: `${issuer.url}/jwks` }))
    }
    await refused()
  })

  test.each<[string, object]>([
    ['a key that cannot be read', { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }],
    ['an RSA key that is too short', { kty: 'RSA', n: 'x'.repeat(64), e: 'AQAB' }],
    ['a curve that is none', { kty: 'EC', crv: 'P-1', x: 'AA', y: 'AA' }],
    ['no key of the kind', { kty: 'OKP' }],
  ])('has %s', async (_name, key) => {
    issuer.handler = (request, response) => {
      if (request.url === '/jwks')
        response.end(JSON.stringify({ keys: [{ ...key, kid: issuer.keys[0]!.kid }, null, 7] }))
      else response.end(JSON.stringify({ issuer: issuer.url, jwks_uri: `${issuer.url}/jwks` }))
    }
    expect(await statusOf(await idToken())).toBe(401)
  })
})

test('requests to an issuer say nothing of this server (security.md S39)', async () => {
  const seen: object[] = []
  issuer.handler = (request, response) => {
    seen.push(request.headers)
    response.writeHead(404).end()
  }
  await exchange(server, await idToken())
  expect(seen).toHaveLength(1)
  expect(Object.keys(seen[0]!).sort()).toEqual(['accept', 'connection', 'host'])
})

describe('private networks (security.md S40)', () => {
  let strict: TestApp
  beforeAll(async () => {
    strict = await TestApp.start({ environment: { ENTREPOT_BASE_URL: AUDIENCE } })
    await strict.createOrganization('acme')
  })
  afterAll(() => strict.close())

  test.each([
    ...['http://127.0.0.1', 'https://127.0.0.1', 'https://[::1]', 'https://10.1.2.3', 'https://169.254.169.254'],
    ...[
      'https://[::ffff:127.0.0.1]',
      'https://[64:ff9b::7f00:1]',
      'https://[2002:7f00:1::]',
      'http://issuer.example.org',
    ],
    ...['https://user:secret@issuer.example.org', 'https://issuer.example.org/?a=b', 'https://issuer.example.org/#a'],
    ...['https://ISSUER.example.org', 'https://issuer.example.org:443', 'https://issuer.example.org/a/../b', 'issuer'],
    ...['file:///etc/passwd', 'https://2130706433', 'https://issuer.example.org ', `https://${'x'.repeat(250)}.org`],
  ])('no publisher can be made for %s', async (issuer) => {
    const payload = { name: 'x', issuer, claims: { sub: 'x' } }
    const response = await strict.api('POST', '/orgs/acme/trusted_publishers', payload)
    expect(response.statusCode, response.body).toBe(422)
    expect(response.body).not.toContain('secret')
  })

  test.each(['https://issuer.example.org', 'https://issuer.example.org/', 'https://issuer.example.org:8443/a/b'])(
    'one can be made for %s',
    async (issuer) => {
      const payload = { name: issuer, issuer, claims: { sub: 'x' } }
      expect((await strict.api('POST', '/orgs/acme/trusted_publishers', payload)).statusCode).toBe(201)
    },
  )

  test('a name that turns out to be on one is not contacted', async () => {
    const { port } = new URL(issuer.url)
    const url = `https://localhost:${port}`
    await trust(strict, '/orgs/acme', url)
    expect((await exchange(strict, await issuer.idToken({ iss: url }))).statusCode).toBe(503)
    expect(issuer.requests).toEqual([])
  })
})

test('a publisher can be switched off with all others', async () => {
  const off = await TestApp.start({ environment: { ...environment, ENTREPOT_TRUSTED_PUBLISHING_ENABLED: 'false' } })
  await off.createOrganization('acme')
  expect((await exchange(off, await issuer.idToken())).statusCode).toBe(403)
  expect((await off.api('GET', '/orgs/acme/trusted_publishers')).statusCode).toBe(403)
  await off.close()
})
