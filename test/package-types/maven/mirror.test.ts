import { request as httpRequest } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeMavenRepository, hash } from '../../support/fake-maven-repository.ts'
import { createGate } from '../../support/fake-upstream.ts'
import { TestApp, type TestAppOptions } from '../../support/test-app.ts'

const REG = '/api/packages/central/maven'
const MINUTE = 60_000
const NAME = 'com.acme:lib'
const JAR = 'com/acme/lib/1.0/lib-1.0.jar'
const POM = 'com/acme/lib/1.0/lib-1.0.pom'
const METADATA = 'com/acme/lib/maven-metadata.xml'
const SNAPSHOT = 'com/acme/lib/2.0-SNAPSHOT'

let repository: FakeMavenRepository
let server: TestApp
const started: TestApp[] = []

async function start({ upstream, ...options }: TestAppOptions & { upstream?: object } = {}): Promise<TestApp> {
  const file = { type: 'maven', owner: 'central', url: repository.url, allowPrivateNetwork: true, ...upstream }
  server = await TestApp.start({ upstreams: { central: file }, ...options })
  started.push(server)
  return server
}

beforeEach(async () => {
  repository = await FakeMavenRepository.start()
  await start()
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((app) => app.close()))
  await repository.close()
})

const ask = (method: 'GET' | 'HEAD' | 'PUT', path: string, headers: Record<string, string> = {}) =>
  server.inject({ method, url: `${REG}/${path}`, headers, ...(method === 'PUT' ? { payload: 'x' } : {}) })
const get = (path: string, headers: Record<string, string> = {}) => ask('GET', path, headers)
const head = (path: string) => ask('HEAD', path)
const settle = () => server.services.upstream.settle()
/** How often the upstream was asked for anything. */
const asked = () => repository.upstream.requests.length

