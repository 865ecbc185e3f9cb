import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../../support/test-app.ts'
import { Registry } from './registry.ts'

let server: TestApp
let registry: Registry
let strangers: Registry[]
let count = 0

beforeAll(async () => {
  server = await TestApp.start()
  const alice = await server.createUser('alice')
  await server.createOrganization('acme', alice)
  registry = new Registry(server, 'acme', alice)
  const reading = await server.createToken('alice', ['read:package'], alice)
  strangers = [registry.as(null), registry.as(await server.createUser('bob')), registry.as(`Bearer ${reading}`)]
})
afterAll(() => server.close())

/** A fresh package with some versions; the last one is latest. */
async function publish(...versions: string[]): Promise<string> {
  count += 1
  const name = `package-${count}`
  for (const version of versions) expect((await registry.publish({ name, version })).statusCode).toBe(201)
  return name
}

const fetchDocument = async (name: string) => (await registry.get(`/${name}?write=true`)).json()
const tagsOf = async (name: string) => (await registry.get(`/-/package/${name}/dist-tags`)).json()

describe('deprecating', () => {
  test('sets and takes away the mark, and touches nothing else of the document sent back', async () => {
    const name = await publish('1.0.0', '1.1.0', '2.0.0')
    const document = await fetchDocument(name)
    for (const version of ['1.0.0', '1.1.0']) document.versions[version].deprecated = 'use 2'
    document.versions['1.0.0'].description = 'changed'
    document['dist-tags'] = { latest: '1.0.0', evil: '1.0.0' }
    document.versions['9.9.9'] = { name, version: '9.9.9', deprecated: 'invented' }
    delete document.versions['2.0.0']
    expect((await registry.put(`/${name}`, document)).statusCode).toBe(200)
    const after = await fetchDocument(name)
    expect(Object.keys(after.versions)).toEqual(['1.0.0', '1.1.0', '2.0.0'])
    expect(after.versions['1.0.0'].deprecated).toBe('use 2')
    expect(after.versions['1.1.0'].deprecated).toBe('use 2')
    expect(after.versions['2.0.0']).not.toHaveProperty('deprecated')
    expect(after.versions['1.0.0']).not.toHaveProperty('description')
    expect(after['dist-tags']).toEqual({ latest: '2.0.0' })
    const short = await registry.get(`/${name}`, { accept: 'application/vnd.npm.install-v1+json' })
    expect(short.json().versions['1.0.0'].deprecated).toBe('use 2')

    after.versions['1.0.0'].deprecated = ''
    delete after.versions['1.1.0'].deprecated
    expect((await registry.put(`/${name}`, after)).statusCode).toBe(200)
    const restored = await fetchDocument(name)
    expect(restored.versions['1.0.0']).not.toHaveProperty('deprecated')
    expect(restored.versions['1.1.0'].deprecated).toBe('use 2')
  })

  test('works with nothing but the versions, whatever the other fields say', async () => {
    const name = await publish('1.0.0')
    expect((await registry.put(`/${name}`, { versions: { '1.0.0': { deprecated: 'x' } } })).statusCode).toBe(200)
    expect((await fetchDocument(name)).versions['1.0.0'].deprecated).toBe('x')
    expect((await registry.put(`/${name}`, { versions: { '1.0.0': { deprecated: null } } })).statusCode).toBe(200)
    expect((await fetchDocument(name)).versions['1.0.0']).not.toHaveProperty('deprecated')
  })

  test('is refused: no text, a book, an unknown package, and for those who may not write', async () => {
    const name = await publish('1.0.0')
    const put = (deprecated: unknown) => registry.put(`/${name}`, { versions: { '1.0.0': { deprecated } } })
    expect((await put({ a: 1 })).statusCode).toBe(400)
    expect((await put('x'.repeat(5000))).statusCode).toBe(400)
    expect((await registry.put('/nothing', { versions: {} })).statusCode).toBe(404)
    for (const stranger of strangers) {
      const response = await stranger.put(`/${name}`, { versions: { '1.0.0': { deprecated: 'x' } } })
      expect(response.statusCode).toBe(401)
    }
    expect((await fetchDocument(name)).versions['1.0.0']).not.toHaveProperty('deprecated')
  })

  test('an upload survives: the tarball is the same afterwards', async () => {
    const name = await publish('1.0.0')
    const before = await registry.get(`/${name}/-/${name}-1.0.0.tgz`)
    await registry.put(`/${name}`, { versions: { '1.0.0': { deprecated: 'x', dist: { tarball: 'http://evil' } } } })
    const after = await registry.get(`/${name}/-/${name}-1.0.0.tgz`)
    expect(after.rawPayload.equals(before.rawPayload)).toBe(true)
    expect((await fetchDocument(name)).versions['1.0.0'].dist.tarball).not.toContain('evil')
  })
})

