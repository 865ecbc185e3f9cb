import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../../support/test-app.ts'
import { Registry } from './registry.ts'

let app: TestApp
let owner: Registry
let writer: Registry
let publicOnly: Registry
let ann: string

beforeAll(async () => {
  app = await TestApp.start()
  ann = await app.createUser('ann')
  const will = await app.createUser('will')
  await app.createOrganization('acme', ann)
  await app.createOrganization('closed', ann, 'private')
  const units = { units_map: { 'repo.packages': 'write' } }
  const team = (await app.api('POST', '/orgs/acme/teams', { name: 'writers', ...units }, ann)).json() as { id: number }
  await app.api('PUT', `/teams/${team.id}/members/will`, undefined, ann)
  owner = new Registry(app, 'acme', ann)
  writer = owner.as(will)
  publicOnly = owner.as(`Bearer ${await app.createToken('ann', ['all', 'public-only'], ann)}`)
})
afterAll(() => app.close())

const anonymous = () => owner.as(null)
const statusFor = async (registry: Registry, name: string) => (await registry.get(`/${name}`)).statusCode
const publishAs = async (registry: Registry, name: string, access: unknown, version = '1.0.0') =>
  (await registry.publish({ name, version }, (publication) => Object.assign(publication, { access }))).statusCode

describe('npm access set', () => {
  test('makes a package private and public again, and says so', async () => {
    expect(await publishAs(owner, '@acme/set', null)).toBe(201)
    const visible = async () => (await owner.get('/-/package/@acme%2fset/visibility')).json() as object
    expect(await visible()).toEqual({ public: true })
    for (const [access, isPublic] of [
      ['restricted', false],
      ['public', true],
    ] as const) {
      expect((await owner.post('/-/package/@acme%2fset/access', { access })).statusCode).toBe(200)
      expect(await visible()).toEqual({ public: isPublic })
      expect(await statusFor(anonymous(), '@acme%2fset')).toBe(isPublic ? 200 : 404)
    }
  })

  test('is for who administers the packages of the owner, and for tokens that could see what they make', async () => {
    expect(await publishAs(owner, '@acme/kept', null)).toBe(201)
    for (const [registry, status] of [
      [writer, 403],
      [publicOnly, 403],
      [anonymous(), 401],
    ] as const) {
      expect((await registry.post('/-/package/@acme%2fkept/access', { access: 'restricted' })).statusCode).toBe(status)
    }
    expect(await statusFor(anonymous(), '@acme%2fkept')).toBe(200)
    const unknown = { access: 'restricted' }
    expect((await owner.post('/-/package/@acme%2fnothing/access', unknown)).statusCode).toBe(404)
    expect((await owner.post('/-/package/@acme%2fkept/access', { access: 'privat' })).statusCode).toBe(400)
    expect((await owner.post('/-/package/@acme%2fkept/access', { publish_requires_tfa: true })).statusCode).toBe(403)
  })

  test('makes nothing public that its owner is not', async () => {
    const closed = new Registry(app, 'closed', ann)
    expect(await publishAs(closed, '@closed/lib', 'public')).toBe(201)
    expect((await closed.post('/-/package/@closed%2flib/access', { access: 'public' })).statusCode).toBe(403)
    expect((await closed.get('/-/package/@closed%2flib/visibility')).json()).toEqual({ public: false })
  })

  test('is in the audit log', async () => {
    expect(await publishAs(owner, '@acme/logged', 'restricted')).toBe(201)
    expect((await owner.post('/-/package/@acme%2flogged/access', { access: 'public' })).statusCode).toBe(200)
    await app.services.audit.settle()
    const events = (await app.api('GET', '/orgs/acme/audit', undefined, ann)).json() as Record<string, unknown>[]
    const ofPackage = events.filter(({ target }) => (target as { name: string }).name === '@acme/logged')
    expect(ofPackage).toMatchObject([
      { action: 'package.visibility', details: { to: { visibility: 'inherited' } } },
      { action: 'package.created', details: { visibility: 'private' } },
    ])
  })
})

describe('npm publish --access', () => {
  test('restricted makes a new package private, whoever publishes it', async () => {
    expect(await publishAs(writer, '@acme/fresh', 'restricted')).toBe(201)
    expect(await statusFor(anonymous(), '@acme%2ffresh')).toBe(404)
    expect(await statusFor(writer, '@acme%2ffresh')).toBe(200)
  })

  test('says nothing of a package that is there', async () => {
    expect(await publishAs(owner, '@acme/old', 'public')).toBe(201)
    expect(await publishAs(owner, '@acme/old', 'restricted', '1.1.0')).toBe(201)
    expect(await statusFor(anonymous(), '@acme%2fold')).toBe(200)
    expect(await publishAs(owner, '@acme/fresh', 'public', '1.1.0')).toBe(201)
    expect(await statusFor(anonymous(), '@acme%2ffresh')).toBe(404)
  })

  test('is refused with a word nobody knows, and to a token that could not see the package', async () => {
    expect(await publishAs(owner, '@acme/typo', 'restrictd')).toBe(400)
    expect(await publishAs(publicOnly, '@acme/typo', 'restricted')).toBe(403)
    expect(await statusFor(owner, '@acme%2ftypo')).toBe(404)
  })

  test('by fifty clients at once leaves the package as one of them has made it', async () => {
    const versions = Array.from({ length: 50 }, (_, patch) => `1.0.${patch}`)
    await Promise.all(versions.map((version) => publishAs(owner, '@acme/raced', 'restricted', version)))
    expect(await statusFor(anonymous(), '@acme%2fraced')).toBe(404)
    const document = (await owner.get('/@acme%2fraced')).json() as { versions: object }
    expect(Object.keys(document.versions)).toHaveLength(versions.length)
  })
})

test('search counts for each caller what he may read, and no cache mixes them up (security.md S4, S43)', async () => {
  const found = async (registry: Registry) => {
    const { headers, body } = await registry.get('/-/v1/search?text=acme&size=250')
    expect(headers.vary).toBe('Authorization')
    return { control: headers['cache-control'], ...(JSON.parse(body) as { total: number; objects: unknown[] }) }
  }
  const [all, some] = [await found(owner), await found(anonymous())]
  expect(all.control).toBe('private, no-cache')
  expect(some.control).toBe('no-cache')
  expect(all.objects).toHaveLength(all.total)
  expect(some.objects).toHaveLength(some.total)
  expect(all.total - some.total).toBe(2)
})
