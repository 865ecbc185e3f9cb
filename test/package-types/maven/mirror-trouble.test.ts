import { request as httpRequest } from 'node:http'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { FakeMavenRepository, hash } from '../../support/fake-maven-repository.ts'
import { type Answer, createGate, FakeUpstream, silence } from '../../support/fake-upstream.ts'
import { TestApp, type TestAppOptions } from '../../support/test-app.ts'

const REG = '/api/packages/central/maven'
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const NAME = 'com.acme:lib'
const JAR = 'com/acme/lib/1.0/lib-1.0.jar'
const POM = 'com/acme/lib/1.0/lib-1.0.pom'
const METADATA = 'com/acme/lib/maven-metadata.xml'
const SNAPSHOT = 'com/acme/lib/2.0-SNAPSHOT/lib-2.0-SNAPSHOT.jar'
const BIG = 3_000_000
const IMPATIENT = { ENTREPOT_MIRRORS_DOCUMENT_TIMEOUT: '1s', ENTREPOT_MIRRORS_ARTIFACT_TIMEOUT: '1s' }

let repository: FakeMavenRepository
let server: TestApp
const started: { close(): Promise<void> }[] = []

async function start({ upstream, ...options }: TestAppOptions & { upstream?: object } = {}): Promise<void> {
  const file = { type: 'maven', owner: 'central', url: repository.url, allowPrivateNetwork: true, ...upstream }
  server = await TestApp.start({ upstreams: { central: file }, ...options })
  started.push(server)
}

beforeEach(async () => {
  repository = await FakeMavenRepository.start()
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((one) => one.close()))
  await repository.close()
})

const get = (path: string) => server.inject({ method: 'GET', url: `${REG}/${path}` })
const head = (path: string) => server.inject({ method: 'HEAD', url: `${REG}/${path}` })
const settle = () => server.services.upstream.settle()
const listed = async () => (await server.api('GET', '/packages/central')).json()

describe('an upstream that fails', () => {
  const failures: [string, Answer, number[]][] = [
    ['answers 500', { status: 500 }, [502, 503]],
    ['answers 503', { status: 503 }, [503]],
    ['answers 429', { status: 429, headers: { 'retry-after': '7' } }, [503]],
    ['answers 401', { status: 401 }, [502]],
    ['answers 403', { status: 403 }, [502]],
    ['cuts every connection', { refuse: true }, [502, 503]],
    ['says nothing', silence, [504, 503]],
    ['signs everybody in first', { headers: { 'content-type': 'text/html' }, body: '<html>sign in</html>' }, [502]],
  ]

  test.each(failures)('and %s: nothing is 404, nothing is believed to be absent', async (_, failure, statuses) => {
    await start({ environment: failure === silence ? IMPATIENT : {} })
    repository.add(JAR, 'jar', { checksums: 'headers' })
    repository.addPom(NAME, '1.0')
    repository.addMetadata(NAME, ['1.0'])
    repository.add(SNAPSHOT, 'snapshot')
    const paths = [JAR, POM, `${JAR}.sha1`, METADATA, `${METADATA}.sha1`, SNAPSHOT]
    repository.upstream.everything(failure)
    for (const path of paths) {
      const answer = await get(path)
      expect(statuses, `${path}: ${answer.statusCode}`).toContain(answer.statusCode)
      expect(answer.headers['cache-control']).toBe('no-store')
      expect(statuses, path).toContain((await head(path)).statusCode)
    }
    await settle()
    expect(await listed()).toEqual([])
    repository.upstream.everything(null)
    server.clock.advance(10 * MINUTE)
    for (const path of paths) {
      const answer = await get(path)
      expect(answer.statusCode, `${path}: ${answer.body}`).toBe(200)
      expect((await head(path)).statusCode).toBe(200)
    }
  })

  test('keeps nobody from what is held: files without end, documents for days', async () => {
    await start()
    const jar = repository.add(JAR, 'jar')
    const metadata = repository.addMetadata(NAME, ['1.0'])
    for (const path of [JAR, METADATA]) await get(path)
    await settle()
    for (const trouble of [{ status: 500 }, { status: 403 }, { status: 429 }]) {
      repository.upstream.everything(trouble)
      server.clock.advance(DAY)
      expect((await get(JAR)).rawPayload.equals(jar)).toBe(true)
      const stale = await get(METADATA)
      expect(stale.rawPayload.equals(metadata)).toBe(true)
      expect(stale.headers['cache-status']).toMatch('STALE_ERROR')
      expect(stale.headers['x-cache']).toBe('STALE')
      expect((await get(`${METADATA}.sha1`)).body).toBe(hash(metadata, 'sha1'))
      expect((await get(`${JAR}.sha1`)).body).toBe(hash(jar, 'sha1'))
    }
    await repository.upstream.down()
    expect((await get(METADATA)).statusCode).toBe(200)
  })

  test('and takes away what it had: it stays here', async () => {
    await start()
    repository.add(JAR, 'jar')
    repository.addMetadata(NAME, ['1.0'])
    for (const path of [JAR, METADATA]) await get(path)
    await settle()
    for (const path of [JAR, METADATA]) repository.remove(path)
    server.clock.advance(DAY)
    expect((await get(JAR)).body).toBe('jar')
    expect((await get(METADATA)).headers['cache-status']).toMatch('fwd-status=404; detail=GONE')
  })

  test('by being slow delays metadata that is held for a moment only', async () => {
    await start({ environment: { ENTREPOT_MIRRORS_STALE_WAIT: '150ms' } })
    const bytes = repository.addMetadata(NAME, ['1.0'])
    await get(METADATA)
    await settle()
    const gate = createGate()
    repository.on(METADATA, { body: bytes, before: gate.opened })
    server.clock.advance(16 * MINUTE)
    const slow = await get(METADATA)
    expect(slow.rawPayload.equals(bytes)).toBe(true)
    expect(slow.headers['cache-status']).toMatch('STALE_SLOW')
    gate.open()
    await settle()
    expect((await get(METADATA)).headers['cache-status']).toMatch(/hit; ttl=\d/)
  })
})

