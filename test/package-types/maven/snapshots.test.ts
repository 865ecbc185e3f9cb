import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { removeOldBuilds } from '../../../src/package-types/maven/old-builds.ts'
import { newestFiles, parseBuildFile } from '../../../src/package-types/maven/snapshots.ts'
import { parseXml, textOf, type XmlElement } from '../../../src/package-types/maven/xml.ts'
import { TestApp } from '../../support/test-app.ts'
import { checksum, pom, Repository, snapshotMetadata } from './repository.ts'

describe('the name of a file of a build', () => {
  const parse = (filename: string, version = '2.0-SNAPSHOT') => parseBuildFile({ artifact: 'tool', version, filename })
  const build = { timestamp: '20261121.200011', build: 12 }

  test.each([
    ['.jar', null, 'jar'],
    ['.pom', null, 'pom'],
    ['.tar.gz', null, 'tar.gz'],
    ['.jar.asc', null, 'jar.asc'],
    ['.module', null, 'module'],
    ['-sources.jar', 'sources', 'jar'],
    ['-bin.tar.gz', 'bin', 'tar.gz'],
    ['-bin.tar.bz2.asc', 'bin', 'tar.bz2.asc'],
    ['-sources.jar.asc', 'sources', 'jar.asc'],
    ['-sources.jar.sigstore.json', 'sources', 'jar.sigstore.json'],
    ['-linux-x86_64.zip', 'linux-x86_64', 'zip'],
    ['-jdk1.8.jar', 'jdk1.8', 'jar'],
    ['-kotlin-tooling-metadata.json', 'kotlin-tooling-metadata', 'json'],
  ])('ends in %s: classifier %s, extension %s', (end, classifier, extension) => {
    expect(parse(`tool-2.0-20261121.200011-12${end}`)).toEqual({ ...build, classifier, extension })
  })

  test.each([
    'tool-2.0-SNAPSHOT.jar',
    'tool-2.0-20261121.200011.jar',
    'tool-2.0-20261121.200011-12',
    'tool-2.0-20261121.200011-12.',
    'tool-2.0-20261121.200011-12-',
    'tool-2.0-20261121.200011-12-sources',
    'tool-2.0-20261121.200011-12-.jar',
    'tool-2.0-20261121.200011-12x.jar',
    // The name is made from the number again, and would be another.
    'tool-2.0-20261121.200011-012.jar',
    'tool-2.0-2026112.200011-12.jar',
    'tool-2.1-20261121.200011-12.jar',
    'tool-20261121.200011-12.jar',
    'other-2.0-20261121.200011-12.jar',
    'any-name.jar',
  ])('is not %s', (name) => {
    expect(parse(name)).toBeNull()
  })

  test('is found again from what was read of it', () => {
    const word = fc.stringMatching(/^[a-z0-9_]([a-z0-9_.-]{0,6}[a-z0-9_])?$/)
    const classifier = fc.option(word)
    const extension = fc.constantFrom('jar', 'pom', 'tar.gz', 'jar.asc', 'module')
    fc.assert(
      fc.property(word, word, classifier, extension, fc.nat(), (artifact, base, classifier, extension, number) => {
        const rest = `${classifier === null ? '' : `-${classifier}`}.${extension}`
        const filename = `${artifact}-${base}-20261121.200011-${number % 1e9}${rest}`
        const parsed = parseBuildFile({ artifact, version: `${base}-SNAPSHOT`, filename })!
        const kind = `${parsed.classifier === null ? '' : `-${parsed.classifier}`}.${parsed.extension}`
        expect(`${artifact}-${base}-${parsed.timestamp}-${parsed.build}${kind}`).toBe(filename)
      }),
    )
  })
})

