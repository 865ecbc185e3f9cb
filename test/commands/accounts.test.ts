import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { Phone } from '../support/phone.ts'
import { basic, TestApp } from '../support/test-app.ts'
import { createTestDatabaseUrl } from '../support/test-database.ts'
import { beside, runCommand } from './run-command.ts'

const hasRedis = process.env['TEST_REDIS_URL'] !== undefined

describe('accounts from the command line, beside a running server', () => {
  let app: TestApp
  let environment: NodeJS.ProcessEnv
  beforeAll(async () => {
    app = await TestApp.start({
      upstreams: {
        hub: { type: 'container', owner: 'docker.io', aliases: ['docker-hub'], url: 'https://registry.example.org/' },
      },
    })
    environment = beside(app)
  })
  afterAll(() => app.close())
  afterEach(() => {
    vi.restoreAllMocks()
  })

  const run = (args: string[], stdin = '') => runCommand(args, environment, { stdin })
  const me = async (authorization: string) => (await app.api('GET', '/user', undefined, authorization)).statusCode

  /** Once the server has heard of a change: by Redis soon, else when what it remembers is too old. */
  const forgetting = async (check: () => Promise<void>) => {
    if (hasRedis) return vi.waitFor(check, 5_000)
    const now = performance.now.bind(performance)
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 30_001)
    await check()
  }

  test('a user is made with the password of standard input and can sign in', async () => {
    const args = ['user', 'create', 'Alice', '--email', 'alice@example.org', '--password-stdin']
    const outcome = await run(args, 'correct horse, ümläut\n')
    expect(outcome).toEqual({ code: 0, stdout: '', stderr: 'Created the user Alice.\n' })
    expect(await me(basic('alice', 'correct horse, ümläut'))).toBe(200)
    expect((await app.api('GET', '/admin/users', undefined, basic('alice', 'correct horse, ümläut'))).statusCode).toBe(
      403,
    )
    expect(await run(args, 'correct horse, ümläut\n')).toEqual({
      ...{ code: 1, stdout: '' },
      stderr: 'entrepot: e-mail already in use [email: alice@example.org]\n',
    })
    const sameEmail = ['user', 'create', 'alicia', '--email', 'ALICE@example.org', '--random-password']
    expect(await run(sameEmail)).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('already in use'),
    })
  })

  test('a drawn password goes to stdout alone; an administrator administers', async () => {
    const args = ['user', 'create', 'boss', '--email', 'boss@example.org', '--admin', '--random-password']
    const { code, stdout, stderr } = await run(args)
    expect([code, stderr]).toEqual([0, 'Created the administrator boss.\n'])
    expect(stdout).toMatch(/^[\w-]{24}\n$/)
    expect((await app.api('GET', '/admin/users', undefined, basic('boss', stdout.trim()))).statusCode).toBe(200)
  })

  test('who must change the password can do nothing, until it is reset without that', async () => {
    const args = ['user', 'create', 'new', '--email', 'new@example.org', '--random-password', '--must-change-password']
    const { stdout } = await run(args)
    expect(await me(basic('new', stdout.trim()))).toBe(403)
    const reset = await run(['user', 'reset-password', 'NEW', '--random-password'])
    expect(reset.code).toBe(0)
    await forgetting(async () => expect(await me(basic('new', reset.stdout.trim()))).toBe(200))
  })

  test('a reset password ends the old one, at once with Redis, within 30 s without (security.md S17)', async () => {
    const [before, after] = ['the old password', 'the new password']
    await app.createUser('carol', before)
    const token = await app.createToken('carol', ['read:user'], basic('carol', before))
    expect(await me(basic('carol', before))).toBe(200)
    const { code, stderr } = await run(['user', 'reset-password', 'carol', '--password-stdin'], after)
    expect(code).toBe(0)
    expect(stderr).toContain('carol has another password.')
    expect(stderr.includes('30 s')).toBe(!hasRedis)
    await forgetting(async () => expect(await me(basic('carol', before))).toBe(401))
    expect(await me(basic('carol', after))).toBe(200)
    expect(await me(`token ${token}`)).toBe(200)
  })

  test('another password keeps one-time codes; --disable-otp ends them, for who has lost them', async () => {
    const before = await app.createUser('erin', 'the old password')
    const begun = await app.api('POST', '/user/two_factor', undefined, before)
    const code = new Phone(begun.json().url, app.clock).code()
    expect((await app.api('POST', '/user/two_factor/confirm', { code }, before)).statusCode).toBe(200)
    const kept = await run(['user', 'reset-password', 'erin', '--password-stdin'], 'the second password')
    expect([kept.code, kept.stderr]).toEqual([0, expect.stringContaining('erin goes on to need one-time codes')])
    expect(await app.services.models.twoFactor.count()).toBe(1)
    const args = ['user', 'reset-password', 'Erin', '--disable-otp', '--password-stdin']
    const ended = await run(args, 'the third password')
    expect([ended.code, ended.stdout]).toEqual([0, ''])
    expect(ended.stderr).toContain('erin needs no one-time codes any more.')
    expect((await run(args, 'the fourth password')).stderr).toContain('erin needed no one-time codes.')
    await forgetting(async () => expect(await me(basic('erin', 'the fourth password'))).toBe(200))
  })

  test.each([
    ['short', 'at least 8 characters'],
    ['', 'no password came'],
    ['\n', 'no password came'],
    ['dave-dave', 'neither the name'],
    ['xxxxxxxxxxxx', 'neither the name'],
    ['two\nlines-of-text', 'one line'],
    ['with a \0 in it', 'one line'],
    ['p'.repeat(256), 'at most 255'],
    ['p'.repeat(100_000), 'at most 255'],
    [Buffer.from([0x70, 0xff, 0xfe, 0x70, 0x70, 0x70, 0x70, 0x70, 0x70]), 'not UTF-8'],
  ])('%j is no password', async (password, message) => {
    const args = ['user', 'create', 'dave-dave', '--email', 'dave@example.org', '--password-stdin']
    const { code, stdout, stderr } = await runCommand(args, environment, { stdin: password })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain(message)
    expect(await app.services.models.user.count({ where: { lowerName: 'dave-dave' } })).toBe(0)
  })

  test.each(['api', 'a b', '../x', 'x'.repeat(41), 'docker.io', 'DOCKER-HUB'])('%j is no name', async (name) => {
    const { code, stderr } = await run(['user', 'create', name, '--email', 'x@example.org', '--random-password'])
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^entrepot: (name is|user already)/)])
  })

  test('passwords of nobody, of organizations and of mirrors are not reset', async () => {
    await app.createOrganization('acme')
    for (const name of ['nobody', 'acme', 'docker.io', '../../etc']) {
      const { code, stderr } = await run(['user', 'reset-password', name, '--random-password'])
      expect([code, stderr]).toEqual([1, `entrepot: user ${name} not found\n`])
    }
  })

  test('a token works at once, with its scopes and no others', async () => {
    await app.createUser('ci')
    const args = ['token', 'create', 'CI', '--name', 'runner 7', '--scopes', 'read:user, write:package']
    const { code, stdout, stderr } = await run(args)
    expect([code, stderr]).toEqual([0, 'Made the token runner 7 of ci: write:package, read:user.\n'])
    expect(stdout).toMatch(/^[0-9a-f]{40}\n$/)
    expect(await me(`token ${stdout.trim()}`)).toBe(200)
    expect((await app.api('GET', '/user/orgs', undefined, `token ${stdout.trim()}`)).statusCode).toBe(403)
    expect(await run(args)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('used already') })
  })

  test.each([
    ['', 'all', '1 to 255'],
    ['x'.repeat(256), 'all', '1 to 255'],
    ['bell\u0007', 'all', 'no control characters'],
    ['good', '', 'must have a scope'],
    ['good', 'write:everything', 'invalid access token scope'],
  ])('no token %j with the scopes %j', async (name, scopes, message) => {
    const { code, stdout, stderr } = await run(['token', 'create', 'root', '--name', name, '--scopes', scopes])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain(message)
  })
})

