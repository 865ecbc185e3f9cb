import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildArtifact, buildBlob, buildImage, buildIndex, digestOf } from '../../support/builders/image.ts'
import { TestApp } from '../../support/test-app.ts'
import { codeOf, failure, Images } from './images.ts'

const GONE = [404, 'MANIFEST_UNKNOWN']

let server: TestApp
let alice: string
beforeAll(async () => {
  server = await TestApp.start()
  alice = await server.createUser('alice')
})
afterAll(() => server.close())

let count = 0
const repository = () => new Images(server, `alice/image-${++count}`, alice)
const rest = (images: Images) => `/packages/alice/container/${images.repository.split('/')[1]}`
const listed = async (images: Images): Promise<string[]> =>
  ((await server.api('GET', `${rest(images)}?limit=50`)).json() as { version: string }[]).map(({ version }) => version)

/** The two ways to delete: the registry's, and REST. */
describe.each([
  ['through the registry', (images: Images, reference: string) => images.delete(reference), 202, 404],
  [
    'over REST',
    (images: Images, reference: string) =>
      server.api('DELETE', `${rest(images)}/${encodeURIComponent(reference)}`, undefined, alice),
    204,
    404,
  ],
] as const)('%s', (_, remove, ok, missing) => {
  test('a tag goes alone, and at once', async () => {
    const images = repository()
    const image = await images.pushImage('v1', 'x')
    await images.push('v2', image)
    expect((await images.manifest('v1')).statusCode).toBe(200)
    expect((await remove(images, 'v1')).statusCode).toBe(ok)
    expect(failure(await images.manifest('v1'))).toEqual(GONE)
    expect((await images.request('HEAD', 'manifests/v1')).statusCode).toBe(404)
    expect((await images.manifest('v2')).rawPayload).toEqual(image.bytes)
    expect((await images.manifest(image.digest)).rawPayload).toEqual(image.bytes)
    expect(await images.tags()).toEqual(['v2'])
    expect((await remove(images, 'v1')).statusCode).toBe(missing)
  })

  test('a tag goes in its own case only', async () => {
    const images = repository()
    await images.pushImage('V1', 'upper')
    expect((await remove(images, 'v1')).statusCode).toBe(missing)
    await images.pushImage('v1', 'lower')
    expect((await remove(images, 'V1')).statusCode).toBe(ok)
    expect(await images.tags()).toEqual(['v1'])
    expect((await remove(images, 'V1')).statusCode).toBe(missing)
    expect(await images.tags()).toEqual(['v1'])
  })

  test('a digest takes all tags over it, and no other', async () => {
    const images = repository()
    const image = await images.pushImage('v1', 'x')
    const other = await images.pushImage('other', 'y')
    await images.push('v2', image)
    for (const reference of ['v1', 'v2', image.digest]) await images.manifest(reference)
    expect((await remove(images, image.digest)).statusCode).toBe(ok)
    for (const reference of ['v1', 'v2', image.digest, digestOf(image.bytes, 'sha512')]) {
      expect(failure(await images.manifest(reference)), reference).toEqual(GONE)
      expect((await images.request('HEAD', `manifests/${reference}`)).statusCode).toBe(404)
    }
    expect(await images.tags()).toEqual(['other'])
    expect((await images.manifest('other')).rawPayload).toEqual(other.bytes)
    expect((await remove(images, image.digest)).statusCode).toBe(missing)
    expect((await listed(images)).sort()).toEqual([other.digest, 'other'].sort())
  })

  test('a digest spares a tag that has moved on', async () => {
    const images = repository()
    const old = await images.pushImage('v1', 'old')
    const young = await images.pushImage('v1', 'young')
    expect((await remove(images, old.digest)).statusCode).toBe(ok)
    expect((await images.manifest('v1')).rawPayload).toEqual(young.bytes)
    expect(await images.tags()).toEqual(['v1'])
  })

  test('what is deleted is announced once each, and can be pushed again', async () => {
    const images = repository()
    const image = await images.pushImage('v1', 'x')
    await images.push('v2', image)
    const announced: string[] = []
    server.services.packages.events.on((event) => {
      if (event.action === 'deleted' && images.repository.endsWith(event.name)) announced.push(event.version)
    })
    await remove(images, image.digest)
    expect(announced).toEqual([image.digest, 'v1', 'v2'])
    await images.push('v1', image)
    expect((await images.manifest('v1')).rawPayload).toEqual(image.bytes)
  })

  test('nobody without the right deletes', async () => {
    const images = repository()
    const image = await images.pushImage('v1', 'x')
    const bob = await server.createUser(`bob-${count}-${ok}`)
    for (const reference of ['v1', image.digest]) {
      if (ok === 202) {
        expect((await images.as(null).delete(reference)).statusCode).toBe(401)
        expect(failure(await images.as(bob).delete(reference))).toEqual([403, 'DENIED'])
      } else {
        const path = `${rest(images)}/${encodeURIComponent(reference)}`
        expect((await server.api('DELETE', path, undefined, bob)).statusCode).toBe(403)
      }
    }
    expect(await images.tags()).toEqual(['v1'])
  })
})

