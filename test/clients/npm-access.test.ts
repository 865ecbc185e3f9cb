import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run, runFailing } from './run.ts'
import { ServerProcess } from './server.ts'
import { Workplace } from './workplace.ts'

const alice = { username: 'alice', password: 'a long enough password 7' } as const

/** Private packages of a public organisation, told by the npm client. */
describe('npm access', () => {
  let server: ServerProcess
  let workplace: Workplace
  let registry: string
  let credentials: string
  let project: string

  beforeAll(async () => {
    server = await ServerProcess.start()
    await server.createUser(alice.username, alice.password)
    await server.createOrganization('acme', alice)
    registry = server.npm('acme')
    workplace = await Workplace.create()
    credentials = `${registry.replace('http:', '')}:_authToken=${await server.createToken(['write:package'], alice)}`
    await workplace.npmrc(`registry=${registry}`, credentials)
    project = await workplace.project({ 'package.json': { name: '@acme/lib', version: '1.0.0' }, 'index.js': '' })
  })
  afterAll(async () => {
    await server?.dispose()
    await workplace?.dispose()
  })

  const npm = (...args: string[]) => run('npm', args, workplace.in(project))
  const statusOf = async (path: string) => (await fetch(`${registry}${path}`)).status

  test('publish --access restricted makes a new package private, and later ones leave it so', async () => {
    await npm('publish', '--access', 'restricted')
    expect(await npm('access', 'get', 'status', '@acme/lib')).toContain('private')
    expect(await statusOf('@acme%2flib')).toBe(404)
    await npm('version', '1.1.0', '--no-git-tag-version')
    await npm('publish', '--access', 'public')
    expect(await statusOf('@acme%2flib')).toBe(404)
  })

  test('whoever is signed in to read it installs it, and nobody else', async () => {
    const user = await workplace.project({ 'package.json': { name: 'user', version: '1.0.0' } })
    await run('npm', ['install', '@acme/lib'], workplace.in(user))
    await workplace.emptyCaches()
    await workplace.npmrc(`registry=${registry}`)
    expect(await runFailing('npm', ['ci'], workplace.in(user))).toContain('E404')
    await workplace.npmrc(`registry=${registry}`, credentials)
    await run('npm', ['ci'], workplace.in(user))
  })

  test('access set status turns it', async () => {
    await npm('access', 'set', 'status=public', '@acme/lib')
    expect(await npm('access', 'get', 'status', '@acme/lib')).toContain('public')
    expect(await statusOf('@acme%2flib')).toBe(200)
    await npm('access', 'set', 'status=private', '@acme/lib')
    expect(await statusOf('@acme%2flib')).toBe(404)
    expect(await npm('access', 'list', 'collaborators', '@acme/lib', '--json')).toContain('{')
  })
})
