import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeMavenRepository } from '../../support/fake-maven-repository.ts'
import { TestApp } from '../../support/test-app.ts'

const REG = '/api/packages/acme/maven'
const HOUR = 3_600_000

let central: FakeMavenRepository
let google: FakeMavenRepository
let server: TestApp

beforeEach(async () => {
  central = await FakeMavenRepository.start()
  google = await FakeMavenRepository.start()
  const file = (owner: string, { url }: FakeMavenRepository, options = {}) => ({
    ...{ type: 'maven', owner, url, allowPrivateNetwork: true, options },
  })
  server = await TestApp.start({
    upstreams: {
      'maven-central': file('maven-central', central, { snapshots: false }),
      'google-maven': file('google-maven', google),
    },
  })
  await server.createOrganization('acme')
})
afterEach(async () => {
  await server.close()
  await Promise.all([central.close(), google.close()])
})

const attach = async (body: unknown[]) => {
  const response = await server.api('PUT', '/orgs/acme/upstreams/maven', body)
  expect(response.statusCode, response.body).toBeLessThan(300)
}
const get = (path: string) => server.inject({ method: 'GET', url: `${REG}/${path}` })
const status = async (path: string) => (await get(path)).statusCode
const deploy = async (path: string, payload: string) => {
  const headers = { authorization: server.admin }
  return (await server.inject({ method: 'PUT', url: `${REG}/${path}`, headers, payload })).statusCode
}
/** The paths that an upstream was asked for. */
const askedOf = ({ upstream }: FakeMavenRepository) => upstream.requests.map(({ path }) => path)

