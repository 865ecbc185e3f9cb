import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { makeTemporaryDirectory, type Outcome, plainEnvironment, tryRun } from './run.ts'
import { basic, findFreePort, ServerProcess } from './server.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The built binary as docs/operations.md has it typed, in another process than the server. */
describe('the command line beside a running server', () => {
  let server: ServerProcess
  let environment: NodeJS.ProcessEnv
  beforeAll(async () => {
    server = await ServerProcess.start()
    environment = plainEnvironment({
      ENTREPOT_DATA_DIR: server.dataDirectory,
      ENTREPOT_UPSTREAMS_DIR: join(server.dataDirectory, 'no-upstreams'),
    })
  })
  afterAll(() => server?.dispose())

  const entrepot = (...args: string[]): Promise<Outcome> =>
    tryRun(process.execPath, ['dist/main.js', ...args], { cwd: root, env: environment })
  const shell = (command: string): Promise<Outcome> =>
    tryRun('sh', ['-c', command.replace('entrepot', 'node dist/main.js')], { cwd: root, env: environment })
  const me = async (username: string, password: string) =>
    (await server.rest('GET', '/user', undefined, { username, password })).status
  const put = (path: string, authorization: string, body: string) =>
    fetch(`${server.url}/api/packages/${path}`, { method: 'PUT', headers: { authorization }, body })

  test('accounts and tokens made while the server stores uploads work at once', async () => {
    const created = await entrepot('user', 'create', 'ci', '--email', 'ci@example.org', '--random-password')
    expect(created).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^[\w-]{24}\n$/),
      stderr: 'Created the user ci.\n',
    })
    const password = created.stdout.trim()
    let isDone = false
    const uploading = (async () => {
      const statuses = new Set<number>()
      for (let index = 0; !isDone; index += 1) {
        const authorization = basic('ci', password)
        statuses.add((await put(`ci/generic/busy/${index}/file`, authorization, `content ${index}`)).status)
      }
      return statuses
    })()
    const made = await Promise.all(
      [1, 2, 3].map((index) => entrepot('token', 'create', 'ci', '--name', `t${index}`, '--scopes', 'write:package')),
    )
    isDone = true
    expect([...(await uploading)]).toEqual([201])
    for (const [index, { code, stdout }] of made.entries()) {
      expect([code, stdout]).toEqual([0, expect.stringMatching(/^[0-9a-f]{40}\n$/)])
      expect((await put(`ci/generic/token/${index}/file`, `Bearer ${stdout.trim()}`, 'x')).status).toBe(201)
    }
  })

  test('a reset password is the only one after half a minute, without Redis', async () => {
    await server.createUser('dora', 'the first password')
    expect(await me('dora', 'the first password')).toBe(200)
    expect(await shell('echo the second password | entrepot user reset-password dora --password-stdin')).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('30 s'),
    })
    await vi.waitUntil(async () => (await me('dora', 'the first password')) === 401, { timeout: 35_000, interval: 500 })
    expect(await me('dora', 'the second password')).toBe(200)
  })

  test('gc and doctor look at what the server has', async () => {
    const authorization = basic('dora', 'the second password')
    await put('dora/generic/gone/1/file', authorization, 'twenty bytes of junk')
    const url = `${server.url}/api/packages/dora/generic/gone/1/file`
    expect((await fetch(url, { method: 'DELETE', headers: { authorization } })).status).toBe(204)
    const freed = await entrepot('gc', '--older-than', '0ms')
    expect(freed).toMatchObject({ code: 0, stdout: expect.stringContaining('Freed 20 bytes (20 bytes)') })
    const healthy = await entrepot('doctor', '--verify')
    expect(healthy).toMatchObject({ code: 0, stderr: '' })
    expect(healthy.stdout).toMatch(/^ok {4}blobs {10}\d+ rows/m)
    expect(healthy.stdout).toContain('\n0 failures, ')
    // Who reads one line only is no reason to fall over.
    expect(await shell('entrepot doctor | head -n 1')).toMatchObject({ code: 0, stderr: '' })
  })

  test('what is not understood exits with 2, what fails with 1, in one line', async () => {
    expect(await entrepot('frobnicate')).toMatchObject({ code: 2, stdout: '' })
    expect(await entrepot('user', 'create', 'x', '--password', 'y')).toMatchObject({ code: 2, stdout: '' })
    const twice = await tryRun(process.execPath, ['dist/main.js', 'serve'], {
      cwd: root,
      env: { ...environment, ENTREPOT_PORT: String(server.port), ENTREPOT_LOG_LEVEL: 'silent' },
    })
    expect(twice).toMatchObject({ code: 1, stderr: expect.stringMatching(/^entrepot: listen EADDRINUSE.*\n$/) })
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
    expect(await entrepot('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })

  test('the first administrator can be made before the first start', async () => {
    const { path, remove } = await makeTemporaryDirectory()
    const env = { ...environment, ENTREPOT_DATA_DIR: path, ENTREPOT_PORT: String(await findFreePort()) }
    const args = ['user', 'create', 'boss', '--email', 'boss@example.org', '--admin', '--random-password']
    const { code } = await tryRun(process.execPath, ['dist/main.js', ...args], { cwd: root, env })
    expect(code).toBe(0)
    const doctor = await tryRun(process.execPath, ['dist/main.js', 'doctor'], { cwd: root, env })
    await remove()
    expect(doctor.stdout).not.toContain('nobody is an administrator')
  })
})