describe('metadata', () => {
  test('is fetched once and passed on byte for byte, with checksums of just these bytes', async () => {
    const bytes = repository.addMetadata(NAME, ['1.0', '1.1'], { checksums: 'wrong-sidecars' })
    const first = await get(METADATA)
    expect(first.statusCode).toBe(200)
    expect(first.rawPayload.equals(bytes)).toBe(true)
    expect(first.headers['content-type']).toMatch(/^text\/xml/)
    expect(first.headers['cache-status']).toBe('Entrepot; fwd=uri-miss; fwd-status=200; stored')
    expect(first.headers['x-upstream']).toBe('central')
    // A browser would run the scripts of any XML.
    expect(first.headers['content-security-policy']).toBe("default-src 'none'; sandbox")
    expect(first.headers['cache-control']).toBe('public, max-age=60, stale-while-revalidate=300, stale-if-error=86400')
    expect(first.headers['last-modified']).toBe('Wed, 01 Jan 2020 00:00:00 GMT')
    for (const algorithm of ['md5', 'sha1', 'sha256', 'sha512'] as const) {
      expect((await get(`${METADATA}.${algorithm}`)).body).toBe(hash(bytes, algorithm))
    }
    const again = await get(METADATA, { 'if-none-match': String(first.headers['etag']) })
    expect(again.statusCode).toBe(304)
    expect(again.headers['x-cache']).toBe('HIT')
    expect(asked()).toBe(1)
  })

  test('is not asked for again because a client says no-cache, as Maven does with every request', async () => {
    repository.addMetadata(NAME, ['1.0'])
    for (let i = 0; i < 5; i += 1) {
      server.clock.advance(20_000)
      expect((await get(METADATA, { 'cache-control': 'no-cache', pragma: 'no-cache' })).statusCode).toBe(200)
      await get(`${METADATA}.sha1`, { 'cache-control': 'no-cache, no-store', pragma: 'no-cache' })
      await head(METADATA)
    }
    expect(repository.count(METADATA)).toBe(1)
    expect(asked()).toBe(1)
  })

  test('is revalidated when it is no longer fresh, and 304 makes it fresh again', async () => {
    repository.addMetadata(NAME, ['1.0'])
    await get(METADATA)
    await settle()
    server.clock.advance(16 * MINUTE)
    expect((await get(METADATA)).headers['cache-status']).toBe('Entrepot; fwd=stale; fwd-status=304')
    await settle()
    for (let i = 0; i < 3; i += 1) expect((await get(METADATA)).headers['x-cache']).toBe('HIT')
    expect(repository.count(METADATA)).toBe(2)
    repository.addMetadata(NAME, ['1.0', '1.1'], { lastUpdated: '20210101000000' })
    server.clock.advance(16 * MINUTE)
    expect((await get(METADATA)).body).toMatch('<version>1.1</version>')
  })

  test('of an older state, from a lagging edge, does not replace newer', async () => {
    repository.addMetadata(NAME, ['1.0', '1.1'], { lastUpdated: '20210101000000' })
    await get(METADATA)
    await settle()
    repository.addMetadata(NAME, ['1.0'], { lastUpdated: '20200101000000' })
    server.clock.advance(16 * MINUTE)
    expect((await get(METADATA)).body).toMatch('<version>1.1</version>')
    await settle()
    // What lists a version more is newer, whatever its time says.
    repository.addMetadata(NAME, ['1.0', '1.1', '1.2'], { lastUpdated: '20190101000000' })
    server.clock.advance(16 * MINUTE)
    expect((await get(METADATA)).body).toMatch('<version>1.2</version>')
  })

  test('that is unusable is refused, and does not replace what is held', async () => {
    const bytes = repository.addMetadata(NAME, ['1.0'])
    await get(METADATA)
    await settle()
    const unusable: [string, string][] = [
      ['a web page', '<!DOCTYPE html><html><body>sign in</body></html>'],
      ['a web page that is XML', '<html><body>sign in</body></html>'],
      ['cut off', '<metadata><groupId>com.acme</groupId>'],
      ['of another group', '<metadata><groupId>org.other</groupId><artifactId>lib</artifactId></metadata>'],
      ['of another artifact', '<metadata><groupId>com.acme</groupId><artifactId>other</artifactId></metadata>'],
      ['empty', ''],
    ]
    for (const [index, [what, body]] of unusable.entries()) {
      repository.on(METADATA, { body })
      repository.on(`com/acme/new${index}/maven-metadata.xml`, { body })
      server.clock.advance(16 * MINUTE)
      const stale = await get(METADATA)
      expect([what, stale.headers['cache-status']]).toEqual([what, expect.stringMatching('STALE_ERROR')])
      expect(stale.rawPayload.equals(bytes)).toBe(true)
      const refused = await get(`com/acme/new${index}/maven-metadata.xml`)
      expect([what, refused.statusCode]).toEqual([what, 502])
      expect(refused.headers['cache-control']).toBe('no-store')
      await settle()
    }
  })

  test('of a group has no coordinates inside, or those of the group', async () => {
    const plugins =
      '<plugins><plugin><name>x</name><prefix>x</prefix><artifactId>x-maven-plugin</artifactId></plugin></plugins>'
    repository.add('com/acme/maven-metadata.xml', `<metadata>${plugins}</metadata>`)
    repository.add('org/acme/maven-metadata.xml', `<metadata><groupId>org.acme</groupId>${plugins}</metadata>`)
    repository.add('junit/maven-metadata.xml', `<metadata>${plugins}</metadata>`)
    for (const folder of ['com/acme', 'org/acme', 'junit']) {
      expect((await get(`${folder}/maven-metadata.xml`)).body, folder).toMatch(plugins)
    }
  })

  test('that the upstream does not have is 404, remembered for a minute', async () => {
    const missing = await get(METADATA)
    expect(missing.statusCode).toBe(404)
    expect(missing.headers['cache-control']).toBe('max-age=30')
    expect((await get(`${METADATA}.sha1`)).statusCode).toBe(404)
    expect(asked()).toBe(1)
    repository.addMetadata(NAME, ['1.0'])
    server.clock.advance(MINUTE + 1)
    expect((await get(METADATA)).statusCode).toBe(200)
  })

  test('of a snapshot is waited for after a minute', async () => {
    const path = `${SNAPSHOT}/maven-metadata.xml`
    repository.addSnapshotMetadata(NAME, '2.0-SNAPSHOT', { timestamp: '20260101.000000', buildNumber: 1 })
    expect((await get(path)).headers['cache-control']).toBe('no-cache')
    await settle()
    const second = repository.addSnapshotMetadata(NAME, '2.0-SNAPSHOT', {
      timestamp: '20260102.000000',
      buildNumber: 2,
    })
    expect((await get(path)).headers['x-cache']).toBe('HIT')
    server.clock.advance(MINUTE + 1)
    expect((await get(path)).rawPayload.equals(second)).toBe(true)
    expect((await get(`${path}.sha1`)).body).toBe(hash(second, 'sha1'))
  })

  test('of a snapshot must be about that snapshot', async () => {
    const bytes = repository.addSnapshotMetadata(NAME, '3.0-SNAPSHOT', { timestamp: '20260101.000000', buildNumber: 1 })
    repository.on(`${SNAPSHOT}/maven-metadata.xml`, { body: bytes })
    expect((await get(`${SNAPSHOT}/maven-metadata.xml`)).statusCode).toBe(502)
  })

  test('of all levels is asked for again when its package is invalidated, and other files of it are', async () => {
    repository.addMetadata(NAME, ['1.0'])
    repository.addSnapshotMetadata(NAME, '2.0-SNAPSHOT', { timestamp: '20260101.000000', buildNumber: 1 })
    repository.add(`${SNAPSHOT}/lib-2.0-SNAPSHOT.jar`, 'one')
    repository.add(JAR, 'jar')
    repository.addMetadata('com.acme:other', ['1.0'])
    const paths = [METADATA, `${SNAPSHOT}/maven-metadata.xml`, `${SNAPSHOT}/lib-2.0-SNAPSHOT.jar`, `${JAR}.sha1`]
    for (const path of [...paths, 'com/acme/other/maven-metadata.xml', 'com/acme/lib/1.0/gone.jar']) await get(path)
    await settle()
    const before = paths.map((path) => repository.count(path))
    const response = await server.api('POST', '/admin/upstreams/central/invalidate', { name: NAME })
    expect(response.statusCode).toBeLessThan(300)
    for (const path of [...paths, 'com/acme/other/maven-metadata.xml', 'com/acme/lib/1.0/gone.jar']) await get(path)
    await settle()
    expect(paths.map((path, index) => repository.count(path) > before[index]!)).toEqual(paths.map(() => true))
    expect(repository.count('com/acme/lib/1.0/gone.jar')).toBe(2)
    expect(repository.count('com/acme/other/maven-metadata.xml')).toBe(1)
  })
})

