import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildPublication, type Publication } from '../../support/builders/npm.ts'
import { TestApp } from '../../support/test-app.ts'
import { Registry } from './registry.ts'

const name = '@scope/test-package'
const path = '/@scope%2Ftest-package'
const version = '1.0.1-pre'
const file = 'test-package-1.0.1-pre.tgz'
const tags = `/-/package${path}/dist-tags`

let server: TestApp
let registry: Registry
let anonymous: Registry
let other: Publication
const manifest = {
  description: 'Test Description',
  author: { name: 'KN4CK3R' },
  bin: { 'test-package': './cli.js' },
  license: 'MIT',
  peerDependencies: { other: '^1.0.0' },
  peerDependenciesMeta: { other: { optional: true } },
  repository: { type: 'git', url: 'http://localhost:3000/alice/test.git' },
}
let first: Publication

beforeAll(async () => {
  server = await TestApp.start()
  const token = await server.createToken('alice', ['write:package'], await server.createUser('alice'))
  registry = new Registry(server, 'alice', `Bearer ${token}`)
  anonymous = registry.as(null)
  first = await buildPublication({ name, version, manifest })
  other = await buildPublication({ name, version, manifest, files: { 'x.js': 'other' } })
})
afterAll(() => server.close())

async function downloads(): Promise<unknown> {
  const rows = await server.services.packages.lookup.search({ type: 'npm', page: 1, limit: 10 })
  const [descriptor] = await server.services.packages.lookup.describe(rows.versionIds)
  return descriptor?.version.downloadCount
}

// The order of Gitea's own test (npm.md §12).
test('an npm registry as Gitea has one', async () => {
  expect((await registry.put(path, first)).statusCode).toBe(201)
  expect((await registry.put(path, first)).statusCode).toBe(409)
  expect((await registry.put(path, other)).statusCode).toBe(409)

  expect((await registry.get(`${path}/-/${version}/${file}`)).statusCode).toBe(200)
  expect((await registry.get(`${path}/-/${file}`)).statusCode).toBe(200)
  expect(await downloads()).toBe(2)

  expect((await registry.get('/does-not-exist')).statusCode).toBe(404)
  const packument = (await registry.get(path)).json()
  expect(packument).toMatchObject({
    name,
    description: manifest.description,
    'dist-tags': { latest: version },
    author: manifest.author,
    repository: manifest.repository,
  })
  expect(packument.versions[version]).toMatchObject({
    ...manifest,
    name,
    version,
    _id: `${name}@${version}`,
    dist: {
      integrity: (first.versions[version]!['dist'] as { integrity: string }).integrity,
      shasum: (first.versions[version]!['dist'] as { shasum: string }).shasum,
      tarball: `http://127.0.0.1:8080/api/packages/alice/npm/${name}/-/${file}`,
    },
  })

  const putTag = async (tag: string, body: string) => (await registry.put(`${tags}/${tag}`, body)).statusCode
  expect(await putTag('1.0', `"${version}"`)).toBe(400)
  expect(await putTag('v1.0', `"${version}"`)).toBe(400)
  expect(await putTag('latest', '"1.2.3"')).toBe(404)
  expect(await putTag('latest', `"${version}"`)).toBe(200)
  expect(await putTag('release', `"${version}"`)).toBe(200)
  expect(await putTag('large', `"${'1'.repeat(5 * 1024)}"`)).toBe(413)
  expect((await registry.get(tags)).json()).toEqual({ latest: version, release: version })
  expect((await registry.delete(`${tags}/v1.0`)).statusCode).toBe(400)
  expect((await registry.delete(`${tags}/1.0`)).statusCode).toBe(400)
  expect((await registry.delete(`${tags}/dummy`)).statusCode).toBe(200)
  expect((await registry.delete(`${tags}/release`)).statusCode).toBe(200)
  expect((await registry.get(tags)).json()).toEqual({ latest: version })

  const search = async (query: string) => (await anonymous.get(`/-/v1/search?${query}`)).json()
  expect(await search('text=')).toMatchObject({ total: 1, objects: [{ package: { name, scope: 'scope', version } }] })
  expect(await search('text=gitea')).toMatchObject({ total: 0, objects: [] })
  expect(await search('text=test')).toMatchObject({ total: 1, objects: [{ package: { name } }] })
  expect(await search('text=test&from=1')).toMatchObject({ total: 1, objects: [] })

  expect((await registry.publish({ name, version: '1.0.2', manifest })).statusCode).toBe(201)
  expect((await anonymous.put(`${path}/-rev/dummy`)).statusCode).toBe(401)
  expect((await registry.put(`${path}/-rev/dummy`)).statusCode).toBe(200)
  expect((await anonymous.delete(`${path}/-/1.0.2/test-package-1.0.2.tgz/-rev/dummy`)).statusCode).toBe(401)
  expect((await registry.delete(`${path}/-/1.0.2/test-package-1.0.2.tgz/-rev/dummy`)).statusCode).toBe(200)
  expect(Object.keys((await registry.get(path)).json().versions)).toEqual([version])
  expect((await anonymous.delete(`${path}/-rev/dummy`)).statusCode).toBe(401)
  expect((await registry.delete(`${path}/-rev/dummy`)).statusCode).toBe(200)
  expect((await registry.get(path)).statusCode).toBe(404)
})
