import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestApp } from '../../../support/test-app.ts'
import { digestOf, mediaType } from './content.ts'
import { type Image, layer, makeImage } from './plain-image.ts'
import type { Answer } from './registry-client.ts'
import { Repository, startRegistry } from './repository.ts'

// The workflows of suite 1.1.1 called pull, push and content management, in its order and on the same two repositories
// (content discovery: discovery.test.ts). It signs in anew for every request, and here it has to, since the organization
// is private. Steps build on each other as they do there.
let server: TestApp
let repository: Repository
let crossmount: Repository

beforeAll(async () => {
  const started = await startRegistry({ visibility: 'private', keepsTokens: false })
  server = started.server
  repository = new Repository(started.client, 'acme/myrepo')
  crossmount = new Repository(started.client, 'acme/otherrepo')
})
afterAll(() => server.close())

/** A tag that no registry may have. */
const IMPOSSIBLE_TAG = '.INVALID_MANIFEST_NAME'
const UNKNOWN_DIGEST = digestOf(Buffer.from('hello world'))

async function expectStatuses(answers: Promise<Answer>[], status: number): Promise<void> {
  const statuses = (await Promise.all(answers)).map((answer) => answer.status)
  expect(statuses).toEqual(statuses.map(() => status))
}

async function pushImage(image: Image, tag: string): Promise<void> {
  for (const blob of [image.config, layer]) expect((await repository.pushBlob(blob)).status).toBe(201)
  expect((await repository.putManifest(tag, image.manifest, mediaType.image)).status).toBe(201)
}

async function deleteImage(image: Image): Promise<void> {
  expect((await repository.delete(`manifests/${image.digest}`)).status).toBe(202)
  for (const blob of [image.config, layer]) {
    expect([202, 404, 405]).toContain((await repository.delete(`blobs/${digestOf(blob)}`)).status)
  }
}

describe('pull', () => {
  const tagged = makeImage()
  const untagged = makeImage()

  beforeAll(async () => {
    await pushImage(tagged, 'tagtest0')
    await pushImage(untagged, untagged.digest)
  })

  test('a blob is found and got; an unknown one is 404', async () => {
    const known = `blobs/${digestOf(tagged.config)}`
    await expectStatuses([repository.head(known), repository.get(known)], 200)
    expect((await repository.head(known)).header('docker-content-digest')).toBe(digestOf(tagged.config))
    const unknown = `blobs/${UNKNOWN_DIGEST}`
    await expectStatuses([repository.head(unknown), repository.get(unknown)], 404)
  })

  test('a manifest is found and got by digest and by tag', async () => {
    const headers = { accept: mediaType.image }
    for (const [reference, image] of [
      [tagged.digest, tagged],
      [untagged.digest, untagged],
      ['tagtest0', tagged],
    ] as const) {
      const head = await repository.head(`manifests/${reference}`, { headers })
      expect(head.status).toBe(200)
      expect(head.header('docker-content-digest')).toBe(image.digest)
      const whole = await repository.get(`manifests/${reference}`, { headers })
      expect(whole.status).toBe(200)
      expect(whole.body.equals(image.manifest)).toBe(true)
    }
  })

  test('a tag that cannot exist is 404, not 400', async () => {
    const path = `manifests/${IMPOSSIBLE_TAG}`
    await expectStatuses([repository.head(path), repository.get(path)], 404)
  })

  test('a malformed digest is refused with an error of the specification', async () => {
    const answer = await repository.get('manifests/sha256:totallywrong')
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'DIGEST_INVALID' }] })
  })

  test('manifests and then their blobs can be deleted', async () => {
    await deleteImage(tagged)
    await deleteImage(untagged)
  })
})

