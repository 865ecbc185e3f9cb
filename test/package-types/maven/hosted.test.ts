import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { algorithms } from '../../../src/storage/digest.ts'
import { TestApp } from '../../support/test-app.ts'
import { checksum, pom, Repository } from './repository.ts'

const LIMIT = 20_000

let server: TestApp
let repository: Repository
let alice: string
let count = 0

beforeAll(async () => {
  server = await TestApp.start({ environment: { ENTREPOT_PACKAGES_LIMITS_MAVEN: String(LIMIT) } })
  alice = await server.createUser('alice')
  repository = new Repository(server, 'alice', alice)
})
afterAll(() => server.close())

/** An artifact of its own for each test: its name and its folder. */
function fresh(): { artifact: string; root: string } {
  count += 1
  return { artifact: `tool${count}`, root: `com/acme/tool${count}` }
}

const bytesOf = (tag: string) => Buffer.from(`bytes of ${tag}`)

describe('a file of a release', () => {
  test('comes back as it went, by GET, HEAD, range and validator', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.jar`
    const body = Buffer.from(Array.from({ length: 5_000 }, (_, index) => index % 256))
    expect(await repository.send(path, body)).toBe(201)
    const got = await repository.get(path)
    expect(got.rawPayload.equals(body)).toBe(true)
    expect(got.headers).toMatchObject({
      'content-type': 'application/java-archive',
      'content-length': '5000',
      'cache-control': expect.stringMatching(/^public.*immutable/),
      etag: `"sha256:${checksum('sha256', body)}"`,
    })
    expect(got.headers).not.toHaveProperty('content-disposition')
    for (const algorithm of algorithms) {
      expect(got.headers[`x-checksum-${algorithm}`]).toBe(checksum(algorithm, body))
    }
    const head = await repository.head(path)
    expect(head.body).toBe('')
    const { date: _date, ...told } = head.headers
    expect(got.headers).toMatchObject(told)
    const part = await repository.get(path, { range: 'bytes=10-19' })
    expect([part.statusCode, part.rawPayload.equals(body.subarray(10, 20))]).toEqual([206, true])
    expect((await repository.get(path, { 'if-none-match': String(got.headers['etag']) })).statusCode).toBe(304)
    expect((await repository.get(path, { 'if-modified-since': String(got.headers['last-modified']) })).statusCode).toBe(
      304,
    )
  })

  test('may be empty', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0-empty.jar`
    expect(await repository.send(path, '')).toBe(201)
    const got = await repository.get(path)
    expect([got.statusCode, got.headers['content-length'], got.body]).toEqual([200, '0', ''])
    expect(await repository.send(`${path}.sha1`, checksum('sha1', ''))).toBe(200)
    expect(await repository.read(`${path}.md5`)).toBe(checksum('md5', ''))
  })

  test('is taken with whatever media type, or none', async () => {
    const { artifact, root } = fresh()
    for (const [index, type] of ['text/plain', 'nonsense', 'application/json', 'multipart/form-data'].entries()) {
      const path = `${root}/1.0/${artifact}-1.0-${index}.jar`
      const headers = { 'content-type': type }
      expect((await repository.request('PUT', path, { headers, payload: bytesOf(path) })).statusCode).toBe(201)
      expect(await repository.read(path)).toBe(String(bytesOf(path)))
    }
  })

  test('is not replaced, not by the same bytes, and not in another case', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.jar`
    expect(await repository.send(path, 'first')).toBe(201)
    expect(await repository.send(path, 'first')).toBe(409)
    expect(await repository.send(path, 'second')).toBe(409)
    expect(await repository.send(`${root}/1.0/${artifact.toUpperCase()}-1.0.jar`, 'second')).toBe(409)
    expect(await repository.read(path)).toBe('first')
  })

  test('uploaded by several at once is that of the one who was told so', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.jar`
    const bodies = Array.from({ length: 6 }, (_, index) => `writer ${index}`)
    const statuses = await Promise.all(bodies.map((body) => repository.send(path, body)))
    expect([...statuses].sort()).toEqual([201, 409, 409, 409, 409, 409])
    expect(await repository.read(path)).toBe(bodies[statuses.indexOf(201)])
  })
})

