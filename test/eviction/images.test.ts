import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeContainerRegistry } from '../support/fake-container-registry.ts'
import { TestApp } from '../support/test-app.ts'

const DAY = 86_400_000
const INDEX = 'application/vnd.oci.image.index.v1+json'

let registry: FakeContainerRegistry
let server: TestApp

beforeEach(async () => {
  registry = await FakeContainerRegistry.start()
  const hub = { type: 'container', owner: 'hub', url: registry.url, allowPrivateNetwork: true, unusedDays: 10 }
  server = await TestApp.start({ upstreams: { hub } })
})
afterEach(async () => {
  await server.close()
  await registry.close()
})

const settle = () => server.services.upstream.settle()
const run = () => server.services.eviction.run()
const upstream = () => server.services.upstream.find('hub')!

async function get(path: string): Promise<Buffer> {
  const response = await server.inject({ method: 'GET', url: `/v2/hub/${path}` })
  expect(response.statusCode, response.body).toBe(200)
  await settle()
  return response.rawPayload
}

type Image = ReturnType<FakeContainerRegistry['addImage']>

/** What a client does that has nothing. */
async function pull(repository: string, reference: string, { config, layer }: Image): Promise<void> {
  await get(`${repository}/manifests/${reference}`)
  for (const { digest } of [config, layer]) await get(`${repository}/blobs/${digest}`)
}

async function heldBlobs(contents: readonly { digest: string }[]): Promise<boolean[]> {
  const { artifacts } = server.services.upstream
  const sizes = contents.map(({ digest }) => artifacts.heldSize(upstream(), digest))
  return (await Promise.all(sizes)).map((size) => size !== null)
}
const isHeld = async (repository: string, { digest }: { digest: string }) =>
  (await server.services.upstream.artifacts.heldSize(upstream(), `${repository}@${digest}`)) !== null
const versions = async () => (await server.services.models.packageVersion.findAll({ raw: true })).length

/** An image of another repository with the same layer and config. */
function copy(repository: string, tag: string, image: Image): Image {
  registry.addBlob(repository, image.config.bytes)
  registry.addBlob(repository, image.layer.bytes)
  const bytes = Buffer.concat([image.manifest.bytes, Buffer.from('\n')])
  return { ...image, manifest: registry.addManifest(repository, bytes, image.manifest.mediaType, tag) }
}

test('an image goes as a whole, with its tags, and comes again', async () => {
  const image = registry.addImage('team/app', 'v1')
  await pull('team/app', 'v1', image)
  expect(await versions()).toBe(2)
  server.clock.advance(11 * DAY)
  expect(await run()).toMatchObject({ files: 3 })
  expect(await versions()).toBe(0)
  expect(await heldBlobs([image.config, image.layer])).toEqual([false, false])
  await pull('team/app', 'v1', image)
  expect(await heldBlobs([image.config, image.layer])).toEqual([true, true])
})

test('blobs that another image needs too stay with that one', async () => {
  const first = registry.addImage('team/app', 'v1')
  const second = copy('other/app', 'v1', first)
  await pull('team/app', 'v1', first)
  server.clock.advance(6 * DAY)
  await pull('other/app', 'v1', second)
  server.clock.advance(6 * DAY)
  expect(await run()).toMatchObject({ files: 1 })
  expect(await isHeld('team/app', first.manifest)).toBe(false)
  expect(await isHeld('other/app', second.manifest)).toBe(true)
  expect(await heldBlobs([first.config, first.layer])).toEqual([true, true])
  const asked = registry.upstream.requests.length
  await get(`other/app/blobs/${first.layer.digest}`)
  expect(registry.upstream.requests.length).toBe(asked)
  server.clock.advance(11 * DAY)
  expect(await run()).toMatchObject({ files: 3 })
  expect(await heldBlobs([first.config, first.layer])).toEqual([false, false])
})

test('who pulls one platform keeps the index, who pulls the index keeps its platforms', async () => {
  const [one, two] = [registry.addImage('team/app', 'amd64', 'one'), registry.addImage('team/app', 'arm64', 'two')]
  const manifests = [one, two].map(({ manifest: { digest, mediaType, bytes } }) => ({
    ...{ digest, mediaType, size: bytes.length },
  }))
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests }))
  const index = registry.addManifest('team/app', bytes, INDEX, 'latest')
  await get('team/app/manifests/latest')
  await pull('team/app', one.manifest.digest, one)
  await pull('team/app', two.manifest.digest, two)
  server.clock.advance(9 * DAY)
  await get(`team/app/manifests/${one.manifest.digest}`)
  server.clock.advance(2 * DAY)
  await run()
  expect(await isHeld('team/app', index)).toBe(true)
  expect(await isHeld('team/app', one.manifest)).toBe(true)
  await get(`team/app/manifests/${index.digest}`)
  await get(`team/app/manifests/${two.manifest.digest}`)
  server.clock.advance(8 * DAY)
  await get(`team/app/manifests/${index.digest}`)
  server.clock.advance(3 * DAY)
  await run()
  for (const manifest of [index, one.manifest, two.manifest]) expect(await isHeld('team/app', manifest)).toBe(true)
  server.clock.advance(20 * DAY)
  await run()
  for (const manifest of [index, one.manifest, two.manifest]) expect(await isHeld('team/app', manifest)).toBe(false)
  expect(await versions()).toBe(0)
})

test('a pinned tag keeps its image and all platforms of it', async () => {
  const kept = registry.addImage('team/app', 'amd64', 'one')
  const dropped = registry.addImage('team/app', 'v0', 'old')
  const { digest, mediaType, bytes: child } = kept.manifest
  const manifests = [{ digest, mediaType, size: child.length }]
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests }))
  const index = registry.addManifest('team/app', bytes, INDEX, 'v1.2')
  await get('team/app/manifests/v1.2')
  await pull('team/app', digest, kept)
  await pull('team/app', 'v0', dropped)
  await server.services.eviction.pins.put(upstream(), { name: 'team/*', version: 'v1.*' }, 'root')
  server.clock.advance(11 * DAY)
  expect(await run()).toMatchObject({ files: 3 })
  expect(await isHeld('team/app', index)).toBe(true)
  expect(await isHeld('team/app', kept.manifest)).toBe(true)
  expect(await heldBlobs([kept.config, kept.layer])).toEqual([true, true])
  expect(await heldBlobs([dropped.config, dropped.layer])).toEqual([false, false])
})
