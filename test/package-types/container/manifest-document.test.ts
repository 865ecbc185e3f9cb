import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Invalid } from '../../../src/errors.ts'
import { blobsOf, parseManifest } from '../../../src/package-types/container/manifest-document.ts'
import { buildArtifact, buildBlob, buildImage, buildIndex, types } from '../../support/builders/image.ts'

const image = buildImage()
const document = JSON.parse(image.bytes.toString()) as Record<string, unknown>
const descriptor = buildBlob('x', types.layer).descriptor

const encode = (value: unknown) => Buffer.from(JSON.stringify(value))
const refusalOf = (bytes: Buffer, contentType: string | null = types.manifest): string => {
  try {
    parseManifest(bytes, contentType)
  } catch (error) {
    expect(error).toBeInstanceOf(Invalid)
    expect((error as Invalid).subject).toBe('manifest')
    return (error as Invalid).message
  }
  throw new Error('it was accepted')
}

describe('a manifest', () => {
  test('is read as an image or an index, in OCI’s and in Docker’s types', () => {
    for (const mediaType of [types.manifest, types.dockerManifest]) {
      const { bytes, blobs } = buildImage({ mediaType, layers: ['a', 'b'] })
      const parsed = parseManifest(bytes, mediaType)
      expect(parsed).toMatchObject({
        kind: 'image',
        mediaType,
        manifests: [],
        subject: null,
        artifactType: types.config,
      })
      expect(blobsOf(parsed).map(({ digest }) => digest)).toEqual(blobs.map(({ digest }) => digest))
    }
    for (const mediaType of [types.index, types.dockerList]) {
      const { bytes } = buildIndex(
        [
          { child: image, platform: { os: 'linux', architecture: 'arm', variant: 'v7', 'os.version': '1' } },
          { child: image, platform: { os: 'linux' } },
          { child: image },
        ],
        { mediaType },
      )
      const parsed = parseManifest(bytes, mediaType)
      expect(parsed).toMatchObject({ kind: 'index', mediaType, config: null, layers: [], artifactType: null })
      expect(parsed.manifests.map(({ platform }) => platform)).toEqual(['linux/arm/v7', null, null])
      expect(blobsOf(parsed)).toEqual([])
    }
  })

  test('may leave its type to Content-Type, or the other way round', () => {
    const { mediaType, ...untyped } = document
    expect(parseManifest(encode(untyped), types.dockerManifest).mediaType).toBe(types.dockerManifest)
    expect(parseManifest(image.bytes, null).mediaType).toBe(mediaType)
    expect(parseManifest(image.bytes).mediaType).toBe(mediaType)
    expect(refusalOf(encode(untyped), null)).toMatch(/neither/)
    expect(refusalOf(encode({ ...document, mediaType: '' }), null)).toMatch(/neither/)
    expect(refusalOf(image.bytes, types.dockerManifest)).toMatch(/claims to be/)
    expect(refusalOf(encode({ ...document, mediaType: 1 }))).toMatch(/mediaType is no text/)
  })

  test('of an unknown or withdrawn type is refused', () => {
    for (const mediaType of [
      'application/vnd.docker.distribution.manifest.v1+json',
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
      'application/vnd.oci.artifact.manifest.v1+json',
      types.config,
      'application/json',
      '__proto__',
    ]) {
      expect(refusalOf(encode({ ...document, mediaType }), mediaType)).toMatch(/not supported/)
    }
  })

  test('that could be taken for two kinds is refused (CVE-2021-41190)', () => {
    for (const field of ['manifests', 'fsLayers']) {
      expect(refusalOf(encode({ ...document, [field]: [] }))).toContain(field)
    }
    for (const field of ['config', 'layers', 'fsLayers']) {
      expect(refusalOf(buildIndex([], { fields: { [field]: [] } }).bytes, types.index)).toContain(field)
    }
    expect(parseManifest(encode({ ...document, manifests: null })).manifests).toEqual([])
  })

  test('may have no layers, no children, a null list, and fields nobody knows', () => {
    expect(parseManifest(buildImage({ layers: [] }).bytes).layers).toEqual([])
    expect(parseManifest(encode({ ...document, layers: null })).layers).toEqual([])
    expect(parseManifest(buildImage({ fields: { layers: undefined } }).bytes).layers).toEqual([])
    expect(parseManifest(buildIndex([]).bytes).manifests).toEqual([])
    expect(parseManifest(buildIndex([], { fields: { manifests: null } }).bytes).manifests).toEqual([])
    expect(parseManifest(encode({ ...document, 'org.example': { deep: [1] } })).kind).toBe('image')
    const config = { ...descriptor, data: 'eA==', urls: ['https://example.org'], annotations: { a: 'b' }, extra: {} }
    expect(parseManifest(encode({ ...document, config })).config?.digest).toBe(descriptor.digest)
  })

  test('tells its subject, its artifact type and its annotations', () => {
    const artifact = buildArtifact('application/x', { subject: image, fields: { annotations: { a: 'b' } } })
    const parsed = parseManifest(artifact.bytes)
    expect(parsed).toMatchObject({ artifactType: 'application/x', annotations: { a: 'b' } })
    expect(parsed.subject).toMatchObject({ digest: image.digest, size: image.bytes.length })
    expect(parseManifest(encode({ ...document, artifactType: '' })).artifactType).toBe(types.config)
    expect(parseManifest(encode({ ...document, subject: null, annotations: null })).subject).toBeNull()
    expect(parseManifest(buildIndex([], { fields: { artifactType: 'application/y' } }).bytes).artifactType).toBe(
      'application/y',
    )
  })

  test('leaves non-distributable layers out of the blobs that must be there', () => {
    const kinds = [
      'application/vnd.oci.image.layer.nondistributable.v1.tar',
      'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
      'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
      'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    ]
    const layers = kinds.map((mediaType, index) => buildBlob(`far ${index}`, mediaType))
    const parsed = parseManifest(buildImage({ layers: [...layers, 'near'] }).bytes)
    expect(parsed.layers).toHaveLength(5)
    expect(blobsOf(parsed)).toHaveLength(2)
  })

  test.each([
    ['no object', null],
    ['a list', [descriptor]],
    ['no media type', { ...descriptor, mediaType: undefined }],
    ['an empty media type', { ...descriptor, mediaType: '' }],
    ['a media type that is no text', { ...descriptor, mediaType: {} }],
    ['no digest', { ...descriptor, digest: undefined }],
    ['a digest that is no text', { ...descriptor, digest: [descriptor.digest] }],
    ['a digest in upper case', { ...descriptor, digest: descriptor.digest.toUpperCase() }],
    ['hexadecimal digits in upper case', { ...descriptor, digest: `sha256:${'A'.repeat(64)}` }],
    ['a short digest', { ...descriptor, digest: descriptor.digest.slice(0, -1) }],
    ['a digest with a path', { ...descriptor, digest: 'sha256:../../../../etc/passwd' }],
    ['an algorithm we have not', { ...descriptor, digest: `blake3:${'a'.repeat(64)}` }],
    ['no size', { ...descriptor, size: undefined }],
    ['a negative size', { ...descriptor, size: -1 }],
    ['a size that no file has', { ...descriptor, size: 2 ** 53 }],
    ['an endless size', { ...descriptor, size: 1e300 }],
    ['half a byte', { ...descriptor, size: 0.5 }],
    ['a size as text', { ...descriptor, size: '1' }],
  ])('with a descriptor that is wrong is refused: %s', (_, bad) => {
    expect(refusalOf(encode({ ...document, config: bad }))).toMatch(/config|mediaType/)
    expect(refusalOf(encode({ ...document, layers: [descriptor, bad] }))).toMatch(/layers\[1\]|mediaType/)
    expect(refusalOf(buildIndex([], { fields: { manifests: [bad] } }).bytes, types.index)).toMatch(
      /manifests\[0\]|mediaT/,
    )
    if (bad !== null) expect(refusalOf(encode({ ...document, subject: bad }))).toMatch(/subject|mediaType/)
  })

  test.each([
    ['nothing', ''],
    ['no JSON', '{"schemaVersion":2'],
    ['text', '"manifest"'],
    ['null', 'null'],
    ['a list', '[]'],
    ['a byte order mark', `\ufeff${image.bytes.toString()}`],
    ['no version', JSON.stringify({ ...document, schemaVersion: undefined })],
    ['version 1', JSON.stringify({ ...document, schemaVersion: 1 })],
    ['version "2"', JSON.stringify({ ...document, schemaVersion: '2' })],
    ['no config', JSON.stringify({ ...document, config: undefined })],
    ['layers that are no list', JSON.stringify({ ...document, layers: { length: 1, 0: descriptor } })],
    ['annotations that are a list', JSON.stringify({ ...document, annotations: ['a'] })],
    ['an annotation that is no text', JSON.stringify({ ...document, annotations: { a: 1 } })],
    ['an artifact type that is no text', JSON.stringify({ ...document, artifactType: 1 })],
  ])('that is none is refused: %s', (_, text) => {
    refusalOf(Buffer.from(text))
  })

  test('that is not UTF-8 is refused', () => {
    refusalOf(Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), image.bytes.subarray(1)]))
  })

  test('that nests a million deep, or has a million keys, is refused before it is parsed', () => {
    const having = (field: string) => Buffer.from(image.bytes.toString().replace('{', `{${field},`))
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const deep = open.repeat(1e6) + close.repeat(1e6)
      expect(refusalOf(Buffer.from(deep))).toMatch(/too complex/)
      expect(refusalOf(having(`"deep":${deep}`))).toMatch(/too complex/)
    }
    const keys = Array.from({ length: 1e6 }, (_, index) => `"${index}":1`).join(',')
    expect(refusalOf(having(keys))).toMatch(/too complex/)
    expect(refusalOf(encode({ ...document, layers: Array(11_000).fill(descriptor) }))).toMatch(/more than/)
  })

  test('may say anything in its texts, and nest a little', () => {
    const hostile = `${'[{,'.repeat(200_000)}\\"\\`
    const { annotations } = parseManifest(
      encode({ ...document, annotations: { a: hostile, b: 'c' }, deep: [[[{ a: [] }]]] }),
    )
    expect(annotations).toEqual({ a: hostile, b: 'c' })
    expect(parseManifest(encode({ ...document, layers: Array(10_000).fill(descriptor) })).layers).toHaveLength(10_000)
  })

  test('with names of prototypes changes no object', () => {
    const hostile = '{"__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}},'
    const text = image.bytes.toString().replace('{', `${hostile}"annotations":{"__proto__":"a","toString":"b"},`)
    const { annotations } = parseManifest(Buffer.from(text))
    expect(Object.entries(annotations)).toEqual([
      ['__proto__', 'a'],
      ['toString', 'b'],
    ])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    refusalOf(Buffer.from(`{"__proto__":${image.bytes.toString()}}`), null)
  })

  test('that says a thing twice says what it says last', () => {
    const text = image.bytes.toString().replace('{', `{"config":{},"schemaVersion":1,`)
    expect(parseManifest(Buffer.from(text)).config?.digest).toBe(image.blobs[0]!.digest)
  })
})

