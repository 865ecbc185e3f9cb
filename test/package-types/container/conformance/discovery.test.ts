import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestApp } from '../../../support/test-app.ts'
import { type Descriptor, describeBytes, digestOf, mediaType } from './content.ts'
import { type Image, layer, makeImage } from './plain-image.ts'
import { Repository, startRegistry } from './repository.ts'

// The workflow of suite 1.1.1 called content discovery: lists of tags and of referrers, set up in the same order.
let server: TestApp
let repository: Repository

const subject = makeImage()
const missing = makeImage()
const peanut = 'application/vnd.example.peanut'
const jam = 'application/vnd.example.jam'

/** A manifest that refers to `to`: its type is the config's, or its own beside an empty config. */
function referrer(to: Image, type: string, by: 'config' | 'layer') {
  const blob = Buffer.from(`a blob of ${type}`)
  const described = describeBytes(blob, type)
  const empty = describeBytes(Buffer.from('{}'), mediaType.empty)
  const document = {
    schemaVersion: 2,
    mediaType: mediaType.image,
    ...(by === 'config'
      ? { config: described, layers: [empty] }
      : { artifactType: type, config: empty, layers: [described] }),
    subject: describeBytes(to.manifest, mediaType.image),
    annotations: { 'org.example.test': `${type} by ${by}` },
  }
  const manifest = Buffer.from(JSON.stringify(document, null, '\t'))
  return {
    blob,
    manifest,
    descriptor: describeBytes(manifest, mediaType.image),
    type,
    annotations: document.annotations,
  }
}

const early = [referrer(subject, peanut, 'config'), referrer(subject, peanut, 'layer')]
const late = [referrer(subject, jam, 'config'), referrer(subject, jam, 'layer')]
const orphan = referrer(missing, jam, 'layer')
const indexType = 'application/vnd.example.stand'
const index = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaType.index,
    artifactType: indexType,
    manifests: early.map(({ descriptor }) => descriptor),
    subject: describeBytes(subject.manifest, mediaType.image),
    annotations: { 'org.example.test': 'index' },
  }),
)

async function pushImage(image: Image, tag: string): Promise<void> {
  for (const blob of [image.config, layer]) expect((await repository.pushBlob(blob)).status).toBe(201)
  expect((await repository.putManifest(tag, image.manifest, mediaType.image)).status).toBe(201)
}

async function pushReferrer(bytes: Buffer, type: string, to: Image): Promise<void> {
  const put = await repository.putManifest(digestOf(bytes), bytes, type)
  expect(put.status).toBe(201)
  expect(put.header('oci-subject')).toBe(to.digest)
}

async function referrersOf(digest: string, query: Record<string, string> = {}) {
  const answer = await repository.get(`referrers/${digest}`, { query })
  expect(answer.status).toBe(200)
  expect(answer.header('content-type')).toBe(mediaType.index)
  const { manifests } = JSON.parse(answer.body.toString()) as { manifests: Descriptor[] }
  return { answer, manifests }
}

beforeAll(async () => {
  const started = await startRegistry({ visibility: 'private', keepsTokens: false })
  server = started.server
  repository = new Repository(started.client, 'acme/myrepo')
  const plain = makeImage()
  for (const tag of ['test0', 'test1', 'test2', 'test3']) await pushImage(plain, tag)
  await repository.pushBlob(Buffer.from('{}'))
  await repository.pushBlob(early[0]!.blob)
  for (const { manifest } of early) await pushReferrer(manifest, mediaType.image, subject)
  await pushReferrer(index, mediaType.index, subject)
  await pushImage(subject, 'tagtest0')
  await repository.pushBlob(late[0]!.blob)
  for (const { manifest } of late) await pushReferrer(manifest, mediaType.image, subject)
  await pushReferrer(orphan.manifest, mediaType.image, missing)
})
afterAll(() => server.close())

test('tags are listed, `n` of them at most, and after `last`', async () => {
  expect(await repository.tags()).toEqual(['tagtest0', 'test0', 'test1', 'test2', 'test3'])
  expect(await repository.tags({ n: '2' })).toEqual(['tagtest0', 'test0'])
  expect(await repository.tags({ n: '2', last: 'test0' })).toEqual(['test1', 'test2'])
  expect(await repository.tags({ n: '0' })).toEqual([])
})

test('the next page is behind a link, as long as there is one', async () => {
  const pages: string[][] = []
  let path: string | undefined = '/v2/acme/myrepo/tags/list?n=2'
  while (path !== undefined) {
    const answer = await repository.client.send('GET', path)
    pages.push((JSON.parse(answer.body.toString()) as { tags: string[] }).tags)
    path = /^<(.+)>; *rel="?next"?$/.exec(answer.header('link') ?? '')?.[1]
  }
  expect(pages).toEqual([['tagtest0', 'test0'], ['test1', 'test2'], ['test3']])
})

test('referrers come from before and after the subject, each with its own annotations', async () => {
  const { manifests } = await referrersOf(subject.digest)
  const byDigest = new Map(manifests.map((descriptor) => [descriptor.digest, descriptor]))
  expect(manifests).toHaveLength(5)
  for (const { descriptor, type, annotations } of [...early, ...late]) {
    expect(byDigest.get(descriptor.digest)).toEqual({ ...descriptor, artifactType: type, annotations })
  }
  expect(byDigest.get(digestOf(index))).toMatchObject({
    mediaType: mediaType.index,
    artifactType: indexType,
    annotations: { 'org.example.test': 'index' },
  })
})

test('a filter by artifact type is applied, and said to be', async () => {
  const { answer, manifests } = await referrersOf(subject.digest, { artifactType: peanut })
  expect(answer.header('oci-filters-applied')).toBe('artifactType')
  expect(manifests.map(({ digest }) => digest).sort()).toEqual(early.map(({ descriptor }) => descriptor.digest).sort())
})

test('a subject that is not there has referrers, and what nobody names has none', async () => {
  const { manifests } = await referrersOf(missing.digest)
  expect(manifests.map(({ digest }) => digest)).toEqual([orphan.descriptor.digest])
  expect((await referrersOf(digestOf(Buffer.from('hello world')))).manifests).toEqual([])
})

test('all of it can be deleted', async () => {
  const references = [
    digestOf(index),
    subject.digest,
    ...[...early, ...late, orphan].map((one) => one.descriptor.digest),
  ]
  for (const reference of references) {
    expect((await repository.delete(`manifests/${reference}`)).status).toBe(202)
  }
  expect((await referrersOf(subject.digest)).manifests).toEqual([])
  expect(await repository.tags()).toEqual(['test0', 'test1', 'test2', 'test3'])
})
