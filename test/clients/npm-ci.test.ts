import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FakeUpstream, silence } from '../support/fake-upstream.ts'
import { run } from './run.ts'
import { ServerProcess, upstreamAt, upstreamGone } from './server.ts'
import { Workplace } from './workplace.ts'

interface LockFile {
  packages: Record<string, { version: string; resolved?: string; integrity?: string; optional?: boolean }>
}

const manifest = await readFixture('package.json')
const lock = JSON.parse(await readFixture('package-lock.json')) as LockFile
const entries = Object.entries(lock.packages).filter(([path]) => path !== '')
const required = entries.filter(([, entry]) => !entry.optional).map(([path]) => path)

/**
 * One project of ordinary size, again and again with an empty npm cache. Two kinds of lock file: without download
 * addresses npm reads every package's document before its tarball; with addresses it asks for tarballs alone.
 */
describe('npm ci of a real project', () => {
  let server: ServerProcess
  let workplace: Workplace

  beforeAll(async () => {
    server = await ServerProcess.start()
    workplace = await Workplace.create()
    await workplace.npmrc(`registry=${server.npm('npmjs')}`)
  })
  afterAll(async () => {
    await server?.dispose()
    await workplace?.dispose()
  })

  test('the fixture is large enough, every package has integrity, and no address is recorded', () => {
    expect(entries.length).toBeGreaterThanOrEqual(300)
    expect(entries.filter(([, entry]) => !entry.integrity?.startsWith('sha512-'))).toEqual([])
    expect(entries.filter(([, entry]) => entry.resolved !== undefined)).toEqual([])
  })

  test('from the upstream, by tarball addresses alone', async () => {
    const project = await install(withAddresses(server.npm('npmjs')))
    expect(await run(join(project, 'node_modules/.bin/mocha'), ['--version'], workplace.in(project))).toMatch(/^10\./)
    await rm(project, { recursive: true })
  })

  test('from the upstream, by documents', async () => {
    await rm(await install(lock), { recursive: true })
  })

  test('with the upstream gone, by documents', async () => {
    await server.stop()
    await server.restart(await upstreamGone())
    await rm(await install(lock), { recursive: true })
  })

  test('with the upstream gone, by tarball addresses alone', async () => {
    await rm(await install(withAddresses(server.npm('npmjs'))), { recursive: true })
  })

  test('with an upstream that accepts connections and never answers, by documents', async () => {
    const silent = await FakeUpstream.start()
    silent.everything(silence)
    await server.stop()
    await server.restart(upstreamAt(silent.url))
    await rm(await install(lock), { recursive: true })
    expect(silent.requests.length).toBeGreaterThan(0)
    await server.stop()
    await silent.close()
    await server.restart(await upstreamGone())
  })

  test('what is held says so, and what is not held is a failure of the upstream, never an absence', async () => {
    const held = await fetch(`${server.npm('npmjs')}express/-/express-4.21.2.tgz`)
    expect(held.status).toBe(200)
    expect(held.headers.get('cache-status')).toMatch(/; ?hit/)
    expect(held.headers.get('cache-control')).toContain('immutable')
    await held.arrayBuffer()
    const missing = await fetch(`${server.npm('npmjs')}a-name-nobody-asked-for-yet`)
    expect([502, 503, 504]).toContain(missing.status)
  })

  test('cached packages are listed like any others', async () => {
    const { status, body, headers } = await server.rest('GET', '/packages/npmjs?type=npm&q=express&limit=50')
    expect(status).toBe(200)
    expect(Number(headers.get('x-total-count'))).toBe(body.length)
    expect(body).toContainEqual(
      expect.objectContaining({ type: 'npm', name: 'express', version: '4.21.2', origin: 'cached' }),
    )
  })

  async function install(lockFile: LockFile): Promise<string> {
    await workplace.emptyCaches()
    const project = await workplace.project({ 'package.json': manifest, 'package-lock.json': lockFile })
    await run('npm', ['ci', '--no-audit'], workplace.in(project))
    const missing = await Promise.all(
      required.map(async (path) => ((await exists(join(project, path, 'package.json'))) ? null : path)),
    )
    expect(missing.filter((path) => path !== null)).toEqual([])
    return project
  }
})

/** The lock file as npm writes it where download addresses are recorded. */
function withAddresses(registry: string): LockFile {
  const packages = entries.map(([path, entry]) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const basename = name.split('/').at(-1)
    return [path, { ...entry, resolved: `${registry}${name}/-/${basename}-${entry.version}.tgz` }] as const
  })
  return { ...lock, packages: { '': lock.packages[''], ...Object.fromEntries(packages) } } as LockFile
}

function readFixture(name: string): Promise<string> {
  return readFile(new URL(`fixtures/project/${name}`, import.meta.url), 'utf8')
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
