import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { digestOf, FakeContainerRegistry } from '../../support/fake-container-registry.ts'
import { createGate } from '../../support/fake-upstream.ts'
import { TestApp, type TestAppOptions } from '../../support/test-app.ts'

const MINUTE = 60_000
const INDEX = 'application/vnd.oci.image.index.v1+json'

let registry: FakeContainerRegistry
let server: TestApp
const started: TestApp[] = []

async function start(options: TestAppOptions = {}, file: object = {}): Promise<TestApp> {
  const app = await TestApp.start({
    upstreams: {
      'docker-hub': {
        type: 'container',
        owner: 'docker.io',
        aliases: ['docker-hub'],
        serves: ['docker.io', 'registry-1.docker.io'],
        hosts: ['docker-io.mirror.example'],
        url: registry.url,
        allowPrivateNetwork: true,
        options: { defaultNamespace: 'library' },
        ...file,
      },
    },
    ...options,
  })
  started.push(app)
  return app
}

beforeEach(async () => {
  registry = await FakeContainerRegistry.start()
  server = await start()
})
afterEach(async () => {
  // One after the other: some share a folder, which the first deletes.
  for (const app of started.splice(0).reverse()) await app.close()
  await registry.close()
})

const get = (path: string, headers: Record<string, string> = {}, app = server) =>
  app.inject({ method: 'GET', url: path, headers })
const head = (path: string, headers: Record<string, string> = {}, app = server) =>
  app.inject({ method: 'HEAD', url: path, headers })
const settle = (app = server) => app.services.upstream.settle()
const image = (path: string) => `/v2/docker.io/library/alpine/${path}`

/** What a client does that has nothing: the tag, the manifest by digest, config and layer. */
async function pull(repository: string, tag: string, app = server): Promise<string[]> {
  const manifest = await get(`/v2/${repository}/manifests/${tag}`, {}, app)
  expect(manifest.statusCode, manifest.body).toBe(200)
  const { config, layers } = manifest.json() as { config: { digest: string }; layers: { digest: string }[] }
  const digests = [config, ...layers].map(({ digest }) => digest)
  for (const digest of digests) {
    const blob = await get(`/v2/${repository}/blobs/${digest}`, {}, app)
    expect(blob.statusCode, blob.body).toBe(200)
    expect(digestOf(blob.rawPayload)).toBe(digest)
  }
  await settle(app)
  return [manifest.headers['docker-content-digest'] as string, ...digests]
}

