import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { VersionRow } from '../../../src/packages/package-info.ts'
import { buildArtifact, buildBlob, buildImage, buildIndex, digestOf, types } from '../../support/builders/image.ts'
import { TestApp } from '../../support/test-app.ts'
import { codeOf, failure, Images } from './images.ts'

const MIB = 1024 * 1024
const IMMUTABLE = 'public, max-age=31536000, s-maxage=86400, immutable'

let server: TestApp
let alice: string
beforeAll(async () => {
  server = await TestApp.start()
  alice = await server.createUser('alice')
})
afterAll(() => server.close())

let count = 0
/** A repository of its own for each test. */
const repository = (name = `image-${++count}`, owner = 'alice') => new Images(server, `${owner}/${name}`, alice)

describe('a pushed manifest', () => {
  test('comes back byte for byte, by tag and by digest, with its type, length and digest', async () => {
    const images = repository()
    const image = buildImage({ layers: ['a', 'b'] })
    const response = await images.push('v1', image)
    expect(response.headers).toMatchObject({
      location: `/v2/${images.repository}/manifests/${image.digest}`,
      'docker-content-digest': image.digest,
      'docker-distribution-api-version': 'registry/2.0',
      'cache-control': 'no-store',
    })
    expect(response.headers).not.toHaveProperty('oci-subject')
    for (const reference of ['v1', image.digest, encodeURIComponent(image.digest)]) {
      for (const method of ['GET', 'HEAD'] as const) {
        const answer = await images.request(method, `manifests/${reference}`, { accept: 'application/json' })
        expect(answer.statusCode).toBe(200)
        expect(answer.rawPayload).toEqual(method === 'GET' ? image.bytes : Buffer.alloc(0))
        expect(answer.headers).toMatchObject({
          'content-type': types.manifest,
          'content-length': String(image.bytes.length),
          'docker-content-digest': image.digest,
          'docker-distribution-api-version': 'registry/2.0',
          etag: `"${image.digest}"`,
          'cache-control': reference === 'v1' ? 'no-cache' : IMMUTABLE,
        })
      }
    }
  })

  test.each(['manifest', 'index', 'dockerManifest', 'dockerList'] as const)('keeps its type: %s', async (kind) => {
    const images = repository()
    const mediaType = types[kind]
    const manifest = kind.includes('anifest') ? buildImage({ mediaType }) : buildIndex([], { mediaType })
    await images.upload(manifest.blobs)
    expect((await images.put('v1', manifest, { 'content-type': `${mediaType}; charset=utf-8` })).statusCode).toBe(201)
    expect((await images.manifest('v1')).headers['content-type']).toBe(mediaType)
  })

  test('needs no Content-Type if it says what it is', async () => {
    const images = repository()
    const image = buildImage()
    await images.upload(image.blobs)
    const put = (bytes: Buffer, headers = {}) => images.request('PUT', 'manifests/v1', headers, bytes)
    expect((await put(image.bytes)).statusCode).toBe(201)
    expect((await images.manifest('v1')).headers['content-type']).toBe(types.manifest)
    const untyped = buildImage({ fields: { mediaType: undefined } })
    expect(failure(await put(untyped.bytes))).toEqual([400, 'MANIFEST_INVALID'])
    expect((await put(untyped.bytes, { 'content-type': types.manifest })).statusCode).toBe(201)
  })

  test('is put once, however often it is put', async () => {
    const images = repository()
    const image = buildImage()
    for (const reference of ['v1', 'v1', image.digest, 'v2', 'v1']) {
      const response = await images.push(reference, image)
      expect(response.headers['docker-content-digest']).toBe(image.digest)
    }
    const versions = await server.api('GET', `/packages/alice?type=container&q=${images.repository.split('/')[1]}`)
    expect((versions.json() as { version: string }[]).map(({ version }) => version).sort()).toEqual([
      image.digest,
      'v1',
      'v2',
    ])
  })

  test('that the client has is answered 304, with and without quotes', async () => {
    const images = repository()
    const { digest } = await images.pushImage('v1', 'x')
    for (const reference of ['v1', digest]) {
      for (const method of ['GET', 'HEAD'] as const) {
        for (const validator of [`"${digest}"`, digest, `W/"${digest}"`, `"other", "${digest}"`, '*']) {
          const answer = await images.request(method, `manifests/${reference}`, { 'if-none-match': validator })
          expect(answer.statusCode, validator).toBe(304)
          expect(answer.headers['etag']).toBe(`"${digest}"`)
          expect(answer.body).toBe('')
        }
      }
      const other = await images.manifest(reference, { 'if-none-match': `sha256:${'0'.repeat(64)}` })
      expect(other.statusCode).toBe(200)
    }
  })

  test('of an owner who is not public stays out of shared caches', async () => {
    await server.createOrganization('hidden', alice, 'private')
    const images = repository('app', 'hidden')
    const { digest } = await images.pushImage('v1', 'x')
    const byTag = await images.manifest('v1')
    expect(byTag.headers).toMatchObject({ 'cache-control': 'private, no-cache', vary: 'Authorization' })
    const byDigest = await images.manifest(digest)
    expect(byDigest.headers).toMatchObject({
      'cache-control': 'private, max-age=31536000, immutable',
      vary: 'Authorization',
    })
    expect((await images.as(null).manifest(digest)).statusCode).toBe(401)
  })

  test('counts each GET for the version that was asked for, and no HEAD', async () => {
    const images = repository()
    const { digest } = await images.pushImage('v1', 'x')
    for (const reference of ['v1', 'v1', digest]) await images.manifest(reference)
    for (const reference of ['v1', digest]) await images.request('HEAD', `manifests/${reference}`)
    expect(await downloadsOf(images, 'v1')).toBe(2)
    expect(await downloadsOf(images, digest)).toBe(1)
    // Moving the tag keeps its count.
    await images.pushImage('v1', 'y')
    await images.manifest('v1')
    expect(await downloadsOf(images, 'v1')).toBe(3)
  })

  test('is answered without SQL when it is warm', async () => {
    const images = repository().as(null)
    const { digest } = await repository(`image-${count}`).pushImage('v1', 'x')
    const read = async () => {
      for (const reference of ['v1', digest]) {
        expect((await images.manifest(reference)).statusCode).toBe(200)
        expect((await images.request('HEAD', `manifests/${reference}`)).statusCode).toBe(200)
      }
      await images.manifest(`sha256:${'0'.repeat(64)}`)
    }
    await read()
    await server.quiet()
    const { queries } = server.services.db
    await read()
    expect(server.services.db.queries).toBe(queries)
  })

  test('is announced when it is new, and so is each tag that is new or moves', async () => {
    const images = repository()
    const announced: string[] = []
    const rows: VersionRow[] = []
    server.services.packages.events.on((event) => {
      if (event.action !== 'created' || !images.repository.endsWith(event.name)) return
      announced.push(event.version)
      rows.push(event.rows.version)
    })
    const first = await images.pushImage('v1', 'first')
    await images.push('v1', first)
    const second = await images.pushImage('v1', 'second')
    await images.push('v2', second)
    expect(announced).toEqual([first.digest, 'v1', second.digest, 'v1', 'v2'])
    const stored = await server.services.packages.lookup.findVersions(rows[0]!.packageId)
    // The first push of v1 was overtaken by the next.
    for (const index of [0, 2, 3, 4]) expect(stored).toContainEqual(rows[index])
  })

  test('is what REST lists as its creator’s', async () => {
    const images = repository()
    await images.pushImage('v1', 'x')
    const version = await server.api('GET', `/packages/alice/container/image-${count}/v1`)
    expect(version.json()).toMatchObject({ type: 'container', version: 'v1', creator: { login: 'alice' } })
  })
})

