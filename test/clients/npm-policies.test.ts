import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { run, runFailing } from './run.ts'
import { ServerProcess, upstreamAt } from './server.ts'
import { Workplace } from './workplace.ts'

const HOUR = 3_600_000

/** What a person sees who wants what a policy holds back (pull-through.md §14.12). */
describe('npm and a cooldown', () => {
  let registry: FakeNpmRegistry
  let server: ServerProcess
  let workplace: Workplace

  beforeAll(async () => {
    registry = await FakeNpmRegistry.start()
    await registry.publish({ name: 'left', version: '1.0.0' })
    await registry.publish({ name: 'left', version: '1.1.0', publishedAt: Date.now() - HOUR })
    await registry.publish({ name: 'new', version: '1.0.0', publishedAt: Date.now() - HOUR })
    server = await ServerProcess.start(upstreamAt(registry.url))
    workplace = await Workplace.create()
    await workplace.npmrc(`registry=${server.npm('npmjs')}`)
    expect((await server.rest('POST', '/admin/policies/presets/recommended')).status).toBe(201)
  })
  afterAll(async () => {
    await server?.dispose()
    await workplace?.dispose()
    await registry?.close()
  })

  const install = async (spec: string) => {
    const project = await workplace.project({ 'package.json': { name: 'app', version: '1.0.0', private: true } })
    return { args: ['install', spec], options: workplace.in(project) }
  }

  test('installs the newest version that is old enough', async () => {
    for (const spec of ['left', 'left@latest', 'left@^1.0.0']) {
      const { args, options } = await install(spec)
      await run('npm', args, options)
      const listed = JSON.parse(await run('npm', ['ls', '--json'], options)) as {
        dependencies: Record<string, { version: string }>
      }
      expect(listed.dependencies['left']!.version, spec).toBe('1.0.0')
    }
  })

  test('§14 check 12: prints why a young version is not to be had', async () => {
    for (const spec of ['left@1.1.0', 'left@>1.0.0', 'new']) {
      const { args, options } = await install(spec)
      const printed = await runFailing('npm', args, options)
      expect(printed, spec).toContain('E403')
      expect(printed, spec).toMatch(/is younger than 3 days and is held back until 20\d\d-/)
      expect(printed, spec).toContain('most malicious releases are found within days')
    }
  })

  test('prints it as well where a lock file names the file', async () => {
    const resolved = `${server.npm('npmjs')}left/-/left-1.1.0.tgz`
    const { integrity } = await registry.publish({ name: 'left', version: '1.1.0', publishedAt: Date.now() - HOUR })
    const project = await workplace.project({
      'package.json': { name: 'app', version: '1.0.0', dependencies: { left: '1.1.0' } },
      'package-lock.json': {
        ...{ name: 'app', version: '1.0.0', lockfileVersion: 3, requires: true },
        packages: {
          '': { name: 'app', version: '1.0.0', dependencies: { left: '1.1.0' } },
          'node_modules/left': { version: '1.1.0', resolved, integrity },
        },
      },
    })
    const printed = await runFailing('npm', ['ci'], workplace.in(project))
    expect(printed).toContain('403')
    expect(printed).toMatch(/left 1\.1\.0 is younger than 3 days and is held back until 20\d\d-/)
  })
})