describe('an organization that attaches upstreams', () => {
  test('serves its own artifacts and falls through for the rest, from one URL', async () => {
    await attach([{ upstream: 'maven-central' }])
    expect(await deploy('com/acme/app/1.0/app-1.0.jar', 'ours')).toBe(201)
    const metadata = central.addMetadata('org.lib:lib', ['1.0'])
    central.add('org/lib/lib/1.0/lib-1.0.jar', 'theirs')
    expect((await get('com/acme/app/1.0/app-1.0.jar')).body).toBe('ours')
    expect((await get('com/acme/app/maven-metadata.xml')).body).toMatch('<version>1.0</version>')
    const theirs = await get('org/lib/lib/1.0/lib-1.0.jar')
    expect(theirs.body).toBe('theirs')
    expect(theirs.headers['x-upstream']).toBe('maven-central')
    expect((await get('org/lib/lib/maven-metadata.xml')).rawPayload.equals(metadata)).toBe(true)
    expect(await status('org/nobody/lib/1.0/lib-1.0.jar')).toBe(404)
    expect(askedOf(central).filter((path) => path.includes('acme'))).toEqual([])
  })

  test('shadows upstream names by its own, in any case, all versions of them, also after deletion', async () => {
    await attach([{ upstream: 'maven-central' }])
    await deploy('com/acme/app/1.0/app-1.0.jar', 'ours')
    for (const folder of ['com/acme/app', 'COM/Acme/App']) central.add(`${folder}/99.0/app-99.0.jar`, 'theirs')
    central.addMetadata('com.acme:app', ['99.0'])
    const paths = [
      'com/acme/app/99.0/app-99.0.jar',
      'COM/Acme/App/99.0/app-99.0.jar',
      'com/acme/app/99.0/app-99.0.jar.sha1',
    ]
    for (const path of paths) expect([path, await status(path)]).toEqual([path, 404])
    expect((await server.api('DELETE', '/packages/acme/maven/com.acme%3Aapp/1.0')).statusCode).toBe(204)
    for (const path of [...paths, 'com/acme/app/maven-metadata.xml'])
      expect([path, await status(path)]).toEqual([path, 404])
    expect(askedOf(central)).toEqual([])
  })

  test('takes a name from the first upstream that has it, for ever', async () => {
    await attach(['maven-central', 'google-maven'])
    google.addMetadata('androidx:core', ['1.0'])
    google.add('androidx/core/1.0/core-1.0.aar', 'of google')
    expect((await get('androidx/core/1.0/core-1.0.aar')).body).toBe('of google')
    central.addMetadata('androidx:core', ['66.6'])
    central.add('androidx/core/66.6/core-66.6.aar', 'of somebody')
    server.clock.advance(HOUR)
    expect(await status('androidx/core/66.6/core-66.6.aar')).toBe(404)
    expect((await get('androidx/core/maven-metadata.xml')).body).toMatch('<version>1.0</version>')
  })

  test('finds what an upstream has no metadata of, by the file that is asked for', async () => {
    await attach(['maven-central', 'google-maven'])
    google.add('org/old/lib/1.0/lib-1.0.pom', '<project/>')
    google.add('org/old/lib/1.0/lib-1.0.jar', 'jar', { checksums: 'headers' })
    google.add('org/old/sum/1.0/sum-1.0.jar', 'jar')
    expect((await get('org/old/lib/1.0/lib-1.0.pom')).headers['x-upstream']).toBe('google-maven')
    expect((await get('org/old/lib/1.0/lib-1.0.jar')).body).toBe('jar')
    expect((await get('org/old/sum/1.0/sum-1.0.jar.sha1')).body).toMatch(/^[0-9a-f]{40}$/)
    // Bound by now, so that Central is not asked any more.
    central.upstream.forget()
    expect(await status('org/old/lib/1.0/other.jar')).toBe(404)
    expect(askedOf(central)).toEqual([])
    expect(await status('org/old/lib/maven-metadata.xml')).toBe(404)
  })

  test('asks nobody without snapshots for one, and takes no portal’s word for a file', async () => {
    await attach(['maven-central', 'google-maven'])
    const path = 'org/lib/lib/1.0-SNAPSHOT/lib-1.0-20260101.000000-1.jar'
    google.add(path, 'snapshot')
    expect((await get(path)).body).toBe('snapshot')
    expect(askedOf(central)).toEqual(['/maven2/org/lib/lib/maven-metadata.xml'])
    const isPage = { headers: { 'content-type': 'text/html' }, body: '<html>sign in</html>' }
    central.on('org/portal/lib/1.0/lib-1.0.jar', isPage)
    google.add('org/portal/lib/1.0/lib-1.0.jar', 'jar')
    expect(await status('org/portal/lib/1.0/lib-1.0.jar')).toBe(503)
    central.remove('org/portal/lib/1.0/lib-1.0.jar')
    expect((await get('org/portal/lib/1.0/lib-1.0.jar')).body).toBe('jar')
  })

  test('does not ask the second upstream while the first does not answer, for whatever of a name', async () => {
    await attach(['maven-central', 'google-maven'])
    google.addMetadata('org.lib:lib', ['1.0'])
    google.add('org/lib/lib/1.0/lib-1.0.jar', 'of google')
    await central.upstream.down()
    for (const path of [
      'org/lib/lib/1.0/lib-1.0.jar',
      'org/lib/lib/maven-metadata.xml',
      'org/lib/lib/1.0/lib-1.0.jar.sha1',
    ]) {
      const refused = await get(path)
      expect([path, refused.statusCode]).toEqual([path, 503])
      expect(refused.headers['retry-after']).toBeDefined()
    }
    expect(askedOf(google)).toEqual([])
    await central.upstream.up()
    server.clock.advance(HOUR)
    expect(await status('org/lib/lib/1.0/lib-1.0.jar')).toBe(200)
  })

  test('does not ask the second upstream when the first has no metadata and cannot say whether it has the file', async () => {
    await attach(['maven-central', 'google-maven'])
    google.add('org/lib/lib/1.0/lib-1.0.jar', 'of google')
    central.on('org/lib/lib/1.0/lib-1.0.jar', { status: 500 })
    expect(await status('org/lib/lib/1.0/lib-1.0.jar')).toBe(503)
    expect(askedOf(google)).toEqual([])
  })

  test('splits groups between upstreams by patterns', async () => {
    await attach([
      { upstream: 'google-maven', include: ['androidx', 'com.google.android'], exclude: ['androidx.secret:*'] },
      { upstream: 'maven-central', exclude: ['androidx'] },
    ])
    for (const repository of [central, google]) {
      for (const name of ['androidx.core:core', 'androidx.secret:x', 'com.google.guava:guava']) {
        repository.addMetadata(name, [repository === google ? '1.0' : '2.0'])
      }
    }
    expect((await get('androidx/core/core/maven-metadata.xml')).body).toMatch('<version>1.0</version>')
    expect((await get('com/google/guava/guava/maven-metadata.xml')).body).toMatch('<version>2.0</version>')
    expect(await status('androidx/secret/x/maven-metadata.xml')).toBe(404)
    expect(askedOf(google)).toEqual(['/maven2/androidx/core/core/maven-metadata.xml'])
    expect(askedOf(central)).toEqual(['/maven2/com/google/guava/guava/maven-metadata.xml'])
  })

  test('refuses patterns that could match no group', async () => {
    const response = await server.api('PUT', '/orgs/acme/upstreams/maven', [
      { upstream: 'maven-central', include: ['com/acme'] },
    ])
    expect(response.statusCode).toBe(422)
  })

  test('keeps reserved groups to itself, whatever is below them, before anything is deployed there', async () => {
    await attach(['maven-central'])
    const reserved = await server.api('PUT', '/orgs/acme/reserved-names/maven', ['com.acme', 'org.shared:acme-*'])
    expect(reserved.statusCode, reserved.body).toBeLessThan(300)
    central.add('com/acme/secret/1.0/secret-1.0.jar', 'theirs')
    for (const path of [
      'com/acme/secret/1.0/secret-1.0.jar',
      'com/acme/secret/1.0/secret-1.0.jar.sha1',
      'com/acme/deep/down/lib/1.0/lib-1.0.pom',
      'com/acme/secret/maven-metadata.xml',
      'com/acme/secret/1.0-SNAPSHOT/maven-metadata.xml',
      'com/acme/maven-metadata.xml',
      'org/shared/acme-x/1.0/acme-x-1.0.jar',
    ]) {
      expect([path, await status(path)]).toEqual([path, 404])
    }
    expect(askedOf(central)).toEqual([])
    expect(await status('org/shared/other/1.0/other-1.0.jar')).toBe(404)
    expect(askedOf(central)).not.toEqual([])
  })

  test('does not tell an upstream the name of a group in which it has packages, nor asks it for documents of all', async () => {
    await attach(['maven-central'])
    await deploy('com/acme/tools/x-maven-plugin/1.0/x-maven-plugin-1.0.jar', 'plugin')
    for (const path of [
      'com/acme/tools/maven-metadata.xml',
      'archetype-catalog.xml',
      '.meta/prefixes.txt',
      'junit/maven-metadata.xml',
    ]) {
      expect([path, await status(path)]).toEqual([path, 404])
    }
    expect(askedOf(central)).toEqual([])
    const plugins =
      '<metadata><plugins><plugin><prefix>y</prefix><artifactId>y-maven-plugin</artifactId></plugin></plugins></metadata>'
    central.add('org/theirs/maven-metadata.xml', plugins)
    expect((await get('org/theirs/maven-metadata.xml')).body).toBe(plugins)
  })

  test('refuses to deploy over a name that it takes from an upstream', async () => {
    await attach(['maven-central'])
    central.addMetadata('org.lib:lib', ['1.0'])
    await get('org/lib/lib/maven-metadata.xml')
    expect(await deploy('org/lib/lib/2.0/lib-2.0.jar', 'ours')).toBe(409)
  })

  test('does not ask the second upstream for what the first, switched offline, does not hold', async () => {
    await attach(['maven-central', 'google-maven'])
    google.addMetadata('org.lib:lib', ['66.6'])
    await server.services.upstream.setMode('maven-central', 'offline')
    expect(await status('org/lib/lib/maven-metadata.xml')).toBe(503)
    expect(await status('org/lib/lib/66.6/lib-66.6.jar')).toBe(503)
    expect(askedOf(google)).toEqual([])
  })

  test('runs no SQL for warm answers of either source', async () => {
    await attach(['maven-central'])
    await deploy('com/acme/app/1.0/app-1.0.jar', 'ours')
    central.addMetadata('org.lib:lib', ['1.0'])
    central.add('org/lib/lib/1.0/lib-1.0.jar', 'theirs')
    const paths = [
      'com/acme/app/1.0/app-1.0.jar',
      'com/acme/app/maven-metadata.xml',
      'org/lib/lib/1.0/lib-1.0.jar',
      'org/lib/lib/1.0/lib-1.0.jar.sha1',
      'org/lib/lib/maven-metadata.xml',
    ]
    for (const path of paths) expect([path, await status(path)]).toEqual([path, 200])
    await server.services.upstream.settle()
    for (const path of paths) await get(path)
    await server.quiet()
    const { queries } = server.services.db
    for (const path of paths) expect(await status(path)).toBe(200)
    expect(server.services.db.queries).toBe(queries)
  })
})
