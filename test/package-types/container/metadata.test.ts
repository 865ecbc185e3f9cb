import { describe, expect, test } from 'vitest'
import { parseManifest } from '../../../src/package-types/container/manifest-document.ts'
import { metadataOfManifest, metadataOfTag, readImageConfig } from '../../../src/package-types/container/metadata.ts'
import { buildArtifact, buildBlob, buildImage, buildIndex, types } from '../../support/builders/image.ts'

const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json'
const read = (config: unknown, mediaType: string = types.config) =>
  readImageConfig(mediaType, Buffer.from(JSON.stringify(config)))

describe('an image config', () => {
  test('tells platform, labels, people, links and how the layers came about', () => {
    const labels = {
      'org.opencontainers.image.licenses': 'MIT',
      'org.opencontainers.image.url': 'https://example.org/app',
      'org.opencontainers.image.source': 'https://example.org/app.git',
      'org.opencontainers.image.documentation': 'http://example.org/docs',
      'org.opencontainers.image.description': 'An app.',
      'org.opencontainers.image.authors': 'Alice <alice@example.org>',
      maintainer: 'Bob',
    }
    const history = [
      { created_by: '/bin/sh -c #(nop) ADD file:abc in / ' },
      { created_by: '/bin/sh -c #(nop)  CMD ["sh"]', empty_layer: true },
      { created_by: 'RUN apk add curl # buildkit' },
      { comment: 'nothing' },
    ]
    const config = {
      os: 'linux',
      architecture: 'arm64',
      variant: 'v8',
      author: 'Nobody',
      config: { Labels: labels },
      history,
    }
    for (const mediaType of [types.config, DOCKER_CONFIG]) {
      expect(read(config, mediaType)).toEqual({
        type: 'oci',
        platform: 'linux/arm64/v8',
        description: 'An app.',
        authors: ['Alice <alice@example.org>'],
        license: 'MIT',
        project_url: 'https://example.org/app',
        repository_url: 'https://example.org/app.git',
        documentation_url: 'http://example.org/docs',
        labels,
        layer_creation: ['ADD file:abc in /', 'CMD ["sh"]', 'RUN apk add curl # buildkit'],
      })
    }
  })

  test('without a platform is for linux/amd64', () => {
    expect(read({})).toEqual({ type: 'oci', platform: 'linux/amd64' })
    expect(read({ os: 'linux' })).toEqual({ type: 'oci', platform: 'linux/amd64' })
    expect(read({ author: 'Carol' })).toMatchObject({ authors: ['Carol'] })
  })

  test('of an attestation says that its platform is unknown', () => {
    expect(read({ os: 'unknown', architecture: 'unknown' })).toMatchObject({ platform: 'unknown/unknown' })
  })

  test('that cannot be read is for an unknown platform', () => {
    for (const text of ['', '{', 'null', '[]', '"x"', '\u0000']) {
      expect(readImageConfig(types.config, Buffer.from(text))).toEqual({ type: 'oci', platform: 'unknown/unknown' })
    }
  })

  test('gives no link that is none', () => {
    for (const url of [
      'javascript:alert(1)',
      'ftp://example.org',
      'example.org',
      '//example.org',
      'https://',
      ' ',
      '\n',
    ]) {
      const label = { 'org.opencontainers.image.url': url, 'org.opencontainers.image.source': url }
      const facts = read({ config: { Labels: label } })
      expect(facts).not.toHaveProperty('project_url')
      expect(facts).not.toHaveProperty('repository_url')
      expect(facts?.labels).toEqual(label)
    }
  })

  test('with fields of the wrong kind tells what is left', () => {
    for (const wrong of [null, 1, 'x', [], [null], {}, [{ created_by: 1 }], true]) {
      const facts = read({ config: { Labels: wrong }, history: wrong, author: 1, os: wrong, architecture: wrong })
      expect(facts?.type).toBe('oci')
      expect(read({ config: wrong })?.platform).toBe('linux/amd64')
    }
    expect(read({ config: { Labels: { a: 'b', c: 1, d: null } } })?.labels).toEqual({ a: 'b' })
    const hostile = readImageConfig(types.config, Buffer.from('{"config":{"Labels":{"__proto__":"x","a":"b"}}}'))
    expect(Object.keys(hostile!.labels!)).toEqual(['__proto__', 'a'])
  })

  test('that is huge is not shown in full', () => {
    const labels = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`label-${index}`, 'x'.repeat(100)]))
    const history = Array.from({ length: 10_000 }, () => ({ created_by: 'x'.repeat(100) }))
    const description = 'x'.repeat(1_000_000)
    const facts = read({ os: 'a', architecture: 'b', config: { Labels: labels }, history })
    expect(facts).toEqual({ type: 'oci', platform: 'a/b' })
    const described = read({ config: { Labels: { 'org.opencontainers.image.description': description } } })
    expect(described?.description?.length).toBeLessThan(10_000)
  })

  test('of an unknown type is not read', () => {
    for (const mediaType of [types.empty, 'application/x', 'application/json', '']) {
      expect(read({ os: 'linux', architecture: 'amd64' }, mediaType)).toBeNull()
    }
  })
})

