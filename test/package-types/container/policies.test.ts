import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { digestOf, FakeContainerRegistry } from '../../support/fake-container-registry.ts'
import { TestApp } from '../../support/test-app.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

let registry: FakeContainerRegistry
let server: TestApp

beforeEach(async () => {
  registry = await FakeContainerRegistry.start()
  const file = { type: 'container', owner: 'docker.io', url: registry.url, allowPrivateNetwork: true }
  server = await TestApp.start({
    upstreams: { 'docker-hub': { ...file, options: { defaultNamespace: 'library' } } },
  })
})
afterEach(async () => {
  await server.close()
  await registry.close()
})

const ask = (method: 'GET' | 'HEAD', path: string, headers: Record<string, string> = {}) =>
  server.inject({ method, url: `/v2/docker.io/library/alpine/${path}`, headers })
const get = (path: string, headers: Record<string, string> = {}) => ask('GET', path, headers)
const digestOfTag = async (tag: string) => (await get(`manifests/${tag}`)).headers['docker-content-digest']
const recommended = () => server.api('POST', '/admin/policies/presets/recommended')
const policy = async (fields: object) => {
  const response = await server.api('POST', '/admin/policies', { type: 'container', ...fields })
  expect(response.statusCode, response.body).toBe(201)
  return response.json() as { id: number }
}
const later = async (ms: number) => {
  await server.services.upstream.settle()
  server.clock.advance(ms)
}

describe('tag hold-back (pull-through.md §14.13)', () => {
  test('§14 check 13: keeps serving the digest from before until the new one is old enough', async () => {
    const old = registry.addImage('library/alpine', '3.20', 'old').manifest.digest
    expect(await digestOfTag('3.20')).toBe(old)
    await later(100 * HOUR)
    await recommended()
    const young = registry.addImage('library/alpine', '3.20', 'young').manifest.digest
    for (const method of ['GET', 'HEAD'] as const) {
      const held = await ask(method, 'manifests/3.20')
      expect([held.statusCode, held.headers['docker-content-digest']]).toEqual([200, old])
      if (method === 'GET') expect(digestOf(held.rawPayload)).toBe(old)
    }
    const refused = await get(`manifests/${young}`)
    expect(refused.statusCode).toBe(403)
    expect(refused.json().errors[0]).toMatchObject({
      code: 'DENIED',
      message: expect.stringMatching(/^library\/alpine 3\.20 is younger than 3 days and is held back until 20/),
    })
    await later(71 * HOUR)
    expect(await digestOfTag('3.20')).toBe(old)
    await later(2 * HOUR)
    expect(await digestOfTag('3.20')).toBe(young)
    expect((await get(`manifests/${young}`)).statusCode).toBe(200)
  })

  test('has nothing to show of a tag that was never seen before', async () => {
    registry.addImage('library/alpine', '3.20')
    await recommended()
    for (const method of ['GET', 'HEAD'] as const) {
      const response = await ask(method, 'manifests/3.20')
      expect(response.statusCode).toBe(403)
      expect(response.headers['cache-status']).toBe('Entrepot; detail=POLICY')
    }
    await later(73 * HOUR)
    expect((await get('manifests/3.20')).statusCode).toBe(200)
  })

  test('can be broken for a tag, whose digest is served then too', async () => {
    const { manifest } = registry.addImage('library/alpine', '3.20')
    await recommended()
    expect((await get('manifests/3.20')).statusCode).toBe(403)
    await policy({ action: 'allow', name: 'library/alpine', versions: '3.*', reason: 'needed now' })
    expect(await digestOfTag('3.20')).toBe(manifest.digest)
    expect((await get(`manifests/${manifest.digest}`)).statusCode).toBe(200)
  })

  test('survives that the documents are forgotten', async () => {
    const old = registry.addImage('library/alpine', '3.20', 'old').manifest.digest
    await get('manifests/3.20')
    await later(100 * HOUR)
    await server.api('POST', '/admin/upstreams/docker-hub/purge', {})
    await recommended()
    registry.addImage('library/alpine', '3.20', 'young')
    expect(await digestOfTag('3.20')).toBe(old)
  })
})

