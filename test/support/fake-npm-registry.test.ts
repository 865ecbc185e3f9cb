import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { integrityOf } from './builders/npm-tarball.ts'
import { FakeNpmRegistry } from './fake-npm-registry.ts'

let registry: FakeNpmRegistry
beforeEach(async () => {
  registry = await FakeNpmRegistry.start()
})
afterEach(() => registry.close())

interface Packument {
  'dist-tags': Record<string, string>
  time?: Record<string, string>
  versions: Record<string, { deprecated?: string; dist: { tarball: string; integrity?: string; shasum?: string } }>
}

async function packument(name: string): Promise<Packument> {
  const response = await fetch(new URL(name.replace('/', '%2f'), registry.url))
  expect(response.status).toBe(200)
  return (await response.json()) as Packument
}

describe('FakeNpmRegistry', () => {
  test('a published version is a document with a tarball that matches its digests', async () => {
    await registry.publish({ name: '@acme/tool', version: '1.0.0', manifest: { description: 'A tool' } })
    await registry.publish({ name: '@acme/tool', version: '2.0.0-rc.1', tag: 'next', padding: 100_000 })
    const document = await packument('@acme/tool')
    expect(document['dist-tags']).toEqual({ latest: '1.0.0', next: '2.0.0-rc.1' })
    expect(Object.keys(document.time ?? {})).toEqual(['created', 'modified', '1.0.0', '2.0.0-rc.1'])
    for (const { dist } of Object.values(document.versions)) {
      const bytes = Buffer.from(await (await fetch(dist.tarball)).arrayBuffer())
      expect(integrityOf(bytes)).toBe(dist.integrity)
      expect(createHash('sha1').update(bytes).digest('hex')).toBe(dist.shasum)
      expect(gunzipSync(bytes).includes('package/package.json')).toBe(true)
    }
    expect(registry.upstream.count(registry.tarballPath('@acme/tool', '1.0.0'))).toBe(1)
  })

  test('it can lack times, validators and digests, lie, and serve tarballs from odd places', async () => {
    Object.assign(registry.behaviour, {
      time: false,
      etags: false,
      tarballPath: (n: string, v: string) => `/x/${n}@${v}.tgz?sig=1`,
    })
    await registry.publish({ name: 'a', version: '1.0.0', digests: 'lying' })
    await registry.publish({ name: 'a', version: '1.0.1', digests: 'shasum' })
    await registry.publish({ name: 'a', version: '1.0.2', digests: 'none' })
    const { time, versions } = await packument('a')
    expect(time).toBeUndefined()
    expect((await fetch(new URL('a', registry.url))).headers.get('etag')).toBeNull()
    expect(versions['1.0.1']?.dist).toEqual({
      shasum: expect.stringMatching(/^[0-9a-f]{40}$/),
      tarball: `${registry.url}x/a@1.0.1.tgz?sig=1`,
    })
    expect(Object.keys(versions['1.0.2']?.dist ?? {})).toEqual(['tarball'])
    const lie = versions['1.0.0']?.dist
    const bytes = Buffer.from(await (await fetch(lie?.tarball ?? '')).arrayBuffer())
    expect(integrityOf(bytes)).not.toBe(lie?.integrity)
  })

  test('deprecation, tags and unpublication show in the next document', async () => {
    await registry.publish({ name: 'a', version: '1.0.0' })
    await registry.publish({ name: 'a', version: '1.1.0' })
    registry.deprecate('a', '1.0.0', 'old')
    registry.tag('a', 'stable', '1.0.0')
    expect((await packument('a'))['dist-tags']).toEqual({ latest: '1.1.0', stable: '1.0.0' })
    registry.unpublish('a', '1.1.0')
    const document = await packument('a')
    expect(document['dist-tags']).toEqual({ latest: '1.0.0', stable: '1.0.0' })
    expect(document.versions['1.0.0']?.deprecated).toBe('old')
    registry.unpublish('a')
    expect((await fetch(new URL('a', registry.url))).status).toBe(404)
  })

  test('search and audit record what reached them', async () => {
    registry.auditAnswer = { a: [{ id: 1 }] }
    await fetch(new URL('-/v1/search?text=x', registry.url), { headers: { authorization: 'Bearer secret' } })
    const response = await fetch(new URL('-/npm/v1/security/advisories/bulk', registry.url), {
      method: 'POST',
      headers: { 'content-encoding': 'gzip' },
      body: gzipSync('{"a":["1.0.0"]}'),
    })
    expect(await response.json()).toEqual({ a: [{ id: 1 }] })
    expect(registry.searches[0]).toMatchObject({ query: 'text=x', headers: { authorization: 'Bearer secret' } })
    expect(gunzipSync(registry.audits[0]?.body ?? '').toString()).toBe('{"a":["1.0.0"]}')
  })
})
