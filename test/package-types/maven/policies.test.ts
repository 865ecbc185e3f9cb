import { createHash } from 'node:crypto'
import { request } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeMavenRepository } from '../../support/fake-maven-repository.ts'
import { TestApp } from '../../support/test-app.ts'

const REG = '/api/packages/central/maven'
const NAME = 'com.acme:lib'
const METADATA = 'com/acme/lib/maven-metadata.xml'
const HOUR = 3_600_000
const DAY = 24 * HOUR

let repository: FakeMavenRepository
let server: TestApp
let now: number

beforeEach(async () => {
  now = Date.now()
  repository = await FakeMavenRepository.start()
  const file = { type: 'maven', owner: 'central', url: repository.url, allowPrivateNetwork: true }
  server = await TestApp.start({ upstreams: { central: file } })
})
afterEach(async () => {
  await server.close()
  await repository.close()
})

const get = (path: string, method: 'GET' | 'HEAD' = 'GET') => server.inject({ method, url: `${REG}/${path}` })
const jar = (version: string) => `com/acme/lib/${version}/lib-${version}.jar`
const pom = (version: string) => `com/acme/lib/${version}/lib-${version}.pom`
const recommended = () => server.api('POST', '/admin/policies/presets/recommended')
const policy = async (fields: object) => {
  const response = await server.api('POST', '/admin/policies', { type: 'maven', ...fields })
  expect(response.statusCode, response.body).toBe(201)
  return response.json() as { id: number }
}
const versionsIn = (xml: string) => [...xml.matchAll(/<version>([^<]+)/g)].map(([, version]) => version)
const updated = (ms: number) => new Date(ms).toISOString().replace(/\D/g, '').slice(0, 14)
const later = async (ms: number) => {
  await server.services.upstream.settle()
  server.clock.advance(ms)
}

/** Puts a version's files; the POM lies there since `at`. */
function add(version: string, at: number): void {
  repository.add(pom(version), `<project><version>${version}</version></project>`, { answer: { lastModified: at } })
  repository.add(jar(version), `jar of ${version}`)
}

describe('a cooldown', () => {
  beforeEach(() => {
    add('1.0', now - 300 * DAY)
    add('1.1', now - 100 * DAY)
    add('1.2', now - HOUR)
    repository.addMetadata(NAME, ['1.0', '1.1', '1.2'], { lastUpdated: updated(now - HOUR) })
  })

  test('hides young versions, and newest, release and checksums follow', async () => {
    await recommended()
    const metadata = await get(METADATA)
    expect(metadata.statusCode).toBe(200)
    expect(versionsIn(metadata.body)).toEqual(['1.0', '1.1'])
    expect(metadata.body).toContain('<latest>1.1</latest><release>1.1</release>')
    const sha1 = createHash('sha1').update(metadata.rawPayload).digest('hex')
    expect((await get(`${METADATA}.sha1`)).body).toBe(sha1)
  })

  test('refuses files and checksums, held or not (security.md S28), and says why in the status line', async () => {
    expect((await get(jar('1.2'))).statusCode).toBe(200)
    await server.services.upstream.settle()
    await recommended()
    for (const path of [jar('1.2'), pom('1.2'), `${jar('1.2')}.sha1`]) {
      for (const method of ['GET', 'HEAD'] as const) expect((await get(path, method)).statusCode, path).toBe(403)
    }
    expect((await get(jar('1.1'))).statusCode).toBe(200)
    const url = await server.listen()
    const phrase = await new Promise((done) => {
      request(`${url}${REG}/${jar('1.2')}`, (response) => done(response.resume().statusMessage)).end()
    })
    expect(phrase).toMatch(/^com\.acme:lib 1\.2 is younger than 3 days and is held back until 20/)
    await later(72 * HOUR)
    expect((await get(jar('1.2'))).statusCode).toBe(200)
    expect(versionsIn((await get(METADATA)).body)).toEqual(['1.0', '1.1', '1.2'])
  })

  test('believes no time of a POM from before the version was seen to be absent', async () => {
    await get(METADATA)
    await later(HOUR)
    add('1.3', now - 300 * DAY)
    repository.addMetadata(NAME, ['1.0', '1.1', '1.2', '1.3'], { lastUpdated: updated(now + HOUR) })
    await get(METADATA)
    await recommended()
    expect(versionsIn((await get(METADATA)).body)).not.toContain('1.3')
    expect((await get(jar('1.3'))).statusCode).toBe(403)
    await later(72 * HOUR + 1_000)
    expect(versionsIn((await get(METADATA)).body)).toContain('1.3')
  })

  test('leaves snapshots alone, and what is not there is not found', async () => {
    await recommended()
    repository.add('com/acme/lib/2.0-SNAPSHOT/lib-2.0-20260101.000000-1.jar', 'build')
    expect((await get('com/acme/lib/2.0-SNAPSHOT/lib-2.0-20260101.000000-1.jar')).statusCode).toBe(200)
    expect((await get(jar('9.9'))).statusCode).toBe(404)
    expect((await get('com/acme/none/1.0/none-1.0.jar')).statusCode).toBe(404)
  })

  test('asks for the age of a file that nothing lists', async () => {
    repository.add('org/bare/bare/1/bare-1.pom', '<project/>', { answer: { lastModified: now - 300 * DAY } })
    repository.add('org/bare/bare/1/bare-1.jar', 'old')
    repository.add('org/bare/bare/2/bare-2.pom', '<project/>', { answer: { lastModified: now - HOUR } })
    repository.add('org/bare/bare/2/bare-2.jar', 'young')
    await recommended()
    expect((await get('org/bare/bare/1/bare-1.jar')).statusCode).toBe(200)
    expect((await get('org/bare/bare/2/bare-2.jar')).statusCode).toBe(403)
  })
})

test('denied ranges are in the order of Maven, and a name that is left with nothing is refused', async () => {
  for (const version of ['1.9', '1.10', '2.0-rc1']) add(version, now - 100 * DAY)
  const bytes = repository.addMetadata(NAME, ['1.9', '1.10', '2.0-rc1'])
  const { id } = await policy({ action: 'deny', name: NAME, versions: '[1.10,2.0)', reason: 'broken' })
  const metadata = await get(METADATA)
  expect(versionsIn(metadata.body)).toEqual(['1.9'])
  expect((await get(jar('1.10'))).body).toBe(`com.acme:lib 1.10 is denied: broken (policy ${id})\n`)
  expect((await get(jar('2.0-rc1'))).statusCode).toBe(403)
  expect((await get(jar('1.9'))).statusCode).toBe(200)
  await server.api('PATCH', `/admin/policies/${id}`, { name: 'com.acme', versions: '' })
  expect((await get(METADATA)).statusCode).toBe(403)
  expect((await get(jar('1.9'))).statusCode).toBe(403)
  await server.api('DELETE', `/admin/policies/${id}`)
  expect((await get(METADATA)).rawPayload.equals(bytes)).toBe(true)
})

test('a warning is a header', async () => {
  add('1.0', now - 100 * DAY)
  await policy({ action: 'warn', name: NAME, reason: 'unmaintained' })
  const response = await get(jar('1.0'))
  expect([response.statusCode, response.headers['x-policy-warning']]).toEqual([200, 'com.acme:lib: unmaintained'])
})
