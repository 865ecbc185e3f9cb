import { afterAll, beforeAll, expect, test } from 'vitest'
import { Restriction, type RestrictionLists } from '../../../src/auth/restriction.ts'
import { Scopes } from '../../../src/auth/scopes.ts'
import { TestApp } from '../../support/test-app.ts'
import { pom, Repository } from './repository.ts'

const GROUP = 'com.acme.tools'
const METADATA = 'com/acme/tools/maven-metadata.xml'

let server: TestApp
let repository: Repository
let made = 0

beforeAll(async () => {
  server = await TestApp.start()
  repository = new Repository(server, 'acme', server.admin)
  await server.createOrganization('acme')
  for (const artifact of ['one-maven-plugin', 'two-maven-plugin']) {
    const path = `com/acme/tools/${artifact}/1.0/${artifact}-1.0.pom`
    const body = pom(GROUP, artifact, '1.0', '<packaging>maven-plugin</packaging>')
    expect(await repository.send(path, body)).toBe(201)
  }
})
afterAll(() => server.close())

async function as(...names: string[]): Promise<Repository> {
  const user = (await server.services.accounts.find('root'))!
  made += 1
  const lists: RestrictionLists = { packages: names.map((name) => ({ owner: 'acme', type: 'maven', name })) }
  const limits = { restriction: new Restriction(lists), expiresAt: null }
  const scopes = Scopes.parse(['write:package'])
  const { secret } = await server.services.accessTokens.create(user, `limited ${made}`, scopes, limits)
  return repository.as(`Bearer ${secret}`)
}

const told = `<metadata><plugins>${['one', 'two']
  .map(
    (name) =>
      `<plugin><name>x</name><prefix>new-${name}</prefix><artifactId>${name}-maven-plugin</artifactId></plugin>`,
  )
  .join('')}</plugins></metadata>`

test('the metadata of a group, which has the path of an artifact, shows a restricted token no others (security.md S4)', async () => {
  expect(await repository.read(METADATA)).toContain('<prefix>two</prefix>')
  // The path would be that of the artifact `tools` of `com.acme`.
  expect(await (await as('com.acme:tools')).read(METADATA)).toBe(404)
  expect(await (await as('com.acme:*', `${GROUP}:one-maven-plugin`)).read(METADATA)).toBe(404)
  expect(await (await as(`${GROUP}:*`)).read(METADATA)).toBe(403)
})

test('and lets it change none of those that it may not write (security.md S8)', async () => {
  const before = await repository.read(METADATA)
  expect(await (await as(`${GROUP}:one-maven-plugin`)).send(METADATA, told)).toBe(403)
  expect(await (await as('com.acme:tools')).send(METADATA, told)).toBe(200)
  expect(await repository.read(METADATA)).toBe(before)
  expect(await (await as('com.acme:tools', `${GROUP}:one-maven-plugin`)).send(METADATA, told)).toBe(200)
  const after = await repository.read(METADATA)
  expect(after).toContain('<prefix>new-one</prefix>')
  expect(after).toContain('<prefix>two</prefix>')
})