describe('a tag', () => {
  test('moves when it is pushed again, and the old manifest stays under its digest', async () => {
    const images = repository()
    const first = await images.pushImage('v1', 'first')
    const second = await images.pushImage('v1', 'second')
    expect((await images.manifest('v1')).headers['docker-content-digest']).toBe(second.digest)
    expect((await images.manifest(first.digest)).rawPayload).toEqual(first.bytes)
    await images.push('v1', first)
    expect((await images.manifest('v1')).rawPayload).toEqual(first.bytes)
  })

  test('in upper case is another tag', async () => {
    const images = repository()
    const [upper, lower] = [await images.pushImage('V1', 'upper'), await images.pushImage('v1', 'lower')]
    expect((await images.manifest('V1')).rawPayload).toEqual(upper.bytes)
    expect((await images.manifest('v1')).rawPayload).toEqual(lower.bytes)
    expect(failure(await images.manifest('V1-alpine'))).toEqual([404, 'MANIFEST_UNKNOWN'])
    await images.pushImage('RC', 'candidate')
    expect(failure(await images.manifest('rc'))).toEqual([404, 'MANIFEST_UNKNOWN'])
    await images.pushImage('beta', 'beta')
    expect(failure(await images.manifest('BETA'))).toEqual([404, 'MANIFEST_UNKNOWN'])
  })

  test('has 128 characters at most', async () => {
    const images = repository()
    const image = buildImage()
    await images.push('a'.repeat(128), image)
    for (const tag of ['a'.repeat(129), '-a', '.a', 'a%20b', 'a+b', 'a@b', '%00', 'é']) {
      expect(failure(await images.put(tag, image)), tag).toEqual([400, 'MANIFEST_INVALID'])
      expect(failure(await images.manifest(tag)), tag).toEqual([404, 'MANIFEST_UNKNOWN'])
    }
    for (const tag of ['_a', '__proto__', 'constructor', 'A.b-c_D', '0']) await images.push(tag, image)
  })

  test('can be one of many that go with one push by digest', async () => {
    const images = repository()
    const tags = Array.from({ length: 12 }, (_, index) => `tag-${index}`)
    const image = buildImage()
    await images.upload(image.blobs)
    const query = tags.map((tag) => `tag=${tag}`).join('&')
    const response = await images.put(`${image.digest}?${query}&tag=tag-0`, image)
    expect(response.statusCode, response.body).toBe(201)
    expect(response.headers['oci-tag']).toEqual(tags)
    for (const tag of tags) expect((await images.manifest(tag)).rawPayload).toEqual(image.bytes)
    expect(await images.tags()).toHaveLength(12)
    for (const bad of ['?tag=', '?tag=a%2Fb', `?tag=${image.digest}`, '?tag=ok&tag=-no']) {
      expect((await images.put(`${image.digest}${bad}`, image)).statusCode, bad).toBe(400)
    }
    expect((await images.put('v1?tag=v2', image)).statusCode).toBe(400)
    expect(await images.tags()).toHaveLength(12)
  })

  test('pushed by many at once points to one of them, and there is one', async () => {
    const images = repository()
    const all = Array.from({ length: 8 }, (_, index) => buildImage({ layers: [`layer ${index}`] }))
    await images.upload(all.flatMap(({ blobs }) => blobs))
    const responses = await Promise.all([...all, ...all].map((image) => images.put('v1', image)))
    expect(responses.map(({ statusCode }) => statusCode)).toEqual(Array(16).fill(201))
    expect(await images.tags()).toEqual(['v1'])
    const now = (await images.manifest('v1')).headers['docker-content-digest']
    expect(all.map(({ digest }) => digest)).toContain(now)
    for (const { digest, bytes } of all) expect((await images.manifest(digest)).rawPayload).toEqual(bytes)
    const last = all[3]!
    await images.push('v1', last)
    expect((await images.manifest('v1')).headers['docker-content-digest']).toBe(last.digest)
  })
})