describe('documents about the whole repository', () => {
  test('are passed on, and nothing else is that is no file of a package', async () => {
    const catalog = repository.add('archetype-catalog.xml', '<?xml version="1.0"?>\n<archetype-catalog/>')
    const prefixes = repository.add('.meta/prefixes.txt', '## repository-prefixes/2.0\n/com/acme\n')
    expect((await get('archetype-catalog.xml')).rawPayload.equals(catalog)).toBe(true)
    expect((await get('archetype-catalog.xml.md5')).body).toBe(hash(catalog, 'md5'))
    expect((await get('.meta/prefixes.txt')).rawPayload.equals(prefixes)).toBe(true)
    repository.upstream.forget()
    for (const path of [
      '.index/nexus-maven-repository-index.gz',
      '.index/nexus-maven-repository-index.properties',
      'com/acme/lib/',
      '',
      'com/acme/lib/1.0/',
      'robots.txt',
      'com/acme/lib/1.0/a%2fb.jar',
    ]) {
      expect([path, (await get(path)).statusCode]).toEqual([path, 404])
    }
    expect(asked()).toBe(0)
  })

  test('that are something else are refused', async () => {
    repository.add('archetype-catalog.xml', '<html>hello</html>')
    repository.add('.meta/prefixes.txt', '<html>hello</html>')
    expect((await get('archetype-catalog.xml')).statusCode).toBe(502)
    expect((await get('.meta/prefixes.txt')).statusCode).toBe(502)
  })
})