describe('what is denied (security.md S28)', () => {
  test('a digest is so as manifest and as blob, by every verb, held or not, in every repository', async () => {
    const { manifest, layer } = registry.addImage('library/alpine', '3.20')
    const layerPath = `blobs/${layer.digest}`
    expect((await get('manifests/3.20')).statusCode).toBe(200)
    expect((await get(layerPath)).statusCode).toBe(200)
    await server.services.upstream.settle()
    await policy({ action: 'quarantine', name: '', versions: layer.digest })
    const { id } = await policy({ action: 'deny', name: 'library/*', versions: manifest.digest, reason: 'malware' })
    for (const path of [layerPath, `manifests/${manifest.digest}`, 'manifests/3.20', `blobs/${manifest.digest}`]) {
      for (const [method, headers] of [
        ['GET', {}],
        ['HEAD', {}],
        ['GET', { range: 'bytes=0-1' }],
      ] as const) {
        expect((await ask(method, path, headers)).statusCode, `${method} ${path}`).toBe(403)
      }
    }
    expect((await get('manifests/3.20')).json()).toEqual({
      errors: [{ code: 'DENIED', message: `library/alpine ${manifest.digest} is denied: malware (policy ${id})` }],
    })
    await server.api('DELETE', `/admin/policies/${id}`)
    expect((await get('manifests/3.20')).statusCode).toBe(200)
    expect((await get(layerPath)).statusCode).toBe(403)
  })

  test('a blob is not to be had by mounting it from the mirror', async () => {
    const { layer } = registry.addImage('library/alpine', '3.20')
    await get('manifests/3.20')
    expect((await get(`blobs/${layer.digest}`)).statusCode).toBe(200)
    await server.services.upstream.settle()
    const mount = async (name: string) => {
      const url = `/v2/root/${name}/blobs/uploads/?mount=${layer.digest}&from=docker.io/library/alpine`
      return (await server.inject({ method: 'POST', url, headers: { authorization: server.admin } })).statusCode
    }
    const { id } = await policy({ action: 'quarantine', versions: layer.digest })
    expect(await mount('first')).toBe(202)
    await server.api('DELETE', `/admin/policies/${id}`)
    expect(await mount('first')).toBe(201)
  })

  test('a repository is so as a whole', async () => {
    const { layer } = registry.addImage('library/alpine', '3.20')
    await get('manifests/3.20')
    await policy({ action: 'deny', name: 'library/alpine' })
    for (const path of ['manifests/3.20', `blobs/${layer.digest}`, 'tags/list', `referrers/${layer.digest}`]) {
      expect((await get(path)).statusCode, path).toBe(403)
    }
  })

  test('tags are so, and not listed; other names of the same digest are served', async () => {
    const { manifest } = registry.addImage('library/alpine', '3.19', 'same')
    registry.addImage('library/alpine', '3.20', 'same')
    registry.addImage('library/alpine', '2.0', 'other')
    await policy({ action: 'deny', name: 'library/alpine', versions: '3.19' })
    expect((await get('tags/list')).json().tags).toEqual(['2.0', '3.20'])
    expect((await get('manifests/3.19')).statusCode).toBe(403)
    expect((await get(`manifests/${manifest.digest}`)).statusCode).toBe(403)
    await later(2 * MINUTE)
    expect(await digestOfTag('3.20')).toBe(manifest.digest)
    await policy({ action: 'allow_only', name: 'library/alpine', versions: '3.*' })
    expect((await get('manifests/2.0')).statusCode).toBe(403)
    expect((await get(`manifests/${manifest.digest}`)).statusCode).toBe(200)
  })
})

test('a warning is a header', async () => {
  registry.addImage('library/alpine', '3.20')
  await policy({ action: 'warn', name: 'library/*', versions: '3.20', reason: 'end of life' })
  const response = await get('manifests/3.20')
  expect([response.statusCode, response.headers['warning']]).toEqual([200, '299 - "library/alpine: end of life"'])
})
