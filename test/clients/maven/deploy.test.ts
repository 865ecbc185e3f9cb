import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../run.ts'
import { admin, basic, ServerProcess } from '../server.ts'
import { debianVersion, hasMaven, pluginVersion } from './debian.ts'
import { MavenHome } from './maven-home.ts'
import { javaProject, type ProjectOptions, pom } from './projects.ts'
import { emptyJar, MavenTree } from './tree.ts'

/** The life of an organisation's own artifacts, told by mvn. */
describe.skipIf(!hasMaven())('mvn and hosted packages', () => {
  let central: MavenTree
  let server: ServerProcess
  let home: MavenHome
  let acme: string
  let hidden: string

  beforeAll(async () => {
    central = await MavenTree.start()
    server = await ServerProcess.start()
    await server.createOrganization('acme')
    await server.rest('POST', '/orgs', { username: 'hidden', visibility: 'private' })
    acme = `${server.url}/api/packages/acme/maven`
    hidden = `${server.url}/api/packages/hidden/maven`
    home = await MavenHome.create({ central: central.url, servers: { acme: admin } })
    // Fills the local repository with all plugins.
    await deploy({ artifact: 'first', version: '0.1.0', attached: true }, '"first"')
    await home.get('com.acme:first:0.1.0', at(acme))
  })
  afterAll(async () => {
    await server?.dispose()
    await central?.close()
    await home?.dispose()
  })

  const firstJar = 'com/acme/first/0.1.0/first-0.1.0.jar'
  const at = (url: string): string => `-DremoteRepositories=acme::default::${url}`

  /** Deploys a project whose class prints what the Java expression gives; resolves to the project's directory. */
  async function deploy(options: ProjectOptions, expression: string, by = home): Promise<string> {
    const project = await by.project(javaProject({ repository: acme, ...options }, expression))
    await by.mvn(project, 'deploy')
    return project
  }

  /** What a program prints that is compiled against dependencies by a computer that never had them. */
  async function use(by: MavenHome, dependency: string, path: string): Promise<string> {
    const name = dependency.split(':')[1]!.replaceAll('-', '_')
    const options = { artifact: 'user', version: '1.0.0', repository: acme, dependencies: [dependency] }
    const project = await by.project(javaProject(options, `${name}.Main.text()`))
    await by.mvn(project, '-C', 'compile')
    return run('java', ['-cp', `${project}/target/classes:${by.held(path)}`, 'user.Main'], { cwd: project, env: {} })
  }

  /** The names of a version's files, sorted. */
  async function filesOf(name: string, version: string): Promise<string[]> {
    const files = await server.rest('GET', `/packages/acme/maven/${encodeURIComponent(name)}/${version}/files`)
    return files.body.map((file: { name: string }) => file.name).sort()
  }

  async function metadata(path: string): Promise<string> {
    const response = await fetch(`${acme}/${path}/maven-metadata.xml`)
    expect(response.status).toBe(200)
    return response.text()
  }

  test('a release with sources and a classifier is deployed and resolved', async () => {
    const project = await deploy({ artifact: 'tiny', version: '1.0.0', attached: true }, '"tiny 1"')
    expect(await filesOf('com.acme:tiny', '1.0.0')).toEqual([
      'tiny-1.0.0-extra.jar',
      'tiny-1.0.0-sources.jar',
      'tiny-1.0.0.jar',
      'tiny-1.0.0.pom',
    ])
    const reader = await home.another('plugins')
    expect(await use(reader, 'com.acme:tiny:1.0.0', 'com/acme/tiny/1.0.0/tiny-1.0.0.jar')).toBe('tiny 1')
    await reader.get('com.acme:tiny:1.0.0:jar:sources', '-C', at(acme))
    for (const name of ['tiny-1.0.0.jar', 'tiny-1.0.0-sources.jar']) {
      const built = await readFile(join(project, 'target', name))
      expect((await reader.read(`com/acme/tiny/1.0.0/${name}`)).equals(built)).toBe(true)
    }
  })

  test('a file that no project built, with its signature', async () => {
    const directory = await home.project({ 'any.jar.asc': '-----BEGIN PGP SIGNATURE-----\n' })
    // One with a POM inside would be deployed with that.
    await writeFile(join(directory, 'any.jar'), emptyJar('any'))
    const goal = `org.apache.maven.plugins:maven-deploy-plugin:${pluginVersion('deploy')}:deploy-file`
    const coordinates = ['-DgroupId=com.acme', '-DartifactId=signed', '-Dversion=1.0', '-Dpackaging=jar']
    const attached = ['-Dfiles=any.jar.asc', '-Dtypes=jar.asc', '-Dclassifiers=']
    const files = ['-Dfile=any.jar', ...attached]
    await home.mvn(directory, goal, `-Durl=${acme}`, '-DrepositoryId=acme', ...coordinates, ...files)
    expect(await filesOf('com.acme:signed', '1.0')).toEqual(['signed-1.0.jar', 'signed-1.0.jar.asc', 'signed-1.0.pom'])
    const reader = await home.another('plugins')
    // Of signatures mvn wants no checksums, so that it could not be strict.
    await reader.get('com.acme:signed:1.0:jar.asc', at(acme))
    expect((await reader.read('com/acme/signed/1.0/signed-1.0.jar.asc')).toString()).toMatch('SIGNATURE')
  })

  test('a release is not replaced, and mvn says why', async () => {
    const project = await home.project(
      javaProject({ artifact: 'first', version: '0.1.0', repository: acme }, '"not the first"'),
    )
    expect(await home.failing(project, 'deploy')).toMatch(/first-0\.1\.0\.(pom|jar).*409 .*(exist|replace)/)
    const reader = await home.another('plugins')
    expect(await use(reader, 'com.acme:first:0.1.0', 'com/acme/first/0.1.0/first-0.1.0.jar')).toBe('first')
  })

  test('a snapshot is deployed again and again, and the newest is resolved', async () => {
    const options = { artifact: 'moving', version: '2.0.0-SNAPSHOT' }
    const path = 'com/acme/moving/2.0.0-SNAPSHOT/moving-2.0.0-SNAPSHOT.jar'
    await deploy(options, '"build 1"')
    const reader = await home.another('plugins')
    expect(await use(reader, 'com.acme:moving:2.0.0-SNAPSHOT', path)).toBe('build 1')
    await deploy(options, '"build 2"')
    expect(await use(reader, 'com.acme:moving:2.0.0-SNAPSHOT', path)).toBe('build 2')
    expect(await metadata('com/acme/moving/2.0.0-SNAPSHOT')).toMatch('<buildNumber>2</buildNumber>')
  })

  test('two deploys of a snapshot, and two of versions, at the same time', async () => {
    const computers = [home, await home.another('plugins')]
    const expressions = ['"left"', '"right"']
    await Promise.all(
      computers.map((by, n) => deploy({ artifact: 'race', version: '1.0-SNAPSHOT' }, expressions[n]!, by)),
    )
    await Promise.all(computers.map((by, n) => deploy({ artifact: 'race', version: `1.${n}` }, expressions[n]!, by)))
    const versions = [...(await metadata('com/acme/race')).matchAll(/<version>([^<]+)</g)].map(([, version]) => version)
    expect(versions.sort()).toEqual(['1.0', '1.0-SNAPSHOT', '1.1'])
    const reader = await home.another('plugins')
    const folder = 'com/acme/race'
    const got = await use(reader, 'com.acme:race:1.0-SNAPSHOT', `${folder}/1.0-SNAPSHOT/race-1.0-SNAPSHOT.jar`)
    expect(['left', 'right']).toContain(got)
    expect(await use(reader, 'com.acme:race:1.1', `${folder}/1.1/race-1.1.jar`)).toBe('right')
  })

  test('a range takes the newest version; one deleted over REST is in no range', async () => {
    for (const version of ['1.0.0', '1.9.0', '1.10.0']) {
      await put(`com/acme/ranged/${version}/ranged-${version}.pom`, pom({ artifact: 'ranged', version }))
      await put(`com/acme/ranged/${version}/ranged-${version}.jar`, await readFile(home.held(firstJar)))
    }
    const range = await home.project({
      'pom.xml': pom({
        artifact: 'user',
        version: '1.0.0',
        repository: acme,
        dependencies: ['com.acme:ranged:[1.0,2.0)'],
      }),
    })
    const reader = await home.another('plugins')
    await reader.mvn(range, '-C', 'compile')
    expect(reader.holds('com/acme/ranged/1.10.0/ranged-1.10.0.jar')).toBe(true)

    expect((await server.rest('DELETE', '/packages/acme/maven/com.acme%3Aranged/1.10.0')).status).toBe(204)
    expect(await metadata('com/acme/ranged')).not.toMatch('1.10.0')
    const later = await home.another('plugins')
    await later.mvn(range, '-C', 'compile')
    expect(later.holds('com/acme/ranged/1.9.0/ranged-1.9.0.jar')).toBe(true)
    expect(later.holds('com/acme/ranged/1.10.0')).toBe(false)
    await later.getFailing('com.acme:ranged:1.10.0', at(acme))
  })

  test('a wrong password is refused, and mvn says so', async () => {
    const stranger = await home.another('plugins', { servers: { acme: { username: 'root-admin', password: 'wrong' } } })
    const project = await stranger.project(javaProject({ artifact: 'never', version: '1', repository: acme }, '""'))
    expect(await stranger.failing(project, 'deploy')).toMatch(/401|Not authorized|authentication failed/i)
    const anonymous = await home.another('plugins', { servers: {} })
    expect(await anonymous.failing(project, 'deploy')).toMatch(/401|Not authorized|authentication failed/i)
    expect((await server.rest('GET', '/packages/acme?type=maven&q=never')).body).toEqual([])
  })

  test('a private organisation: by password, by a token in its place, by a header, but not without', async () => {
    await deploy({ artifact: 'secret', version: '1.0', repository: hidden }, '"secret"')
    const token = await server.createToken(['read:package'])
    const jar = 'com/acme/secret/1.0/secret-1.0.jar'
    const anonymous = await home.another('plugins', { servers: {} })
    expect(await anonymous.getFailing('com.acme:secret:1.0', at(hidden))).toMatch(/401|Not authorized|authentication/i)
    for (const credentials of [{ username: admin.username, password: token }, { authorization: `token ${token}` }]) {
      const reader = await home.another('plugins', { servers: { acme: credentials } })
      await reader.get('com.acme:secret:1.0', '-C', at(hidden))
      expect(reader.holds(jar)).toBe(true)
    }
    const reader = await home.another('plugins', { servers: { acme: { authorization: `token ${token}` } } })
    const project = await reader.project(javaProject({ artifact: 'secret', version: '2', repository: hidden }, '""'))
    expect(await reader.failing(project, 'deploy')).toMatch(/40[13] |Not authorized|authorization failed/i)
  })

  test('a plugin is called by its prefix: by the rule of names, and by what the metadata of its group says', async () => {
    const options: ProjectOptions = {
      artifact: 'hello-maven-plugin',
      version: '1.0.0',
      group: 'com.acme.build',
      packaging: 'maven-plugin',
      repository: acme,
      dependencies: [
        `org.apache.maven:maven-plugin-api:${debianVersion('org/apache/maven/maven-plugin-api')}:provided`,
        // Maven adds its version 1.1 to plugins that do not ask for another.
        `org.codehaus.plexus:plexus-utils:${debianVersion('org/codehaus/plexus/plexus-utils')}`,
        `org.apache.maven.plugin-tools:maven-plugin-annotations:${pluginVersion('plugin')}:provided`,
      ],
    }
    const project = await home.project({ 'pom.xml': pom(options), 'src/main/java/hello/HelloMojo.java': helloMojo })
    await home.mvn(project, 'deploy')
    const settings = { repository: { id: 'acme', url: acme }, pluginGroups: ['com.acme.build'] }
    const reader = await home.another('plugins', settings)
    const nowhere = await reader.project({ 'no-project.txt': '' })
    expect(await reader.mvn(nowhere, 'hello:hi')).toMatch('hello from the plugin')

    // As Maven 3.9 leaves it, where 3.8 says nothing of a prefix.
    await put(
      'com/acme/build/maven-metadata.xml',
      `<metadata><plugins><plugin><name>Hello</name><prefix>greet</prefix><artifactId>${options.artifact}</artifactId></plugin></plugins></metadata>`,
      200,
    )
    const later = await home.another('plugins', settings)
    expect(await later.mvn(nowhere, 'greet:hi')).toMatch('hello from the plugin')
  })

  async function put(path: string, body: string | Buffer, status = 201): Promise<void> {
    const authorization = basic(admin.username, admin.password)
    const response = await fetch(`${acme}/${path}`, { method: 'PUT', headers: { authorization }, body })
    expect([path, response.status, await response.text()]).toEqual([path, status, expect.anything()])
  }
})

const helloMojo = `package hello;
@org.apache.maven.plugins.annotations.Mojo(name = "hi", requiresProject = false)
public class HelloMojo extends org.apache.maven.plugin.AbstractMojo {
  public void execute() { getLog().info("hello from the plugin"); }
}
`