describe('of several builds', () => {
  const of = (build: number, timestamp: string, extension = 'jar', classifier: string | null = null) => ({
    ...{ build, timestamp, extension, classifier },
  })
  const [a, b, c] = ['20261121.200011', '20261121.200012', '20261121.200013'] as const
  const announced = (...names: string[]) => new Set(names)

  test('the highest number is the newest, whatever its time; the later of two with the same', () => {
    expect(newestFiles([of(1, c), of(10, a), of(9, b)], announced())).toEqual([of(10, a)])
    expect(newestFiles([of(2, b), of(2, c), of(2, a)], announced())).toEqual([of(2, c)])
  })

  test('each kind has its own', () => {
    const files = [of(1, a), of(1, a, 'jar', 'sources'), of(1, a, 'pom'), of(2, b), of(2, b, 'pom')]
    expect(newestFiles(files, announced())).toEqual([of(2, b), of(1, a, 'jar', 'sources'), of(2, b, 'pom')])
  })

  test('those that nobody has announced are not looked at, unless there are no others', () => {
    const files = [of(1, a), of(1, a, 'pom'), of(2, b)]
    expect(newestFiles(files, announced(`${a}-1`))).toEqual([of(1, a), of(1, a, 'pom')])
    expect(newestFiles(files, announced(`${c}-7`))).toEqual([of(2, b), of(1, a, 'pom')])
  })
})