describe('a pull', () => {
  test('comes from the upstream once, with its bytes and digests', async () => {
    const { manifest, layer } = registry.addImage('library/alpine', '3.20')
    const first = await get(image('manifests/3.20'))
    expect(first.statusCode).toBe(200)
    expect(first.rawPayload.equals(manifest.bytes)).toBe(true)
    expect(first.headers['content-type']).toBe(manifest.mediaType)
    expect(first.headers['docker-content-digest']).toBe(manifest.digest)
    expect(first.headers['cache-control']).toBe('public, max-age=0, must-revalidate')
    const blob = await get(image(`blobs/${layer.digest}`))
    expect(blob.rawPayload.equals(layer.bytes)).toBe(true)
    expect(blob.headers['cache-control']).toContain('immutable')
    await settle()
    const asked = registry.upstream.requests.length
    expect((await pull('docker.io/library/alpine', '3.20')).length).toBe(3)
    // Only the config had not been asked for.
    expect(registry.upstream.requests.slice(asked).map(({ path }) => path)).toEqual([
      expect.stringContaining('/blobs/'),
    ])
    expect((await get(image(`blobs/${layer.digest}`))).headers['x-cache']).toBe('HIT')
  })

  test('asks for a tag by HEAD, which Docker Hub does not count, and for its manifest by digest', async () => {
    const { manifest } = registry.addImage('library/alpine', '3.20')
    await pull('docker.io/library/alpine', '3.20')
    expect(registry.upstream.count('/v2/library/alpine/manifests/3.20', 'GET')).toBe(0)
    expect(registry.upstream.count(`/v2/library/alpine/manifests/${manifest.digest}`, 'GET')).toBe(1)
    server.clock.advance(2 * MINUTE)
    await pull('docker.io/library/alpine', '3.20')
    expect(registry.pulls('library/alpine')).toBe(1)
    expect(registry.upstream.count('/v2/library/alpine/manifests/3.20', 'HEAD')).toBeGreaterThan(1)
  })

  test('never tells our clients’ credentials to the upstream, nor the upstream’s token to its CDN', async () => {
    registry.addImage('library/alpine', '3.20')
    await get(image('manifests/3.20'), { authorization: server.admin })
    await pull('docker.io/library/alpine', '3.20')
    expect(registry.cdn.requests.length).toBe(2)
    expect(registry.cdn.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true)
    expect(registry.upstream.requests.some(({ headers }) => headers.authorization === server.admin)).toBe(false)
    expect(registry.upstream.count('/token')).toBe(1)
  })

  test('of a HEAD fetches no manifest, and tells digest, type and length', async () => {
    const { manifest, layer } = registry.addImage('library/alpine', '3.20')
    for (const reference of ['3.20', manifest.digest]) {
      const response = await head(image(`manifests/${reference}`))
      expect(response.statusCode).toBe(200)
      expect(response.headers['docker-content-digest']).toBe(manifest.digest)
      expect(response.headers['content-type']).toBe(manifest.mediaType)
      expect(response.headers['content-length']).toBe(String(manifest.bytes.length))
    }
    expect(registry.pulls('library/alpine')).toBe(0)
    registry.behaviour.redirects = false
    const blob = await head(image(`blobs/${layer.digest}`))
    expect(blob.statusCode).toBe(200)
    expect(blob.headers['docker-content-digest']).toBe(layer.digest)
  })

  test('of an index serves its children by digest', async () => {
    const { manifest } = registry.addImage('library/alpine', 'one')
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: INDEX,
        manifests: [
          {
            mediaType: manifest.mediaType,
            digest: manifest.digest,
            size: manifest.bytes.length,
            platform: { os: 'linux', architecture: 'arm64' },
          },
        ],
      }),
    )
    const index = registry.addManifest('library/alpine', bytes, INDEX, 'latest')
    const response = await get(image('manifests/latest'))
    expect(response.headers['content-type']).toBe(INDEX)
    expect(response.headers['docker-content-digest']).toBe(index.digest)
    expect((await get(image(`manifests/${manifest.digest}`))).rawPayload.equals(manifest.bytes)).toBe(true)
  })

  test('of bytes that contradict their digest never ends well, and nothing is kept', async () => {
    const { layer, manifest } = registry.addImage('library/alpine', '3.20')
    await get(image('manifests/3.20'))
    registry.addBlob('library/alpine', layer.bytes, { corruptAt: 0 })
    expect((await get(image(`blobs/${layer.digest}`))).statusCode).toBe(502)
    registry.upstream.on(`/v2/library/alpine/manifests/${digestOf(Buffer.from('other'))}`, {
      headers: { 'content-type': manifest.mediaType },
      body: manifest.bytes,
    })
    expect((await get(image(`manifests/${digestOf(Buffer.from('other'))}`))).statusCode).toBe(502)
    await settle()
    registry.addBlob('library/alpine', layer.bytes)
    server.clock.advance(60 * MINUTE)
    expect((await get(image(`blobs/${layer.digest}`))).statusCode).toBe(200)
  })

  test('by twenty clients at once is one fetch per manifest and blob', async () => {
    const gate = createGate()
    const { layer, manifest } = registry.addImage('library/alpine', '3.20', Buffer.alloc(3_000_000, 'x'))
    registry.addBlob('library/alpine', layer.bytes, { pauseAt: 100_000, resume: gate.opened })
    const pulls = Promise.all(Array.from({ length: 20 }, () => pull('docker.io/library/alpine', '3.20')))
    pulls.catch(() => {})
    await expect.poll(() => registry.cdn.requests.length, { timeout: 10_000 }).toBe(2)
    gate.open()
    await pulls
    expect(registry.upstream.count(`/v2/library/alpine/manifests/${manifest.digest}`, 'GET')).toBe(1)
    expect(registry.cdn.count(`/v2/library/alpine/blobs/${layer.digest}`)).toBe(1)
    expect(registry.upstream.count('/token')).toBe(1)
  })

  test('gets its manifests while long layers fill the connections that artifacts have', async () => {
    registry.behaviour.redirects = false
    const environment = { ENTREPOT_MIRRORS_CONNECTIONS: '4', ENTREPOT_MIRRORS_ARTIFACT_TIMEOUT: '2s' }
    const app = await start({ environment })
    const url = await app.listen()
    const gate = createGate()
    const layers = await Promise.all(
      [1, 2, 3].map((content) => {
        const harm = { pauseAt: 1_500_000, resume: gate.opened }
        const { digest } = registry.addBlob('library/long', Buffer.alloc(2_000_000, content), harm)
        return fetch(`${url}/v2/docker.io/library/long/blobs/${digest}`)
      }),
    )
    const { manifest } = registry.addImage('library/alpine', '3.20')
    const answer = await get(image('manifests/3.20'), {}, app)
    gate.open()
    await Promise.all(layers.map((layer) => layer.arrayBuffer()))
    expect([answer.statusCode, digestOf(answer.rawPayload)]).toEqual([200, manifest.digest])
  })
})

