import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestApp } from '../../support/test-app.ts'
import { checksum, pom, Repository } from './repository.ts'

let app: TestApp
let ann: string
let owner: Repository
let anonymous: Repository

beforeAll(async () => {
  app = await TestApp.start()
  ann = await app.createUser('ann')
  await app.createOrganization('acme', ann)
  owner = new Repository(app, 'acme', ann)
  anonymous = owner.as(null)
})
afterAll(() => app.close())

async function deploy(group: string, artifact: string, isPlugin: boolean): Promise<void> {
  const path = `${group.replaceAll('.', '/')}/${artifact}/1.0/${artifact}-1.0.pom`
  const packaging = isPlugin ? '\n  <packaging>maven-plugin</packaging>' : ''
  expect(await owner.send(path, pom(group, artifact, '1.0', packaging))).toBe(201)
}

async function setVisibility(name: string, visibility: string): Promise<void> {
  const path = `/packages/acme/maven/${encodeURIComponent(name)}`
  expect((await app.api('PATCH', path, { visibility }, ann)).statusCode).toBe(204)
}

test('a group lists private plugins for their readers only, with the checksum of what each sees (security.md S4)', async () => {
  const path = 'org/tools/maven-metadata.xml'
  for (const artifact of ['a-maven-plugin', 'b-maven-plugin']) await deploy('org.tools', artifact, true)
  expect(await anonymous.read(path)).toContain('b-maven-plugin')
  await setVisibility('org.tools:b-maven-plugin', 'private')
  const bodies = [String(await anonymous.read(path)), String(await owner.read(path))]
  expect(bodies.map((body) => body.includes('a-maven-plugin'))).toEqual([true, true])
  expect(bodies.map((body) => body.includes('b-maven-plugin'))).toEqual([false, true])
  for (const [index, repository] of [anonymous, owner].entries()) {
    expect(await repository.read(`${path}.sha256`)).toBe(checksum('sha256', bodies[index]!))
  }
  expect((await owner.get(path)).headers).toMatchObject({ 'cache-control': 'private, no-cache' })
  expect((await owner.get(path)).headers.vary).toContain('Authorization')
  expect((await anonymous.get(path)).headers['cache-control']).toBe('no-cache')

  await setVisibility('org.tools:a-maven-plugin', 'private')
  expect((await anonymous.get(path)).body).toBe((await anonymous.get('org/nothing/maven-metadata.xml')).body)
  await setVisibility('org.tools:b-maven-plugin', 'inherited')
  expect(await anonymous.read(path)).toContain('b-maven-plugin')
})

test('the metadata of a group is not lost behind a private artifact with its path', async () => {
  const path = 'net/some/thing/maven-metadata.xml'
  await deploy('net.some.thing', 'x-maven-plugin', true)
  const ofGroup = await anonymous.read(path)
  await deploy('net.some', 'thing', false)
  expect(await anonymous.read(path)).toContain('<version>1.0</version>')
  await setVisibility('net.some:thing', 'private')
  expect(await anonymous.read(path)).toBe(ofGroup)
  expect(await owner.read(path)).toContain('<version>1.0</version>')
})

test('a token for what is public gives no private plugin another prefix', async () => {
  await deploy('io.plugins', 'c-maven-plugin', true)
  await setVisibility('io.plugins:c-maven-plugin', 'private')
  const path = 'io/plugins/maven-metadata.xml'
  const before = await owner.read(path)
  const changed = String(before).replace('<prefix>c</prefix>', '<prefix>evil</prefix>')
  expect(changed).not.toBe(before)
  const publicOnly = owner.as(`Bearer ${await app.createToken('ann', ['all', 'public-only'], ann)}`)
  expect(await publicOnly.send(path, changed)).toBe(200)
  expect(await owner.read(path)).toBe(before)
  expect(await owner.send(path, changed)).toBe(200)
  expect(await owner.read(path)).toContain('<prefix>evil</prefix>')
})
