import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { TestApp } from '../support/test-app.ts'
import { createTestDatabaseUrl } from '../support/test-database.ts'

type Json = Record<string, unknown>

let app: TestApp
let upstream: FakeNpmRegistry
let ann: string
let bob: string
let will: string

beforeAll(async () => {
  upstream = await FakeNpmRegistry.start()
  const npmjs = { type: 'npm', owner: 'npmjs', url: upstream.url, allowPrivateNetwork: true }
  app = await TestApp.start({ upstreams: { npmjs } })
  ann = await app.createUser('ann')
  bob = await app.createUser('bob')
  will = await app.createUser('will')
  for (const [org, visibility] of [
    ['acme', 'public'],
    ['insiders', 'limited'],
  ] as const) {
    await app.createOrganization(org, ann, visibility)
  }
  const writers = { name: 'writers', units_map: { 'repo.packages': 'write' } }
  const { id } = (await app.api('POST', '/orgs/acme/teams', writers, ann)).json() as { id: number }
  await app.api('PUT', `/teams/${id}/members/will`, undefined, ann)
})
afterAll(async () => {
  await app.close()
  await upstream.close()
})

const change = (path: string, body: object, authorization: string | null = ann) =>
  app.api('PATCH', `/packages/${path}`, body, authorization)

test('who administers packages makes one private and takes it back; nobody else', async () => {
  await publish(app, { owner: 'acme', name: 'one', creator: 'ann' })
  const publicOnly = `token ${await app.createToken('ann', ['all', 'public-only'], ann)}`
  const reading = `token ${await app.createToken('ann', ['read:package'], ann)}`
  const body = { visibility: 'private' }
  for (const [who, status] of [
    [null, 401],
    [bob, 403],
    [will, 403],
    [reading, 403],
    [publicOnly, 403],
  ] as const) {
    expect((await change('acme/generic/one', body, who)).statusCode).toBe(status)
  }
  expect((await change('acme/generic/none', body)).statusCode).toBe(404)
  // The same to somebody who may not, whether the package is there or not.
  expect((await change('acme/generic/none', body, will)).statusCode).toBe(403)
  expect((await change('npmjs/npm/left', body, app.admin)).statusCode).toBe(405)
  for (const wrong of [{}, { visibility: 'public' }, { visibility: 'private', name: 'two' }]) {
    expect((await change('acme/generic/one', wrong)).statusCode).toBe(422)
  }
  expect((await change('acme/generic/one', body)).statusCode).toBe(204)
  // Who may not see it must not take its privacy away either.
  expect((await change('acme/generic/one', { visibility: 'inherited' }, publicOnly)).statusCode).toBe(403)
  expect((await change('acme/generic/one', { visibility: 'inherited' })).statusCode).toBe(204)
})

test('the visibility is shown wherever a package is shown (security.md S1)', async () => {
  for (const [owner, visibility] of [
    ['acme', 'public'],
    ['insiders', 'limited'],
  ] as const) {
    await publish(app, { owner, name: 'shown', creator: 'ann' })
    const shown = async () => {
      const paths = ['?q=shown', '/generic/shown', '/generic/shown/1.0.0', '/generic/shown/-/latest']
      const answers = await Promise.all(
        paths.map((path) => app.api('GET', `/packages/${owner}${path}`, undefined, ann)),
      )
      return new Set(
        answers.flatMap((answer) => [answer.json() as Json | Json[]].flat()).map((json) => json['visibility']),
      )
    }
    expect(await shown()).toEqual(new Set([visibility]))
    await change(`${owner}/generic/shown`, { visibility: 'private' })
    expect(await shown()).toEqual(new Set(['private']))
  }
})

test('X-Total-Count and pages are of what the caller may read (security.md S4)', async () => {
  await app.createOrganization('many', ann)
  for (let index = 0; index < 6; index += 1) {
    await publish(app, { owner: 'many', name: `p${index}`, creator: 'ann' })
    if (index % 2 === 0) await change(`many/generic/p${index}`, { visibility: 'private' })
  }
  for (const [who, total] of [
    [ann, 6],
    [bob, 3],
    [will, 3],
    [app.admin, 6],
  ] as const) {
    const names: unknown[] = []
    for (let page = 1; page <= 3; page += 1) {
      const answer = await app.api('GET', `/packages/many?limit=2&page=${page}`, undefined, who)
      expect(answer.headers['x-total-count']).toBe(String(total))
      names.push(...(answer.json() as Json[]).map((json) => json['name']))
    }
    expect(new Set(names).size).toBe(total)
  }
})

test('a change is in the audit log', async () => {
  const log = (await app.api('GET', '/orgs/acme/audit?action=package.visibility', undefined, ann)).json() as Json[]
  expect(log.at(-1)).toMatchObject({
    action: 'package.visibility',
    actor: { login: 'ann' },
    target: { type: 'generic', name: 'one' },
    details: { to: { visibility: 'private' } },
  })
})

test('the name of a private package goes to no upstream, whoever asks for it', async () => {
  await app.createOrganization('view', ann)
  await app.api('PUT', '/orgs/view/upstreams/npm', ['npmjs'], app.admin)
  await publish(app, { owner: 'view', type: 'npm', name: 'secret', creator: 'ann' })
  await upstream.publish({ name: 'secret', version: '99.0.0' })
  await change('view/npm/secret', { visibility: 'private' })
  for (const path of [
    'secret',
    'SECRET',
    'secret/latest',
    'secret/-/secret-99.0.0.tgz',
    '-/npm/v1/attestations/secret@1.0.0',
  ]) {
    for (const headers of [{}, { authorization: bob }]) {
      const answer = await app.inject({ url: `/api/packages/view/npm/${path}`, headers })
      expect(answer.statusCode).toBe(404)
    }
  }
  expect(upstream.upstream.requests.filter(({ path }) => /secret/i.test(path))).toEqual([])
})

test('a flood of readers while the visibility turns sees the one or the other, and afterwards the last', async () => {
  const url = '/api/packages/acme/generic/flood/1.0.0/file.txt'
  await publish(app, { owner: 'acme', name: 'flood', creator: 'ann' })
  for (const visibility of ['private', 'inherited', 'private']) {
    const reading = Array.from({ length: 100 }, () => app.inject({ url }))
    const changed = await change('acme/generic/flood', { visibility })
    expect(changed.statusCode).toBe(204)
    expect((await app.inject({ url })).statusCode).toBe(visibility === 'private' ? 404 : 200)
    for (const { statusCode } of await Promise.all(reading)) expect([200, 404]).toContain(statusCode)
  }
})

/** Needs Redis: TEST_REDIS_URL. */
test.skipIf(process.env['TEST_REDIS_URL'] === undefined)(
  'what one replica makes private, the other hides at the next request, though it knew it by heart',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-replicas-'))
    const database = await createTestDatabaseUrl(folder)
    const start = () => TestApp.start({ databaseUrl: database.url, dataDir: folder })
    const [one, two] = [await start(), await start()]
    const owner = await one.createUser('ann')
    await publish(one, { owner: 'ann', name: 'app', creator: 'ann' })
    const url = '/api/packages/ann/generic/app/1.0.0/file.txt'
    const status = async () => (await two.inject({ url })).statusCode
    expect(await status()).toBe(200)
    for (const [visibility, expected] of [
      ['private', 404],
      ['inherited', 200],
    ] as const) {
      const changed = await one.api('PATCH', '/packages/ann/generic/app', { visibility }, owner)
      expect(changed.statusCode).toBe(204)
      await vi.waitFor(async () => expect(await status()).toBe(expected), 5_000)
    }
    await one.close()
    await two.close()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  },
)