describe('a tag', () => {
  test('that moves is seen when it is no longer fresh', async () => {
    const before = registry.addImage('library/alpine', 'edge', 'one')
    await pull('docker.io/library/alpine', 'edge')
    const after = registry.addImage('library/alpine', 'edge', 'two')
    expect((await get(image('manifests/edge'))).headers['docker-content-digest']).toBe(before.manifest.digest)
    server.clock.advance(2 * MINUTE)
    expect((await get(image('manifests/edge'))).headers['docker-content-digest']).toBe(after.manifest.digest)
    expect((await get(image(`manifests/${before.manifest.digest}`))).statusCode).toBe(200)
  })

  test('that moved to a manifest which cannot be had still names what is held, for GET and HEAD', async () => {
    const before = registry.addImage('library/alpine', 'edge', 'one')
    await pull('docker.io/library/alpine', 'edge')
    const after = registry.addImage('library/alpine', 'edge', 'two')
    registry.upstream.on(`/v2/library/alpine/manifests/${after.manifest.digest}`, {
      status: 429,
      headers: { 'retry-after': '3600' },
    })
    server.clock.advance(2 * MINUTE)
    for (const ask of [head, get]) {
      const response = await ask(image('manifests/edge'))
      expect(response.statusCode).toBe(200)
      expect(response.headers['docker-content-digest']).toBe(before.manifest.digest)
      expect(response.headers['cache-status']).toContain('STALE_ERROR')
    }
  })

  test('that moved to a manifest which is not there yet names the one before, and is never 404', async () => {
    const before = registry.addImage('library/alpine', 'edge', 'one')
    await pull('docker.io/library/alpine', 'edge')
    for (const tag of ['edge', 'new']) {
      const { manifest } = registry.addImage('library/alpine', tag, `two ${tag}`)
      registry.upstream.off(`/v2/library/alpine/manifests/${manifest.digest}`)
    }
    server.clock.advance(2 * MINUTE)
    expect((await get(image('manifests/edge'))).headers['docker-content-digest']).toBe(before.manifest.digest)
    expect((await get(image('manifests/new'))).statusCode).toBe(502)
  })

  test('is found without the digest header, by its bytes', async () => {
    registry.behaviour.digestHeader = false
    const { manifest } = registry.addImage('library/alpine', '3.20')
    expect((await get(image('manifests/3.20'))).headers['docker-content-digest']).toBe(manifest.digest)
  })

  test('that does not exist is MANIFEST_UNKNOWN, and the upstream is not asked each time', async () => {
    registry.addImage('library/alpine', '3.20')
    for (let i = 0; i < 3; i += 1) {
      const response = await get(image('manifests/nope'))
      expect(response.statusCode).toBe(404)
      expect(response.json().errors[0].code).toBe('MANIFEST_UNKNOWN')
    }
    expect(registry.upstream.count('/v2/library/alpine/manifests/nope')).toBeLessThanOrEqual(2)
  })

  test('lists come whole, in pages of ours, and from what is held when the upstream is down', async () => {
    for (const tag of ['b', 'a', 'c', 'B']) registry.addImage('library/alpine', tag)
    registry.behaviour.pageSize = 2
    const list = await get(image('tags/list'))
    expect(list.json()).toEqual({ name: 'docker.io/library/alpine', tags: ['B', 'a', 'b', 'c'] })
    await settle()
    await registry.upstream.down()
    server.clock.advance(30 * MINUTE)
    const page = await get(image('tags/list?n=2&last=B'))
    expect(page.json().tags).toEqual(['a', 'b'])
    expect(page.headers['link']).toBe('</v2/docker.io/library/alpine/tags/list?n=2&last=b>; rel="next"')
  })
})

