import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { TestApp } from '../../support/test-app.ts'
import { createTestDatabaseUrl } from '../../support/test-database.ts'
import { checksum, Repository, snapshotMetadata } from './repository.ts'

const root = 'com/acme/tool'

let folder: string
let database: Awaited<ReturnType<typeof createTestDatabaseUrl>>
let servers: [TestApp, TestApp]
let one: Repository
let two: Repository

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrepot-replicas-'))
  database = await createTestDatabaseUrl(folder)
  const start = () => TestApp.start({ databaseUrl: database.url, dataDir: folder })
  servers = [await start(), await start()]
  const alice = await servers[0].createUser('alice')
  one = new Repository(servers[0], 'alice', alice)
  two = new Repository(servers[1], 'alice', alice)
})
afterAll(async () => {
  for (const server of servers) await server.close()
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

// With and without Redis: no notice need have come.
test('a checksum finds the file that another replica has taken a moment ago, or replaced', async () => {
  for (const path of [`${root}/1.0/tool-1.0.jar`, `${root}/1.0-SNAPSHOT/tool-1.0-SNAPSHOT.jar`]) {
    expect(await two.read(path)).toBe(404)
    expect(await one.send(path, 'first')).toBe(201)
    expect(await two.send(`${path}.sha1`, checksum('sha1', 'first'))).toBe(200)
  }
  const path = `${root}/1.0-SNAPSHOT/tool-1.0-SNAPSHOT.jar`
  await two.read(path)
  expect(await one.send(path, 'second')).toBe(201)
  expect(await two.send(`${path}.sha1`, checksum('sha1', 'second'))).toBe(200)
})

/** Needs Redis: TEST_REDIS_URL. */
test.skipIf(process.env['TEST_REDIS_URL'] === undefined)('what one replica changes, the other shows soon', async () => {
  const soon = (path: string, expected: unknown) =>
    vi.waitFor(async () => expect(await two.read(path)).toEqual(expected), 5_000)
  const versions = (...names: string[]) =>
    expect.stringContaining(`<versions>${names.map((name) => `<version>${name}</version>`).join('')}</versions>`)
  const artifact = 'com/acme/other'
  expect(await two.read(`${artifact}/maven-metadata.xml`)).toBe(404)
  expect(await one.send(`${artifact}/1.0/other-1.0.jar`, 'x')).toBe(201)
  await soon(`${artifact}/maven-metadata.xml`, versions('1.0'))
  await soon(`${artifact}/1.0/other-1.0.jar`, 'x')

  const snapshot = `${artifact}/2.0-SNAPSHOT`
  expect(await two.read(`${snapshot}/maven-metadata.xml`)).toBe(404)
  for (const number of [1, 2]) {
    const build = { timestamp: '20261121.200011', buildNumber: number }
    await one.send(`${snapshot}/other-2.0-20261121.200011-${number}.jar`, String(number))
    if (number === 2) expect(await two.read(`${snapshot}/maven-metadata.xml`)).not.toContain('-2</value>')
    await one.send(`${snapshot}/maven-metadata.xml`, snapshotMetadata(build))
    await soon(`${snapshot}/maven-metadata.xml`, expect.stringContaining(`-${number}</value>`))
  }

  const plugin = `<project><artifactId>x-maven-plugin</artifactId><packaging>maven-plugin</packaging></project>`
  expect(await two.read('com/acme/plugins/maven-metadata.xml')).toBe(404)
  await one.send('com/acme/plugins/x-maven-plugin/1.0/x-maven-plugin-1.0.pom', plugin)
  await soon('com/acme/plugins/maven-metadata.xml', expect.stringContaining('<prefix>x</prefix>'))

  const remove = (path: string) => servers[0].api('DELETE', `/packages/alice/maven/com.acme%3Aother${path}`)
  expect((await remove('/2.0-SNAPSHOT')).statusCode).toBe(204)
  await soon(`${artifact}/maven-metadata.xml`, versions('1.0'))
  await soon(`${snapshot}/maven-metadata.xml`, 404)
  expect((await remove('')).statusCode).toBe(204)
  for (const path of ['maven-metadata.xml', '1.0/other-1.0.jar', '1.0/other-1.0.jar.sha1']) {
    await soon(`${artifact}/${path}`, 404)
  }
})