describe('a snapshot', () => {
  let server: TestApp
  let repository: Repository
  let count = 0
  let root: string
  let artifact: string

  beforeAll(async () => {
    server = await TestApp.start()
    repository = new Repository(server, 'alice', await server.createUser('alice'))
  })
  afterAll(() => server.close())

  function fresh(): void {
    count += 1
    artifact = `tool${count}`
    root = `com/acme/${artifact}/1.0-SNAPSHOT`
  }
  const name = (build: string, rest: string) => `${artifact}-1.0-${build}${rest}`
  const statuses = (answers: Promise<number>[]) => Promise.all(answers).then((all) => new Set(all))

  async function deploy(timestamp: string, buildNumber: number, rests: string[], announce = true): Promise<void> {
    const build = `${timestamp}-${buildNumber}`
    for (const rest of rests) {
      const body = rest === '.pom' ? pom('com.acme', artifact, '1.0-SNAPSHOT') : `${build}${rest}`
      const path = `${root}/${name(build, rest)}`
      expect(await repository.send(path, body)).toBe(201)
      expect(await repository.send(`${path}.sha1`, checksum('sha1', body))).toBe(200)
    }
    if (!announce) return
    const metadata = snapshotMetadata({ timestamp, buildNumber })
    expect(await repository.send(`${root}/maven-metadata.xml`, metadata)).toBe(201)
    // Of the client's document, which is not ours.
    expect(await repository.send(`${root}/maven-metadata.xml.sha1`, checksum('sha1', metadata))).toBe(200)
  }

  /** `<snapshot>`, and the files that the metadata names. */
  async function listed(): Promise<{ snapshot: string; files: string[] }> {
    const response = await repository.get(`${root}/maven-metadata.xml`)
    expect(response.statusCode).toBe(200)
    expect(response.headers['x-checksum-sha1']).toBe(checksum('sha1', response.body))
    const metadata = parseXml(Buffer.from(response.body))
    const at = (...path: string[]) => textOf(metadata, 'versioning', 'snapshot', ...path)
    const versions = find(find(metadata, 'versioning'), 'snapshotVersions').children
    const files = versions.map((version) => {
      const classifier = textOf(version, 'classifier')
      return `${artifact}-${textOf(version, 'value')}${classifier === null ? '' : `-${classifier}`}.${textOf(version, 'extension')}`
    })
    return { snapshot: `${at('timestamp')}-${at('buildNumber')}`, files: files.sort() }
  }
  const find = (element: XmlElement, wanted: string) => element.children.find(({ name }) => name === wanted)!

  test('has no metadata before there is a build', async () => {
    fresh()
    expect(await repository.read(`${root}/maven-metadata.xml`)).toBe(404)
    expect(await repository.send(`${root}/maven-metadata.xml`, 'test')).toBe(201)
    expect(await repository.send(`${root}/${artifact}-1.0-SNAPSHOT.jar`, 'x')).toBe(201)
    expect(await repository.read(`${root}/maven-metadata.xml`)).toBe(404)
    expect(await repository.read(`${root}/maven-metadata.xml.sha1`)).toBe(404)
  })

  test('lists its newest build when its metadata has come, file by file', async () => {
    fresh()
    const [first, second] = ['20261121.200011', '20261121.210000']
    await deploy(first!, 1, ['.jar', '-sources.jar', '.pom', '.jar.asc', '-bin.tar.gz'])
    const files = ['-bin.tar.gz', '-sources.jar', '.jar', '.jar.asc', '.pom'].map((rest) => name(`${first}-1`, rest))
    expect(await listed()).toEqual({ snapshot: `${first}-1`, files })
    const document = await repository.read(`${root}/maven-metadata.xml`)
    expect(await repository.read(`${root}/maven-metadata.xml.sha1`)).toBe(checksum('sha1', String(document)))
    for (const file of files) expect((await repository.head(`${root}/${file}`)).statusCode).toBe(200)

    await deploy(second!, 2, ['.jar', '.pom'], false)
    expect(await listed()).toEqual({ snapshot: `${first}-1`, files })
    await deploy(second!, 2, [], true)
    expect(await listed()).toEqual({
      snapshot: `${second}-2`,
      files: [...files.slice(0, 2), files[3]!, name(`${second}-2`, '.jar'), name(`${second}-2`, '.pom')].sort(),
    })
  })

  test('whose builds nobody announces lists the newest files', async () => {
    fresh()
    await deploy('20261121.200011', 1, ['.jar', '.pom'], false)
    await deploy('20261121.200012', 2, ['.jar'], false)
    expect(await listed()).toEqual({
      snapshot: '20261121.200012-2',
      files: [name('20261121.200011-1', '.pom'), name('20261121.200012-2', '.jar')],
    })
  })

  test('deployed by two clients at once names only what is there', async () => {
    fresh()
    const rests = ['.jar', '.pom', '-sources.jar']
    const builds = ['20261121.200011', '20261121.200012', '20261121.200013', '20261121.200014']
    let looks = 0
    let deploying = true
    const deploys = Promise.all(builds.map((timestamp) => deploy(timestamp, 7, rests))).finally(() => {
      deploying = false
    })
    while (deploying) {
      await setTimeout(2)
      if ((await repository.head(`${root}/maven-metadata.xml`)).statusCode === 404) continue
      const { files } = await listed()
      for (const file of files) expect((await repository.head(`${root}/${file}`)).statusCode, file).toBe(200)
      looks += 1
    }
    await deploys
    expect(looks).toBeGreaterThan(0)
    const files = rests.map((rest) => name('20261121.200014-7', rest)).sort()
    expect(await listed()).toEqual({ snapshot: '20261121.200014-7', files })
  })

  test('announced twice, or by metadata that means nothing, stays as it is', async () => {
    fresh()
    await deploy('20261121.200011', 1, ['.jar'])
    const before = await repository.read(`${root}/maven-metadata.xml`)
    const metadata = snapshotMetadata({ timestamp: '20261121.200011', buildNumber: 1 })
    const bodies = [metadata, metadata, 'test', '', '<metadata/>', '<!DOCTYPE x><metadata/>']
    expect(await statuses(bodies.map((body) => repository.send(`${root}/maven-metadata.xml`, body)))).toEqual(
      new Set([201]),
    )
    expect(await repository.read(`${root}/maven-metadata.xml`)).toBe(before)
    const row = await server.services.packages.lookup.findVersion(
      await aliceId(),
      'maven',
      `com.acme:${artifact}`,
      '1.0-SNAPSHOT',
    )
    const [descriptor] = await server.services.packages.lookup.describe([row!.id])
    expect(descriptor!.versionProperties).toEqual([{ name: 'maven.build', value: '20261121.200011-1' }])
  })

  test('without timestamps is replaced: other bytes, ETag and checksum', async () => {
    fresh()
    const path = `${root}/${artifact}-1.0-SNAPSHOT.jar`
    expect(await repository.send(path, 'first')).toBe(201)
    const first = await repository.get(path)
    server.clock.advance(5_000)
    expect(await repository.send(path, 'second')).toBe(201)
    const second = await repository.get(path, { 'if-none-match': String(first.headers['etag']) })
    expect([second.statusCode, second.body]).toEqual([200, 'second'])
    expect(Date.parse(String(second.headers['last-modified']))).toBeGreaterThan(
      Date.parse(String(first.headers['last-modified'])),
    )
    expect(await repository.read(`${path}.sha1`)).toBe(checksum('sha1', 'second'))
    expect(await repository.send(`${path}.sha1`, checksum('sha1', 'first'))).toBe(400)
    expect(second.headers['cache-control']).toBe('no-cache')
    const files = await server.api('GET', `/packages/alice/maven/com.acme%3A${artifact}/1.0-SNAPSHOT/files`)
    expect(files.json()).toHaveLength(1)
  })

  test('is kept by no cache in between, in whatever case its version is asked for', async () => {
    const folder = (version: string) => `com/acme/cased/${version}`
    await repository.send(`${folder('1.0-SNAPSHOT')}/cased-1.0-SNAPSHOT.jar`, 'first')
    for (const ending of ['', '.sha1']) {
      const { headers } = await repository.get(`${folder('1.0-snapshot')}/cased-1.0-SNAPSHOT.jar${ending}`)
      expect([ending, headers['cache-control']]).toEqual([ending, 'no-cache'])
    }
  })

  test('is replaced under a download that goes on', async () => {
    fresh()
    const base = await server.listen()
    const path = `${root}/${artifact}-1.0-SNAPSHOT.jar`
    const [old, next] = [Buffer.alloc(20_000_000, 'o'), Buffer.alloc(100, 'n')]
    expect(await repository.send(path, old)).toBe(201)
    const download = await fetch(`${base}${repository.url(path)}`)
    const reader = download.body!.getReader()
    const chunks = [(await reader.read()).value!]
    expect(await repository.send(path, next)).toBe(201)
    expect((await repository.get(path)).rawPayload.equals(next)).toBe(true)
    server.clock.advance(2 * 86_400_000)
    await server.services.packages.collectGarbage({ olderThan: 0 })
    for (let part = await reader.read(); !part.done; part = await reader.read()) chunks.push(part.value)
    expect(Buffer.concat(chunks).equals(old)).toBe(true)
  })

  test('its POM replaces what is known of the version', async () => {
    fresh()
    const path = `${root}/${artifact}-1.0-SNAPSHOT.pom`
    const send = (name: string) =>
      repository.send(path, pom('com.acme', artifact, '1.0-SNAPSHOT', `<name>${name}</name>`))
    const metadata = async () =>
      (await server.api('GET', `/packages/alice/maven/com.acme%3A${artifact}/1.0-SNAPSHOT`)).json().metadata.name
    expect(await send('First')).toBe(201)
    expect(await metadata()).toBe('First')
    expect(await send('Second')).toBe(201)
    expect(await metadata()).toBe('Second')
  })

  async function aliceId(): Promise<number> {
    return (await server.services.accounts.find('alice'))!.id
  }

  test('keeps its newest builds, and whatever its metadata names', async () => {
    fresh()
    const stamp = (hour: number) => `20261121.${hour}0000`
    await deploy(stamp(10), 1, ['.jar', '.pom', '-docs.zip'])
    for (const build of [2, 3, 4]) await deploy(stamp(10 + build), build, ['.jar', '.pom'])
    await deploy(stamp(15), 5, ['.jar'], false)
    const files = async () => {
      const path = `/packages/alice/maven/com.acme%3A${artifact}/1.0-SNAPSHOT/files`
      return ((await server.api('GET', path)).json() as { name: string }[]).map((file) => file.name).sort()
    }
    const before = await files()
    expect(await removeOldBuilds(server.services, -1)).toBe(0)
    expect(await files()).toEqual(before)
    expect(await removeOldBuilds(server.services, 2)).toBe(4)
    const kept = [
      name(`${stamp(10)}-1`, '-docs.zip'),
      ...[3, 4].flatMap((build) => ['.jar', '.pom'].map((rest) => name(`${stamp(10 + build)}-${build}`, rest))),
      name(`${stamp(15)}-5`, '.jar'),
    ]
    expect(await files()).toEqual(kept.sort())
    for (const file of (await listed()).files) {
      expect((await repository.head(`${root}/${file}`)).statusCode).toBe(200)
    }
    expect((await listed()).snapshot).toBe(`${stamp(14)}-4`)
    expect(await removeOldBuilds(server.services, 0)).toBeGreaterThanOrEqual(2)
    expect(await files()).toEqual(kept.filter((file) => !file.includes('-3.')).sort())
    expect((await listed()).snapshot).toBe(`${stamp(14)}-4`)
    expect(await removeOldBuilds(server.services, 0)).toBe(0)
  })
})
