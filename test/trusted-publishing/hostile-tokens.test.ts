import { createHmac } from 'node:crypto'
import { exportSPKI, importJWK, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'
import { exchange, trust } from './jobs.ts'
import { AUDIENCE, environment, type IssuerKey, makeKey, ScriptedIssuer } from './scripted-issuer.ts'

let server: TestApp
let issuer: ScriptedIssuer
let attacker: ScriptedIssuer
let evil: IssuerKey
let rsa: IssuerKey

beforeAll(async () => {
  issuer = await ScriptedIssuer.start()
  attacker = await ScriptedIssuer.start()
  rsa = await makeKey('RS256')
  issuer.keys.push(rsa)
  evil = attacker.keys[0]!
  server = await TestApp.start({ environment })
  await server.createOrganization('acme')
  await trust(server, '/orgs/acme', issuer.url)
})
afterAll(async () => {
  await server.close()
  await issuer.close()
  await attacker.close()
})

const statusOf = async (idToken: string) => (await exchange(server, idToken)).statusCode
const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
const now = () => Math.floor(server.clock.now() / 1_000)
const claims = () => ({ iss: issuer.url, aud: AUDIENCE, sub: 'job', iat: now(), exp: now() + 300 })

test('a good token of each kind of key is taken', async () => {
  for (const alg of ['ES384', 'PS256', 'RS512', 'EdDSA']) {
    const key = await makeKey(alg)
    issuer.keys.push(key)
    server.clock.advance(31_000)
    expect(await statusOf(await issuer.idToken({}, { key })), alg).toBe(201)
  }
})

describe('keys that a token brings along do not count (security.md S14)', () => {
  test.each([
    ['jwk', () => ({ jwk: evil.jwk })],
    ['jwk and no kid', () => ({ jwk: evil.jwk, kid: undefined })],
    ['jku', () => ({ jku: `${attacker.url}/jwks` })],
    ['x5u', () => ({ x5u: `${attacker.url}/chain.pem` })],
    ['x5c', () => ({ x5c: ['MIIB'] })],
    ['the kid of a real key', () => ({ kid: issuer.keys[0]!.kid })],
    ['a kid that is a path', () => ({ kid: '../../../../dev/null' })],
    ['a kid that is a URL', () => ({ kid: `${attacker.url}/jwks` })],
    ['a kid that is SQL', () => ({ kid: "' OR 1=1 --" })],
    ['a kid of an object', () => ({ kid: '__proto__' })],
    ['a critical extension', () => ({ crit: ['exp'], exp: 1 })],
  ])('%s', async (_name, header) => {
    const before = attacker.requests.length
    const given = Object.fromEntries(Object.entries(header()).filter(([, value]) => value !== undefined))
    const key = { ...evil, kid: evil.kid }
    const signed = await issuer.idToken({}, { key, header: given }).catch(async () => {
      const head = part({ alg: 'ES256', kid: issuer.keys[0]!.kid, ...given })
      return `${head}.${part(claims())}.${Buffer.alloc(64).toString('base64url')}`
    })
    expect(await statusOf(signed)).toBe(401)
    expect(attacker.requests.length).toBe(before)
  })

  test('they do not hurt a token that the issuer has signed either', async () => {
    const header = { jku: `${attacker.url}/jwks`, jwk: evil.jwk, x5u: `${attacker.url}/chain.pem` }
    expect(await statusOf(await issuer.idToken({}, { header }))).toBe(201)
    expect(attacker.requests).toEqual([])
  })
})

describe('algorithms that are no proof (security.md S14)', () => {
  test.each(['none', 'None', 'NONE', ''])('alg %j', async (alg) => {
    expect(await statusOf(`${part({ alg, typ: 'JWT' })}.${part(claims())}.`)).toBe(401)
    expect(await statusOf(`${part({ alg, typ: 'JWT' })}.${part(claims())}.AAAA`)).toBe(401)
  })

  test('HS256 with the public key as secret', async () => {
    const jwk = JSON.stringify(rsa.jwk)
    const spki = await exportSPKI((await importJWK(rsa.jwk, 'RS256', { extractable: true })) as never)
    for (const secret of [jwk, spki, spki.trim(), rsa.jwk.n!, Buffer.from(rsa.jwk.n!, 'base64url')]) {
      const signed = `${part({ alg: 'HS256', kid: rsa.kid })}.${part(claims())}`
      const mac = createHmac('sha256', secret).update(signed).digest('base64url')
      expect(await statusOf(`${signed}.${mac}`)).toBe(401)
    }
  })

  test('a symmetric key that the issuer publishes', async () => {
    const secret = Buffer.alloc(32, 1)
    const key = await makeKey()
    issuer.keys.push({ ...key, kid: 'shared', jwk: { kty: 'oct', k: secret.toString('base64url'), kid: 'shared' } })
    server.clock.advance(31_000)
    const signed = await new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', kid: 'shared' }).sign(secret)
    expect(await statusOf(signed)).toBe(401)
    issuer.keys.pop()
  })

  test('an algorithm that is not that of the key', async () => {
    expect(await statusOf(await issuer.idToken({}, { key: { ...evil, kid: rsa.kid } }))).toBe(401)
  })
})

describe('times and audiences (security.md S15)', () => {
  test.each<[string, () => Record<string, unknown>]>([
    ['ended', () => ({ exp: now() - 31 })],
    ['without an end', () => ({ exp: undefined })],
    ['with an end that is no number', () => ({ exp: 'never' })],
    ['not valid yet', () => ({ nbf: now() + 60 })],
    ['without a time of issue', () => ({ iat: undefined })],
    ['issued more than an hour ago', () => ({ iat: now() - 3_700 })],
    ['issued in the future', () => ({ iat: now() + 120, exp: now() + 600 })],
    ['without audience', () => ({ aud: undefined })],
    ['for another one', () => ({ aud: 'https://other.example.org' })],
    ['for another one, too', () => ({ aud: [AUDIENCE, 'https://other.example.org'] })],
    ['for nobody', () => ({ aud: [] })],
    ['for something below', () => ({ aud: `${AUDIENCE}/api` })],
    ['for a prefix', () => ({ aud: AUDIENCE.slice(0, -1) })],
    ['for the same in capitals', () => ({ aud: AUDIENCE.toUpperCase() })],
    ["with npm's audience, here", () => ({ aud: 'npm:packages.example.org' })],
  ])('%s', async (_name, said) => {
    expect(await statusOf(await issuer.idToken(said()))).toBe(401)
  })

  test.each<[string, () => Record<string, unknown>]>([
    ['clocks that differ by some seconds', () => ({ iat: now() + 20, nbf: now() + 20, exp: now() + 300 })],
    ['ended a moment ago', () => ({ exp: now() - 10 })],
    ['a list of one audience', () => ({ aud: [AUDIENCE] })],
    ['an audience with a slash at its end', () => ({ aud: `${AUDIENCE}/` })],
    ['an end far away', () => ({ exp: now() + 10 ** 12 })],
  ])('%s: taken', async (_name, said) => {
    expect(await statusOf(await issuer.idToken(said()))).toBe(201)
  })
})

describe('replay (security.md S15)', () => {
  test('another token with the same jti', async () => {
    expect(await statusOf(await issuer.idToken({ jti: 'one' }))).toBe(201)
    expect(await statusOf(await issuer.idToken({ jti: 'one', exp: now() + 200 }))).toBe(401)
  })

  test('tokens without jti, and with one that is no text, are told apart by what is signed', async () => {
    for (const jti of [undefined, '', 7, { a: 1 }]) {
      const idToken = await issuer.idToken({ jti, nonce: Math.random() })
      expect(await statusOf(idToken)).toBe(201)
      expect(await statusOf(idToken)).toBe(401)
      expect(await statusOf(await issuer.idToken({ jti, nonce: Math.random() }))).toBe(201)
    }
  })

  test('the same signature written in another way', async () => {
    const idToken = await issuer.idToken({ jti: undefined, nonce: 1 }, { key: issuer.keys[0]! })
    expect(await statusOf(idToken)).toBe(201)
    for (const other of [`${idToken}=`, `${idToken}==`, `${idToken} `, idToken.replace(/.$/, 'B')]) {
      expect(await statusOf(other)).toBe(401)
    }
  })

  test("another issuer's tokens cannot use up ids", async () => {
    const id = await trust(server, '/orgs/acme', attacker.url)
    expect(await statusOf(await attacker.idToken({ jti: 'shared-id' }))).toBe(201)
    expect(await statusOf(await issuer.idToken({ jti: 'shared-id' }))).toBe(201)
    await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
  })
})

describe('issuers', () => {
  test('one whom nobody trusts is refused without being asked (security.md S40)', async () => {
    const before = attacker.requests.length
    expect(await statusOf(await attacker.idToken())).toBe(403)
    expect(attacker.requests.length).toBe(before)
  })

  test('a token in the name of another issuer', async () => {
    expect(await statusOf(await attacker.idToken({ iss: issuer.url }))).toBe(401)
    for (const iss of [
      `${issuer.url}/`,
      `${issuer.url} `,
      `${issuer.url}\0`,
      issuer.url.toUpperCase(),
      'x'.repeat(5_000),
    ]) {
      expect(await statusOf(await issuer.idToken({ iss }))).toBe(403)
    }
    for (const iss of [undefined, 7, null, [issuer.url]])
      expect(await statusOf(await issuer.idToken({ iss }))).toBe(401)
  })
})

test.each(['x', 'a.b', 'a.b.c', '..', `${'a'.repeat(16_000)}.b.c`, 'eyJ9.eyJ9.eyJ9', '💥.💥.💥'])(
  'what is no token: %.20s',
  async (text) => {
    expect(await statusOf(text)).toBe(401)
  },
)

test('bodies that are none', async () => {
  for (const payload of [
    {},
    { id_token: '' },
    { id_token: 7 },
    { id_token: 'x'.repeat(16_385) },
    { id_token: 'a', scope: 'all' },
  ]) {
    expect((await server.api('POST', '/trusted_publishing/token', payload, null)).statusCode).toBe(422)
  }
})

test('who sends many different wrong tokens has to wait; a right one does not', async () => {
  const other = await TestApp.start({
    environment: { ...environment, ENTREPOT_RATE_LIMITS_FAILED_SIGN_INS_PER_ADDRESS: '3' },
  })
  await other.createOrganization('acme')
  await trust(other, '/orgs/acme', issuer.url)
  const wrong = () => issuer.idToken({}, { key: { ...evil, kid: rsa.kid, alg: 'ES256' } })
  const statuses: number[] = []
  for (let count = 0; count < 5; count += 1) statuses.push((await exchange(other, await wrong())).statusCode)
  expect(statuses).toEqual([401, 401, 401, 429, 429])
  expect((await exchange(other, await issuer.idToken())).statusCode).toBe(201)
  await other.close()
})

test('exchanges of one address are limited', async () => {
  const other = await TestApp.start({ environment: { ...environment, ENTREPOT_RATE_LIMITS_TOKEN_EXCHANGES: '2' } })
  const statuses: number[] = []
  for (let count = 0; count < 3; count += 1) statuses.push((await exchange(other, 'x')).statusCode)
  expect(statuses).toEqual([401, 401, 429])
  await other.close()
})