test('a star is accepted and forgotten', async () => {
  const name = await publish('1.0.0')
  const body = { _id: name, _rev: 'x', users: { alice: true } }
  expect((await registry.put(`/${name}`, body)).statusCode).toBe(200)
  expect(await fetchDocument(name)).not.toHaveProperty('users')
})

describe('unpublishing', () => {
  test('one version, in the steps of npm', async () => {
    const name = await publish('1.0.0', '1.1.0-beta.1', '1.1.0')
    await registry.put(`/-/package/${name}/dist-tags/old`, '"1.1.0"')
    const document = await fetchDocument(name)
    delete document.versions['1.1.0']
    document['dist-tags'] = { latest: '1.1.0-beta.1' }
    expect((await registry.put(`/${name}/-rev/${document._rev}`, document)).statusCode).toBe(200)
    const after = await fetchDocument(name)
    expect(Object.keys(after.versions)).toEqual(['1.0.0', '1.1.0-beta.1'])
    // npm proposes the highest number; a prerelease must not become what everybody installs.
    expect(after['dist-tags']).toEqual({ latest: '1.0.0' })
    expect((await registry.get(`/${name}/-/${name}-1.1.0.tgz`)).statusCode).toBe(404)
    const deletion = await registry.delete(`/${name}/-/${name}-1.1.0.tgz/-rev/${after._rev}`)
    expect(deletion.statusCode).toBe(200)
    expect(Object.keys((await fetchDocument(name)).versions)).toEqual(['1.0.0', '1.1.0-beta.1'])
  })

  test('is complete before the DELETE, which npm sends to a wrong address when a scope has its own registry', async () => {
    await registry.publish({ name: '@acme/tiny', version: '1.0.0' })
    await registry.publish({ name: '@acme/tiny', version: '1.0.1' })
    const document = (await registry.get('/@acme%2ftiny?write=true')).json()
    delete document.versions['1.0.1']
    expect((await registry.put(`/@acme%2ftiny/-rev/${document._rev}`, document)).statusCode).toBe(200)
    const doubled = await registry.delete('/api/packages/acme/npm/@acme/tiny/-/tiny-1.0.1.tgz/-rev/x')
    expect(doubled.statusCode).toBe(404)
    expect(Object.keys((await registry.get('/@acme%2ftiny')).json().versions)).toEqual(['1.0.0'])
  })

  test('applies tags of the document to versions that stay', async () => {
    const name = await publish('1.0.0', '1.1.0', '2.0.0')
    const document = await fetchDocument(name)
    delete document.versions['1.1.0']
    document['dist-tags'] = { latest: '1.0.0', next: '2.0.0', gone: '1.1.0', invented: '9.9.9' }
    expect((await registry.put(`/${name}/-rev/${document._rev}`, document)).statusCode).toBe(200)
    expect(await tagsOf(name)).toEqual({ latest: '1.0.0', next: '2.0.0' })
  })

  test('409 when the package changed meanwhile: no version published in between is lost', async () => {
    const name = await publish('1.0.0', '1.1.0')
    const document = await fetchDocument(name)
    await registry.publish({ name, version: '1.2.0' })
    delete document.versions['1.1.0']
    const response = await registry.put(`/${name}/-rev/${document._rev}`, document)
    expect(response.statusCode).toBe(409)
    expect(Object.keys((await fetchDocument(name)).versions)).toEqual(['1.0.0', '1.1.0', '1.2.0'])
  })

  test('versions we do not know are ignored', async () => {
    const name = await publish('1.0.0')
    const document = await fetchDocument(name)
    document.versions['5.0.0'] = {}
    expect((await registry.put(`/${name}/-rev/${document._rev}`, document)).statusCode).toBe(200)
    expect(Object.keys((await fetchDocument(name)).versions)).toEqual(['1.0.0'])
  })

  test('a whole package, whatever the revision; then it is not there', async () => {
    const name = await publish('1.0.0', '2.0.0')
    expect((await registry.delete(`/${name}/-rev/undefined`)).statusCode).toBe(200)
    expect((await registry.get(`/${name}`)).statusCode).toBe(404)
    expect((await registry.get(`/${name}/-/${name}-1.0.0.tgz`)).statusCode).toBe(404)
    expect(await registry.get('/-/v1/search?text=').then((response) => response.body)).not.toContain(`"${name}"`)
    expect((await registry.delete(`/${name}/-rev/undefined`)).statusCode).toBe(404)
  })

  test.each([
    (name: string) => `/@s/${name}/-/${name}-1.0.0.tgz`,
    (name: string) => `/@s%2f${name}/-/${name}-1.0.0.tgz`,
    (name: string) => `/@s/${name}/-/@s/${name}-1.0.0.tgz`,
    (name: string) => `/@s/${name}/-/1.0.0/${name}-1.0.0.tgz`,
  ])('by the tarball, in every form of its address (%#)', async (toPath) => {
    count += 1
    const base = `scoped-${count}`
    for (const version of ['1.0.0', '2.0.0']) await registry.publish({ name: `@s/${base}`, version })
    for (const expected of [200, 200]) {
      expect((await registry.delete(`${toPath(base)}/-rev/any`)).statusCode).toBe(expected)
    }
    expect(Object.keys((await registry.get(`/@s%2f${base}`)).json().versions)).toEqual(['2.0.0'])
  })

  test('changing owners of a package is refused with the reason', async () => {
    const name = await publish('1.0.0')
    const { _rev } = await fetchDocument(name)
    const response = await registry.put(`/${name}/-rev/${_rev}`, { _id: name, _rev, maintainers: [{ name: 'bob' }] })
    expect(response.statusCode).toBe(403)
    expect(response.json().error).toContain('teams')
  })

  test('nonsense and strangers change nothing', async () => {
    const name = await publish('1.0.0')
    const { _rev } = await fetchDocument(name)
    for (const body of ['[]', '7', 'null', '{}', '{"versions":[]}', '{"versions":{},"dist-tags":[]}', 'x']) {
      expect((await registry.put(`/${name}/-rev/${_rev}`, body)).statusCode, body).toBe(400)
    }
    expect((await registry.put(`/nothing/-rev/${_rev}`, { versions: {} })).statusCode).toBe(404)
    for (const path of [`/${name}`, `/${name}/-rev`, `/${name}/-/${name}-1.0.0.tgz`, `/${name}/x/-rev/${_rev}`]) {
      expect((await registry.delete(path)).statusCode, path).toBe(404)
    }
    for (const stranger of strangers) {
      expect((await stranger.put(`/${name}/-rev/${_rev}`, { versions: {} })).statusCode).toBe(401)
      expect((await stranger.delete(`/${name}/-rev/${_rev}`)).statusCode).toBe(401)
      expect((await stranger.delete(`/${name}/-/${name}-1.0.0.tgz/-rev/${_rev}`)).statusCode).toBe(401)
    }
    expect(Object.keys((await fetchDocument(name)).versions)).toEqual(['1.0.0'])
  })

  test('over REST drops what was rendered', async () => {
    const name = await publish('1.0.0', '2.0.0')
    await registry.get(`/${name}`)
    expect((await server.api('DELETE', `/packages/acme/npm/${name}/2.0.0`)).statusCode).toBe(204)
    expect((await fetchDocument(name))['dist-tags']).toEqual({ latest: '1.0.0' })
  })
})