describe('an upstream that fails', () => {
  const failures = {
    'is down': async () => {
      await Promise.all([registry.upstream.down(), registry.cdn.down()])
    },
    'limits the rate': async () => registry.upstream.everything({ status: 429, headers: { 'retry-after': '120' } }),
    'answers 500': async () => registry.upstream.everything({ status: 500 }),
    'refuses logins': async () => {
      registry.upstream.on('/token', { status: 403 })
    },
    'has lost its token server': async () => {
      registry.upstream.on('/token', { status: 503 })
    },
  }

  test.each(Object.entries(failures))('%s: an image that is held is pulled all the same', async (_name, fail) => {
    registry.addImage('library/alpine', '3.20')
    registry.addImage('library/busybox', '1')
    const digests = await pull('docker.io/library/alpine', '3.20')
    await fail()
    server.clock.advance(24 * 60 * MINUTE)
    expect(await pull('docker.io/library/alpine', '3.20')).toEqual(digests)
    expect((await head(image('manifests/3.20'))).statusCode).toBe(200)
    const unknown = await get('/v2/docker.io/library/busybox/manifests/1')
    expect([429, 502, 503, 504], unknown.body).toContain(unknown.statusCode)
    expect(unknown.headers['cache-control']).toBe('no-store')
  })

  test('by limiting the rate is told to the client as such, with the time to wait', async () => {
    registry.upstream.everything({ status: 429, headers: { 'retry-after': '120' } })
    const response = await get(image('manifests/3.20'))
    expect(response.statusCode).toBe(429)
    expect(response.json().errors[0].code).toBe('TOOMANYREQUESTS')
    expect(Number(response.headers['retry-after'])).toBeGreaterThan(0)
  })

  test('survives a restart: what was pulled before is served after it', async () => {
    registry.addImage('library/alpine', '3.20')
    const digests = await pull('docker.io/library/alpine', '3.20')
    const again = await start({ dataDir: server.dataDir, databaseUrl: server.services.config.database.url })
    await registry.upstream.down()
    await registry.cdn.down()
    expect(await pull('docker.io/library/alpine', '3.20', again)).toEqual(digests)
  })

  test('a manifest that is held has its missing blob fetched', async () => {
    const { layer } = registry.addImage('library/alpine', '3.20')
    await get(image('manifests/3.20'))
    await settle()
    const again = await start({ dataDir: server.dataDir, databaseUrl: server.services.config.database.url })
    const asked = registry.upstream.requests.length
    expect((await get(image(`blobs/${layer.digest}`), {}, again)).rawPayload.equals(layer.bytes)).toBe(true)
    // The manifest names it: nobody has to be asked whether the repository has it.
    expect(registry.upstream.requests.slice(asked).filter(({ method }) => method === 'HEAD')).toEqual([])
  })
})