describe('accounts before the first start', () => {
  test('an administrator of the command line is the first one: the server draws no password', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'entrepot-first-'))
    const dataDir = join(directory, 'data')
    const database = await createTestDatabaseUrl(directory)
    const environment = {
      ENTREPOT_DATA_DIR: dataDir,
      ENTREPOT_DATABASE_URL: database.url,
      ENTREPOT_UPSTREAMS_DIR: dataDir,
    }
    const args = ['user', 'create', 'first', '--email', 'first@example.org', '--admin', '--random-password']
    const { code, stdout } = await runCommand(args, environment)
    expect(code).toBe(0)
    const again = await runCommand(['migrate'], environment)
    expect(again).toEqual({ code: 0, stdout: 'The database is up to date.\n', stderr: '' })
    const app = await TestApp.start({ dataDir, databaseUrl: database.url })
    expect((await app.api('GET', '/admin/users', undefined, basic('first', stdout.trim()))).json()).toHaveLength(1)
    expect(await readdir(dataDir)).not.toContain('initial-admin-password')
    await app.close()
    await database.drop()
    await rm(directory, { recursive: true })
  })

  test('migrate makes the database, and says what it did', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'entrepot-migrate-'))
    const database = await createTestDatabaseUrl(directory)
    const environment = { ENTREPOT_DATA_DIR: directory, ENTREPOT_DATABASE_URL: database.url }
    const { code, stdout } = await runCommand(['migrate'], environment)
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^The database was brought up to date: 0001-initial, /)])
    await database.drop()
    await rm(directory, { recursive: true })
  })
})