describe('tags', () => {
  test('move between versions, never twice at once', async () => {
    const name = await publish('1.0.0', '2.0.0')
    const put = (tag: string, body: string) => registry.put(`/-/package/${name}/dist-tags/${tag}`, body)
    await Promise.all(['"1.0.0"', '"2.0.0"', '"1.0.0"', '"v2.0.0"'].map((body) => put('moving', body)))
    expect(['1.0.0', '2.0.0']).toContain((await tagsOf(name)).moving)
    const rows = await server.services.models.packageProperty.count({ where: { name: 'npm.tag', value: 'moving' } })
    expect(rows).toBe(1)
  })

  test('without its own row latest is the highest release', async () => {
    const name = await publish('2.0.0', '1.0.0')
    expect(await tagsOf(name)).toEqual({ latest: '1.0.0' })
    expect((await registry.delete(`/-/package/${name}/dist-tags/latest`)).statusCode).toBe(200)
    expect(await tagsOf(name)).toEqual({ latest: '2.0.0' })
  })

  test('with the names of what every object has are ordinary tags', async () => {
    const name = await publish('1.0.0')
    for (const tag of ['__proto__', 'constructor', 'toString']) {
      expect((await registry.put(`/-/package/${name}/dist-tags/${tag}`, '"1.0.0"')).statusCode).toBe(200)
    }
    const body = (await registry.get(`/-/package/${name}/dist-tags`)).body
    expect(body).toContain('"__proto__":"1.0.0"')
    expect((await registry.get(`/${name}/constructor`)).json().version).toBe('1.0.0')
  })

  test('refused: no version, no JSON, strangers, unknown packages, other paths', async () => {
    const name = await publish('1.0.0')
    const path = `/-/package/${name}/dist-tags/next`
    for (const body of ['1.0.0', '{"version":"1.0.0"}', 'null', '"latest"', '']) {
      expect((await registry.put(path, body)).statusCode, body).toBe(400)
    }
    expect((await registry.put('/-/package/nothing/dist-tags/next', '"1.0.0"')).statusCode).toBe(404)
    expect((await registry.delete('/-/package/nothing/dist-tags/next')).statusCode).toBe(404)
    expect((await registry.put(`/-/package/${name}/dist-tags`, '"1.0.0"')).statusCode).toBe(404)
    expect((await registry.put(`/-/package/${name}/dist-tags/a/b`, '"1.0.0"')).statusCode).toBe(404)
    expect((await registry.put(`/-/package/${name}/dist-tags/a%2fb`, '"1.0.0"')).statusCode).toBe(404)
    for (const stranger of strangers) {
      expect((await stranger.put(path, '"1.0.0"')).statusCode).toBe(401)
      expect((await stranger.delete(path)).statusCode).toBe(401)
    }
    expect(await tagsOf(name)).toEqual({ latest: '1.0.0' })
  })
})

describe('access of a package', () => {
  test('is that of its owner, unless somebody who administers packages says otherwise', async () => {
    const name = await publish('1.0.0')
    expect((await registry.get(`/-/package/${name}/visibility`)).json()).toEqual({ public: true })
    expect((await registry.get(`/-/package/${name}/collaborators`)).json()).toEqual({})
    expect((await registry.get('/-/package/nothing/visibility')).statusCode).toBe(404)
    const response = await registry.post(`/-/package/${name}/access`, { access: 'restricted' })
    expect(response.statusCode).toBe(200)
    expect((await registry.get(`/-/package/${name}/visibility`)).json()).toEqual({ public: false })
    expect((await registry.post(`/-/package/${name}/other`, {})).statusCode).toBe(404)
  })

  test('of a user names that user', async () => {
    const mine = new Registry(server, 'alice', `Basic ${Buffer.from('alice:a-long-password').toString('base64')}`)
    await mine.publish({ name: 'own', version: '1.0.0' })
    expect((await mine.get('/-/package/own/collaborators')).json()).toEqual({ alice: 'write' })
  })
})