describe('a blob', () => {
  test('that two repositories share is fetched once, and shown by each only if it is its own', async () => {
    registry.addImage('library/alpine', '3.20', 'shared')
    const { layer } = registry.addImage('library/other', '1', 'shared')
    const digests = await pull('docker.io/library/alpine', '3.20')
    await pull('docker.io/library/other', '1')
    expect(registry.cdn.count(`/v2/library/alpine/blobs/${layer.digest}`)).toBe(1)
    expect(registry.cdn.count(`/v2/library/other/blobs/${layer.digest}`)).toBe(0)
    for (const digest of digests.slice(1)) {
      const stolen = await get(`/v2/docker.io/library/third/blobs/${digest}`)
      expect(stolen.statusCode).toBe(404)
      expect(stolen.json().errors[0].code).toBe('BLOB_UNKNOWN')
    }
  })

  test('that no held manifest names is served if the upstream says that the repository has it', async () => {
    const { layer } = registry.addImage('library/alpine', '3.20')
    const response = await get(image(`blobs/${layer.digest}`))
    expect(response.statusCode).toBe(200)
    expect(response.rawPayload.equals(layer.bytes)).toBe(true)
  })

  test('is answered to HEAD as to GET when the upstream is switched off', async () => {
    const { layer } = registry.addImage('library/alpine', '3.20')
    await get(image('manifests/3.20'))
    await settle()
    for (const [mode, status] of [
      ['offline', 404],
      ['blocked', 403],
    ] as const) {
      await server.api('POST', '/admin/upstreams/docker-hub/mode', { mode })
      expect((await head(image(`blobs/${layer.digest}`))).statusCode).toBe(status)
      expect((await get(image(`blobs/${layer.digest}`))).statusCode).toBe(status)
    }
  })

  test('is served in ranges', async () => {
    const { layer } = registry.addImage('library/alpine', '3.20', 'abcdefghij')
    await pull('docker.io/library/alpine', '3.20')
    const part = await get(image(`blobs/${layer.digest}`), { range: 'bytes=2-4' })
    expect(part.statusCode).toBe(206)
    expect(part.body).toBe('cde')
  })
})

describe('an address of the mirror', () => {
  const forms: [string, string, Record<string, string>][] = [
    ['owner', '/v2/docker.io/library/alpine', {}],
    ['alias', '/v2/docker-hub/library/alpine', {}],
    ['owner, without library', '/v2/docker.io/alpine', {}],
    ['path before /v2', '/mirror/docker.io/v2/library/alpine', {}],
    ['path before /v2, without library', '/mirror/docker.io/v2/alpine', {}],
    ['alias before /v2', '/mirror/docker-hub/v2/library/alpine', {}],
    ['host of its own', '/v2/library/alpine', { host: 'docker-io.mirror.example' }],
    ['host of its own, with a port', '/v2/library/alpine', { host: 'docker-io.mirror.example:8080' }],
  ]
  test.each(forms)('§14 check 16: %s: everything is found', async (_form, base, headers) => {
    const { layer, manifest } = registry.addImage('library/alpine', '3.20')
    expect((await get(`${base}/manifests/3.20`, headers)).rawPayload.equals(manifest.bytes)).toBe(true)
    expect((await get(`${base}/manifests/${manifest.digest}`, headers)).statusCode).toBe(200)
    expect((await get(`${base}/blobs/${layer.digest}`, headers)).rawPayload.equals(layer.bytes)).toBe(true)
    await settle()
    const { owner } = server.services.upstream.find('docker-hub')!
    expect(await server.services.packages.lookup.findPackage(owner.id, 'container', 'library/alpine')).not.toBeNull()
    expect(await server.services.packages.lookup.findPackage(owner.id, 'container', 'alpine')).toBeNull()
  })

  test.each([
    '/v2/library/alpine',
    '/v2/docker.io/library/alpine',
    '/v2/alpine',
    '/mirror/docker.io/v2/library/alpine',
  ])('§14 check 16: with ns at %s: everything is found', async (base) => {
    const { layer, manifest } = registry.addImage('library/alpine', '3.20')
    expect((await get(`${base}/manifests/3.20?ns=docker.io`)).rawPayload.equals(manifest.bytes)).toBe(true)
    expect((await get(`${base}/blobs/${layer.digest}?ns=docker.io`)).rawPayload.equals(layer.bytes)).toBe(true)
  })

  test('with an ns that nobody serves is 404, whatever owner the path names', async () => {
    await server.createOrganization('library')
    expect((await get('/v2/library/alpine/manifests/3.20?ns=evil.example')).statusCode).toBe(404)
    expect((await get('/v2/library/alpine/manifests/3.20?ns=docker.io&ns=x')).statusCode).toBe(404)
    expect(registry.upstream.requests).toEqual([])
  })

  test('with ns never means an owner of ours', async () => {
    await server.createOrganization('library')
    const { manifest } = registry.addImage('library/alpine', '3.20')
    const response = await get('/v2/library/alpine/manifests/3.20?ns=docker.io')
    expect(response.headers['docker-content-digest']).toBe(manifest.digest)
  })

  test('that names no mirror is 404', async () => {
    const path = '/mirror/nobody/v2/library/alpine/manifests/3.20'
    expect((await get(path, { authorization: server.admin })).statusCode).toBe(404)
  })

  test('takes no uploads: UNSUPPORTED', async () => {
    for (const [method, path] of [
      ['POST', 'blobs/uploads/'],
      ['PUT', 'manifests/3.20'],
    ] as const) {
      const response = await server.inject({
        method,
        url: image(path),
        headers: { authorization: server.admin },
        payload: '{}',
      })
      expect(response.statusCode).toBe(405)
      expect(response.json().errors[0].code).toBe('UNSUPPORTED')
    }
  })
})

