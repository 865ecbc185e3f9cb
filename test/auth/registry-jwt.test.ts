import { createHmac, generateKeyPairSync } from 'node:crypto'
import { SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Grants } from '../../src/auth/grants.ts'
import { type RegistryClaims, RegistryJwts } from '../../src/auth/registry-jwt.ts'
import { Unauthenticated } from '../../src/errors.ts'
import { AuthParts, ISSUER } from './auth-parts.ts'

const MINUTE = 60_000

describe('the JWTs of the registry', () => {
  let parts: AuthParts
  let jwts: RegistryJwts
  let claims: RegistryClaims
  let token: string

  beforeAll(async () => {
    parts = await AuthParts.open()
    jwts = parts.jwts
    claims = {
      userId: 7,
      tokenId: 12,
      passwordMark: null,
      grants: new Grants({ repositories: [{ name: 'acme/app', actions: ['pull', 'push'] }], catalog: true }),
      expiresAt: parts.now / 1_000 + 900,
    }
    token = await jwts.sign('access', claims)
  })
  afterAll(() => parts.close())

  const refuses = async (text: string, use: 'access' | 'refresh' = 'access') => {
    const failure = await jwts.verify(use, text).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(Unauthenticated)
    expect((failure as Unauthenticated).subject).toBe('token')
  }
  const encode = (value: object | string) =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
  const decode = (part: number, text = token) =>
    JSON.parse(Buffer.from(text.split('.')[part]!, 'base64url').toString('utf8'))
  /** Signed with the right key, whatever stands in it. */
  const forge = async (header: object, payload: object, algorithm = 'sha256') => {
    const { secret } = await parts.signingKeys.current()
    const text = `${encode(header)}.${encode(payload)}`
    return `${text}.${createHmac(algorithm, secret).update(text).digest('base64url')}`
  }

  test('give back what was signed', async () => {
    const read = await jwts.verify('access', token)
    expect(read).toEqual(claims)
    expect(read.grants.allows('acme/app', 'push')).toBe(true)
    const anonymous = {
      ...claims,
      userId: null,
      tokenId: null,
      grants: new Grants({ repositories: [], catalog: false }),
    }
    expect(await jwts.verify('access', await jwts.sign('access', anonymous))).toEqual(anonymous)
    const password = { ...claims, tokenId: null, passwordMark: 'mark' }
    expect(await jwts.verify('access', await jwts.sign('access', password))).toEqual(password)
  })

  test('have the form that other servers of this kind give them', () => {
    expect(decode(0)).toEqual({ alg: 'HS256', typ: 'JWT', kid: String(parts.now / 86_400_000) })
    expect(decode(1)).toEqual({
      iss: ISSUER,
      aud: `${ISSUER}/v2`,
      sub: '7',
      tokenId: 12,
      iat: parts.now / 1_000,
      exp: parts.now / 1_000 + 900,
      access: [{ type: 'repository', name: 'acme/app', actions: ['pull', 'push'] }],
      catalog: true,
    })
  })

  test('serve one use each', async () => {
    const refresh = await jwts.sign('refresh', claims)
    await expect(jwts.verify('refresh', refresh)).resolves.toEqual(claims)
    await refuses(refresh, 'access')
    await refuses(token, 'refresh')
  })

  test('are over to the second', async () => {
    parts.now += 15 * MINUTE - 1_000
    await expect(jwts.verify('access', token)).resolves.toEqual(claims)
    parts.now += 1_000
    await expect(jwts.verify('access', token)).rejects.toThrow('expired')
    await refuses(token)
    parts.now -= 15 * MINUTE
  })

  test('of another installation are refused, also with the same keys (security.md S15)', async () => {
    const other = new RegistryJwts({
      keys: parts.signingKeys,
      clock: { now: () => parts.now },
      issuer: 'https://other.example.org',
    })
    const foreign = await other.sign('access', claims)
    await expect(other.verify('access', foreign)).resolves.toEqual(claims)
    await refuses(foreign)
  })

  test('with one bit changed anywhere are refused', async () => {
    const [header, payload, signature] = token.split('.') as [string, string, string]
    const more = { ...decode(1), sub: '1' }
    await refuses(`${header}.${encode(more)}.${signature}`)
    await refuses(`${encode({ ...decode(0), kid: '1' })}.${payload}.${signature}`)
    const flipped = Buffer.from(signature, 'base64url')
    flipped[0]! ^= 1
    await refuses(`${header}.${payload}.${flipped.toString('base64url')}`)
  })

  test('without a signature, or by an algorithm of their own choice, are refused (security.md S14)', async () => {
    const payload = decode(1)
    for (const alg of ['none', 'None', 'NONE', '']) {
      const unsigned = `${encode({ ...decode(0), alg })}.${encode(payload)}`
      await refuses(`${unsigned}.`)
      await refuses(`${unsigned}.${token.split('.')[2]}`)
    }
    await refuses(await forge({ ...decode(0), alg: 'HS512' }, payload, 'sha512'))
    await refuses(await forge({ ...decode(0), crit: ['exp'] }, payload))
    await refuses(await forge({ kid: decode(0).kid }, payload))
  })

  test('cannot bring their key along (security.md S14)', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const jwk = publicKey.export({ format: 'jwk' })
    const jku = 'http://127.0.0.1:1/keys'
    const extra = [{ jwk }, { jku }, { x5u: jku }, { kid: '../../../../dev/null' }, { kid: jku }, {}]
    for (const header of extra) {
      const signing = new SignJWT(decode(1)).setProtectedHeader({ ...decode(0), alg: 'ES256', ...header } as never)
      await refuses(await signing.sign(privateKey))
    }
    const own = Buffer.alloc(32)
    const oct = { kty: 'oct', k: own.toString('base64url') }
    const hmac = new SignJWT(decode(1)).setProtectedHeader({ ...decode(0), jwk: oct } as never)
    await refuses(await hmac.sign(own))
  })

  test('with a strange name of the key are refused', async () => {
    const { kid: _kid, ...header } = decode(0)
    await refuses(await forge(header, decode(1)))
    const day = decode(0).kid
    for (const kid of ['', '1', 'x', null, 5, ['a'], {}, '9'.repeat(5_000), [day], Number(day), { kid: day }]) {
      await refuses(await forge({ ...header, kid }, decode(1)))
    }
  })

  test('need an end, a bearer, an audience and an issuer', async () => {
    await expect(jwts.verify('access', await forge(decode(0), decode(1)))).resolves.toEqual(claims)
    for (const claim of ['exp', 'sub', 'aud', 'iss']) {
      const { [claim]: _left, ...rest } = decode(1)
      await refuses(await forge(decode(0), rest))
    }
    await refuses(await forge(decode(0), { ...decode(1), exp: 'never' }))
  })

  test.each([
    ['nothing', ''],
    ['dots', '..'],
    ['many dots', '.'.repeat(10_000)],
    ['no base64', 'ä.ö.ü'],
    ['no JSON', 'aaaa.bbbb.cccc'],
    ['a list as header', 'W10.W10.'],
    ['a huge text', `${'a'.repeat(2_000_000)}.b.c`],
  ])('refuse %s', async (_name, text) => {
    await refuses(text)
  })

  test('that are longer than a header are refused, though the signature is good', async () => {
    await refuses(await forge(decode(0), { ...decode(1), more: 'x'.repeat(20_000) }))
  })

  test('one of a day before is good after the keys have changed', async () => {
    const long = { ...claims, expiresAt: parts.now / 1_000 + 3 * 86_400 }
    const old = await jwts.sign('refresh', long)
    parts.now += 86_400_000
    const fresh = await jwts.sign('refresh', { ...claims, expiresAt: parts.now / 1_000 + 900 })
    expect(decode(0, fresh).kid).not.toBe(decode(0, old).kid)
    await expect(jwts.verify('refresh', old)).resolves.toEqual(long)
    parts.now -= 86_400_000
  })
})