describe('by sha512', () => {
  test('images, indexes, their blobs and their tags work as by sha256', async () => {
    const images = repository()
    const image = buildImage({ algorithm: 'sha512' })
    expect(image.digest).toMatch(/^sha512:[0-9a-f]{128}$/)
    const response = await images.push(`${image.digest}?tag=v1`, image)
    expect(response.headers).toMatchObject({
      'docker-content-digest': image.digest,
      location: `/v2/${images.repository}/manifests/${image.digest}`,
      'oci-tag': ['v1'],
    })
    const index = buildIndex([{ child: image }], { algorithm: 'sha512' })
    await images.push(index.digest, index)
    for (const reference of [image.digest, 'v1']) {
      const answer = await images.manifest(reference)
      expect(answer.rawPayload).toEqual(image.bytes)
      expect(answer.headers['docker-content-digest']).toBe(image.digest)
    }
    const sha256 = digestOf(image.bytes)
    const answer = await images.manifest(sha256)
    expect(answer.headers).toMatchObject({ 'docker-content-digest': sha256, etag: `"${sha256}"` })
    await images.push('v2', image)
    expect((await images.manifest('v2')).headers['docker-content-digest']).toBe(sha256)
    expect((await images.manifest(index.digest)).rawPayload).toEqual(index.bytes)
  })

  test('and by sha256 a manifest is one, whoever comes first', async () => {
    const images = repository()
    const layers = [buildBlob('shared')]
    const many = Array.from({ length: 4 }, (_, index) =>
      buildImage({ layers, fields: { annotations: { a: `${index}` } } }),
    )
    await images.upload(many[0]!.blobs)
    const pushes = many.flatMap((image) => [
      images.put(image.digest, image),
      images.put(digestOf(image.bytes, 'sha512'), image),
      images.put('latest', image),
    ])
    for (const response of await Promise.all(pushes)) expect(response.statusCode, response.body).toBe(201)
    const listed = await server.api('GET', `/packages/alice/container/image-${count}?limit=50`)
    expect(listed.json()).toHaveLength(many.length + 1)
    for (const { bytes } of many) {
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const digest = digestOf(bytes, algorithm)
        expect((await images.manifest(digest)).headers['docker-content-digest']).toBe(digest)
      }
    }
  })
})