describe('what is cached', () => {
  test('appears in REST: a version per tag and digest, with platform, size and labels', async () => {
    const { manifest, layer, config } = registry.addImage('library/alpine', '3.20')
    await pull('docker.io/library/alpine', '3.20')
    const list = (await server.api('GET', '/packages/docker.io?type=container')).json() as {
      name: string
      version: string
      metadata: { platform: string; labels: Record<string, string>; size: number }
    }[]
    expect(list.map(({ name, version }) => `${name} ${version}`).sort()).toEqual(
      [`library/alpine ${manifest.digest}`, 'library/alpine 3.20'].sort(),
    )
    for (const { metadata } of list) {
      expect(metadata.platform).toBe('linux/arm64')
      expect(metadata.labels).toEqual({ maintainer: 'somebody' })
      expect(metadata.size).toBe(manifest.bytes.length + layer.bytes.length + config.bytes.length)
    }
    const files = (
      await server.api('GET', `/packages/docker.io/container/library%2Falpine/${manifest.digest}/files`)
    ).json() as { sha256: string }[]
    expect(files.map(({ sha256 }) => `sha256:${sha256}`).sort()).toEqual(
      [manifest.digest, layer.digest, config.digest].sort(),
    )
  })

  test('and purged by an administrator is fetched again', async () => {
    const { manifest } = registry.addImage('library/alpine', '3.20')
    await pull('docker.io/library/alpine', '3.20')
    const gone = await server.inject({
      method: 'DELETE',
      url: image(`manifests/${manifest.digest}`),
      headers: { authorization: server.admin },
    })
    expect(gone.statusCode).toBe(202)
    expect((await server.api('GET', '/packages/docker.io')).json()).toEqual([])
    await pull('docker.io/library/alpine', '3.20')
    expect(registry.pulls('library/alpine')).toBe(2)
    expect((await server.api('GET', '/packages/docker.io')).json()).toHaveLength(2)
  })

  test('§14 check 16: survives garbage collection', async () => {
    registry.addImage('library/alpine', '3.20')
    const digests = await pull('docker.io/library/alpine', '3.20')
    server.clock.advance(48 * 60 * MINUTE)
    await server.services.packages.collectGarbage()
    await registry.upstream.down()
    await registry.cdn.down()
    expect(await pull('docker.io/library/alpine', '3.20')).toEqual(digests)
  })

  test('and purged while it is still being stored is not kept', async () => {
    registry.addImage('library/alpine', '3.20')
    for (let attempt = 0; attempt < 5; attempt += 1) {
      expect((await get(image('manifests/3.20'))).statusCode).toBe(200)
      await server.api('POST', '/admin/upstreams/docker-hub/purge', { name: 'library/alpine' })
      await settle()
      expect((await server.api('GET', '/packages/docker.io')).json()).toEqual([])
    }
    expect(registry.pulls('library/alpine')).toBe(5)
  })

  test('is forgotten by a purge of the repository over REST, tags included', async () => {
    registry.addImage('library/alpine', '3.20', 'one')
    await pull('docker.io/library/alpine', '3.20')
    const after = registry.addImage('library/alpine', '3.20', 'two')
    expect((await server.api('DELETE', '/packages/docker.io/container/library%2Falpine')).statusCode).toBe(204)
    expect((await get(image('manifests/3.20'))).headers['docker-content-digest']).toBe(after.manifest.digest)
  })
})