describe('whatever the bytes', () => {
  const anyDescriptor = fc.record(
    {
      mediaType: fc.oneof(fc.constant(types.layer), fc.jsonValue()),
      digest: fc.oneof(fc.constant(descriptor.digest), fc.string()),
      size: fc.oneof(fc.nat(), fc.double()),
      platform: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  /** Mostly `right`, sometimes something else. */
  const mostly = <T>(right: fc.Arbitrary<T>, ...others: fc.Arbitrary<unknown>[]) =>
    fc.oneof({ weight: 20, arbitrary: right }, ...others.map((arbitrary) => ({ weight: 1, arbitrary })))
  const some = fc.constant(descriptor)
  const fields = {
    subject: mostly(some, anyDescriptor),
    annotations: mostly(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
    artifactType: mostly(fc.string(), fc.jsonValue()),
  }
  const lists = mostly(fc.array(some), fc.array(anyDescriptor), fc.jsonValue())
  const anyManifest = fc.oneof(
    fc.record(
      {
        ...{ schemaVersion: mostly(fc.constant(2), fc.jsonValue()), mediaType: fc.constant(types.manifest), ...fields },
        ...{ config: mostly(some, anyDescriptor), layers: lists },
      },
      { requiredKeys: ['schemaVersion', 'mediaType', 'config'] },
    ),
    fc.record(
      { schemaVersion: fc.constant(2), mediaType: fc.constant(types.index), manifests: lists, ...fields },
      { requiredKeys: ['schemaVersion', 'mediaType'] },
    ),
    fc.dictionary(fc.constantFrom('schemaVersion', 'mediaType', 'config', 'layers', 'manifests'), fc.jsonValue()),
  )

  test('they are a manifest with valid descriptors, or Invalid', () => {
    const bytes = fc.oneof(
      { weight: 8, arbitrary: anyManifest.map(encode) },
      { weight: 1, arbitrary: fc.jsonValue().map(encode) },
      { weight: 1, arbitrary: fc.uint8Array().map((array) => Buffer.from(array)) },
    )
    let accepted = 0
    fc.assert(
      fc.property(bytes, mostly(fc.constant(null), fc.constantFrom(...Object.values(types))), (bytes, contentType) => {
        let parsed: ReturnType<typeof parseManifest>
        try {
          parsed = parseManifest(bytes, contentType as string | null)
        } catch (error) {
          expect(error).toBeInstanceOf(Invalid)
          return
        }
        accepted += 1
        const { kind, config, layers, manifests, subject } = parsed
        for (const one of [config, subject, ...layers, ...manifests]) {
          if (one === null) continue
          expect(one.digest).toMatch(/^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$/)
          expect(one.size).toBeGreaterThanOrEqual(0)
          expect(one.mediaType).not.toBe('')
        }
        expect(kind === 'image').toBe(config !== null)
        expect(kind === 'image' ? manifests : layers).toEqual([])
      }),
      { numRuns: 2_000 },
    )
    expect(accepted).toBeGreaterThan(100)
  })
})