describe('a transfer', () => {
  test('that breaks off is taken up again where it ended', async () => {
    await start()
    const bytes = repository.add(JAR, Buffer.alloc(BIG, 'x'))
    repository.on(JAR, (_, attempt) => ({
      ...repository.answer(bytes),
      ...(attempt === 1 ? { cutAt: 2_000_000 } : {}),
    }))
    const { body, error } = await download(JAR)
    expect({ error, digest: hash(body, 'sha1') }).toEqual({ error: null, digest: hash(bytes, 'sha1') })
  })

  test('that ends too early never looks like a whole file, and the next one gets it', async () => {
    await start()
    const bytes = repository.add(JAR, Buffer.alloc(BIG, 'x'), { checksums: 'none' })
    repository.on(JAR, { body: bytes, cutAt: 2_000_000 })
    const { body, error } = await download(JAR)
    expect(error).not.toBeNull()
    expect(body.length).toBeLessThan(bytes.length)
    await settle()
    expect(await listed()).toEqual([])
    repository.add(JAR, bytes)
    server.clock.advance(MINUTE)
    expect((await download(JAR)).body.equals(bytes)).toBe(true)
  })

  test('by redirect from another host is checked by what that host says', async () => {
    const storage = await FakeUpstream.start()
    started.push(storage)
    await start()
    const redirect = (path: string) =>
      repository.on(path, { status: 302, headers: { location: `${storage.url}/store/${path}?sig=1` } })
    for (const path of [JAR, POM, METADATA]) redirect(path)
    const right = Buffer.from('right')
    storage.on(`/store/${JAR}`, { body: right, headers: { 'x-amz-meta-checksum-sha1': hash(right, 'sha1') } })
    storage.on(`/store/${POM}`, { body: 'wrong', headers: { 'x-amz-meta-checksum-sha1': hash(right, 'sha1') } })
    storage.on(`/store/${METADATA}`, { status: 404 })
    expect((await get(JAR)).body).toBe('right')
    expect((await get(POM)).statusCode).toBe(502)
    expect((await get(METADATA)).statusCode).toBe(404)
    await settle()
    const properties = await server.services.models.packageProperty.findAll({
      where: { name: 'upstream.url' },
      raw: true,
    })
    expect(properties.map(({ value }) => value)).toEqual([`${storage.url}/store/${JAR}`])
  })
})

