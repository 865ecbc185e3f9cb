import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommand } from './run-command.ts'

const names = ['serve', 'migrate', 'user create', 'user reset-password', 'token create', 'gc', 'doctor']

describe('the command line', () => {
  let directory: string
  let environment: NodeJS.ProcessEnv
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'entrepot-commands-'))
    environment = { ENTREPOT_DATA_DIR: join(directory, 'data'), ENTREPOT_UPSTREAMS_DIR: join(directory, 'upstreams') }
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  test.each([['--help'], ['-h'], ['help']])('%s lists every command on stdout', async (word) => {
    const { code, stdout, stderr } = await runCommand([word], environment)
    expect([code, stderr]).toEqual([0, ''])
    for (const name of names) expect(stdout).toContain(`\n  ${name}`)
    expect(stdout).toContain('ENTREPOT_')
  })

  test.each(names)('%s --help explains the command and each option, whatever else was typed', async (name) => {
    const words = name.split(' ')
    const { code, stdout } = await runCommand([...words, '--help'], environment)
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`^Usage: entrepot ${name}\\b`))
    expect(stdout.length).toBeGreaterThan(200)
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(120)
    expect(await runCommand(['help', ...words], environment)).toEqual({ code: 0, stdout, stderr: '' })
    expect(await runCommand([...words, 'surplus', 'more', '-h'], environment)).toEqual({ code: 0, stdout, stderr: '' })
  })

  test('a group is explained, and its version told', async () => {
    const { code, stdout } = await runCommand(['user', '--help'], environment)
    expect(code).toBe(0)
    expect(stdout).toContain('user reset-password NAME')
    expect(stdout).not.toContain('token create')
    expect(await runCommand(['--version'], environment)).toEqual({
      ...{ code: 0, stderr: '' },
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    })
  })

  test.each([
    [['frobnicate'], 'no command "frobnicate"', 'entrepot --help'],
    [['help', 'frobnicate'], 'no command "frobnicate"', 'entrepot --help'],
    [['--frobnicate'], "Unknown option '--frobnicate'", 'entrepot --help'],
    [['constructor'], 'no command "constructor"', 'entrepot --help'],
    [['user'], 'create or reset-password', 'entrepot --help'],
    [['user', 'delete'], 'create or reset-password, not by "delete"', 'entrepot --help'],
    [['migrate', '--force'], "Unknown option '--force'", 'entrepot migrate --help'],
    [['migrate', 'now'], 'what is "now"?', 'entrepot migrate --help'],
    [['user', 'create'], 'NAME is missing', 'entrepot user create --help'],
    [['user', 'create', 'a', 'b'], 'what is "b"?', 'entrepot user create --help'],
    [['user', 'create', 'a', '--random-password'], '--email is missing', 'entrepot user create --help'],
    [['user', 'create', 'a', '--email'], "'--email", 'entrepot user create --help'],
    [['user', 'create', 'a', '--email', 'a@b.c'], 'the password is missing', 'entrepot user create --help'],
    [['user', 'create', 'a', '--email', 'a@b.c', '--admin=yes'], "'--admin'", 'entrepot user create --help'],
    [['user', 'create', 'a', '--password', 'geheim'], 'never an argument', 'entrepot user create --help'],
    [['user', 'create', 'a', '--password=geheim'], 'never an argument', 'entrepot user create --help'],
    [
      ['user', 'reset-password', 'a', '--password-stdin', '--random-password'],
      'exclude each other',
      'entrepot user reset-password --help',
    ],
    [['token', 'create', 'a', '--name', 'n'], '--scopes is missing', 'entrepot token create --help'],
    [['token', 'create', 'a', '--scopes', 'all'], '--name is missing', 'entrepot token create --help'],
    [['gc', '--older-than', 'yesterday'], '"yesterday" is not a duration', 'entrepot gc --help'],
    [['gc', '--older-than', '-1h'], '--older-than', 'entrepot gc --help'],
    [['gc', '--older-than', '24'], '"24" is not a duration', 'entrepot gc --help'],
  ])('%j is not understood: exit code 2, a hint, and nothing is made', async (args, message, hint) => {
    const { code, stdout, stderr } = await runCommand(args, environment)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^entrepot: /)
    expect(stderr).toContain(message)
    expect(stderr).toContain(`See: ${hint}`)
    expect(stderr).not.toContain('geheim')
    expect(stderr).not.toContain('    at ')
    expect(await readdir(directory)).toEqual([])
  })

  const token = ['token', 'create', 'a', '--name', 'n', '--scopes', 'all']
  test.each([
    [{ ENTREPOT_PORT: 'http' }, token, 'port: '],
    [{ ENTREPOT_NONSENSE: '1' }, token, 'ENTREPOT_NONSENSE: unknown key'],
    [{ ENTREPOT_CONFIG: '/nonexistent/entrepot.yaml' }, token, '/nonexistent/entrepot.yaml'],
    [{ ENTREPOT_CONFIG: 'BROKEN' }, token, 'broken.yaml'],
    [{ ENTREPOT_PACKAGES_LIMITS_COBOL: '1GiB' }, token, 'packages.limits.cobol'],
    [{ ENTREPOT_DATABASE_URL: 'sqlite::memory:' }, token, 'sqlite::memory: is not supported'],
    [{ ENTREPOT_DATABASE_URL: 'mysql://root@127.0.0.1:1/gone' }, token, 'the database: '],
    [{ ENTREPOT_DATABASE_URL: 'mysql://root@127.0.0.1:1/gone' }, ['migrate'], 'the database: '],
    [{ ENTREPOT_DATABASE_URL: 'sqlite:NODATABASE' }, ['migrate'], 'the database: '],
    [{ ENTREPOT_REDIS_URL: 'redis://127.0.0.1:1' }, token, 'Redis does not answer'],
    [{ ENTREPOT_DATA_DIR: '/dev/null/data' }, token, '/dev/null/data'],
    [{ ENTREPOT_UPSTREAMS_DIR: '/dev/null' }, token, '/dev/null'],
    [{}, token, 'user a not found'],
    [{}, ['token', 'create', 'a', '--name', 'n', '--scopes', 'write:everything'], 'write:everything'],
  ])('with %j, %j fails with one line and exit code 1', async (more, args, message) => {
    const broken = await mkdtemp(join(tmpdir(), 'entrepot-broken-'))
    await writeFile(join(broken, 'broken.yaml'), 'port: [8080\nhost: "')
    await writeFile(join(broken, 'no.db'), 'this is not a database, and long enough to look at'.repeat(100))
    const given = Object.entries({ ...environment, ENTREPOT_DATA_DIR: join(broken, 'data'), ...more }).map(
      ([name, value]) => [
        name,
        value.replace('BROKEN', `${broken}/broken.yaml`).replace('NODATABASE', `${broken}/no.db`),
      ],
    )
    const { code, stdout, stderr } = await runCommand(args, Object.fromEntries(given))
    await rm(broken, { recursive: true })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('    at ')
    expect(stderr).toMatch(/^entrepot: /)
  })
})