describe('a checksum', () => {
  test('is compared in every form that clients write, and never stored', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.jar`
    expect(await repository.send(path, 'content')).toBe(201)
    for (const algorithm of algorithms) {
      const hex = checksum(algorithm, 'content')
      for (const body of [hex, hex.toUpperCase(), `${hex}\n`, `${hex}  ${artifact}-1.0.jar\n`, `\ufeff${hex}`]) {
        expect(await repository.send(`${path}.${algorithm}`, body), body).toBe(200)
      }
      for (const body of [checksum(algorithm, 'other'), hex.slice(1), `${hex}0`, '', 'nonsense']) {
        expect(await repository.send(`${path}.${algorithm}`, body), body).toBe(400)
      }
      expect(await repository.read(`${path}.${algorithm}`)).toBe(hex)
    }
    const files = await server.api('GET', `/packages/alice/maven/com.acme%3A${artifact}/1.0/files`)
    expect(files.json()).toHaveLength(1)
  })

  test('of a file that is not there is 404, and a long one is refused', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.jar`
    expect(await repository.send(`${path}.sha1`, checksum('sha1', ''))).toBe(404)
    expect(await repository.read(`${path}.sha1`)).toBe(404)
    expect(await repository.send(`${path}.sha1`, 'a'.repeat(5_000))).toBe(413)
  })

  test('has the validators and ranges of a file', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.jar`
    await repository.send(path, 'content')
    const hex = checksum('sha1', 'content')
    for (const file of [`${path}.sha1`, `${root}/maven-metadata.xml.sha1`]) {
      const got = await repository.get(file)
      const head = await repository.head(file)
      expect([head.statusCode, head.body]).toEqual([200, ''])
      for (const name of ['etag', 'content-length', 'content-type', 'cache-control']) {
        expect(head.headers[name], name).toBe(got.headers[name])
      }
      expect((await repository.get(file, { 'if-none-match': String(got.headers['etag']) })).statusCode).toBe(304)
    }
    const part = await repository.get(`${path}.sha1`, { range: 'bytes=-8' })
    expect([part.statusCode, part.body]).toEqual([206, hex.slice(-8)])
  })
})

describe('the metadata of an artifact', () => {
  const versionsOf = (body: string | number) =>
    [...String(body).matchAll(/<version>(.*?)<\/version>/g)].map((one) => one[1])

  test('lists versions in the order of their creation, however many come at once', async () => {
    const { artifact, root } = fresh()
    for (const version of ['2.0', '1.0', '3.0-SNAPSHOT']) {
      expect(await repository.send(`${root}/${version}/${artifact}-${version}.jar`, version)).toBe(201)
      expect(versionsOf(await repository.read(`${root}/maven-metadata.xml`)).at(-1)).toBe(version)
    }
    const document = await repository.read(`${root}/maven-metadata.xml`)
    expect(versionsOf(document)).toEqual(['2.0', '1.0', '3.0-SNAPSHOT'])
    expect(document).toContain('<release>1.0</release><latest>3.0-SNAPSHOT</latest>')

    const many = Array.from({ length: 12 }, (_, index) => `4.${index}`)
    const deploy = async (version: string) => {
      const path = `${root}/${version}/${artifact}-${version}`
      const statuses = [await repository.send(`${path}.jar`, version)]
      await repository.read(`${root}/maven-metadata.xml`)
      statuses.push(await repository.send(`${path}.pom`, pom('com.acme', artifact, version)))
      return statuses
    }
    expect((await Promise.all(many.map(deploy))).flat()).toEqual(Array.from({ length: 24 }, () => 201))
    const after = versionsOf(await repository.read(`${root}/maven-metadata.xml`))
    expect(after.slice(0, 3)).toEqual(['2.0', '1.0', '3.0-SNAPSHOT'])
    expect(after.slice(3).sort()).toEqual([...many].sort())
  })

  test('forgets what is deleted, at once', async () => {
    const { artifact, root } = fresh()
    for (const version of ['1.0', '2.0'])
      await repository.send(`${root}/${version}/${artifact}-${version}.jar`, version)
    const before = await repository.get(`${root}/maven-metadata.xml`)
    const remove = async (version: string) => {
      const answer = await server.api('DELETE', `/packages/alice/maven/com.acme%3A${artifact}${version}`)
      expect(answer.statusCode).toBe(204)
    }
    // Equal lengths and times are all that some clients look at.
    expect(before.headers).not.toHaveProperty('last-modified')
    await remove('/2.0')
    expect(await repository.read(`${root}/2.0/${artifact}-2.0.jar`)).toBe(404)
    const after = await repository.get(`${root}/maven-metadata.xml`, {
      'if-modified-since': new Date().toUTCString(),
    })
    expect([after.statusCode, versionsOf(after.body)]).toEqual([200, ['1.0']])
    await remove('')
    for (const path of ['maven-metadata.xml', 'maven-metadata.xml.sha1', `1.0/${artifact}-1.0.jar`]) {
      expect(await repository.read(`${root}/${path}`)).toBe(404)
    }
  })

  test('forgets a package whose last version is deleted', async () => {
    const { artifact, root } = fresh()
    await repository.send(`${root}/1.0/${artifact}-1.0.jar`, 'x')
    await server.api('DELETE', `/packages/alice/maven/com.acme%3A${artifact}/1.0`)
    expect(await repository.read(`${root}/maven-metadata.xml`)).toBe(404)
    expect(await repository.send(`${root}/1.0/${artifact}-1.0.jar`, 'y')).toBe(201)
    expect(versionsOf(await repository.read(`${root}/maven-metadata.xml`))).toEqual(['1.0'])
  })
})

describe('a POM', () => {
  test('tells REST about its version, whether it comes first or last', async () => {
    const { artifact, root } = fresh()
    const rest = '<name>Tool</name><url>https://acme.example/</url>'
    for (const [version, order] of [
      ['1.0', ['pom', 'jar']],
      ['2.0', ['jar', 'pom']],
    ] as const) {
      const bodies = { pom: pom('com.acme', artifact, version, rest), jar: 'jar' }
      for (const extension of order) {
        const path = `${root}/${version}/${artifact}-${version}.${extension}`
        expect(await repository.send(path, bodies[extension])).toBe(201)
      }
      const shown = (await server.api('GET', `/packages/alice/maven/com.acme%3A${artifact}/${version}`)).json()
      expect(shown).toMatchObject({ name: `com.acme:${artifact}`, version, type: 'maven' })
      expect(shown.metadata).toMatchObject({
        group_id: 'com.acme',
        artifact_id: artifact,
        name: 'Tool',
        packaging: 'jar',
      })
    }
    const all = (await server.api('GET', `/packages/alice/maven/com.acme%3A${artifact}`)).json()
    expect(all.map(({ version }: { version: string }) => version).sort()).toEqual(['1.0', '2.0'])
  })

  test.each([
    ['is no XML', () => 'test'],
    ['is empty', () => ''],
    [
      'has a DOCTYPE',
      (artifact: string) => `<!DOCTYPE project>${pom('com.acme', artifact, '1.0').split('\n').slice(1).join('')}`,
    ],
    ['says another group', (artifact: string) => pom('com.evil', artifact, '1.0')],
    ['says another artifact', () => pom('com.acme', 'other', '1.0')],
    ['says another version', (artifact: string) => pom('com.acme', artifact, '1.1')],
  ])('that %s is refused and leaves nothing', async (_what, body) => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.pom`
    const answer = await repository.put(path, body(artifact))
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([400, 'text/plain; charset=utf-8'])
    expect(await repository.read(path)).toBe(404)
    expect((await server.api('GET', `/packages/alice/maven/com.acme%3A${artifact}`)).statusCode).toBe(404)
  })

  test('that speaks of something else is refused, unless that is wanted', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.pom`
    const foreign = pom('org.vendor', 'driver', '7.1')
    const refused = await repository.put(path, foreign)
    expect(refused.statusCode).toBe(400)
    expect(refused.body).toContain('the POM says groupId org.vendor, its path com.acme')
    expect(await repository.read(path)).toBe(404)
    const tolerant = await TestApp.start({ environment: { ENTREPOT_PACKAGES_CHECK_MAVEN_POMS: 'false' } })
    try {
      const other = new Repository(tolerant, 'alice', await tolerant.createUser('alice'))
      expect(await other.send(path, foreign)).toBe(201)
      expect(await other.send(`${root}/1.0/${artifact}-1.0-sources.jar`, 'x')).toBe(201)
      expect(await other.send(`${root}/1.1/${artifact}-1.1.pom`, 'no XML')).toBe(400)
    } finally {
      await tolerant.close()
    }
  })

  test('with a classifier is an ordinary file', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0-build.pom`
    expect(await repository.send(path, 'anything')).toBe(201)
    const shown = (await server.api('GET', `/packages/alice/maven/com.acme%3A${artifact}/1.0`)).json()
    expect(shown).not.toHaveProperty('metadata')
  })
})