describe('a checksum', () => {
  test.each(['wrong-sidecars', 'wrong-headers'] as const)(
    'that is wrong (%s) keeps the file out, until it is right',
    async (checksums) => {
      await start()
      repository.add(JAR, 'jar', { checksums })
      const refused = await get(JAR)
      expect(refused.statusCode).toBe(502)
      expect(refused.headers['cache-status']).toMatch('detail=BAD_DIGEST')
      expect(refused.headers['cache-control']).toBe('no-store')
      await settle()
      expect(await listed()).toEqual([])
      expect((await get(JAR)).statusCode).toBe(502)
      expect(repository.count(JAR)).toBe(1)
      repository.add(JAR, 'jar', { checksums: checksums === 'wrong-headers' ? 'headers' : 'sidecars' })
      server.clock.advance(20 * MINUTE)
      expect((await get(JAR)).body).toBe('jar')
    },
  )

  test('that was wrong and was put right is believed at once when an administrator says so', async () => {
    await start()
    repository.add(JAR, 'jar', { checksums: 'wrong-headers' })
    expect((await get(JAR)).statusCode).toBe(502)
    repository.add(JAR, 'jar', { checksums: 'headers' })
    expect((await get(JAR)).statusCode).toBe(502)
    expect((await server.api('POST', '/admin/upstreams/central/invalidate', {})).statusCode).toBe(204)
    expect((await get(JAR)).body).toBe('jar')
  })

  test('that is wrong cuts a large file off before its end', async () => {
    await start()
    const bytes = repository.add(JAR, Buffer.alloc(BIG, 'x'), { checksums: 'wrong-sidecars' })
    const { body, error } = await download(JAR)
    expect(error).not.toBeNull()
    expect(body.length).toBeLessThan(bytes.length)
    await settle()
    expect(await listed()).toEqual([])
  })

  test('in the answer saves a request; the SHA-1 beside the file, else the MD5 there, is what is compared', async () => {
    await start()
    const bytes = repository.add(JAR, 'jar', { checksums: 'none' })
    repository.on(`${JAR}.md5`, { body: `MD5 (lib-1.0.jar) = ${hash(bytes, 'md5').toUpperCase()}\n` })
    expect((await get(JAR)).statusCode).toBe(200)
    expect(repository.count(`${JAR}.sha1`)).toBe(1)
    repository.add(POM, 'pom', { checksums: 'none' })
    repository.on(`${POM}.sha1`, { body: 'not generated' })
    repository.on(`${POM}.md5`, { body: hash(bytes, 'md5') })
    expect((await get(POM)).headers['cache-status']).toMatch('BAD_DIGEST')
  })

  test('that cannot be read is none: what comes first is trusted', async () => {
    await start()
    const page = { headers: { 'content-type': 'text/html' }, body: `<html>${'0'.repeat(40)}</html>` }
    const files: [string, Answer][] = [
      ['page', page],
      ['empty', { body: '' }],
      ['huge', { body: '0'.repeat(100_000) }],
      ['other', { body: 'cafe' }],
    ]
    for (const [name, answer] of files) {
      const path = `com/acme/lib/1.0/${name}.jar`
      repository.add(path, name, { checksums: 'none' })
      repository.on(`${path}.sha1`, answer)
      expect([name, (await get(path)).statusCode]).toEqual([name, 200])
    }
    await settle()
    await server.api('DELETE', '/packages/central/maven/com.acme%3Alib/1.0')
    repository.add('com/acme/lib/1.0/empty.jar', 'other bytes', { checksums: 'none' })
    expect((await get('com/acme/lib/1.0/empty.jar')).headers['cache-status']).toMatch('REPUBLISHED')
  })

  test.each([
    ['fails', { status: 500 }],
    ['is refused', { status: 403 }],
    ['never comes', silence],
    ['breaks off', { body: '0'.repeat(40), cutAt: 5 }],
  ] as [string, Answer][])(
    'that %s keeps the file out where checksums are strict, and only there',
    async (_, answer) => {
      const environment = { ...(answer === silence ? IMPATIENT : {}), ENTREPOT_MIRRORS_RETRIES: '0' }
      await start({ environment })
      repository.add(JAR, 'jar')
      repository.on(`${JAR}.sha1`, answer)
      const refused = await get(JAR)
      expect([502, 503, 504]).toContain(refused.statusCode)
      await settle()
      expect(await listed()).toEqual([])
      repository.add(JAR, 'jar')
      server.clock.advance(20 * MINUTE)
      expect((await get(JAR)).statusCode).toBe(200)
      await start({ environment, upstream: { options: { checksum: 'warn' } } })
      repository.on(`${JAR}.sha1`, answer)
      expect((await get(JAR)).body).toBe('jar')
    },
  )

  test('that is wrong costs a warning where the upstream or the path is said to be careless', async () => {
    await start({ upstream: { options: { checksumExceptions: ['com/acme/lib/1.0/*'] } } })
    const warn = vi.spyOn(server.services.log, 'warn')
    repository.add(JAR, 'jar', { checksums: 'wrong-sidecars' })
    repository.add('com/acme/lib/1.1/lib-1.1.jar', 'jar', { checksums: 'wrong-sidecars' })
    const answer = await get(JAR)
    expect(answer.body).toBe('jar')
    await settle()
    expect(warn.mock.calls.map(([, message]) => message)).toEqual([
      expect.stringMatching('contradicts its published checksum'),
    ])
    // Our word on it is that of the bytes.
    expect((await get(`${JAR}.sha1`)).body).toBe(hash(Buffer.from('jar'), 'sha1'))
    expect((await get('com/acme/lib/1.1/lib-1.1.jar')).statusCode).toBe(502)
    await start({ upstream: { options: { checksum: 'warn' } } })
    expect((await get('com/acme/lib/1.1/lib-1.1.jar')).body).toBe('jar')
    await settle()
    // What was first is what it is, right or wrong.
    await server.api('DELETE', '/packages/central/maven/com.acme%3Alib/1.1')
    repository.add('com/acme/lib/1.1/lib-1.1.jar', 'changed', { checksums: 'sidecars' })
    expect((await get('com/acme/lib/1.1/lib-1.1.jar')).headers['cache-status']).toMatch('REPUBLISHED')
  })
})

/** A GET over a socket, which sees resets. */
async function download(path: string): Promise<{ status: number; body: Buffer; error: string | null }> {
  const url = `${await server.listen()}${REG}/${path}`
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
