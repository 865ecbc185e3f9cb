import { afterEach, describe, expect, test, vi } from 'vitest'
import { Tallies } from '../../src/cache/tallies.ts'
import { publish } from '../support/builders/published-package.ts'
import { basic, TestApp } from '../support/test-app.ts'

let app: TestApp
afterEach(async () => {
  vi.restoreAllMocks()
  await app?.close()
})

describe('tallies of one kind', () => {
  test('are not forgotten for however many of another', async () => {
    const tallies = new Tallies({ clock: { now: () => 1 }, onError: () => {} })
    await tallies.add('pair:somebody', 60_000)
    for (let index = 0; index < 100_001; index += 1) await tallies.add(`rate/apiReads/address:${index}`, 60_000)
    expect(await tallies.read(['pair:somebody', 'rate/apiReads/address:0'], 60_000)).toEqual([
      { count: 1, since: 1, last: 1 },
      null,
    ])
    app = await TestApp.start()
  })
})

describe('limits of requests', () => {
  test('count invented tokens and unknown owners too', async () => {
    app = await TestApp.start({
      environment: { ENTREPOT_RATE_LIMITS_PACKAGE_READS: '3', ENTREPOT_RATE_LIMITS_API_READS: '3' },
    })
    const from = (remoteAddress: string, url: string, authorization?: string) =>
      app.inject({ method: 'GET', url, remoteAddress, headers: authorization === undefined ? {} : { authorization } })
    const invented = () => `Bearer ${Math.random().toString(16).slice(2).padEnd(40, '0')}`
    for (const [address, url, authorization, status] of [
      ['192.0.2.1', '/api/packages/root/generic/a/1/b', invented, 401],
      ['192.0.2.2', '/api/packages/nobody/generic/a/1/b', () => undefined, 404],
      ['192.0.2.3', '/api/v1/version', invented, 401],
    ] as const) {
      const statuses = []
      for (let index = 0; index < 4; index += 1) {
        statuses.push((await from(address, url, authorization())).statusCode)
      }
      expect(statuses, url).toEqual([status, status, status, 429])
    }
    expect((await from('192.0.2.9', '/api/v1/version')).statusCode).toBe(200)
  })
})

describe('the audit log of wrong passwords', () => {
  test('grows by a few rows for an address and hour, and tells how many there were', async () => {
    app = await TestApp.start({
      environment: {
        ENTREPOT_RATE_LIMITS_FAILED_SIGN_INS_PER_ADDRESS: '-1',
        ENTREPOT_RATE_LIMITS_FAILED_SIGN_INS_PER_ACCOUNT_AND_ADDRESS: '-1',
        ENTREPOT_RATE_LIMITS_FAILED_SIGN_INS_PER_ACCOUNT: '-1',
      },
    })
    for (let index = 0; index < 25; index += 1) {
      const authorization = basic('root', `wrong ${index}`)
      await app.inject({ method: 'GET', url: '/api/v1/user', headers: { authorization }, remoteAddress: '192.0.2.7' })
    }
    await app.services.audit.settle()
    const list = async () =>
      (await app.api('GET', '/admin/audit?action=signin.failed&limit=50')).json() as { details: object }[]
    expect(await list()).toHaveLength(20)
    const { databaseUrl, dataDir } = { databaseUrl: app.services.config.database.url, dataDir: app.dataDir }
    const other = await TestApp.start({ databaseUrl, dataDir })
    await app.app.close()
    await app.services.close()
    const events = (await other.api('GET', '/admin/audit?action=signin.failed&limit=50')).json() as object[]
    expect(events).toHaveLength(21)
    expect(events[0]).toMatchObject({ address: '192.0.2.7', details: { failures: 5 } })
    app = other
  })
})

describe('accounts that must change their password', () => {
  test('are told so by every package type, whatever their credentials', async () => {
    app = await TestApp.start()
    const eve = await app.createUser('eve')
    const token = await app.createToken('eve', ['write:package'], eve)
    await publish(app, { owner: 'eve', name: 'tool' })
    const changes = { login_name: 'eve', must_change_password: true }
    expect((await app.api('PATCH', '/admin/users/eve', changes)).statusCode).toBe(200)
    for (const url of [
      '/api/packages/eve/generic/tool/1.0.0/file.txt',
      '/api/packages/eve/npm/tool',
      '/api/packages/eve/maven/a/b/maven-metadata.xml',
    ]) {
      for (const authorization of [`Bearer ${token}`, eve]) {
        const answer = await app.inject({ method: 'GET', url, headers: { authorization } })
        expect([answer.statusCode, answer.body]).toEqual([403, expect.stringContaining('change your password')])
      }
    }
    const answer = await app.inject({ method: 'GET', url: '/v2/', headers: { authorization: eve } })
    expect([answer.statusCode, answer.body]).toEqual([403, expect.stringContaining('change your password')])
    expect((await app.inject({ method: 'GET', url: '/api/packages/eve/generic/tool/1.0.0/file.txt' })).statusCode).toBe(
      200,
    )
  })
})

describe('rights', () => {
  test('S13: over oneself are those of the account, not of a name that it once had', async () => {
    app = await TestApp.start()
    await app.createUser('eve')
    const before = (await app.services.accounts.find('eve'))!
    await app.api('POST', '/admin/users/eve/rename', { new_username: 'eva' })
    const other = { username: 'eve', email: 'other@example.org', password: 'another-password' }
    expect((await app.api('POST', '/admin/users', other)).statusCode).toBe(201)
    // As a replica knows him that has not heard of it yet.
    const { authenticator } = app.services
    const stale = { ...(await authenticator.authenticate(basic('eva', 'a-long-password'))), user: before }
    vi.spyOn(authenticator, 'authenticate').mockResolvedValue(stale)
    expect((await app.api('GET', '/users/eve/tokens')).statusCode).toBe(403)
    expect((await app.api('GET', '/users/eva/tokens')).statusCode).toBe(200)
  })

  test('of administration are not for public-only tokens', async () => {
    app = await TestApp.start()
    const token = await app.createToken('root', ['public-only', 'all'], app.admin)
    for (const path of ['/admin/users', '/admin/orgs', '/admin/cron', '/admin/audit', '/admin/hooks']) {
      const answer = await app.api('GET', path, undefined, `token ${token}`)
      expect([answer.statusCode, answer.body], path).toEqual([403, expect.stringContaining('public only')])
    }
    expect((await app.api('GET', '/orgs', undefined, `token ${token}`)).statusCode).toBe(200)
  })
})
