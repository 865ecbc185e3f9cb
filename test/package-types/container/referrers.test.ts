import type { LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildArtifact, buildImage, buildIndex, digestOf, type Manifest, types } from '../../support/builders/image.ts'
import { TestApp } from '../../support/test-app.ts'
import { failure, Images } from './images.ts'

interface Entry {
  mediaType: string
  digest: string
  size: number
  artifactType?: string
  annotations?: Record<string, string>
}

let server: TestApp
let alice: string
beforeAll(async () => {
  server = await TestApp.start()
  alice = await server.createUser('alice')
})
afterAll(() => server.close())

let count = 0
const repository = () => new Images(server, `alice/image-${++count}`, alice)

const ask = (images: Images, digest: string, query = '') => images.get(`referrers/${digest}${query}`)
const entriesOf = (response: LightMyRequestResponse): Entry[] => {
  expect(response.statusCode, response.body).toBe(200)
  expect(response.headers['content-type']).toBe(types.index)
  const { schemaVersion, mediaType, manifests } = response.json() as Record<string, unknown>
  expect([schemaVersion, mediaType]).toEqual([2, types.index])
  return manifests as Entry[]
}
const referrers = async (images: Images, digest: string, query = '') => entriesOf(await ask(images, digest, query))
const digests = (entries: Entry[]) => entries.map(({ digest }) => digest)

test('every manifest and index with the subject is listed, as it describes itself', async () => {
  const images = repository()
  const subject = await images.pushImage('v1', 'x')
  const annotations = { 'org.example.note': 'é', __proto__x: 'y' }
  const sbom = buildArtifact('application/sbom', { subject, fields: { annotations } })
  const image = buildImage({ layers: ['y'], fields: { subject: subject.descriptor } })
  const docker = buildImage({ mediaType: types.dockerManifest, layers: ['z'], fields: { subject: subject.descriptor } })
  const index = buildIndex([], { fields: { subject: subject.descriptor, annotations } })
  const typed = buildIndex([], { fields: { subject: subject.descriptor, artifactType: 'application/bundle' } })
  for (const [tag, manifest] of Object.entries({ sbom, image, docker, index, typed })) {
    const response = await images.push(tag === 'sbom' ? sbom.digest : tag, manifest)
    expect(response.headers['oci-subject']).toBe(subject.digest)
  }
  const entry = ({ mediaType, digest, bytes }: Manifest) => ({ mediaType, digest, size: bytes.length })
  expect(await referrers(images, subject.digest)).toEqual([
    { ...entry(sbom), artifactType: 'application/sbom', annotations },
    { ...entry(image), artifactType: types.config },
    { ...entry(docker), artifactType: types.config },
    { ...entry(index), annotations },
    { ...entry(typed), artifactType: 'application/bundle' },
  ])
  const encoded = await images.get(`referrers/${encodeURIComponent(subject.digest)}`)
  expect(entriesOf(encoded)).toHaveLength(5)
  expect(encoded.headers['cache-control']).toBe('no-cache')
  const head = await images.request('HEAD', `referrers/${subject.digest}`)
  expect([head.statusCode, head.body, head.headers['content-type']]).toEqual([200, '', types.index])
})

test('the list is empty for what nobody refers to, be it unknown, in a repository that does not exist too', async () => {
  const images = repository()
  const unknown = digestOf(Buffer.from('unknown'))
  expect(await referrers(images, unknown)).toEqual([])
  const image = await images.pushImage('v1', 'x')
  for (const digest of [unknown, image.digest, digestOf(Buffer.from('unknown'), 'sha512')]) {
    expect(await referrers(images, digest)).toEqual([])
  }
})

test('a malformed digest is refused', async () => {
  const images = repository()
  for (const digest of [
    'latest',
    'sha256:abc',
    `sha256:${'A'.repeat(64)}`,
    'md5:d41d8cd98f00b204e9800998ecf8427e',
    ':',
  ]) {
    expect(failure(await ask(images, digest)), digest).toEqual([400, 'DIGEST_INVALID'])
  }
})

test('the list can be narrowed to a type, and says so', async () => {
  const images = repository()
  const subject = await images.pushImage('v1', 'x')
  const [one, other] = [buildArtifact('application/one', { subject }), buildArtifact('application/other', { subject })]
  const untyped = buildIndex([], { fields: { subject: subject.descriptor } })
  for (const manifest of [one, other, untyped]) await images.push(manifest.digest, manifest)
  const narrowed = await ask(images, subject.digest, '?artifactType=application%2Fone')
  expect(digests(entriesOf(narrowed))).toEqual([one.digest])
  expect(narrowed.headers['oci-filters-applied']).toBe('artifactType')
  expect(await referrers(images, subject.digest, '?artifactType=application/none')).toEqual([])
  const both = '?artifactType=application/one&artifactType=application/other'
  expect(digests(await referrers(images, subject.digest, both))).toEqual([one.digest, other.digest])
  const all = await ask(images, subject.digest, '?artifactType=')
  expect(entriesOf(all)).toHaveLength(3)
  expect(all.headers).not.toHaveProperty('oci-filters-applied')
})