test('a chart tells what it is, who keeps it and where it lives', () => {
  const chart = {
    name: 'app',
    description: 'A chart.',
    home: 'https://example.org',
    sources: ['https://example.org/app.git', 'https://example.org/other.git'],
    maintainers: [{ name: 'Alice', email: 'alice@example.org' }, { name: 'Bob' }, {}, null],
  }
  expect(read(chart, types.helm)).toEqual({
    type: 'helm',
    description: 'A chart.',
    authors: ['Alice', 'Bob'],
    project_url: 'https://example.org',
    repository_url: 'https://example.org/app.git',
  })
  expect(readImageConfig(types.helm, Buffer.from('{'))).toEqual({ type: 'helm' })
  expect(read({ home: 'javascript:x', sources: [1], maintainers: 'Alice' }, types.helm)).toEqual({ type: 'helm' })
})

describe('the metadata of a manifest', () => {
  test('of an image counts manifest, config and layers, equal blobs once', () => {
    const image = buildImage({ layers: ['aaaa', 'bb', 'aaaa'] })
    const [config] = image.blobs
    const metadata = metadataOfManifest(
      parseManifest(image.bytes),
      { type: 'oci', platform: 'a/b' },
      true,
      image.bytes.length,
    )
    expect(metadata).toEqual({
      type: 'oci',
      platform: 'a/b',
      is_tagged: true,
      size: image.bytes.length + config!.bytes.length + 6,
      media_type: types.manifest,
      artifact_type: types.config,
    })
  })

  test('of an index has its children, with the sizes that are known', () => {
    const [amd, arm] = [buildImage({ layers: ['amd'] }), buildImage({ layers: ['arm'] })]
    const platform = { os: 'linux', architecture: 'amd64' }
    const index = buildIndex([{ child: amd, platform }, { child: arm }, { child: arm }])
    const sizes = new Map([[amd.digest, 10_000]])
    const metadata = metadataOfManifest(parseManifest(index.bytes), null, false, 500, sizes)
    expect(metadata).toEqual({
      type: 'oci',
      is_tagged: false,
      manifests: [
        { platform: 'linux/amd64', digest: amd.digest, size: 10_000 },
        { platform: 'unknown/unknown', digest: arm.digest, size: arm.bytes.length },
        { platform: 'unknown/unknown', digest: arm.digest, size: arm.bytes.length },
      ],
      size: 500 + 10_000 + arm.bytes.length,
      media_type: types.index,
    })
  })

  test('keeps annotations that are not too large, and none for a tag', () => {
    const few = { a: 'b' }
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [String(index), 'x'.repeat(1_000)]))
    const subject = buildBlob('subject', types.manifest)
    const annotationsOf = (annotations: object, isReferrer: boolean) => {
      const artifact = buildArtifact('application/x', { ...(isReferrer ? { subject } : {}), fields: { annotations } })
      return metadataOfManifest(parseManifest(artifact.bytes), null, false, 1).annotations
    }
    expect(annotationsOf(few, false)).toEqual(few)
    expect(annotationsOf(many, false)).toBeUndefined()
    expect(annotationsOf(few, true)).toEqual(few)
    expect(annotationsOf(many, true)).toBeUndefined()
    const tagged = metadataOfTag({ size: 1, is_tagged: false, annotations: few })
    expect(JSON.parse(JSON.stringify(tagged))).toEqual({ size: 1, is_tagged: true })
  })
})