describe('referrers', () => {
  const subject = `sha256:${'a'.repeat(64)}`
  const signature = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: `sha256:${'b'.repeat(64)}`,
    size: 7,
    artifactType: 'application/signature',
  }
  const index = { body: JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [signature] }) }

  test('come from the upstream’s API', async () => {
    registry.behaviour.tokens = false
    registry.upstream.on(`/v2/library/alpine/referrers/${subject}`, { headers: { 'content-type': INDEX }, ...index })
    const response = await get(image(`referrers/${subject}`))
    expect(response.headers['content-type']).toBe(INDEX)
    expect(response.json().manifests).toEqual([signature])
  })

  test('come from the fallback tag where there is no API, and are none where there is neither', async () => {
    registry.behaviour.tokens = false
    expect((await get(image(`referrers/${subject}`))).json().manifests).toEqual([])
    registry.upstream.on(`/v2/library/alpine/manifests/sha256-${'a'.repeat(64)}`, index)
    server.clock.advance(60 * MINUTE)
    expect((await get(image(`referrers/${subject}`))).json().manifests).toEqual([signature])
  })
})

test('names that the site reserves are asked for by no address of the mirror', async () => {
  const environment = { ENTREPOT_MIRRORS_RESERVED_CONTAINER: 'acme/**,library/secret' }
  const app = await start({ environment })
  for (const name of ['acme/app', 'acme/team/app', 'library/secret']) registry.addImage(name, '1')
  const host = { host: 'docker-io.mirror.example' }
  const digest = `sha256:${'a'.repeat(64)}`
  for (const [base, query, headers] of [
    ['/v2/docker.io/acme/app', '', {}],
    ['/v2/docker.io/acme/team/app', '', {}],
    ['/v2/docker.io/secret', '', {}],
    ['/mirror/docker-hub/v2/acme/app', '', {}],
    ['/v2/acme/app', '', host],
    ['/v2/secret', '', host],
    ['/v2/acme/app', '?ns=docker.io', {}],
  ] as const) {
    for (const path of ['manifests/1', `manifests/${digest}`, `blobs/${digest}`, 'tags/list', `referrers/${digest}`]) {
      const response = await get(`${base}/${path}${query}`, headers, app)
      const { errors } = response.json() as { errors: { code: string }[] }
      expect([base, path, response.statusCode, errors[0]?.code]).toEqual([base, path, 404, 'NAME_UNKNOWN'])
    }
  }
  expect(registry.upstream.requests).toEqual([])
  registry.addImage('library/alpine', '1')
  expect((await get('/v2/docker.io/alpine/manifests/1', {}, app)).statusCode).toBe(200)
})

describe('an organization that attaches the mirror', () => {
  test('shows its own images first and the upstream’s for the rest', async () => {
    await server.createOrganization('acme')
    await server.api('PUT', '/orgs/acme/upstreams/container', [{ upstream: 'docker-hub' }])
    const { manifest } = registry.addImage('library/alpine', '3.20')
    const response = await get('/v2/acme/library/alpine/manifests/3.20')
    expect(response.headers['docker-content-digest']).toBe(manifest.digest)
    expect((await get('/v2/acme/library/nothing/manifests/1')).statusCode).toBe(404)
  })
})
