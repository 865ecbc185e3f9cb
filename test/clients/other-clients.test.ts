import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findPackagedClient, type PackagedClient } from './clients.ts'
import { run } from './run.ts'
import { ServerProcess, upstreamGone } from './server.ts'
import { Workplace } from './workplace.ts'

const dependencies = { '@babel/code-frame': '7.26.2', express: '4.21.2', semver: '7.6.3' }
const manifest = { name: 'small-project', version: '1.0.0', private: true, license: 'MIT', dependencies }

interface Client {
  readonly name: PackagedClient
  /** Configuration beside `.npmrc`. */
  files(registry: string): Record<string, string>
  readonly lockFile: string
  readonly install: readonly string[]
  /** From the lock file alone. */
  readonly reinstall: readonly string[]
}

const clients: readonly Client[] = [
  {
    name: 'pnpm',
    files: () => ({}),
    lockFile: 'pnpm-lock.yaml',
    install: ['install', '--no-frozen-lockfile'],
    reinstall: ['install', '--frozen-lockfile'],
  },
  {
    name: 'yarn classic',
    files: () => ({}),
    lockFile: 'yarn.lock',
    install: ['install', '--non-interactive'],
    reinstall: ['install', '--non-interactive', '--frozen-lockfile'],
  },
  {
    name: 'yarn berry',
    files: (registry) => ({
      'yarn.lock': '',
      '.yarnrc.yml': [
        `npmRegistryServer: "${registry}"`,
        'unsafeHttpWhitelist: ["127.0.0.1"]',
        'nodeLinker: node-modules',
        'npmMinimalAgeGate: 0',
        'enableTelemetry: false',
        'enableGlobalCache: true',
        'globalFolder: "../caches/berry"',
        'enableImmutableInstalls: false',
        '',
      ].join('\n'),
    }),
    lockFile: 'yarn.lock',
    install: ['install'],
    reinstall: ['install', '--immutable'],
  },
]

/** Each installs a small project through the mirror, then again with empty caches and no upstream. */
describe('other npm clients', () => {
  let server: ServerProcess
  let workplace: Workplace
  const projects = new Map<string, string>()

  beforeAll(async () => {
    server = await ServerProcess.start()
    workplace = await Workplace.create()
    await workplace.npmrc(`registry=${server.npm('npmjs')}`)
  })
  afterAll(async () => {
    await server?.dispose()
    await workplace?.dispose()
  })

  for (const client of clients) {
    const file = findPackagedClient(client.name)
    test.skipIf(file === null)(`${client.name} installs through the mirror`, async () => {
      await workplace.emptyCaches()
      const project = await workplace.project({ 'package.json': manifest, ...client.files(server.npm('npmjs')) })
      projects.set(client.name, project)
      await run('node', [file!, ...client.install], workplace.in(project))
      await expectInstalled(project)
      expect(await readFile(join(project, client.lockFile), 'utf8')).toContain('express')
    })
  }

  test('the upstream goes away', async () => {
    await server.stop()
    await server.restart(await upstreamGone())
  })

  for (const client of clients) {
    const file = findPackagedClient(client.name)
    test.skipIf(file === null)(
      `${client.name} installs from what is held, from the lock file and without one`,
      async () => {
        const project = projects.get(client.name)!
        await workplace.emptyCaches()
        await rm(join(project, 'node_modules'), { recursive: true })
        await run('node', [file!, ...client.reinstall], workplace.in(project))
        await expectInstalled(project)

        await workplace.emptyCaches()
        const another = await workplace.project({ 'package.json': manifest, ...client.files(server.npm('npmjs')) })
        await run('node', [file!, ...client.install], workplace.in(another))
        await expectInstalled(another)
      },
    )
  }

  async function expectInstalled(project: string): Promise<void> {
    const script = 'const s = require("semver"); require("express"); require("@babel/code-frame"); s.valid("1.2.3")'
    expect(await run('node', ['-p', script], workplace.in(project))).toBe('1.2.3\n')
    const installed = JSON.parse(await readFile(join(project, 'node_modules/express/package.json'), 'utf8'))
    expect(installed.version).toBe(dependencies.express)
  }
})
