import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ServerProcess } from '../server.ts'
import { debianVersion, hasMaven } from './debian.ts'
import { MavenHome } from './maven-home.ts'
import { javaProject, type ProjectOptions, pom } from './projects.ts'
import { MavenTree } from './tree.ts'

/** Builds that get everything, plugins too, through the mirror of Maven Central. */
describe.skipIf(!hasMaven())('mvn and the mirror of Maven Central', () => {
  let tree: MavenTree
  let server: ServerProcess
  let home: MavenHome

  beforeAll(async () => {
    tree = await MavenTree.start()
    tree.publish('com.example', 'ranged', '1.0')
    tree.publish('com.example', 'ranged', '1.1')
    server = await ServerProcess.start({
      ENTREPOT_UPSTREAM_MAVEN_CENTRAL_URL: tree.url,
      ENTREPOT_UPSTREAM_MAVEN_CENTRAL_ALLOW_PRIVATE_NETWORK: 'true',
    })
    home = await MavenHome.create({ central: `${server.url}/api/packages/maven-central/maven` })
  })
  afterEach(async () => {
    tree.heal()
    tree.forget()
    // What the server learnt of the upstream's health ends here: the next test has failures of its own.
    await server.rest('POST', '/admin/upstreams/maven-central/mode', { mode: 'online' })
  })
  afterAll(async () => {
    await server?.dispose()
    await tree?.close()
    await home?.dispose()
  })

  /** A project with a test, a library, and a range of versions; its directory. */
  function realProject(): Promise<string> {
    const options: ProjectOptions = {
      artifact: 'real',
      version: '1.0.0',
      dependencies: [
        `org.apache.commons:commons-lang3:${debianVersion('org/apache/commons/commons-lang3')}`,
        'com.example:ranged:[1.0,2.0)',
        `junit:junit:${debianVersion('junit/junit')}:test`,
      ],
    }
    return home.project({
      ...javaProject(options, 'org.apache.commons.lang3.StringUtils.capitalize("hello")'),
      'src/test/java/real/MainTest.java': mainTest,
    })
  }

  async function build(by: MavenHome): Promise<void> {
    const printed = await by.mvn(await realProject(), '-C', 'package')
    expect(printed).toMatch('Tests run: 1, Failures: 0')
    expect(by.holds('com/example/ranged/1.1/ranged-1.1.jar')).toBe(true)
  }

  test('two builds at once with empty local repositories: each file is fetched once', async () => {
    await Promise.all([build(home), build(await home.another('nothing'))])
    expect(tree.count('.jar')).toBeGreaterThan(50)
    const gets = tree.requests.filter(({ method }) => method === 'GET').map(({ path }) => path)
    expect(gets.length).toBe(new Set(gets).size)
    expect(tree.count('.sha1') + tree.count('.md5')).toBe(0)
  })

  test('the same build with the upstream switched off asks it for nothing', async () => {
    tree.faults.down = true
    await build(await home.another('nothing'))
    expect(tree.requests).toEqual([])
  })

  test.each([429, 503])('an upstream that answers %i to everything does not disturb what is held', async (status) => {
    await server.rest('POST', '/admin/upstreams/maven-central/invalidate', {})
    tree.faults.status = status
    const reader = await home.another('plugins')
    await build(reader)
    expect(tree.requests.map((request) => request.status)).toContain(status)
    const path = tree.publish('com.example', `new-${status}`, '1.0')
    const artifact = `com.example:new-${status}:1.0`
    expect(await reader.getFailing(artifact)).toMatch(/(429|502|503) /)
    tree.heal()
    await server.rest('POST', '/admin/upstreams/maven-central/mode', { mode: 'online' })
    // Had it been called absent, mvn would remember that until tomorrow.
    await reader.get(artifact, '-C')
    expect((await reader.read(path)).length).toBeGreaterThan(0)
  })

  test('a spoilt jar reaches nobody, whether its checksum is in a header or beside it', async () => {
    const reader = await home.another('plugins')
    const inHeader = tree.publish('com.example', 'spoilt', '1.0')
    const beside = tree.publish('com.example', 'spoilt', '2.0')
    tree.faults.corrupt = new Set([inHeader, beside])
    expect(await reader.getFailing('com.example:spoilt:1.0')).toMatch(/502 .*contradict/)
    tree.faults.checksumHeaders = false
    expect(await reader.getFailing('com.example:spoilt:2.0')).toMatch(/502 .*contradict/)
    expect([inHeader, beside].filter((path) => reader.holds(path))).toEqual([])

    tree.heal()
    // It would not be asked for again within a minute, but for a new start.
    await server.stop()
    await server.restart()
    for (const version of ['1.0', '2.0']) await reader.get(`com.example:spoilt:${version}`, '-C')
    for (const [path, text] of [[inHeader, 'spoilt:1.0 '] as const, [beside, 'spoilt:2.0 '] as const]) {
      expect((await reader.read(path)).toString('latin1')).toMatch(text)
    }
  })

  test('what Central does not have is absent, and a snapshot is not even asked for', async () => {
    const reader = await home.another('plugins')
    expect(await reader.getFailing('com.example:nowhere:1.0')).toMatch(/Could not find artifact|was not found/)
    expect(tree.count('nowhere')).toBeGreaterThan(0)
    const project = await home.project({
      'pom.xml': pom({ artifact: 'user', version: '1', dependencies: ['com.example:nightly:1.0-SNAPSHOT'] }),
    })
    expect(await reader.failing(project, 'compile')).toMatch(/Could not find artifact|was not found/)
    expect(tree.count('nightly')).toBe(0)
  })
})

const mainTest = `package real;
public class MainTest {
  @org.junit.Test public void says() { org.junit.Assert.assertEquals("Hello", Main.text()); }
}
`