describe('the plugins of a group', () => {
  const plugin = (group: string, artifact: string, name = '') =>
    pom(group, artifact, '1.0', `<packaging>maven-plugin</packaging>${name === '' ? '' : `<name>${name}</name>`}`)
  const groupMetadata = (plugins: [prefix: string, artifact: string, name: string][]) =>
    `<metadata><plugins>${plugins
      .map(
        ([prefix, artifactId, name]) =>
          `<plugin><name>${name}</name><prefix>${prefix}</prefix><artifactId>${artifactId}</artifactId></plugin>`,
      )
      .join('')}</plugins></metadata>`
  const prefixes = (body: string | number) =>
    [...String(body).matchAll(/<prefix>(.*?)<\/prefix><artifactId>(.*?)<\/artifactId>/g)].map(
      (match) => `${match[1]}=${match[2]}`,
    )

  test('are listed by the prefix that a client has told, else by that of their name', async () => {
    const { root } = fresh()
    const group = root.replaceAll('/', '.')
    expect(await repository.read(`${root}/maven-metadata.xml`)).toBe(404)
    for (const artifact of ['greet-maven-plugin', 'maven-wave-plugin', 'odd']) {
      expect(await repository.send(`${root}/${artifact}/1.0/${artifact}-1.0.pom`, plugin(group, artifact))).toBe(201)
    }
    await repository.send(`${root}/library/1.0/library-1.0.pom`, pom(group, 'library', '1.0'))
    const first = await repository.read(`${root}/maven-metadata.xml`)
    expect(prefixes(first)).toEqual(['greet=greet-maven-plugin', 'wave=maven-wave-plugin', 'odd=odd'])
    expect(await repository.read(`${root}/maven-metadata.xml.sha1`)).toBe(checksum('sha1', String(first)))

    const told = groupMetadata([
      ['hello', 'greet-maven-plugin', 'Greeter'],
      ['nobody', 'not-there', 'None'],
    ])
    expect(await repository.send(`${root}/maven-metadata.xml`, told)).toBe(200)
    expect(prefixes(await repository.read(`${root}/maven-metadata.xml`))[0]).toBe('hello=greet-maven-plugin')
    // Another version does not take back what was told.
    await repository.send(
      `${root}/greet-maven-plugin/2.0/greet-maven-plugin-2.0.pom`,
      plugin(group, 'greet-maven-plugin').replace('<version>1.0', '<version>2.0'),
    )
    expect(prefixes(await repository.read(`${root}/maven-metadata.xml`))[0]).toBe('hello=greet-maven-plugin')

    await server.api('DELETE', `/packages/alice/maven/${group}%3Agreet-maven-plugin`)
    expect(prefixes(await repository.read(`${root}/maven-metadata.xml`))).toEqual(['wave=maven-wave-plugin', 'odd=odd'])
  })

  test('of other groups with a similar name, or of other owners, are not among them', async () => {
    const { root } = fresh()
    const group = root.replaceAll('/', '.')
    const bob = new Repository(server, 'bob', await server.createUser('bob'))
    for (const [client, other] of [
      [repository, `${group}_`],
      [repository, `${group}.sub`],
      [bob, group],
    ] as const) {
      const folder = `${other.replaceAll('.', '/')}/x-maven-plugin/1.0`
      expect(await client.send(`${folder}/x-maven-plugin-1.0.pom`, plugin(other, 'x-maven-plugin'))).toBe(201)
    }
    expect(await repository.read(`${root}/maven-metadata.xml`)).toBe(404)
    expect(prefixes(await bob.read(`${root}/maven-metadata.xml`))).toEqual(['x=x-maven-plugin'])
  })
})

