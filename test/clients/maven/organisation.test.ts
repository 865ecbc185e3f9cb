import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { makeTemporaryDirectory, run } from '../run.ts'
import { admin, ServerProcess } from '../server.ts'
import { debianVersion, hasMaven } from './debian.ts'
import { MavenHome } from './maven-home.ts'
import { javaProject, pom } from './projects.ts'
import { MavenTree } from './tree.ts'

/** An organisation as the one repository of a company: its own first, then a partner's, then the world's. */
describe.skipIf(!hasMaven())('mvn and an organisation in front of mirrors', () => {
  let central: MavenTree
  let partner: MavenTree
  let server: ServerProcess
  let home: MavenHome
  let acme: string
  let removeFiles: () => Promise<void>

  beforeAll(async () => {
    central = await MavenTree.start()
    partner = await MavenTree.start('nothing')
    const { path, remove } = await makeTemporaryDirectory()
    removeFiles = remove
    for (const [name, tree] of Object.entries({ 'maven-central': central, partner })) {
      const upstream = { type: 'maven', owner: name, url: tree.url, allowPrivateNetwork: true }
      await writeFile(join(path, `${name}.yaml`), stringify(upstream))
    }
    server = await ServerProcess.start({ ENTREPOT_UPSTREAMS_DIR: path })
    await server.createOrganization('acme')
    const attached = await server.rest('PUT', '/orgs/acme/upstreams/maven', [
      { upstream: 'partner', include: ['com.partner'] },
      { upstream: 'maven-central', exclude: ['com.acme.secret'] },
    ])
    expect(attached.status).toBe(200)
    acme = `${server.url}/api/packages/acme/maven`
    home = await MavenHome.create({ everything: acme, servers: { acme: admin } })
    await deploy('lib', '1.0')
  })
  afterEach(() => {
    central.forget()
    partner.forget()
  })
  afterAll(async () => {
    await server?.dispose()
    await central?.close()
    await partner?.close()
    await home?.dispose()
    await removeFiles?.()
  })

  async function deploy(artifact: string, version: string, group = 'com.acme'): Promise<void> {
    const project = await home.project(
      javaProject({ artifact, version, group, repository: acme }, `"${artifact} ${version}"`),
    )
    await home.mvn(project, 'deploy')
  }

  test('a build takes its own, a partner’s and everybody’s artifacts from one address', async () => {
    const thing = partner.publish('com.partner.things', 'thing', '3.0')
    const lang3 = debianVersion('org/apache/commons/commons-lang3')
    const dependencies = [
      'com.acme:lib:1.0',
      'com.partner.things:thing:3.0',
      `org.apache.commons:commons-lang3:${lang3}`,
    ]
    const reader = await home.another('plugins')
    const project = await reader.project(
      javaProject(
        { artifact: 'app', version: '1.0', dependencies },
        'org.apache.commons.lang3.StringUtils.capitalize(lib.Main.text())',
      ),
    )
    await reader.mvn(project, '-C', 'package')
    expect(reader.holds(thing)).toBe(true)
    const lang3Jar = `org/apache/commons/commons-lang3/${lang3}/commons-lang3-${lang3}.jar`
    const jars = ['com/acme/lib/1.0/lib-1.0.jar', lang3Jar].map((path) => reader.held(path))
    const classPath = [`${project}/target/classes`, ...jars].join(':')
    expect(await run('java', ['-cp', classPath, 'app.Main'], { cwd: project, env: {} })).toBe('Lib 1.0')
    expect(new Set(partner.requests.map(({ path }) => path.split('/').slice(0, 2).join('/')))).toEqual(
      new Set(['com/partner']),
    )
    expect(central.count('com/partner')).toBe(0)
  })

  test('its own artifact is never looked for elsewhere, whatever is published there', async () => {
    central.publish('com.acme', 'lib', '9.9')
    const reader = await home.another('plugins')
    await reader.mvn(await reader.project({ 'pom.xml': userOf('com.acme:lib:[1.0,)') }), '-C', 'compile')
    expect(reader.holds('com/acme/lib/1.0/lib-1.0.jar')).toBe(true)
    expect(await reader.getFailing('com.acme:lib:9.9')).toMatch(absent)
    expect(central.count('com/acme')).toBe(0)
  })

  test('a reserved group, and an excluded one, never leave the server', async () => {
    const evil = central.publish('com.acme.internal', 'evil', '1.0')
    central.publish('com.acme.secret', 'evil', '1.0')
    const answer = await server.rest('PUT', '/orgs/acme/reserved-names/maven', ['com.acme'])
    expect(answer.status).toBeLessThan(300)
    const reader = await home.another('plugins')
    for (const group of ['com.acme.internal', 'com.acme.secret']) {
      expect(await reader.getFailing(`${group}:evil:1.0`)).toMatch(absent)
    }
    await reader.failing(await reader.project({ 'pom.xml': userOf('com.acme:evil:[1.0,)') }), 'compile')
    expect(central.count('evil') + partner.count('evil')).toBe(0)
    expect(reader.holds(evil)).toBe(false)
  })

  const absent = /Could not find artifact|was not found/

  function userOf(dependency: string): string {
    return pom({ artifact: 'user', version: '1', dependencies: [dependency] })
  }
})
