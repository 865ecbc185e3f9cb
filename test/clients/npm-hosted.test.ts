import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { type RunOptions, run, runFailing } from './run.ts'
import { ServerProcess, upstreamAt } from './server.ts'
import { Workplace } from './workplace.ts'

const alice = { username: 'alice', password: 'a long enough password 7' } as const

/** The life of private packages in an organisation that also reads the public registry, told by the npm client. */
describe('npm against an organisation', () => {
  let upstream: FakeNpmRegistry
  let server: ServerProcess
  let workplace: Workplace
  let registry: string
  let tool: string
  let scoped: string

  beforeAll(async () => {
    upstream = await FakeNpmRegistry.start()
    await upstream.publish({ name: 'from-upstream', version: '1.2.3' })
    await upstream.publish({ name: '@public/thing', version: '2.0.0' })
    await upstream.publish({ name: 'tool', version: '9.9.9', manifest: { description: 'not ours' } })
    server = await ServerProcess.start(upstreamAt(upstream.url))
    await server.createUser(alice.username, alice.password)
    await server.createOrganization('acme', alice)
    registry = server.npm('acme')
    workplace = await Workplace.create()
    const token = await server.createToken(['write:package'], alice)
    await workplace.npmrc(`registry=${registry}`, `${registry.replace('http:', '')}:_authToken=${token}`)
    tool = await workplace.project({
      'package.json': { name: 'tool', version: '1.0.0', description: 'A tool of ours', keywords: ['entrepot'] },
      'index.js': 'module.exports = "ours"\n',
      'README.md': '# tool\n',
    })
    scoped = await workplace.project({
      'package.json': { name: '@acme/lib', version: '0.1.0', dependencies: { tool: '^1.0.0' } },
      'index.js': 'module.exports = require("tool")\n',
    })
  })
  afterAll(async () => {
    await server?.dispose()
    await upstream?.close()
    await workplace?.dispose()
  })

  function at(project: string, more: Partial<RunOptions> = {}): RunOptions {
    return workplace.in(project, { ...(more.answers && { answers: more.answers }) })
  }

  async function view(spec: string): Promise<Record<string, never>> {
    return JSON.parse(await run('npm', ['view', spec, '--json'], at(tool)))
  }

  async function setVersion(project: string, version: string): Promise<void> {
    await run('npm', ['version', version, '--no-git-tag-version', '--allow-same-version'], at(project))
  }

  test('ping and whoami', async () => {
    await run('npm', ['ping'], at(tool))
    expect((await run('npm', ['whoami'], at(tool))).trim()).toBe('alice')
  })

  test('publish, scoped and not', async () => {
    expect(await run('npm', ['publish'], at(tool))).toContain('tool@1.0.0')
    expect(await run('npm', ['publish'], at(scoped))).toContain('@acme/lib@0.1.0')
  })

  test('publishing the same version with other content is refused as a conflict', async () => {
    const other = await workplace.project({
      'package.json': { name: 'tool', version: '1.0.0' },
      'index.js': 'module.exports = "other"\n',
    })
    // --force skips the client's own look at what is published, so that the server has to refuse.
    expect(await runFailing('npm', ['publish', '--force'], at(other))).toMatch(/E409|409 Conflict/)
  })

  test('view shows what was published', async () => {
    expect(await view('tool')).toMatchObject({
      name: 'tool',
      version: '1.0.0',
      description: 'A tool of ours',
      'dist-tags': { latest: '1.0.0' },
      dist: { tarball: `${registry}tool/-/tool-1.0.0.tgz`, integrity: expect.stringMatching(/^sha512-/) },
    })
    expect(await view('@acme/lib@0.1.0')).toMatchObject({
      dependencies: { tool: '^1.0.0' },
      dist: { tarball: `${registry}@acme/lib/-/lib-0.1.0.tgz` },
    })
  })

  test('install, and again from the lock file with an empty cache', async () => {
    const project = await workplace.project({ 'package.json': { name: 'user', version: '1.0.0' } })
    await run('npm', ['install', '@acme/lib'], at(project))
    expect(await run('node', ['-p', 'require("@acme/lib")'], at(project))).toBe('ours\n')
    await workplace.emptyCaches()
    await run('npm', ['ci'], at(project))
    expect(await run('node', ['-p', 'require("@acme/lib")'], at(project))).toBe('ours\n')
  })

  test('dist-tags: publish under one, add, list, install by it, remove', async () => {
    await setVersion(tool, '1.1.0-beta.1')
    await run('npm', ['publish', '--tag', 'beta'], at(tool))
    expect(await view('tool')).toMatchObject({ 'dist-tags': { latest: '1.0.0', beta: '1.1.0-beta.1' } })
    await run('npm', ['dist-tag', 'add', 'tool@1.0.0', 'stable'], at(tool))
    expect((await run('npm', ['dist-tag', 'ls', 'tool'], at(tool))).trim().split('\n').sort()).toEqual([
      'beta: 1.1.0-beta.1',
      'latest: 1.0.0',
      'stable: 1.0.0',
    ])
    const project = await workplace.project({ 'package.json': { name: 'user', version: '1.0.0' } })
    await run('npm', ['install', 'tool@beta'], at(project))
    expect(await installedVersion(project, 'tool')).toBe('1.1.0-beta.1')
    await run('npm', ['dist-tag', 'rm', 'tool', 'beta'], at(tool))
    expect(await run('npm', ['dist-tag', 'ls', 'tool'], at(tool))).not.toContain('beta')
    expect(await runFailing('npm', ['dist-tag', 'add', 'tool@1.0.0', '1.x'], at(tool))).toMatch(/must not be|400/)
  })

  test('deprecate and undeprecate', async () => {
    await run('npm', ['deprecate', 'tool@1.0.0', 'use something newer'], at(tool))
    expect(await view('tool@1.0.0')).toMatchObject({ deprecated: 'use something newer' })
    const project = await workplace.project({ 'package.json': { name: 'user', version: '1.0.0' } })
    await run('npm', ['install', 'tool@1.0.0'], at(project))
    await run('npm', ['undeprecate', 'tool@1.0.0'], at(tool))
    expect(await view('tool@1.0.0')).not.toHaveProperty('deprecated')
  })

  test('search finds what the organisation holds', async () => {
    const found = JSON.parse(await run('npm', ['search', 'lib', '--json'], at(tool))) as { name: string }[]
    expect(found.map(({ name }) => name)).toEqual(['@acme/lib'])
    const wildcard = JSON.parse(await run('npm', ['search', '%', '--json'], at(tool))) as unknown[]
    expect(wildcard).toEqual([])
  })

  test('the public registry attached: both kinds install from one registry, and our name hides theirs', async () => {
    const attached = await server.rest('PUT', '/orgs/acme/upstreams/npm', [{ upstream: 'npmjs' }])
    expect(attached.status).toBeLessThan(300)
    const project = await workplace.project({ 'package.json': { name: 'user', version: '1.0.0' } })
    await run('npm', ['install', '@acme/lib', 'tool', 'from-upstream', '@public/thing'], at(project))
    expect(await installedVersion(project, 'tool')).toBe('1.0.0')
    expect(await installedVersion(project, 'from-upstream')).toBe('1.2.3')
    expect(await installedVersion(project, '@public/thing')).toBe('2.0.0')
    expect(upstream.upstream.count('/tool')).toBe(0)
    expect(upstream.upstream.count('/@acme/lib')).toBe(0)
    await workplace.emptyCaches()
    await run('npm', ['ci'], at(project))
    expect(await runFailing('npm', ['install', 'tool@9.9.9'], at(project))).toMatch(/ETARGET|notarget/)
  })

  test('a name that came from the upstream cannot be taken over by publishing', async () => {
    const project = await workplace.project({ 'package.json': { name: 'from-upstream', version: '2.0.0' } })
    expect(await runFailing('npm', ['publish', '--force'], at(project))).toMatch(/E409|409 Conflict/)
  })

  test('unpublish one version, then the package; its name stays ours', async () => {
    await setVersion(tool, '1.1.0')
    await run('npm', ['publish'], at(tool))
    await run('npm', ['unpublish', 'tool@1.1.0'], at(tool))
    expect(await view('tool')).toMatchObject({ 'dist-tags': { latest: '1.0.0' } })
    expect(await runFailing('npm', ['view', 'tool@1.1.0', '--json'], at(tool))).toContain('E404')
    await run('npm', ['unpublish', 'tool', '--force'], at(tool))
    expect(await runFailing('npm', ['view', 'tool'], at(tool))).toContain('E404')
    expect(upstream.upstream.count('/tool')).toBe(0)
    expect((await server.rest('GET', '/packages/acme?type=npm&q=tool')).body).toEqual([])
  })

  test('login with name and password makes a token that works, and logout revokes it', async () => {
    await workplace.npmrc(`registry=${registry}`)
    expect(await runFailing('npm', ['whoami'], at(tool))).toContain('ENEEDAUTH')
    await run(
      'npm',
      ['login'],
      at(tool, {
        answers: [
          [/username:/i, `${alice.username}\n`],
          [/password:/i, `${alice.password}\n`],
        ],
      }),
    )
    expect((await run('npm', ['whoami'], at(tool))).trim()).toBe('alice')
    const token = /_authToken=(\S+)/.exec(await readFile(join(workplace.home, '.npmrc'), 'utf8'))?.[1]
    expect(token).toBeDefined()
    await run('npm', ['logout'], at(tool))
    const revoked = await fetch(`${registry}-/whoami`, { headers: { authorization: `Bearer ${token}` } })
    expect(revoked.status).toBe(401)
  })

  test('a wrong password logs nobody in, and nobody publishes without a login', async () => {
    await workplace.npmrc(`registry=${registry}`)
    const answers = [
      [/username:/i, `${alice.username}\n`],
      [/password:/i, 'wrong\n'],
    ] as const
    expect(await runFailing('npm', ['login', '--auth-type=legacy'], at(tool, { answers }))).toMatch(/E401|401/)
    await workplace.npmrc(`registry=${registry}`, `${registry.replace('http:', '')}:_authToken=${'0'.repeat(40)}`)
    expect(await runFailing('npm', ['publish', '--force'], at(scoped))).toMatch(/E401|401/)
  })
})

async function installedVersion(project: string, name: string): Promise<string> {
  return JSON.parse(await readFile(join(project, 'node_modules', name, 'package.json'), 'utf8')).version
}
