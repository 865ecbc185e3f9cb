import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, TestApp } from '../support/test-app.ts'
import { exchange, secretOf, trust, upload } from './jobs.ts'
import { OidcIssuer } from './oidc-issuer.ts'
import { AUDIENCE, environment } from './scripted-issuer.ts'

const MAIN = 'repo:acme/app:ref:refs/heads/main'
const BRANCH = 'repo:acme/app:ref:refs/heads/topic'

let server: TestApp
let issuer: OidcIssuer
let ann: string
const lines: string[] = []

beforeAll(async () => {
  issuer = await OidcIssuer.start({
    [MAIN]: { repository: 'acme/app', environment: 'production' },
    [BRANCH]: { repository: 'acme/app' },
    stranger: { repository: 'evil/app' },
  })
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
  server = await TestApp.start({ environment, log })
  ann = await server.createUser('ann')
  await server.createOrganization('acme', ann, 'private')
  await server.createOrganization('other', ann)
})
afterAll(async () => {
  await server.close()
  await issuer.close()
})

describe('a job of a real OpenID provider', () => {
  test('gets a token that writes what the publisher names, and ends', async () => {
    const packages = [{ type: 'generic', name: 'app-*' }]
    const claims = { sub: 'repo:acme/app:ref:refs/heads/*', environment: ['production', 'staging'] }
    const id = await trust(server, '/orgs/acme', issuer.url, { name: 'release', claims, packages, lifetime: 120 }, ann)
    const response = await exchange(server, await issuer.idToken(MAIN, AUDIENCE))
    expect(response.statusCode, response.body).toBe(201)
    expect(response.headers['cache-control']).toBe('no-store')
    const { token, expires_at: end, ...rest } = response.json() as { token: string; expires_at: string }
    expect(rest).toEqual({ owner: 'acme', packages })
    expect(token).toMatch(/^[0-9a-f]{40}$/)
    const left = Date.parse(end) - server.clock.now()
    expect(left).toBeGreaterThan(100_000)
    expect(left).toBeLessThanOrEqual(120_000)

    expect(await upload(server, `Bearer ${token}`, 'acme', 'app-one')).toBe(201)
    expect(await upload(server, `Bearer ${token}`, 'acme', 'other')).toBe(403)
    expect(await upload(server, `Bearer ${token}`, 'other', 'app-one')).toBe(403)
    const used = (await server.api('GET', `/orgs/acme/trusted_publishers/${id}`, undefined, ann)).json()
    expect(Date.parse((used as { last_used_at: string }).last_used_at)).toBeGreaterThan(0)

    server.clock.advance(121_000)
    expect(await upload(server, `Bearer ${token}`, 'acme', 'app-one')).toBe(401)
    expect(await server.services.accessTokens.removeExpired()).toBe(1)
    expect((await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`, undefined, ann)).statusCode).toBe(204)
  })

  test('the token works in every carrier, with the same rights (security.md S9)', async () => {
    const id = await trust(server, '/orgs/acme', issuer.url, {
      claims: { repository: 'acme/app' },
      packages: [{ type: 'generic', name: 'app' }],
    })
    const token = await secretOf(server, await issuer.idToken(MAIN, AUDIENCE))
    const carriers = [`Bearer ${token}`, `token ${token}`, basic('x', token), basic(token, ''), basic('acme', token)]
    for (const carrier of [...carriers, basic(token, 'x-oauth-basic')]) {
      expect(await upload(server, carrier, 'acme', 'app')).toBe(201)
      expect(await upload(server, carrier, 'acme', 'another')).toBe(403)
      expect((await server.api('GET', '/user/orgs', undefined, carrier)).statusCode).toBe(403)
    }
    for (const query of [`token=${token}`, `access_token=${token}`]) {
      const url = `/api/packages/acme/generic/app/9.9.9/file.txt?${query}`
      expect((await server.inject({ method: 'PUT', url, payload: 'x' })).statusCode).toBe(401)
    }
    await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
  })

  test('whose claims fit nobody is refused, told why, and not told whom others trust', async () => {
    const id = await trust(server, '/orgs/acme', issuer.url, { name: 'secret-name', claims: { sub: MAIN } })
    const refused = await exchange(server, await issuer.idToken(BRANCH, AUDIENCE))
    expect(refused.statusCode).toBe(403)
    const { message } = refused.json() as { message: string }
    for (const part of [issuer.url, BRANCH, 'repository acme/app']) expect(message).toContain(part)
    for (const part of ['secret-name', MAIN]) expect(message).not.toContain(part)
    expect((await exchange(server, await issuer.idToken('stranger', AUDIENCE))).statusCode).toBe(403)
    for (const owner of ['other', 'nobody', 'root']) {
      const named = await exchange(server, await issuer.idToken(MAIN, AUDIENCE), owner)
      expect(named.statusCode).toBe(403)
      expect((named.json() as { message: string }).message).toContain('no trusted publisher here fits')
    }
    await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
  })

  test('for another installation is refused (security.md S15)', async () => {
    const id = await trust(server, '/orgs/acme', issuer.url, { claims: { sub: MAIN } })
    for (const audience of ['https://other.example.org', `${AUDIENCE}/v2`, 'npm:packages.example.org']) {
      expect((await exchange(server, await issuer.idToken(MAIN, audience))).statusCode).toBe(401)
    }
    expect((await exchange(server, await issuer.idToken(MAIN, `${AUDIENCE}/`))).statusCode).toBe(201)
    await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
  })

  test('is exchanged once, however many ask at the same time (security.md S15)', async () => {
    const id = await trust(server, '/orgs/acme', issuer.url, { claims: { sub: MAIN } })
    const idToken = await issuer.idToken(MAIN, AUDIENCE)
    const answers = await Promise.all(Array.from({ length: 20 }, () => exchange(server, idToken)))
    expect(answers.map(({ statusCode }) => statusCode).sort()).toEqual([201, ...Array(19).fill(401)])
    expect(await server.services.models.accessToken.count({ where: { publisherIds: String(id) } })).toBe(1)
    expect((await exchange(server, idToken)).json()).toMatchObject({ message: 'the id-token has been used already' })
    await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
  })

  test('whom several publishers of an owner fit gets what all of them give, for the shortest time', async () => {
    const claims = { repository: 'acme/app' }
    const names = ['one', 'two']
    const ids = await Promise.all(
      names.map((name, index) =>
        trust(server, '/orgs/acme', issuer.url, {
          ...{ name, claims, lifetime: 600 + index * 60, packages: [{ type: 'generic', name }] },
        }),
      ),
    )
    const response = await exchange(server, await issuer.idToken(MAIN, AUDIENCE))
    const {
      token,
      packages,
      expires_at: end,
    } = response.json() as { token: string; packages: object[]; expires_at: string }
    expect(packages).toHaveLength(2)
    expect(Date.parse(end) - server.clock.now()).toBeLessThanOrEqual(600_000)
    for (const name of names) expect(await upload(server, `Bearer ${token}`, 'acme', name)).toBe(201)
    expect(await upload(server, `Bearer ${token}`, 'acme', 'three')).toBe(403)
    // It ends with any of them.
    await server.api('DELETE', `/orgs/acme/trusted_publishers/${ids[1]}`)
    expect(await upload(server, `Bearer ${token}`, 'acme', 'one')).toBe(401)
    await server.api('DELETE', `/orgs/acme/trusted_publishers/${ids[0]}`)
  })

  test('whom publishers of several owners fit has to name one', async () => {
    const claims = { repository: 'acme/app' }
    const ofAcme = await trust(server, '/orgs/acme', issuer.url, { claims })
    const ofAnn = await trust(server, '/user', issuer.url, { claims }, ann)
    const idToken = await issuer.idToken(MAIN, AUDIENCE)
    expect((await exchange(server, idToken)).statusCode).toBe(400)
    const named = await exchange(server, idToken, 'ANN')
    expect(named.json()).toMatchObject({ owner: 'ann', packages: null })
    const { token } = named.json() as { token: string }
    expect(await upload(server, `Bearer ${token}`, 'ann', 'app')).toBe(201)
    // She owns the organization; her jobs do not.
    expect(await upload(server, `Bearer ${token}`, 'acme', 'app')).toBe(403)
    await server.api('DELETE', `/orgs/acme/trusted_publishers/${ofAcme}`)
    await server.api('DELETE', `/user/trusted_publishers/${ofAnn}`, undefined, ann)
  })
})

describe('what is left behind', () => {
  test('the audit log names the publisher, and no secret (security.md S19)', async () => {
    const id = await trust(server, '/orgs/acme', issuer.url, { name: 'nightly', claims: { sub: MAIN } })
    const idToken = await issuer.idToken(MAIN, AUDIENCE)
    const token = await secretOf(server, idToken)
    expect(await upload(server, `Bearer ${token}`, 'acme', 'app')).toBe(201)
    await server.services.audit.settle()
    const events = (await server.api('GET', '/orgs/acme/audit', undefined, ann)).json() as {
      action: string
      user: { login: string } | null
      token: { name: string } | null
      details: object
    }[]
    const exchanged = events.find(({ action }) => action === 'token.exchanged')!
    expect(exchanged.details).toMatchObject({ publishers: ['nightly'], issuer: issuer.url, sub: MAIN })
    const created = events.find(({ action }) => action === 'package.created')!
    expect(JSON.stringify(created)).toContain('publisher nightly')
    expect(JSON.stringify(created)).toContain('"acme"')
    const text = JSON.stringify(await server.services.models.auditEvent.findAll())
    for (const secret of [idToken, idToken.split('.')[2]!, token]) expect(text).not.toContain(secret)
    await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
  })

  test('nothing that the server logs, and no row, holds a secret (security.md S19)', async () => {
    const id = await trust(server, '/orgs/acme', issuer.url, { claims: { sub: MAIN } })
    const idToken = await issuer.idToken(MAIN, AUDIENCE)
    const token = await secretOf(server, idToken)
    // Refused ones are logged no more than others.
    expect((await exchange(server, idToken)).statusCode).toBe(401)
    expect(await upload(server, `Bearer ${token}`, 'acme', 'app')).toBe(201)
    const { accessToken, usedIdToken, trustedPublisher } = server.services.models
    const rows = JSON.stringify([
      await accessToken.findAll(),
      await usedIdToken.findAll(),
      await trustedPublisher.findAll(),
    ])
    expect(lines.join('')).toContain('/api/v1/trusted_publishing/token')
    for (const secret of [token, idToken.split('.')[2]!]) {
      expect(rows).not.toContain(secret)
      expect(lines.join('')).not.toContain(secret)
    }
    await server.api('DELETE', `/orgs/acme/trusted_publishers/${id}`)
  })

  test('used id-tokens are forgotten when they could not be used anyway', async () => {
    const { models, trustedPublishing } = server.services
    const before = await models.usedIdToken.count()
    expect(before).toBeGreaterThan(0)
    await trustedPublishing.forgetEnded()
    expect(await models.usedIdToken.count()).toBe(before)
    server.clock.advance(2 * 3_600_000)
    expect(await trustedPublishing.forgetEnded()).toBe(before)
  })
})