describe('what a manifest names', () => {
  test('must be there, and the answer says what is not', async () => {
    const images = repository()
    const image = buildImage({ layers: ['here', 'missing'] })
    const [config, here, missing] = image.blobs
    for (const [uploaded, absent] of [
      [[], config],
      [[config!], here],
      [[here!], missing],
    ] as const) {
      await images.upload(uploaded)
      const response = await images.put('v1', image)
      expect(failure(response)).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
      expect(response.body).toContain(absent!.digest)
    }
    expect(failure(await images.manifest(image.digest))).toEqual([404, 'MANIFEST_UNKNOWN'])
    await images.upload([missing!])
    expect((await images.put('v1', image)).statusCode).toBe(201)
  })

  test('must be in the same repository', async () => {
    const [one, other] = [repository(), repository()]
    const image = await one.pushImage('v1', 'x')
    expect(failure(await other.put('v1', image))).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    expect(failure(await other.put('v1', buildIndex([{ child: image }])))).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    expect(failure(await other.get('tags/list'))).toEqual([404, 'NAME_UNKNOWN'])
  })

  test('must have the size that it says', async () => {
    const images = repository()
    const layer = buildBlob('layer')
    const wrong = { ...layer, descriptor: { ...layer.descriptor, size: 1e15 } }
    const image = buildImage({ layers: [layer, wrong] })
    await images.upload([...image.blobs])
    expect(failure(await images.put('v1', image))).toEqual([400, 'SIZE_INVALID'])
    const right = await images.pushImage('v1', 'layer')
    const child = { ...right, descriptor: { ...right.descriptor, size: right.bytes.length + 1 } }
    expect(failure(await images.put('v2', buildIndex([{ child }])))).toEqual([400, 'SIZE_INVALID'])
  })

  test('stays with it: blobs are found once it is pushed, and no longer wait to be named', async () => {
    const images = repository()
    const image = await images.pushImage('v1', 'x')
    for (const { digest, bytes, mediaType } of image.blobs) {
      const blob = await images.get(`blobs/${digest}`)
      expect(blob.rawPayload).toEqual(bytes)
      expect(blob.headers['content-type']).toBe(mediaType)
    }
    const { models } = server.services
    const [waiting] = await models.packageVersion.findAll({ where: { version: '~uploads' }, order: [['id', 'DESC']] })
    expect(await models.packageFile.count({ where: { versionId: waiting!.id } })).toBe(0)
  })

  test('may be the same blob many times', async () => {
    const images = repository()
    const layer = buildBlob('layer', types.layer)
    const image = buildImage({
      layers: [layer, layer, { ...layer, descriptor: { ...layer.descriptor, data: 'bGF5ZXI=' } }],
    })
    await images.push('v1', image)
    const files = await server.api('GET', `/packages/alice/container/image-${count}/v1/files`)
    expect(files.json()).toHaveLength(1)
    const filed = await server.api('GET', `/packages/alice/container/image-${count}/${image.digest}/files`)
    expect((filed.json() as { name: string }[]).map(({ name }) => name).sort()).toEqual(
      ['manifest.json', ...[image.blobs[0]!, layer].map(({ digest }) => digest.replace(':', '_'))].sort(),
    )
  })

  test('need not be there where it is non-distributable', async () => {
    const images = repository()
    const far = buildBlob('far', 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip')
    const image = buildImage({ layers: [far, 'near'] })
    await images.upload([image.blobs[0]!, image.blobs[2]!])
    expect((await images.put('v1', image)).statusCode).toBe(201)
    expect((await images.get(`blobs/${far.digest}`)).statusCode).toBe(404)
  })

  test('may be thousands of blobs', async () => {
    const images = repository()
    const many = Array.from({ length: 1_200 }, (_, index) => buildBlob(String(index), types.layer))
    const image = buildImage({ layers: [...many, ...many] })
    const seed = buildImage({ layers: many.slice(0, 3) })
    await images.upload(seed.blobs)
    expect(failure(await images.put('v1', image))).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    // Uploading them all would take longer than what is tested: the rows of the rest are made by hand.
    await seedBlobs(images, many.slice(3))
    const response = await images.put('v1', image)
    expect(response.statusCode, response.body).toBe(201)
    const files = await server.api('GET', `/packages/alice/container/image-${count}/${image.digest}/files`)
    expect(files.json()).toHaveLength(1_202)
  })
})

describe('an index', () => {
  test('holds images for several platforms, attestations, and other indexes', async () => {
    const images = repository()
    const [amd, arm] = [await images.pushImage('amd64', 'amd'), await images.pushImage('arm64', 'arm')]
    const attestation = await images.pushImage('att', 'att', { config: { os: 'unknown', architecture: 'unknown' } })
    const index = buildIndex([
      { child: amd, platform: { os: 'linux', architecture: 'amd64' } },
      { child: arm, platform: { os: 'linux', architecture: 'arm64' } },
      { child: attestation, platform: { os: 'unknown', architecture: 'unknown' } },
      { child: amd },
    ])
    await images.push('v1', index)
    const nested = buildIndex([{ child: index }, { child: amd }])
    await images.push('nested', nested)
    expect((await images.manifest('nested')).rawPayload).toEqual(nested.bytes)
  })

  test('may be empty, even in a repository that has nothing yet', async () => {
    const images = repository()
    await images.push('empty', buildIndex([]))
    expect(await images.tags()).toEqual(['empty'])
  })

  test('must have its children here, nested ones too', async () => {
    const images = repository()
    const image = buildImage()
    const index = buildIndex([{ child: image }])
    const response = await images.put('v1', index)
    expect(failure(response)).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    expect(response.body).toContain(image.digest)
    await images.push(image.digest, image)
    expect(failure(await images.put('v1', buildIndex([{ child: index }])))).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    // A layer is no manifest.
    const layer = { ...image.blobs[1]!, descriptor: { ...image.blobs[1]!.descriptor, mediaType: types.manifest } }
    expect(failure(await images.put('v1', buildIndex([{ child: layer }])))).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    await images.push('v1', index)
  })

  test('may have children of a type that nobody knows, which are blobs', async () => {
    const images = repository()
    const strange = buildBlob('strange', 'application/vnd.example.manifest.v9+json')
    const index = buildIndex([{ child: strange }])
    expect(failure(await images.put('v1', index))).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    await images.upload([strange])
    await images.push('v1', index)
    expect((await images.get(`blobs/${strange.digest}`)).rawPayload).toEqual(strange.bytes)
  })

  test('may have a thousand children', async () => {
    const images = repository()
    const child = await images.pushImage('child', 'x')
    await images.push('v1', buildIndex(Array.from({ length: 1_000 }, () => ({ child }))))
  })
})

describe('an artifact', () => {
  test('is stored whatever its config, layers and fields are', async () => {
    const images = repository()
    const subject = await images.pushImage('v1', 'x')
    const artifact = buildArtifact('application/vnd.example', {
      subject,
      layers: [],
      fields: { annotations: { note: 'é\u0000' }, 'org.example': [1, { a: null }] },
    })
    const response = await images.push('artifact', artifact)
    expect(response.headers['oci-subject']).toBe(subject.digest)
    expect((await images.manifest('artifact')).rawPayload).toEqual(artifact.bytes)
  })

  test('may have a subject that is not there', async () => {
    const images = repository()
    const subject = buildImage({ algorithm: 'sha512' })
    const response = await images.push('artifact', buildArtifact('application/x', { subject }))
    expect(response.headers['oci-subject']).toBe(subject.digest)
    expect((await images.manifest(subject.digest)).statusCode).toBe(404)
  })

  test('has a config that is never read unless it is one that tells something', async () => {
    const images = repository()
    for (const [tag, config, configType] of [
      ['torn', '{"os":', types.config],
      ['text', 'no JSON at all', types.config],
      ['other', '{"os":"x","architecture":"y"}', 'application/vnd.example.config'],
      ['chart', '[]', types.helm],
      ['huge', JSON.stringify({ os: 'a', architecture: 'b', pad: 'x'.repeat(8 * MIB) }), types.config],
    ] as const) {
      await images.push(tag, buildImage({ config, configType, layers: [tag] }))
    }
    const { json } = await server.api('GET', `/packages/alice/container/image-${count}?limit=50`)
    const platforms = Object.fromEntries(
      (json() as { version: string; metadata: { platform?: string } }[]).map(({ version, metadata }) => [
        version,
        metadata.platform ?? null,
      ]),
    )
    const unknown = 'unknown/unknown'
    expect(platforms).toMatchObject({ torn: unknown, text: unknown, other: null, chart: null, huge: null })
  })
})

describe('a manifest is refused', () => {
  test.each([
    ['a malformed digest', 'sha256:baddigeststring', [400, 'DIGEST_INVALID']],
    ['a digest in upper case', `sha256:${'A'.repeat(64)}`, [400, 'DIGEST_INVALID']],
    ['an unknown algorithm', `blake3:${'a'.repeat(64)}`, [400, 'DIGEST_INVALID']],
    ['the digest of other bytes', `sha256:${'a'.repeat(64)}`, [400, 'DIGEST_INVALID']],
    ['the sha512 of other bytes', `sha512:${'a'.repeat(128)}`, [400, 'DIGEST_INVALID']],
  ] as const)('under %s', async (_, reference, expected) => {
    const images = repository()
    const image = buildImage()
    await images.upload(image.blobs)
    expect(failure(await images.put(reference, image))).toEqual(expected)
  })

  test('when its bytes are not those of the digest, were it by one blank', async () => {
    const images = repository()
    const image = buildImage()
    await images.upload(image.blobs)
    const padded = { ...image, bytes: Buffer.concat([image.bytes, Buffer.from('  ')]) }
    expect(failure(await images.put(image.digest, padded))).toEqual([400, 'DIGEST_INVALID'])
    expect((await images.put('v1', padded)).headers['docker-content-digest']).toBe(digestOf(padded.bytes))
  })

  test.each([
    ['an unknown type', 'application/json'],
    ['schema 1', 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    ['the type of an index', types.index],
    ['the type of Docker', types.dockerManifest],
    ['a stream of bytes', 'application/octet-stream'],
  ])('when it comes as %s', async (_, mediaType) => {
    const images = repository()
    const image = buildImage()
    await images.upload(image.blobs)
    expect(failure(await images.put('v1', image, { 'content-type': mediaType }))).toEqual([400, 'MANIFEST_INVALID'])
  })

  test('when it is no JSON, schema 1, or two things at once', async () => {
    const images = repository()
    const image = buildImage()
    await images.upload(image.blobs)
    const bodies = ['', '{', 'null', '[]', `[${image.bytes}]`, '{"schemaVersion":1,"fsLayers":[]}']
    const twofold = buildImage({ fields: { manifests: [] } })
    const deep = `{"schemaVersion":2,"a":${'['.repeat(1e6)}${']'.repeat(1e6)}}`
    for (const body of [...bodies, twofold.bytes, deep]) {
      const response = await images.put('v1', { ...image, bytes: Buffer.from(body) })
      expect(failure(response), String(body).slice(0, 50)).toEqual([400, 'MANIFEST_INVALID'])
    }
  })

  test('above 6 MiB; 4 MB are taken', async () => {
    const images = repository()
    const padded = (size: number) => buildImage({ fields: { annotations: { pad: 'x'.repeat(size) } } })
    await images.push('large', padded(4_100_000))
    expect((await images.manifest('large')).headers['content-length']).toBe(String(padded(4_100_000).bytes.length))
    expect(failure(await images.put('larger', padded(8_000_000)))).toEqual([413, 'MANIFEST_INVALID'])
    const url = await server.listen()
    // Without a length.
    const body = new Blob([padded(8_000_000).bytes]).stream()
    const chunked = await fetch(`${url}/v2/${images.repository}/manifests/larger`, {
      method: 'PUT',
      headers: { authorization: alice, 'content-type': types.manifest },
      body,
      duplex: 'half',
    } as RequestInit)
    expect(chunked.status).toBe(413)
    expect(await images.tags()).toEqual(['large'])
  })

  test('from whoever may not write, and on names that cannot be', async () => {
    const images = repository()
    const image = await images.pushImage('v1', 'x')
    const bob = await server.createUser(`bob-${count}`)
    expect((await images.as(null).put('v2', image)).statusCode).toBe(401)
    expect((await images.as(bob).put('v2', image)).statusCode).toBe(403)
    expect(codeOf(await images.as(bob).put('v2', image))).toBe('DENIED')
    for (const name of ['Upper', 'a__b_', 'a..b', '-a']) {
      expect(failure(await repository(name).put('v1', image))).toEqual([400, 'NAME_INVALID'])
    }
    expect(await images.tags()).toEqual(['v1'])
  })
})

describe('quotas', () => {
  const limited = async (environment: Record<string, string>, run: (images: Images, root: Images) => Promise<void>) => {
    const app = await TestApp.start({ environment })
    try {
      const carol = await app.createUser('carol')
      await run(new Images(app, 'carol/app', carol), new Images(app, 'carol/app', app.admin))
    } finally {
      await app.close()
    }
  }

  test('count versions: a manifest is one and each of its tags', async () => {
    await limited({ ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_COUNT: '3' }, async (images, root) => {
      const image = await images.pushImage('v1', 'x')
      await images.push('v2', image)
      expect(failure(await images.put('v3', image))).toEqual([403, 'DENIED'])
      const next = buildImage({ layers: ['y'] })
      await images.upload(next.blobs)
      expect(failure(await images.put('v1', next))).toEqual([403, 'DENIED'])
      // What was refused has left nothing.
      expect((await images.manifest(next.digest)).statusCode).toBe(404)
      expect((await images.manifest('v1')).rawPayload).toEqual(image.bytes)
      expect(await images.tags()).toEqual(['v1', 'v2'])
      expect((await images.delete('v2')).statusCode).toBe(202)
      expect((await images.put('v1', next)).statusCode).toBe(201)
      expect((await root.put('v3', next)).statusCode).toBe(201)
    })
  })

  test('count bytes: a blob once for each manifest that names it', async () => {
    await limited({ ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_SIZE: '20000' }, async (images) => {
      const layers = [buildBlob(Buffer.alloc(6_000, 'x'))]
      const image = (note: string) => buildImage({ layers, fields: { annotations: { note } } })
      await images.push('a', image('a'))
      await images.push('b', image('b'))
      await images.push('b', image('b'))
      expect(failure(await images.put('c', image('c')))).toEqual([403, 'DENIED'])
      expect(await images.tags()).toEqual(['a', 'b'])
      await images.delete(image('a').digest)
      await images.push('c', image('c'))
    })
  })
})

async function downloadsOf(images: Images, version: string): Promise<number> {
  await server.services.packages.downloads.flush()
  const { packages, accounts } = server.services
  const owner = await accounts.find('alice')
  const row = await packages.lookup.findVersion(owner!.id, 'container', images.repository.split('/')[1]!, version)
  const [descriptor] = await packages.lookup.describe([row!.id])
  return descriptor!.version.downloadCount
}

/** Rows of blobs that were uploaded and not named yet. */
async function seedBlobs(images: Images, blobs: readonly { bytes: Buffer }[]): Promise<void> {
  const { models, packages, accounts } = server.services
  const owner = await accounts.find('alice')
  const found = await packages.lookup.findPackage(owner!.id, 'container', images.repository.split('/')[1]!)
  const version = await models.packageVersion.findOne({ where: { packageId: found!.id, lowerVersion: '~uploads' } })
  const rows = blobs.map(({ bytes }) => {
    const hex = (algorithm: 'sha256' | 'sha512') => digestOf(bytes, algorithm).split(':')[1]!
    const [hashSha256, hashSha512] = [hex('sha256'), hex('sha512')]
    const hashes = { hashMd5: hashSha256.slice(32), hashSha1: hashSha256.slice(24), hashSha256, hashSha512 }
    return { size: bytes.length, ...hashes, createdAt: 0 }
  })
  await models.packageBlob.bulkCreate(rows)
  const made = await models.packageBlob.findAll({ where: { hashSha256: rows.map(({ hashSha256 }) => hashSha256) } })
  const files = made.map(({ id: blobId, hashSha256 }) => {
    const name = `sha256_${hashSha256}`
    return { versionId: version!.id, blobId, name, lowerName: name, createdAt: 0 }
  })
  await models.packageFile.bulkCreate(files)
}
