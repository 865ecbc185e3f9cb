import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasCommand } from '../clients.ts'
import { admin, basic, ServerProcess } from '../server.ts'
import { debianVersion, hasMaven } from './debian.ts'
import { GradleHome } from './gradle-home.ts'
import { emptyJar, hash, MavenTree } from './tree.ts'

const isAble = hasMaven() && hasCommand('gradle')
const authorization = basic(admin.username, admin.password)
const algorithms = ['sha1', 'md5', 'sha256', 'sha512'] as const

/** What Gradle resolves, and what it needs when it publishes. */
describe.skipIf(!isAble)('gradle', () => {
  let tree: MavenTree
  let server: ServerProcess
  let home: GradleHome
  let acme: string

  beforeAll(async () => {
    tree = await MavenTree.start()
    server = await ServerProcess.start({
      ENTREPOT_UPSTREAM_MAVEN_CENTRAL_URL: tree.url,
      ENTREPOT_UPSTREAM_MAVEN_CENTRAL_ALLOW_PRIVATE_NETWORK: 'true',
    })
    await server.createOrganization('acme')
    acme = `${server.url}/api/packages/acme/maven`
    home = await GradleHome.create()
  })
  afterAll(async () => {
    await server?.dispose()
    await tree?.close()
    await home?.dispose()
  })

  /** PUTs as Gradle does; resolves to the status. */
  async function put(path: string, body: Buffer | string): Promise<number> {
    const response = await fetch(`${acme}/${path}`, {
      method: 'PUT',
      headers: { authorization, 'content-type': 'application/octet-stream' },
      body,
    })
    await response.arrayBuffer()
    return response.status
  }

  /** PUTs a file and its four checksums, one after the other: each must be taken (maven.md §3). */
  async function putWithChecksums(path: string, body: Buffer | string, statuses = [200, 201]): Promise<void> {
    expect([path, statuses.includes(await put(path, body))]).toEqual([path, true])
    for (const algorithm of algorithms) {
      const status = await put(`${path}.${algorithm}`, hash(algorithm, body))
      expect([path, algorithm, status < 300]).toEqual([path, algorithm, true])
    }
  }

  async function get(path: string): Promise<string | null> {
    const response = await fetch(`${acme}/${path}`, { headers: { authorization } })
    const text = await response.text()
    if (response.status === 404) return null
    expect(response.status).toBe(200)
    return text
  }

  /** Publishes a module in the order of Gradle 5 and later; the jar says what it is. */
  async function publish(artifact: string, version: string, timestamp?: string): Promise<void> {
    const root = `com/acme/${artifact}`
    const folder = `${root}/${version}`
    const known = timestamp === undefined ? null : await get(`${folder}/maven-metadata.xml`)
    const build = Number(/<buildNumber>(\d+)/.exec(known ?? '')?.[1] ?? 0) + 1
    const fileVersion = timestamp === undefined ? version : version.replace('SNAPSHOT', `${timestamp}-${build}`)
    const file = `${folder}/${artifact}-${fileVersion}`
    await putWithChecksums(`${file}.jar`, emptyJar(`${artifact} ${fileVersion}`))
    await putWithChecksums(`${file}.pom`, pomOf(artifact, version))
    await putWithChecksums(`${file}.module`, moduleOf(artifact, version))
    if (timestamp !== undefined) {
      const values = ['jar', 'pom', 'module'].map(
        (extension) =>
          `<snapshotVersion><extension>${extension}</extension><value>${fileVersion}</value><updated>${timestamp.replace('.', '')}</updated></snapshotVersion>`,
      )
      await putWithChecksums(
        `${folder}/maven-metadata.xml`,
        `<?xml version="1.0" encoding="UTF-8"?><metadata modelVersion="1.1.0"><groupId>com.acme</groupId><artifactId>${artifact}</artifactId><version>${version}</version><versioning><snapshot><timestamp>${timestamp}</timestamp><buildNumber>${build}</buildNumber></snapshot><lastUpdated>${timestamp.replace('.', '')}</lastUpdated><snapshotVersions>${values.join('')}</snapshotVersions></versioning></metadata>`,
      )
    }
    await get(`${root}/maven-metadata.xml`)
    await putWithChecksums(
      `${root}/maven-metadata.xml`,
      `<metadata><groupId>com.acme</groupId><artifactId>${artifact}</artifactId><versioning><latest>${version}</latest><versions><version>${version}</version></versions></versioning></metadata>`,
    )
  }

  const hosted = (): string => `url '${acme}'`

  /** The names of the files that a fresh or known computer resolves, and what the jars say. */
  async function resolve(dependency: string, ...args: string[]): Promise<string[]> {
    const files = await home.resolve(await home.project([hosted()], [dependency]), ...args)
    return Promise.all(files.map(async (file) => (await readFile(file, 'latin1')).slice(22)))
  }

  test('a release, and the newest of a dynamic version, as Gradle 5 and later publish them', async () => {
    for (const version of ['1.0', '1.9', '1.10', '2.0']) await publish('tool', version)
    expect(await resolve('com.acme:tool:1.9')).toEqual(['tool 1.9'])
    expect(await resolve('com.acme:tool:1.+')).toEqual(['tool 1.10'])
    await publish('tool', '1.11')
    expect(await resolve('com.acme:tool:1.+')).toEqual(['tool 1.11'])
    expect(await get('com/acme/tool/1.9/tool-1.9.module')).toBe(moduleOf('tool', '1.9'))
  })

  test('a release is not replaced', async () => {
    await publish('once', '1.0')
    expect(await put('com/acme/once/1.0/once-1.0.jar', emptyJar('other'))).toBe(409)
    expect(await resolve('com.acme:once:1.0')).toEqual(['once 1.0'])
  })

  test('a snapshot: --refresh-dependencies sees the next build', async () => {
    await publish('moving', '1.0-SNAPSHOT', '20261121.200011')
    expect(await resolve('com.acme:moving:1.0-SNAPSHOT')).toEqual(['moving 1.0-20261121.200011-1'])
    await publish('moving', '1.0-SNAPSHOT', '20261121.210011')
    expect(await resolve('com.acme:moving:1.0-SNAPSHOT', '--refresh-dependencies')).toEqual([
      'moving 1.0-20261121.210011-2',
    ])
    expect(await resolve('com.acme:moving:1.0-SNAPSHOT', '--refresh-dependencies')).toEqual([
      'moving 1.0-20261121.210011-2',
    ])
  })

  test('a private organisation, with credentials and without', async () => {
    await server.rest('PATCH', '/orgs/acme', { visibility: 'private' })
    await publish('secret', '1.0')
    const token = await server.createToken(['read:package'])
    const credentials = `${hosted()}\ncredentials { username '${admin.username}'; password '${token}' }`
    const files = await home.resolve(await home.project([credentials], ['com.acme:secret:1.0']))
    expect(files.map((file) => basename(file))).toEqual(['secret-1.0.jar'])
    const stranger = await GradleHome.create()
    try {
      expect(await stranger.failing(await stranger.project([hosted()], ['com.acme:secret:1.0']))).toMatch('401')
    } finally {
      await stranger.dispose()
      await server.rest('PATCH', '/orgs/acme', { visibility: 'public' })
    }
  })

  test('through the mirror of Maven Central, with the upstream gone, and --refresh-dependencies', async () => {
    const version = debianVersion('org/apache/commons/commons-lang3')
    tree.publish('com.example', 'ranged', '1.0')
    tree.publish('com.example', 'ranged', '1.1')
    const dependencies = [`org.apache.commons:commons-lang3:${version}`, 'com.example:ranged:1.+']
    const project = await home.project([`url '${server.url}/api/packages/maven-central/maven'`], dependencies)
    const expected = [`commons-lang3-${version}.jar`, 'ranged-1.1.jar']
    const names = async (by: GradleHome, ...args: string[]): Promise<string[]> =>
      (await by.resolve(project, ...args)).map((file) => basename(file)).sort()
    expect(await names(home)).toEqual(expected)
    tree.faults.down = true
    tree.forget()
    expect(await names(home, '--refresh-dependencies')).toEqual(expected)
    const other = await GradleHome.create()
    try {
      expect(await names(other)).toEqual(expected)
    } finally {
      await other.dispose()
    }
    expect(tree.requests).toEqual([])
  })
})

function pomOf(artifact: string, version: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <!-- do_not_remove: published-with-gradle-metadata -->
  <modelVersion>4.0.0</modelVersion><groupId>com.acme</groupId><artifactId>${artifact}</artifactId><version>${version}</version>
</project>
`
}

function moduleOf(artifact: string, version: string): string {
  return JSON.stringify({ formatVersion: '1.1', component: { group: 'com.acme', module: artifact, version } })
}