describe('files', () => {
  test('are fetched once, verified, stored and listed; their checksums are those of the bytes', async () => {
    const bytes = repository.add(JAR, 'the jar')
    const first = await get(JAR)
    expect(first.statusCode).toBe(200)
    expect(first.rawPayload.equals(bytes)).toBe(true)
    expect(first.headers['content-type']).toBe('application/java-archive')
    expect(first.headers['cache-control']).toBe('public, max-age=31536000, s-maxage=86400, immutable')
    expect(first.headers['cache-status']).toBe('Entrepot; fwd=uri-miss; fwd-status=200; stored')
    expect(first.headers['x-checksum-sha1']).toBe(hash(bytes, 'sha1'))
    await settle()
    repository.upstream.forget()
    const second = await get(JAR)
    expect(second.rawPayload.equals(bytes)).toBe(true)
    expect(second.headers['x-cache']).toBe('HIT')
    expect(second.headers['etag']).toBe(`"sha256:${hash(bytes, 'sha256')}"`)
    expect(second.headers['last-modified']).toBe('Wed, 01 Jan 2020 00:00:00 GMT')
    for (const algorithm of ['md5', 'sha1', 'sha256', 'sha512'] as const) {
      expect(second.headers[`x-checksum-${algorithm}`]).toBe(hash(bytes, algorithm))
      const checksum = await get(`${JAR}.${algorithm}`)
      expect(checksum.body).toBe(hash(bytes, algorithm))
      expect(checksum.headers['content-type']).toMatch(/^text\/plain/)
      expect(checksum.headers['x-cache']).toBe('HIT')
    }
    expect(asked()).toBe(0)
    const [listed] = (await server.api('GET', '/packages/central')).json()
    expect(listed).toMatchObject({ type: 'maven', name: NAME, version: '1.0', origin: 'cached', upstream: 'central' })
    const [file] = (await server.api('GET', '/packages/central/maven/com.acme%3Alib/1.0/files')).json()
    expect(file).toMatchObject({ name: 'lib-1.0.jar', size: bytes.length, sha1: hash(bytes, 'sha1') })
  })

  test('are checked by what the answer says of them, where it does, without a further request', async () => {
    const right = Buffer.from('right')
    const toBase64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64')
    const headers: [string, (bytes: Buffer) => string][] = [
      ['x-checksum-sha256', (bytes) => hash(bytes, 'sha256')],
      ['x-checksum-sha1', (bytes) => hash(bytes, 'sha1').toUpperCase()],
      ['x-checksum-md5', (bytes) => hash(bytes, 'md5')],
      ['x-goog-meta-checksum-sha1', (bytes) => hash(bytes, 'sha1')],
      ['x-amz-meta-checksum-md5', (bytes) => hash(bytes, 'md5')],
      ['x-goog-hash', (bytes) => `crc32c=n03x6A==, md5=${toBase64(hash(bytes, 'md5'))}`],
      ['etag', (bytes) => `"{SHA1{${hash(bytes, 'sha1')}}}"`],
    ]
    for (const [header, of] of headers) {
      const folder = `com/acme/lib/${header}`
      repository.on(`${folder}/right.jar`, { body: right, headers: { [header]: of(right) } })
      repository.on(`${folder}/wrong.jar`, { body: right, headers: { [header]: of(Buffer.from('other')) } })
      expect([header, (await get(`${folder}/right.jar`)).statusCode]).toEqual([header, 200])
      const refused = await get(`${folder}/wrong.jar`)
      expect([header, refused.statusCode]).toEqual([header, 502])
      expect(refused.headers['cache-status']).toMatch('BAD_DIGEST')
    }
    expect(asked()).toBe(2 * headers.length)
  })

  test('a POM is the lead file and tells about its version, whether the jar came before it or after', async () => {
    repository.addPom(NAME, '1.0', '<name>The library</name><packaging>jar</packaging>')
    repository.addPom(NAME, '1.1', '<name>The library, later</name>')
    repository.add(JAR, 'jar')
    repository.add('com/acme/lib/1.1/lib-1.1.jar', 'jar 1.1')
    for (const path of [POM, JAR, 'com/acme/lib/1.1/lib-1.1.jar', 'com/acme/lib/1.1/lib-1.1.pom']) {
      expect((await get(path)).statusCode).toBe(200)
      await settle()
    }
    const versions = await server.services.models.packageVersion.findAll({ raw: true })
    const names = versions.map(({ version, metadataJson }) => [version, JSON.parse(metadataJson)?.name])
    expect(names).toEqual([
      ['1.0', 'The library'],
      ['1.1', 'The library, later'],
    ])
    const files = await server.services.models.packageFile.findAll({ raw: true })
    expect(
      files
        .filter(({ isLead }) => isLead)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['lib-1.0.pom', 'lib-1.1.pom'])
  })

  test('a POM that cannot be read is passed on, and tells nothing', async () => {
    const bytes = repository.add(POM, '<!DOCTYPE project SYSTEM "http://127.0.0.1/x"><project/>')
    expect((await get(POM)).rawPayload.equals(bytes)).toBe(true)
    await settle()
    expect((await get(POM)).headers['x-cache']).toBe('HIT')
    expect((await server.api('GET', '/packages/central')).json()).toHaveLength(1)
  })

  test('signatures, Gradle metadata and files with a classifier are files like any other', async () => {
    for (const name of ['lib-1.0.jar.asc', 'lib-1.0.module', 'lib-1.0-sources.jar', 'lib-1.0.tar.gz']) {
      const bytes = repository.add(`com/acme/lib/1.0/${name}`, name)
      expect((await get(`com/acme/lib/1.0/${name}`)).rawPayload.equals(bytes)).toBe(true)
      await settle()
      expect((await get(`com/acme/lib/1.0/${name}`)).headers['x-cache']).toBe('HIT')
    }
  })

  test('a checksum asked for before its file is the upstream’s, as bare hex, and the file is not fetched', async () => {
    const bytes = repository.add(JAR, 'jar', { checksums: 'all' })
    repository.on(`${JAR}.sha1`, { body: `${hash(bytes, 'sha1').toUpperCase()}  lib-1.0.jar\n` })
    for (const algorithm of ['sha1', 'md5', 'sha256', 'sha512'] as const) {
      expect((await get(`${JAR}.${algorithm}`)).body).toBe(hash(bytes, algorithm))
    }
    expect((await get(`${JAR}.sha1`)).headers['x-cache']).toBe('HIT')
    expect(repository.count(`${JAR}.sha1`)).toBe(1)
    expect(repository.count(JAR)).toBe(0)
    repository.add(POM, 'pom')
    expect((await get(`${POM}.sha256`)).statusCode).toBe(404)
    repository.on('com/acme/lib/1.0/odd.jar.sha1', { body: 'sha1sum: no such file' })
    expect((await get('com/acme/lib/1.0/odd.jar.sha1')).statusCode).toBe(502)
  })

  test('50 clients at once cause one request', async () => {
    const bytes = repository.add(JAR, Buffer.alloc(3_000_000, 'jar'))
    const gate = createGate()
    repository.on(JAR, { ...repository.answer(bytes), pauseAt: 100_000, resume: gate.opened })
    const url = `${await server.listen()}${REG}/${JAR}`
    const downloads = Array.from({ length: 50 }, () => download(url))
    await expect.poll(() => repository.count(JAR)).toBe(1)
    gate.open()
    for (const { status, body, error } of await Promise.all(downloads)) {
      expect({ status, error, digest: hash(body, 'sha1') }).toEqual({
        status: 200,
        error: null,
        digest: hash(bytes, 'sha1'),
      })
    }
    expect(repository.count(JAR)).toBe(1)
    expect(repository.count(`${JAR}.sha1`)).toBe(1)
  })

  test('a checksum that is only published of them is not kept for ever', async () => {
    const bytes = repository.add(JAR, Buffer.alloc(2_000_000, 'jar'), { checksums: 'none' })
    const gate = createGate()
    const wrong = hash(Buffer.from('other bytes'), 'sha1')
    const answer = { ...repository.answer(bytes), headers: { 'x-checksum-sha1': wrong } }
    repository.on(JAR, { ...answer, pauseAt: 100_000, resume: gate.opened })
    const broken = download(`${await server.listen()}${REG}/${JAR}`)
    await expect.poll(() => repository.count(JAR)).toBe(1)
    const published = await get(`${JAR}.sha1`)
    expect([published.body, published.headers['cache-control']]).toEqual([
      wrong,
      'public, max-age=60, stale-while-revalidate=300, stale-if-error=86400',
    ])
    gate.open()
    expect((await broken).error).not.toBe(null)
    repository.add(JAR, bytes)
    server.clock.advance(MINUTE + 1)
    expect((await get(JAR)).rawPayload.equals(bytes)).toBe(true)
    await settle()
    const right = await get(`${JAR}.sha1`)
    expect([right.body, right.headers['cache-control']]).toEqual([
      hash(bytes, 'sha1'),
      expect.stringMatching(/immutable$/),
    ])
  })

  test('HEAD of what is not held asks by HEAD and fetches nothing', async () => {
    const bytes = repository.add(JAR, 'jar')
    const answer = await head(JAR)
    expect(answer.statusCode).toBe(200)
    expect(answer.headers['content-length']).toBe(String(bytes.length))
    expect(answer.headers['last-modified']).toBe('Wed, 01 Jan 2020 00:00:00 GMT')
    expect(repository.count(JAR, 'GET')).toBe(0)
  })

  test('HEAD of an upstream that answers GET only is told by GET', async () => {
    const bytes = repository.add(JAR, 'jar')
    const onlyGet = (path: string, content: Buffer | null) =>
      repository.on(path, ({ method }) =>
        method === 'HEAD' ? { status: 405 } : content === null ? { status: 404 } : repository.answer(content),
      )
    onlyGet(JAR, bytes)
    onlyGet(POM, null)
    expect((await head(JAR)).statusCode).toBe(200)
    expect((await head(POM)).statusCode).toBe(404)
  })

  test('that the upstream does not have are 404, remembered for a minute, by GET for HEAD and the other way round', async () => {
    expect((await get(JAR)).statusCode).toBe(404)
    expect((await head(JAR)).statusCode).toBe(404)
    expect((await head(POM)).statusCode).toBe(404)
    expect((await get(POM)).statusCode).toBe(404)
    expect((await get(POM)).headers['cache-control']).toBe('max-age=30')
    expect([repository.count(JAR), repository.count(POM)]).toEqual([1, 1])
    repository.add(JAR, 'jar')
    server.clock.advance(MINUTE + 1)
    expect((await get(JAR)).statusCode).toBe(200)
  })

  test('are served in ranges', async () => {
    const bytes = repository.add(JAR, '0123456789')
    const miss = await get(JAR, { range: 'bytes=2-4' })
    expect([miss.statusCode, miss.body]).toEqual([206, bytes.subarray(2, 5).toString()])
    await settle()
    expect((await get(JAR, { range: 'bytes=-3' })).body).toBe('789')
  })

  test.each([
    ['1.0+build.7', 'lib-1.0+build.7.jar'],
    ['1.0 final', 'lib 1.0 (final).jar'],
    ['1.0-ß', 'lib-1.0-ß,=@~!.jar'],
  ])('of version %s keep their names', async (version, filename) => {
    const encoded = ['com/acme/lib', encodeURIComponent(version), encodeURIComponent(filename)].join('/')
    const bytes = repository.add(encoded, filename)
    expect((await get(encoded)).rawPayload.equals(bytes)).toBe(true)
    await settle()
    // Whatever of it a client encodes.
    const other = encoded.replaceAll('%2B', '+').replaceAll('%40', '@').replaceAll('-', '%2d')
    expect((await get(other)).headers['x-cache']).toBe('HIT')
    // A plus sign means itself, but some servers take it for a blank.
    expect(repository.upstream.requests[0]?.path).not.toMatch(/[+ ]/)
    const [listed] = (await server.api('GET', '/packages/central')).json()
    expect(listed).toMatchObject({ name: NAME, version })
  })

  test('whose names differ in case only are two', async () => {
    const paths = [
      'com/acme/lib/1.0-RC1/lib-1.0-RC1.jar',
      'com/acme/lib/1.0-rc1/lib-1.0-rc1.jar',
      'com/acme/Lib/1.0-rc1/Lib.jar',
    ]
    for (const path of paths) repository.add(path, path)
    for (let i = 0; i < 2; i += 1) {
      for (const path of paths) expect((await get(path)).body).toBe(path)
      await settle()
    }
    for (const path of paths) expect(repository.count(path)).toBe(1)
  })

  test('that were removed here and published again with other bytes are refused', async () => {
    repository.add(JAR, 'first')
    await get(JAR)
    await settle()
    expect((await server.api('DELETE', '/packages/central/maven/com.acme%3Alib/1.0')).statusCode).toBe(204)
    repository.add(JAR, 'second')
    const refused = await get(JAR)
    expect(refused.statusCode).toBe(502)
    expect(refused.headers['cache-status']).toMatch('detail=REPUBLISHED')
  })

  test('cannot be deployed to a mirror', async () => {
    const response = await ask('PUT', JAR, { authorization: server.admin })
    expect(response.statusCode).toBe(405)
    expect(response.headers['allow']).toBe('GET, HEAD')
  })

  test('warm answers of every kind run no SQL and ask nobody', async () => {
    repository.add(JAR, 'jar')
    repository.addPom(NAME, '1.0')
    repository.addMetadata(NAME, ['1.0'])
    const paths = [POM, JAR, `${JAR}.sha1`, METADATA, `${METADATA}.sha1`]
    for (const path of paths) await get(path)
    await settle()
    for (const path of paths) await get(path)
    await server.quiet()
    const { queries } = server.services.db
    const before = asked()
    for (const path of paths) expect((await get(path)).statusCode).toBe(200)
    for (const path of paths) expect((await head(path)).statusCode).toBe(200)
    expect(server.services.db.queries).toBe(queries)
    expect(asked()).toBe(before)
  })

  test('are held over a restart', async () => {
    const { dataDir } = await start()
    const databaseUrl = server.services.config.database.url
    repository.add(JAR, 'jar')
    repository.addMetadata(NAME, ['1.0'])
    await get(JAR)
    await get(METADATA)
    await settle()
    const before = asked()
    await start({ dataDir, databaseUrl })
    for (const path of [JAR, METADATA]) expect((await get(path)).headers['x-cache']).toBe('HIT')
    expect(asked()).toBe(before)
  })
})

