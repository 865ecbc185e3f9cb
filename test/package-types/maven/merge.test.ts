import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeMavenRepository } from '../../support/fake-maven-repository.ts'
import { TestApp } from '../../support/test-app.ts'

const REG = '/api/packages/acme/maven'
const LIB = 'org/lib/lib'

let central: FakeMavenRepository
let google: FakeMavenRepository
let server: TestApp

beforeEach(async () => {
  central = await FakeMavenRepository.start()
  google = await FakeMavenRepository.start()
  const file = (owner: string, { url }: FakeMavenRepository) => ({
    ...{ type: 'maven', owner, url, allowPrivateNetwork: true },
  })
  server = await TestApp.start({
    upstreams: { 'maven-central': file('maven-central', central), 'google-maven': file('google-maven', google) },
  })
  await server.createOrganization('acme')
  const attached = ['maven-central', 'google-maven']
  expect((await server.api('PUT', '/orgs/acme/upstreams/maven', attached)).statusCode).toBe(200)
})
afterEach(async () => {
  await server.close()
  await Promise.all([central.close(), google.close()])
})

const get = (path: string) => server.inject({ method: 'GET', url: `${REG}/${path}` })
const read = async (path: string) => {
  const { statusCode, body } = await get(path)
  return statusCode === 200 ? body : statusCode
}
const versions = async () =>
  [...(await get(`${LIB}/maven-metadata.xml`)).body.matchAll(/<version>([^<]+)/g)].map(([, version]) => version)
const bind = async (body: object) => {
  const response = await server.api('PUT', '/orgs/acme/bindings/maven/org.lib%3Alib', body)
  expect(response.statusCode, response.body).toBe(200)
}
const deploy = (path: string, payload: string, query = '') =>
  server.inject({ method: 'PUT', url: `${REG}/${path}${query}`, headers: { authorization: server.admin }, payload })

/** Both upstreams have 1.0 and what is given, each with its own files. */
const fill = (ofCentral: string[], ofGoogle: string[]) => {
  for (const [repository, name, all] of [
    [central, 'central', ofCentral],
    [google, 'google', ofGoogle],
  ] as const) {
    repository.addMetadata('org.lib:lib', all)
    for (const version of all) {
      repository.addPom('org.lib:lib', version)
      repository.add(`${LIB}/${version}/lib-${version}.jar`, `${name} ${version}`)
    }
  }
}

test('a merged artifact has the versions of all, each with the files of the first that has it', async () => {
  fill(['1.0', '2.0'], ['1.0', '2.0', '3.0'])
  expect((await deploy(`${LIB}/1.0/lib-1.0.jar`, 'ours 1.0')).statusCode).toBe(201)
  await bind({ source: 'hosted', merge: true })
  expect(await versions()).toEqual(['1.0', '2.0', '3.0'])
  const metadata = (await get(`${LIB}/maven-metadata.xml`)).body
  expect(metadata).toMatch('<release>3.0</release>')
  const sha1 = await read(`${LIB}/maven-metadata.xml.sha1`)
  const { createHash } = await import('node:crypto')
  expect(sha1).toBe(createHash('sha1').update(metadata).digest('hex'))
  expect(await read(`${LIB}/1.0/lib-1.0.jar`)).toBe('ours 1.0')
  // No file of another source's version stands in for one that ours has not.
  expect(await read(`${LIB}/1.0/lib-1.0.pom`)).toBe(404)
  expect(await read(`${LIB}/2.0/lib-2.0.jar`)).toBe('central 2.0')
  expect(await read(`${LIB}/3.0/lib-3.0.jar`)).toBe('google 3.0')
  expect(await read(`${LIB}/3.0/lib-3.0.jar.sha1`)).toMatch(/^[0-9a-f]{40}$/)
  expect(await read(`${LIB}/9.0/lib-9.0.jar`)).toBe(404)
  await bind({ source: 'hosted', merge: false })
  expect(await versions()).toEqual(['1.0'])
  expect(await read(`${LIB}/3.0/lib-3.0.jar`)).toBe(404)
})

test('of a merged artifact a version that no metadata lists is whose POM it is', async () => {
  fill(['1.0'], ['1.0'])
  google.addPom('org.lib:lib', '4.0')
  google.add(`${LIB}/4.0/lib-4.0.jar`, 'google 4.0')
  central.add(`${LIB}/4.0/lib-4.0.jar`, 'stray')
  await bind({ source: 'maven-central', merge: true })
  expect(await read(`${LIB}/4.0/lib-4.0.jar`)).toBe('google 4.0')
})

test('a merged artifact is 503 while an upstream before others cannot say, but for what is ours', async () => {
  fill(['1.0'], ['66.0'])
  await deploy(`${LIB}/2.0/lib-2.0.jar`, 'ours 2.0')
  await bind({ source: 'hosted', merge: true })
  await central.upstream.down()
  expect(await read(`${LIB}/maven-metadata.xml`)).toBe(503)
  expect(await read(`${LIB}/66.0/lib-66.0.jar`)).toBe(503)
  expect(await read(`${LIB}/2.0/lib-2.0.jar`)).toBe('ours 2.0')
})

test('a merged artifact is without the versions that a policy refuses, whoever else has them', async () => {
  fill(['1.0'], ['1.0', '2.0'])
  await bind({ source: 'google-maven', merge: true })
  const rule = { action: 'deny', type: 'maven', name: 'org.lib:lib', versions: '1.0', reason: 'bad' }
  const made = await server.api('POST', '/admin/policies', { ...rule, upstream: 'maven-central' })
  expect(made.statusCode, made.body).toBe(201)
  expect(await versions()).toEqual(['2.0'])
  expect(await read(`${LIB}/1.0/lib-1.0.jar`)).toBe(403)
  expect(await read(`${LIB}/2.0/lib-2.0.jar`)).toBe('google 2.0')
})

test('the metadata of a group with the path of a merged artifact stays that of the group', async () => {
  await bind({ source: 'hosted', merge: true })
  expect(await read(`${LIB}/maven-metadata.xml`)).toBe(404)
})

test('deploying over a name that is an upstream’s is refused until it is confirmed', async () => {
  fill(['1.0'], [])
  expect(await read(`${LIB}/1.0/lib-1.0.jar`)).toBe('central 1.0')
  const refused = await deploy(`${LIB}/2.0/lib-2.0.jar`, 'ours')
  expect(refused.statusCode).toBe(409)
  for (const text of [refused.statusMessage, refused.body]) {
    expect(text).toContain(
      'PUT /api/v1/orgs/acme/bindings/maven/org.lib%3Alib {"source":"hosted"}, or by ?confirm_shadow=true',
    )
  }
  expect((await deploy(`${LIB}/2.0/lib-2.0.jar`, 'ours', '?confirm_shadow=true')).statusCode).toBe(201)
  expect(await read(`${LIB}/2.0/lib-2.0.jar`)).toBe('ours')
  expect(await read(`${LIB}/1.0/lib-1.0.jar`)).toBe(404)
})
