import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestApp } from '../../../support/test-app.ts'
import { Content, type Descriptor, type Manifest, mediaType } from './content.ts'
import { dataTypes } from './data-types.ts'
import type { Answer, RegistryClient } from './registry-client.ts'
import { Repository, startRegistry } from './repository.ts'

const headers = { accept: `${mediaType.index}, ${mediaType.image}` }
let server: TestApp
let client: RegistryClient

beforeAll(async () => {
  const started = await startRegistry({ visibility: 'public', keepsTokens: true })
  server = started.server
  client = started.client
})
afterAll(() => server.close())

// One workflow of the suite on main for each data type; its steps build on each other, as they do there.
describe.each(Object.entries(dataTypes))('%s', (name, make) => {
  const content = new Content()
  make(content)
  let repository: Repository
  let answers: Answer[]

  beforeAll(async () => {
    repository = new Repository(client, `acme/conformance/${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`)
    answers = await repository.push(content)
  })

  const byReference = (): [reference: string, manifest: Manifest][] => [
    ...content.manifests.map((manifest): [string, Manifest] => [manifest.descriptor.digest, manifest]),
    ...content.tags,
  ]

  test('is pushed, and can be fetched from where the answer says it is', async () => {
    const pushed = byReference()
    for (const [i, answer] of answers.entries()) {
      const { bytes, descriptor } = pushed[i]![1]
      expect(answer.header('docker-content-digest')).toBe(descriptor.digest)
      expect(answer.header('oci-subject')).toBe(subjectOf(bytes)?.digest ?? null)
      const located = await repository.client.send('GET', answer.location, { headers })
      expect(located.status).toBe(200)
      expect(located.body.equals(bytes)).toBe(true)
    }
  })

  test('is listed by its tags, each page after `last`', async () => {
    const all = await repository.tags()
    expect(all).toEqual([...content.tags.keys()].sort())
    for (const [i, last] of all.entries()) expect(await repository.tags({ last })).toEqual(all.slice(i + 1))
  })

  test('is found and pulled, byte by byte, by tag and by digest', async () => {
    for (const [reference, { bytes, descriptor }] of byReference()) {
      const head = await repository.head(`manifests/${reference}`, { headers })
      const whole = await repository.get(`manifests/${reference}`, { headers })
      for (const found of [head, whole]) {
        expect(found.status).toBe(200)
        expect(found.header('content-type')).toBe(descriptor.mediaType)
        expect(found.header('content-length')).toBe(String(bytes.length))
        expect(found.header('docker-content-digest')).toBe(descriptor.digest)
      }
      expect(whole.body.equals(bytes)).toBe(true)
    }
    for (const [digest, bytes] of content.blobs) {
      expect((await repository.head(`blobs/${digest}`)).header('docker-content-digest')).toBe(digest)
      expect((await repository.get(`blobs/${digest}`)).body.equals(bytes)).toBe(true)
    }
  })

  test('appears among the referrers of its subject, with and without a filter', async () => {
    const expected = referrersOf(content)
    for (const [subject, descriptors] of expected) {
      expect(sorted(await referrers(subject))).toEqual(sorted(descriptors))
      for (const artifactType of new Set(descriptors.map((descriptor) => descriptor['artifactType'] as string))) {
        const matching = descriptors.filter((descriptor) => descriptor['artifactType'] === artifactType)
        expect(sorted(await referrers(subject, { artifactType }))).toEqual(sorted(matching))
      }
    }
    for (const { descriptor } of content.manifests) {
      if (!expected.has(descriptor.digest)) expect(await referrers(descriptor.digest)).toEqual([])
    }
  })

  test('is gone at once when deleted: tags, then manifests, then blobs', async () => {
    for (const tag of content.tags.keys()) {
      expect((await repository.delete(`manifests/${tag}`)).status).toBe(202)
      expect((await repository.head(`manifests/${tag}`)).status).toBe(404)
    }
    for (const { descriptor } of content.manifests.toReversed()) {
      expect((await repository.head(`manifests/${descriptor.digest}`)).status).toBe(200)
      expect((await repository.delete(`manifests/${descriptor.digest}`)).status).toBe(202)
      expect((await repository.head(`manifests/${descriptor.digest}`)).status).toBe(404)
    }
    for (const digest of content.blobs.keys()) {
      // Whether a blob outlives the last manifest that names it is the registry's affair.
      expect([202, 404]).toContain((await repository.delete(`blobs/${digest}`)).status)
      expect((await repository.head(`blobs/${digest}`)).status).toBe(404)
    }
    for (const subject of referrersOf(content).keys()) expect(await referrers(subject)).toEqual([])
  })

  async function referrers(subject: string, filter: { artifactType?: string } = {}): Promise<Descriptor[]> {
    const answer = await repository.get(`referrers/${subject}`, { query: filter })
    expect(answer.status).toBe(200)
    expect(answer.header('content-type')).toBe(mediaType.index)
    expect(answer.header('oci-filters-applied')).toBe(filter.artifactType === undefined ? null : 'artifactType')
    const index = JSON.parse(answer.body.toString()) as { manifests: Descriptor[] }
    expect(index).toMatchObject({ schemaVersion: 2, mediaType: mediaType.index })
    return index.manifests
  }
})

function subjectOf(bytes: Buffer): Descriptor | undefined {
  return (JSON.parse(bytes.toString()) as { subject?: Descriptor }).subject
}

/** By subject, the descriptors that the registry has to list. */
function referrersOf(content: Content): Map<string, Descriptor[]> {
  const all = new Map<string, Descriptor[]>()
  for (const { bytes, descriptor } of content.manifests) {
    const document = JSON.parse(bytes.toString()) as {
      subject?: Descriptor
      artifactType?: string
      config?: Descriptor
      annotations?: Record<string, string>
    }
    if (document.subject === undefined) continue
    const artifactType = document.artifactType ?? document.config?.mediaType
    const { annotations } = document
    const entry = { ...descriptor, artifactType, ...(annotations && { annotations }) }
    all.set(document.subject.digest, [...(all.get(document.subject.digest) ?? []), entry])
  }
  return all
}

function sorted(descriptors: readonly Descriptor[]): Descriptor[] {
  return descriptors.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
}