describe('snapshots', () => {
  const REPLACED = `${SNAPSHOT}/lib-2.0-SNAPSHOT.jar`
  const TIMESTAMPED = `${SNAPSHOT}/lib-2.0-20260101.000000-1.jar`

  test('with a timestamp never change', async () => {
    repository.add(TIMESTAMPED, 'build 1')
    expect((await get(TIMESTAMPED)).headers['cache-control']).toBe('no-cache')
    await settle()
    server.clock.advance(60 * MINUTE)
    expect((await get(TIMESTAMPED)).headers['x-cache']).toBe('HIT')
    expect(repository.count(TIMESTAMPED)).toBe(1)
    const [listed] = (await server.api('GET', '/packages/central')).json()
    expect(listed).toMatchObject({ name: NAME, version: '2.0-SNAPSHOT' })
  })

  test.each(['sidecars', 'headers', 'none'] as const)('without one follow the upstream (%s)', async (checksums) => {
    repository.add(REPLACED, 'first', { checksums })
    expect((await get(REPLACED)).body).toBe('first')
    await settle()
    expect((await get(`${REPLACED}.sha1`)).body).toBe(hash(Buffer.from('first'), 'sha1'))
    server.clock.advance(2 * MINUTE)
    // Unchanged: asked about, not fetched.
    expect((await get(REPLACED)).body).toBe('first')
    expect(repository.count(REPLACED, 'GET')).toBe(1)
    expect(repository.count(REPLACED, 'HEAD')).toBe(2)
    repository.add(REPLACED, 'second', { checksums })
    await settle()
    server.clock.advance(2 * MINUTE)
    expect((await get(REPLACED)).body).toBe('second')
    expect((await get(`${REPLACED}.md5`)).body).toBe(hash(Buffer.from('second'), 'md5'))
    await settle()
    const files = await server.api('GET', '/packages/central/maven/com.acme%3Alib/2.0-SNAPSHOT/files')
    expect(files.json()).toHaveLength(1)
    // Nothing was published again: it is another state.
    repository.add(REPLACED, 'first', { checksums })
    server.clock.advance(2 * MINUTE)
    expect((await get(REPLACED)).body).toBe('first')
  })

  test('without one are told apart by their bytes where HEAD tells nothing', async () => {
    const answers = (body: string) =>
      repository.on(REPLACED, ({ method }) => (method === 'HEAD' ? { status: 405 } : { body }))
    answers('first')
    expect((await get(REPLACED)).body).toBe('first')
    await settle()
    answers('second')
    server.clock.advance(2 * MINUTE)
    expect((await get(REPLACED)).body).toBe('second')
    expect((await head(REPLACED)).statusCode).toBe(200)
  })

  test('without one are served as they were while the upstream fails', async () => {
    repository.add(REPLACED, 'first')
    await get(REPLACED)
    await settle()
    repository.upstream.everything({ status: 503 })
    server.clock.advance(60 * MINUTE)
    expect((await get(REPLACED)).body).toBe('first')
    expect((await get(`${REPLACED}.sha1`)).body).toBe(hash(Buffer.from('first'), 'sha1'))
  })

  test('are 404 without a question where the upstream has releases only', async () => {
    await start({ upstream: { options: { snapshots: false } } })
    repository.add(TIMESTAMPED, 'build')
    repository.add(JAR, 'jar')
    for (const path of [TIMESTAMPED, REPLACED, `${REPLACED}.sha1`, `${SNAPSHOT}/maven-metadata.xml`]) {
      expect([path, (await get(path)).statusCode]).toEqual([path, 404])
      expect((await head(path)).statusCode).toBe(404)
    }
    expect(asked()).toBe(0)
    expect((await get(JAR)).statusCode).toBe(200)
  })
})