test('a subject may come later, or never, and be named by sha512', async () => {
  const images = repository()
  const subject = buildImage({ layers: ['later'], algorithm: 'sha512' })
  const artifact = buildArtifact('application/x', { subject, algorithm: 'sha512' })
  await images.push(artifact.digest, artifact)
  expect(digests(await referrers(images, subject.digest))).toEqual([artifact.digest])
  await images.push(subject.digest, subject)
  expect(digests(await referrers(images, subject.digest))).toEqual([artifact.digest])
})

test('referrers are those of one repository', async () => {
  const [one, other] = [repository(), repository()]
  const subject = await one.pushImage('v1', 'x')
  await other.pushImage('v1', 'x')
  const artifact = buildArtifact('application/x', { subject })
  await one.push('a', artifact)
  await one.push('b', artifact)
  expect(digests(await referrers(one, subject.digest))).toEqual([artifact.digest])
  expect(await referrers(other, subject.digest)).toEqual([])
})

test('a deleted referrer is gone from the list at once, and a deleted subject keeps its own', async () => {
  const images = repository()
  const subject = await images.pushImage('v1', 'x')
  const [one, other] = [buildArtifact('application/1', { subject }), buildArtifact('application/2', { subject })]
  await images.push('one', one)
  await images.push('other', other)
  expect(await referrers(images, subject.digest)).toHaveLength(2)
  expect((await images.delete('one')).statusCode).toBe(202)
  expect(await referrers(images, subject.digest)).toHaveLength(2)
  expect((await images.delete(one.digest)).statusCode).toBe(202)
  expect(digests(await referrers(images, subject.digest))).toEqual([other.digest])
  expect((await images.delete(subject.digest)).statusCode).toBe(202)
  expect(digests(await referrers(images, subject.digest))).toEqual([other.digest])
})

test('a referrer is listed with all its annotations, however large', async () => {
  const images = repository()
  const subject = await images.pushImage('v1', 'x')
  const annotations = { pad: 'é'.repeat(1_000_000), note: 'x' }
  const large = buildArtifact('application/large', { subject, fields: { annotations } })
  const many = buildIndex(
    Array.from({ length: 2_000 }, () => ({ child: subject })),
    { fields: { subject: subject.descriptor } },
  )
  for (const manifest of [large, many]) await images.push(manifest.digest, manifest)
  const size = large.bytes.length
  expect(await referrers(images, subject.digest)).toEqual([
    { mediaType: large.mediaType, digest: large.digest, size, artifactType: 'application/large', annotations },
    { mediaType: many.mediaType, digest: many.digest, size: many.bytes.length },
  ])
})

test('a list that is too large for clients comes in pages', async () => {
  const images = repository()
  const subject = await images.pushImage('v1', 'x')
  const pushed: string[] = []
  for (let index = 0; index < 5; index += 1) {
    const annotations = { pad: String(index).repeat(1_500_000) }
    const artifact = buildArtifact(`application/${index % 2}`, { subject, fields: { annotations } })
    await images.push(artifact.digest, artifact)
    pushed.push(artifact.digest)
  }
  const seen: string[] = []
  let query = '?artifactType=application/0'
  for (let pages = 0; pages < 5; pages += 1) {
    const response = await ask(images, subject.digest, query)
    expect(response.rawPayload.length).toBeLessThan(4 * 1024 * 1024)
    seen.push(...digests(entriesOf(response)))
    const link = response.headers['link']
    if (link === undefined) break
    query = /^<.*(\?.+)>; rel="next"$/.exec(String(link))![1]!
    expect(String(link)).toContain(`</v2/${images.repository}/referrers/${subject.digest}?artifactType=`)
  }
  expect(seen).toEqual([pushed[0], pushed[2], pushed[4]])
})

test('the tag that clients keep where there is no API is a tag like any other', async () => {
  const images = repository()
  const subject = await images.pushImage('v1', 'x')
  const artifact = buildArtifact('application/x', { subject })
  await images.push(artifact.digest, artifact)
  const fallback = subject.digest.replace(':', '-')
  const index = buildIndex([{ child: artifact }])
  await images.push(fallback, index)
  expect((await images.manifest(fallback)).rawPayload).toEqual(index.bytes)
  expect(digests(await referrers(images, subject.digest))).toEqual([artifact.digest])
})

test('whoever may not read the repository sees no referrers', async () => {
  await server.createOrganization('closed', alice, 'private')
  const images = new Images(server, 'closed/app', alice)
  const subject = await images.pushImage('v1', 'x')
  expect((await ask(images.as(null), subject.digest)).statusCode).toBe(401)
  const own = await ask(images, subject.digest)
  expect(own.headers).toMatchObject({ 'cache-control': 'private, no-cache', vary: 'Authorization' })
})
