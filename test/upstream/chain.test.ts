import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { digestOf, FakeContainerRegistry } from '../support/fake-container-registry.ts'
import { TestApp } from '../support/test-app.ts'

// Servers that mirror each other; that a pull works under every address of a mirror, and by digest after garbage
// collection, is in package-types/container/mirror.test.ts (§14 check 16 there too).

const started: TestApp[] = []
let registry: FakeContainerRegistry

beforeEach(async () => {
  registry = await FakeContainerRegistry.start()
})
afterEach(async () => {
  for (const app of started.splice(0).reverse()) await app.close()
  await registry.close()
})

async function start(file: object): Promise<TestApp> {
  const app = await TestApp.start({ upstreams: { probe: { allowPrivateNetwork: true, ...file } } })
  started.push(app)
  return app
}

describe('a chain of servers', () => {
  test('§14 check 16: a second one pulls through the first, HEAD of a blob that neither holds included', async () => {
    const first = await start({ type: 'container', owner: 'hub', url: registry.url })
    const second = await start({ type: 'container', owner: 'near', url: await first.listen() })
    const { manifest, layer, config } = registry.addImage('library/alpine', '3.20')
    const image = '/v2/near/hub/library/alpine'
    const tag = await second.inject({ method: 'GET', url: `${image}/manifests/3.20` })
    expect(tag.headers['docker-content-digest']).toBe(manifest.digest)
    const asked = await second.inject({ method: 'HEAD', url: `${image}/blobs/${layer.digest}` })
    expect([asked.statusCode, asked.headers['content-length']]).toEqual([200, String(layer.bytes.length)])
    for (const digest of [layer.digest, config.digest]) {
      const blob = await second.inject({ method: 'GET', url: `${image}/blobs/${digest}` })
      expect(digestOf(blob.rawPayload)).toBe(digest)
    }
    await second.services.upstream.settle()
    await registry.upstream.down()
    await first.services.upstream.setMode('probe', 'offline')
    expect((await second.inject({ method: 'GET', url: `${image}/blobs/${layer.digest}` })).statusCode).toBe(200)
  })

  test('that closes to a circle is refused where the request comes back, and is no absence (RFC 8586)', async () => {
    const port = await findPort()
    const path = '/api/packages/npmjs/npm/'
    const second = await start({ type: 'npm', owner: 'npmjs', url: `http://127.0.0.1:${port}${path}` })
    const first = await start({ type: 'npm', owner: 'npmjs', url: `${await second.listen()}${path}` })
    await first.app.listen({ host: '127.0.0.1', port })
    const answer = await first.inject({ method: 'GET', url: `${path}left-pad` })
    expect(answer.statusCode).toBe(502)
    await first.services.upstream.settle()
    const counted = await first.services.metrics.registry.metrics()
    expect(counted).toMatch(/entrepot_http_requests_total\{[^}]*status="5xx"[^}]*\} [1-6]\n/)
  })

  test('knows a request of its own among others, and takes no endless list', async () => {
    const server = await start({ type: 'npm', owner: 'npmjs', url: registry.url })
    const own = server.services.upstream.loops.outbound
    const another = 'entrepot-0123456789abcdef'
    for (const [header, status] of [
      [own, 508],
      [`other; v=1, ${own};x`, 508],
      [Array.from({ length: 11 }, (_, index) => `server-${index}`).join(', '), 508],
      ['x'.repeat(1_001), 508],
      [`other, ${another}`, 404],
    ] as const) {
      const url = '/api/packages/npmjs/npm/none'
      expect((await server.inject({ method: 'GET', url, headers: { 'cdn-loop': header } })).statusCode).toBe(status)
    }
    const { headers } = registry.upstream.asked('/none')[0]!
    // Names of other products would let a client have the upstream's network refuse us.
    expect(headers['cdn-loop']).toBe(`${another}, ${own}`)
  })
})

/** One that nobody listens on just now. */
async function findPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