describe('what is refused', () => {
  test('a path that is none: 400 for an upload, 404 for a download', async () => {
    for (const path of [
      'a',
      'com/acme/tool/1.0/',
      'com/acme//1.0/x.jar',
      'com/acme/tool/%2e%2e/x.jar',
      'com/acme/tool/1.0%2fx.jar',
      'com/acme/tool/1.0/a%00.jar',
      'archetype-catalog.xml',
      `com/acme/tool/1.0/${'x'.repeat(256)}`,
    ]) {
      expect(await repository.send(path, 'x'), path).toBe(400)
      expect([404, 400], path).toContain(await repository.read(path))
    }
  })

  test('names that no row can hold', async () => {
    const group = Array.from({ length: 30 }, () => 'abcdefgh').join('/')
    expect(await repository.send(`${group}/${'a'.repeat(20)}/1.0/x.jar`, 'x')).toBe(400)
    expect(await repository.read(`${group}/${'a'.repeat(20)}/1.0/x.jar`)).toBe(404)
  })

  test('other methods: 405 with what is allowed', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.jar`
    await repository.send(path, 'x')
    for (const method of ['DELETE', 'POST'] as const) {
      const answer = await repository.request(method, path)
      expect([answer.statusCode, answer.headers['allow']]).toEqual([405, 'GET, HEAD, PUT'])
      expect((await repository.as(null).request(method, path)).statusCode).toBe(401)
    }
    expect((await repository.request('OPTIONS', path)).statusCode).toBe(404)
    expect(await repository.read(path)).toBe('x')
  })

  test('a file over the limit, announced or not', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.jar`
    const answer = await repository.put(path, Buffer.alloc(LIMIT + 1))
    expect([answer.statusCode, answer.body]).toEqual([403, 'maximum allowed package type size exceeded\n'])
    const { hostname, port } = new URL(await server.listen())
    const socket = connect(Number(port), hostname)
    socket.write(
      `PUT ${repository.url(path)} HTTP/1.1\r\nHost: x\r\nAuthorization: ${alice}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n`,
    )
    socket.write(`${(LIMIT + 1).toString(16)}\r\n${'x'.repeat(LIMIT + 1)}\r\n0\r\n\r\n`)
    let received = ''
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text
    })
    await once(socket, 'close')
    // The phrase is all that mvn shows.
    expect(received).toMatch(/^HTTP\/1\.1 403 maximum allowed package type size exceeded\r\n/)
    expect(await repository.read(path)).toBe(404)
    expect(await repository.send(path, Buffer.alloc(LIMIT))).toBe(201)
  })

  test('nothing because its URL is spelled in another way', async () => {
    const { artifact, root } = fresh()
    const path = `${root}/1.0/${artifact}-1.0.jar`
    await repository.send(path, 'x')
    for (const url of [`/api/packages/alice/%6daven/${path}`, `/api/packages/%61lice/maven/${path}?a=/b#c`]) {
      const answer = await server.inject({ method: 'GET', url })
      expect([answer.statusCode, answer.body], url).toEqual([200, 'x'])
    }
  })
})
