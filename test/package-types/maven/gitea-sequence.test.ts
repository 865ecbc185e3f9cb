import { afterAll, beforeAll, expect, test } from 'vitest'
import { algorithms } from '../../../src/storage/digest.ts'
import { TestApp } from '../../support/test-app.ts'
import { checksum, pom, Repository } from './repository.ts'

const group = 'com.gitea'
const artifact = 'test-project'
const version = '1.0.1'
const root = 'com/gitea/test-project'
const file = 'any-name.jar'
const content = 'test'
const metadata = `${root}/maven-metadata.xml`

let server: TestApp
let repository: Repository

beforeAll(async () => {
  server = await TestApp.start()
  repository = new Repository(server, 'alice', await server.createUser('alice'))
})
afterAll(() => server.close())

async function describeAll() {
  const { lookup } = server.services.packages
  const { versionIds } = await lookup.search({ type: 'maven', page: 1, limit: 50 })
  return lookup.describe(versionIds)
}

function yyyymmddhhmmss(time: number): string {
  return new Date(time).toISOString().replace(/\D/g, '').slice(0, 14)
}

// The order of Gitea's own test (maven.md §8), without the names that only Gitea's older data has.
test('a Maven repository as Gitea has one', async () => {
  const jar = `${root}/${version}/${file}`
  expect(await repository.send(jar, content)).toBe(201)
  expect(await repository.send(jar, content)).toBe(409)
  expect(await repository.send(metadata, content)).toBe(200)

  const [first, ...others] = await describeAll()
  expect(others).toEqual([])
  expect(first).toMatchObject({ package: { name: `${group}:${artifact}` }, version: { version }, metadata: null })
  expect(first!.files).toHaveLength(1)
  expect(first!.files[0]).toMatchObject({ file: { name: file, isLead: false }, blob: { size: content.length } })

  for (const answer of [await repository.head(jar), await repository.get(jar)]) {
    expect(answer.statusCode).toBe(200)
    expect(answer.headers['content-type']).toBe('application/java-archive')
    expect(answer.headers['content-length']).toBe(String(content.length))
    expect(Date.parse(String(answer.headers['last-modified']))).toBeGreaterThan(0)
  }
  expect((await repository.get(jar)).body).toBe(content)
  expect((await describeAll())[0]!.version.downloadCount).toBe(0)

  expect(await repository.send(`${jar}.sha1`, 'test')).toBe(400)
  expect(await repository.send(`${jar}.sha1`, 'a94a8fe5ccb19ba61c4c0873d391e987982fbbd3')).toBe(200)

  const text = pom(group, artifact, version, '<description>Test Description</description>')
  expect(await repository.send(`${jar}.pom`, text)).toBe(201)
  const [described] = await describeAll()
  expect(described!.metadata).toMatchObject({
    group_id: group,
    artifact_id: artifact,
    description: 'Test Description',
  })
  const lead = described!.files.filter(({ file }) => file.isLead)
  expect(lead.map(({ file }) => file.name)).toEqual([`${file}.pom`])

  const head = await repository.head(`${jar}.pom`)
  expect([head.statusCode, head.headers['content-type'], head.body]).toEqual([200, 'text/xml', ''])
  const got = await repository.get(`${jar}.pom`)
  expect([got.statusCode, got.headers['content-type'], got.body]).toEqual([200, 'text/xml', text])
  expect((await describeAll())[0]!.version.downloadCount).toBe(1)

  expect(await repository.read(`${root}/1.2.3/${file}`)).toBe(404)
  for (const algorithm of algorithms) {
    const answer = await repository.get(`${jar}.${algorithm}`)
    expect(answer.body).toBe(checksum(algorithm, content))
    expect(answer.headers['content-type']).toMatch(/^text\/plain/)
  }

  const document = [
    '<?xml version="1.0" encoding="UTF-8"?>\n',
    '<metadata><groupId>com.gitea</groupId><artifactId>test-project</artifactId><versioning>',
    '<release>1.0.1</release><latest>1.0.1</latest><versions><version>1.0.1</version></versions>',
    `<lastUpdated>${yyyymmddhhmmss(described!.version.createdAt)}</lastUpdated></versioning></metadata>`,
  ].join('')
  expect(await repository.read(metadata)).toBe(document)
  for (const algorithm of algorithms) {
    expect(await repository.read(`${metadata}.${algorithm}`)).toBe(checksum(algorithm, document))
  }

  const snapshot = `${root}/${version}-SNAPSHOT`
  expect(await repository.send(`${snapshot}/${file}`, content)).toBe(201)
  expect(await repository.send(metadata, content)).toBe(200)
  expect(await repository.send(`${snapshot}/maven-metadata.xml`, content)).toBe(201)
  expect(await repository.send(`${snapshot}/maven-metadata.xml`, `${content}-overwrite`)).toBe(201)

  expect(await repository.send(`${root}/${version}-invalid/${file}`, 'any invalid content')).toBe(201)

  const parallel = `${root}/${version}-parallel`
  const statuses = await Promise.all(
    Array.from({ length: 10 }, (_, index) => repository.send(`${parallel}/any-${index}.jar`, content)),
  )
  expect(statuses).toEqual(Array.from({ length: 10 }, () => 201))
  expect((await describeAll())[0]!.files).toHaveLength(10)

  const all = await repository.read(metadata)
  const versions = [version, `${version}-SNAPSHOT`, `${version}-invalid`, `${version}-parallel`]
  expect(all).toContain(`<versions>${versions.map((one) => `<version>${one}</version>`).join('')}</versions>`)
  expect(all).toContain(`<release>${version}-parallel</release><latest>${version}-parallel</latest>`)
})