test('a manifest that was pushed by sha512 goes by either digest', async () => {
  const images = repository()
  const image = buildImage({ algorithm: 'sha512' })
  await images.push(`${image.digest}?tag=v1`, image)
  expect((await images.delete(digestOf(image.bytes))).statusCode).toBe(202)
  expect(failure(await images.manifest(image.digest))).toEqual(GONE)
  expect(failure(await images.manifest('v1'))).toEqual(GONE)
})

test('a malformed or unknown reference deletes nothing', async () => {
  const images = repository()
  expect(failure(await images.delete('v1'))).toEqual(GONE)
  await images.pushImage('v1', 'x')
  expect(failure(await images.delete('sha256:abc'))).toEqual([400, 'DIGEST_INVALID'])
  expect(failure(await images.delete('-v1'))).toEqual(GONE)
  expect(failure(await images.delete(digestOf(Buffer.from('x'))))).toEqual(GONE)
  expect(failure(await images.delete('~uploads'))).toEqual(GONE)
  expect(await images.tags()).toEqual(['v1'])
})

test('blobs go with the last manifest that names them, and shared ones stay', async () => {
  const images = repository()
  const [shared, own] = [buildBlob('shared'), buildBlob('own')]
  const one = buildImage({ layers: [shared, own] })
  const other = buildImage({ layers: [shared] })
  await images.push('one', one)
  await images.push('other', other)
  const has = async ({ digest }: { digest: string }) => (await images.request('HEAD', `blobs/${digest}`)).statusCode
  expect(await has(own)).toBe(200)
  await images.delete(one.digest)
  expect([await has(shared), await has(own)]).toEqual([200, 404])
  await images.delete(other.digest)
  expect(await has(shared)).toBe(404)
  expect(codeOf(await images.put('one', one))).toBe('MANIFEST_BLOB_UNKNOWN')
  await images.push('one', one)
})

test('a child that an index names may be deleted, and is then gone', async () => {
  const images = repository()
  const child = await images.pushImage('child', 'x')
  const index = buildIndex([{ child }])
  await images.push('v1', index)
  expect((await images.delete(child.digest)).statusCode).toBe(202)
  expect(failure(await images.manifest(child.digest))).toEqual(GONE)
  expect((await images.manifest('v1')).rawPayload).toEqual(index.bytes)
})

test('a package goes with everything', async () => {
  const images = repository()
  const image = await images.pushImage('v1', 'x')
  const artifact = buildArtifact('application/x', { subject: image })
  await images.push('artifact', artifact)
  await images.upload([buildBlob('waiting')])
  expect((await server.api('DELETE', rest(images), undefined, alice)).statusCode).toBe(204)
  expect(failure(await images.manifest('v1'))).toEqual([404, 'NAME_UNKNOWN'])
  expect(failure(await images.get('tags/list'))).toEqual([404, 'NAME_UNKNOWN'])
  expect((await images.get(`referrers/${image.digest}`)).json()).toMatchObject({ manifests: [] })
  expect((await images.request('HEAD', `blobs/${image.blobs[0]!.digest}`)).statusCode).toBe(404)
  await images.push('v1', image)
})

test('deletes beside pushes leave whole manifests', async () => {
  const images = repository()
  const all = Array.from({ length: 4 }, (_, index) => buildImage({ layers: [`layer ${index}`] }))
  for (const [index, image] of all.entries()) await images.push(`v${index}`, image)
  const results = await Promise.all(
    [0, 1, 2].flatMap(() =>
      all.flatMap((image, index) => [
        images.put('latest', image),
        images.delete(image.digest),
        images.put(image.digest, image),
        images.delete(`v${index}`),
        images.delete('latest'),
      ]),
    ),
  )
  for (const { statusCode, body } of results) expect([201, 202, 404], body).toContain(statusCode)
  const tags = await images.tags()
  for (const reference of [...tags, ...(await listed(images))]) {
    const manifest = await images.manifest(reference)
    expect(manifest.statusCode, reference).toBe(200)
    const digest = String(manifest.headers['docker-content-digest'])
    expect((await images.manifest(digest)).statusCode).toBe(200)
    const { config, layers } = manifest.json() as { config: { digest: string }; layers: { digest: string }[] }
    for (const one of [config, ...layers]) {
      expect((await images.request('HEAD', `blobs/${one.digest}`)).statusCode).toBe(200)
    }
  }
})