describe('an upstream that is switched', () => {
  test('offline is not asked, and what is held is served; blocked serves nothing', async () => {
    repository.add(JAR, 'jar')
    repository.addMetadata(NAME, ['1.0'])
    repository.add(`${SNAPSHOT}/lib-2.0-SNAPSHOT.jar`, 'snapshot')
    const held = [JAR, METADATA, `${SNAPSHOT}/lib-2.0-SNAPSHOT.jar`]
    for (const path of held) await get(path)
    await settle()
    repository.upstream.forget()
    await server.services.upstream.setMode('central', 'offline')
    server.clock.advance(24 * 60 * MINUTE)
    for (const path of held) expect((await get(path)).statusCode).toBe(200)
    for (const path of held) expect((await get(`${path}.sha1`)).statusCode).toBe(200)
    for (const path of [POM, `${POM}.sha1`, 'com/acme/other/maven-metadata.xml']) {
      const missing = await get(path)
      expect(missing.statusCode).toBe(404)
      expect(missing.body).toMatch('offline')
      expect((await head(path)).statusCode).toBe(404)
    }
    await server.services.upstream.setMode('central', 'blocked')
    for (const path of [...held, POM, `${JAR}.sha1`]) expect((await get(path)).statusCode).toBe(403)
    expect(asked()).toBe(0)
  })

  test('purged forgets a package, and fetches it again', async () => {
    repository.add(JAR, 'jar')
    repository.addMetadata(NAME, ['1.0'])
    for (const path of [JAR, METADATA]) await get(path)
    await settle()
    await server.api('POST', '/admin/upstreams/central/purge', { name: NAME })
    expect((await server.api('GET', '/packages/central')).json()).toEqual([])
    for (const path of [JAR, METADATA]) expect((await get(path)).headers['x-cache']).toBe('MISS')
  })
})