describe('push', () => {
  const streamed = randomBytes(42)
  const chunked = randomBytes(42)
  const image = makeImage()

  test('a streamed upload: PATCH is 202, PUT is 201', async () => {
    const patched = await repository.patch((await repository.startUpload()).location, streamed)
    expect(patched.status).toBe(202)
    const put = await repository.finish(patched.location, digestOf(streamed))
    expect(put.status).toBe(201)
    expect(put.location).toContain(digestOf(streamed))
  })

  test('a POST with digest and bytes stores the blob at once', async () => {
    const posted = await repository.postBlob(image.config, digestOf(image.config))
    expect(posted.status).toBe(201)
    expect((await repository.get(`blobs/${digestOf(image.config)}`)).status).toBe(200)
  })

  test('what is there already can be pushed again', async () => {
    for (const blob of [image.config, layer]) {
      expect((await repository.pushBlob(blob)).status).toBe(201)
      expect((await repository.get(`blobs/${digestOf(blob)}`)).status).toBe(200)
    }
  })

  test('a first chunk that begins in the middle is 416', async () => {
    const { location } = await repository.startUpload()
    expect((await repository.patch(location, chunked.subarray(22), 22)).status).toBe(416)
  })

  test('a chunk sent twice is 416; the location before it still tells how far the upload is', async () => {
    const first = chunked.subarray(0, 22)
    const { location } = await repository.startUpload()
    const patched = await repository.patch(location, first, 0)
    expect(patched.status).toBe(202)
    expect(patched.header('range')).toBe('0-21')
    expect((await repository.patch(location, first, 0)).status).toBe(416)

    const status = await repository.client.send('GET', location)
    expect(status.status).toBe(204)
    expect(status.header('range')).toBe('0-21')
    const second = await repository.patch(status.location, chunked.subarray(22), 22)
    expect(second.status).toBe(202)
    expect((await repository.finish(second.location, digestOf(chunked))).status).toBe(201)
  })

  test('a mount of an unknown blob without `from` starts an upload', async () => {
    const mounted = await crossmount.startUpload({ mount: UNKNOWN_DIGEST })
    expect(mounted.status).toBe(202)
    expect(mounted.header('location')).toMatch(/\/v2\/acme\/otherrepo\/blobs\/uploads\/./)
  })

  test('a mount of another repository’s blob is 201, at the blob’s plain address, with or without `from`', async () => {
    const mount = digestOf(streamed)
    const mounted = await crossmount.startUpload({ mount, from: repository.name })
    expect(mounted.status).toBe(201)
    expect(new URL(mounted.location).pathname).toBe(`/v2/acme/otherrepo/blobs/${mount}`)
    expect((await crossmount.client.send('GET', mounted.location)).status).toBe(200)
    expect((await crossmount.startUpload({ mount })).status).toBe(201)
  })

  test('one manifest takes several tags, and one without layers is accepted', async () => {
    for (const tag of ['test0', 'test1', 'test2', 'test3']) {
      const put = await repository.putManifest(tag, image.manifest, mediaType.image)
      expect(put.status).toBe(201)
      expect(put.header('location')).not.toBeNull()
    }
    const layerless = makeImage([], image.config)
    expect((await repository.putManifest('emptylayer', layerless.manifest, mediaType.image)).status).toBe(201)
    expect((await repository.get(`manifests/${image.digest}`)).status).toBe(200)
    expect((await repository.delete(`manifests/${layerless.digest}`)).status).toBe(202)
    await deleteImage(image)
    expect(await repository.tags()).toEqual([])
  })
})

describe('content management', () => {
  const image = makeImage()

  test('a deleted tag is gone from the list, a deleted manifest is 404, and so are deleted blobs', async () => {
    await pushImage(image, 'tagtest0')
    const before = await repository.tags()
    expect((await repository.delete('manifests/tagtest0')).status).toBe(202)
    expect((await repository.delete(`manifests/${image.digest}`)).status).toBe(202)
    expect((await repository.get(`manifests/${image.digest}`)).status).toBe(404)
    expect(await repository.tags()).toEqual(before.filter((tag) => tag !== 'tagtest0'))
    const config = `blobs/${digestOf(image.config)}`
    expect([202, 404]).toContain((await repository.delete(config)).status)
    expect((await repository.get(config)).status).toBe(404)
  })
})