/** A GET over a socket, which sees resets. */
function download(url: string): Promise<{ status: number; body: Buffer; error: string | null }> {
  return new Promise((done) => {
    const chunks: Buffer[] = []
    const outgoing = httpRequest(url, { agent: false }, (response) => {
      const end = (error: string | null) =>
        done({ status: response.statusCode ?? 0, body: Buffer.concat(chunks), error })
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => end(null))
      response.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
    })
    outgoing.on('error', (error: NodeJS.ErrnoException) =>
      done({ status: 0, body: Buffer.alloc(0), error: error.code ?? '?' }),
    )
    outgoing.end()
  })
}

test('names that the site reserves reach no mirror, by whatever path', async () => {
  await start({ environment: { ENTREPOT_MIRRORS_RESERVED_MAVEN: 'secret,com.acme:*' } })
  for (const folder of ['secret', 'SECRET', '%73ecret', 'secret/lib', 'com/acme', 'com/acme/lib', 'com.acme/lib']) {
    for (const rest of [
      'maven-metadata.xml',
      'maven-metadata.xml.sha1',
      '1.0-SNAPSHOT/maven-metadata.xml',
      '1.0/x.jar',
    ]) {
      for (const method of ['GET', 'HEAD'] as const) {
        const path = `${folder}/${rest}`
        expect([path, (await ask(method, path)).statusCode]).toEqual([path, 404])
      }
    }
  }
  expect(repository.upstream.requests).toEqual([])
  await get('public/maven-metadata.xml')
  expect(asked()).toBe(1)
})
