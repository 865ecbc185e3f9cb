import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { TestApp } from '../support/test-app.ts'

let app: TestApp
let registry: FakeNpmRegistry
let ann: string
let bob: string

beforeAll(async () => {
  registry = await FakeNpmRegistry.start()
  const file = { url: registry.url, allowPrivateNetwork: true }
  app = await TestApp.start({
    upstreams: {
      npmjs: { ...file, type: 'npm', owner: 'npmjs' },
      spare: { ...file, type: 'npm', owner: 'spare' },
      closed: { ...file, type: 'npm', owner: 'closed', visibility: 'private' },
      images: { ...file, type: 'container', owner: 'images.example' },
    },
  })
  ann = await app.createUser('ann')
  bob = await app.createUser('bob')
  await app.createOrganization('acme', ann)
  const attached = [{ upstream: 'npmjs', exclude: ['kept-*'] }]
  expect((await app.api('PUT', '/orgs/acme/upstreams/npm', attached, ann)).statusCode).toBe(200)
  expect((await app.api('PUT', '/orgs/acme/upstreams/container', ['images'], ann)).statusCode).toBe(200)
  await app.api('PUT', '/orgs/acme/reserved-names/npm', ['@acme/*'], ann)
})
afterAll(async () => {
  await app.close()
  await registry.close()
})

const path = (name: string, type = 'npm') => `/orgs/acme/bindings/${type}/${encodeURIComponent(name)}`
const put = (name: string, body: object, type = 'npm', who: string | null = ann) =>
  app.api('PUT', path(name, type), body, who)
const resolve = async (name: string, who = ann) =>
  (
    await app.api('GET', `/packages/resolve?owner=acme&type=npm&name=${encodeURIComponent(name)}`, undefined, who)
  ).json()

describe('bindings of names', () => {
  test('are set, read in any case, listed, filtered, paged and cleared', async () => {
    expect((await app.api('GET', path('one'), undefined, ann)).statusCode).toBe(404)
    const made = await put('@Pub/One', { source: 'npmjs' })
    expect([made.statusCode, made.json()]).toMatchObject([
      200,
      { type: 'npm', name: '@pub/one', source: 'npmjs', merge: false, author: 'ann' },
    ])
    await put('two', { source: 'hosted' })
    await put('three', { source: 'hosted', merge: true })
    expect((await app.api('GET', path('@PUB/one'), undefined, ann)).json().source).toBe('npmjs')
    const list = async (query: string) => {
      const answer = await app.api('GET', `/orgs/acme/bindings?${query}`, undefined, ann)
      return [answer.headers['x-total-count'], answer.json().map(({ name }: { name: string }) => name)]
    }
    expect(await list('')).toEqual(['3', ['@pub/one', 'three', 'two']])
    expect(await list('limit=1&page=2')).toEqual(['3', ['three']])
    expect(await list('source=hosted')).toEqual(['2', ['three', 'two']])
    expect(await list('source=npmjs&type=npm')).toEqual(['1', ['@pub/one']])
    expect(await list('merge=true')).toEqual(['1', ['three']])
    expect(await list('q=ONE')).toEqual(['1', ['@pub/one']])
    expect(await list('q=%25')).toEqual(['0', []])
    expect(await list('type=container')).toEqual(['0', []])
    for (const name of ['@pub/one', 'two', 'three']) {
      expect((await app.api('DELETE', path(name), undefined, ann)).statusCode).toBe(204)
    }
    expect((await app.api('DELETE', path('two'), undefined, ann)).statusCode).toBe(404)
    expect(await list('')).toEqual(['0', []])
  })

  test.each([
    ['one', {}, 'npm'],
    ['one', { source: '' }, 'npm'],
    ['one', { source: 'hosted', more: 1 }, 'npm'],
    ['one', { source: 'nobody' }, 'npm'],
    ['one', { source: 'spare' }, 'npm'],
    ['one', { source: 'images' }, 'npm'],
    ['kept-one', { source: 'npmjs' }, 'npm'],
    ['kept-one', { source: 'hosted', merge: true }, 'npm'],
    ['@acme/one', { source: 'npmjs' }, 'npm'],
    ['@ACME/one', { source: 'hosted', merge: true }, 'npm'],
    ['library/alpine', { source: 'hosted', merge: true }, 'container'],
    ['one', { source: 'hosted' }, 'generic'],
    ['one', { source: 'hosted' }, 'nmp'],
    ['x'.repeat(256), { source: 'hosted' }, 'npm'],
    ['İ'.repeat(200), { source: 'hosted' }, 'npm'],
    ['a b', { source: 'hosted' }, 'npm'],
    ['a\tb', { source: 'hosted' }, 'npm'],
  ])('%j to %j of %s is 422', async (name, body, type) => {
    const refused = await put(name, body, type)
    expect(refused.statusCode, refused.body).toBe(422)
    expect(await app.services.models.nameBinding.count()).toBe(0)
  })

  test('never hide what is hosted, and clearing them leaves that hosted', async () => {
    await publish(app, { owner: 'acme', type: 'npm', name: 'ours', creator: 'ann' })
    expect((await put('ours', { source: 'npmjs' })).statusCode).toBe(409)
    await put('ours', { source: 'hosted', merge: true })
    expect((await app.api('DELETE', path('ours'), undefined, ann)).statusCode).toBe(204)
    expect((await app.api('GET', path('ours'), undefined, ann)).json()).toMatchObject({
      source: 'hosted',
      merge: false,
    })
    expect((await app.api('DELETE', '/packages/acme/npm/ours', undefined, ann)).statusCode).toBe(204)
    expect(await resolve('ours')).toMatchObject({ source: 'hosted' })
    expect((await app.api('DELETE', path('ours'), undefined, ann)).statusCode).toBe(204)
    expect(await resolve('ours')).toMatchObject({ source: 'undecided' })
  })

  test('are the business of owners', async () => {
    for (const [who, status] of [
      [null, 401],
      [bob, 403],
    ] as const) {
      expect((await put('one', { source: 'hosted' }, 'npm', who)).statusCode).toBe(status)
      expect((await app.api('GET', '/orgs/acme/bindings', undefined, who)).statusCode).toBe(status)
      expect((await app.api('DELETE', path('one'), undefined, who)).statusCode).toBe(status)
    }
  })

  test('of one name set by many at once end as one', async () => {
    const answers = await Promise.all(
      ['hosted', 'npmjs', 'hosted', 'npmjs', 'hosted'].map((source) => put('many', { source })),
    )
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 200, 200])
    expect(await app.services.models.nameBinding.count({ where: { lowerName: 'many' } })).toBe(1)
    await app.api('DELETE', path('many'), undefined, ann)
  })
})

describe('resolve', () => {
  test('tells where a name comes from and why, and asks no upstream', async () => {
    const attached = ['closed', 'npmjs', 'spare'].map((upstream) => ({ upstream, exclude: ['kept-*'] }))
    expect((await app.api('PUT', '/orgs/acme/upstreams/npm', attached)).statusCode).toBe(200)
    expect(await resolve('left')).toEqual({
      ...{ owner: 'acme', type: 'npm', name: 'left', source: 'undecided', conflicts: [] },
      reason: 'the first upstream that has the name gets it when it is next asked for',
      upstreams: ['npmjs', 'spare'].map((upstream) => ({
        ...{ upstream, trust: 'untrusted', mode: 'online', included: true, bound: false, known: 'unknown' },
      })),
    })
    expect(await resolve('@ACME/x')).toMatchObject({ source: 'hosted', upstreams: [] })
    expect((await resolve('kept-x')).upstreams[0]).toMatchObject({ included: false, known: 'not asked' })
    await put('left', { source: 'spare' })
    expect(await resolve('Left')).toMatchObject({ source: 'upstream', upstreams: [{ bound: false }, { bound: true }] })
    await put('left', { source: 'hosted' })
    expect(await resolve('left')).toMatchObject({ source: 'hosted', upstreams: [{ known: 'not asked' }, {}] })
    await put('left', { source: 'hosted', merge: true })
    expect((await resolve('left')).source).toBe('merged')
    await app.api('DELETE', path('left'), undefined, ann)
    expect(registry.upstream.requests).toEqual([])
  })

  test('tells a stranger no more of a private package than of one that there is not (S4)', async () => {
    await publish(app, { owner: 'acme', type: 'npm', name: 'secret', creator: 'ann' })
    expect((await app.api('PATCH', '/packages/acme/npm/secret', { visibility: 'private' }, ann)).statusCode).toBe(204)
    expect((await resolve('secret')).source).toBe('hosted')
    expect(await resolve('secret', bob)).toEqual({ ...(await resolve('absent', bob)), name: 'secret' })
  })

  test('says of a mirror that it answers for itself, and nothing of who may not be read', async () => {
    const ask = (owner: string, who: string | null) =>
      app.api('GET', `/packages/resolve?owner=${owner}&type=npm&name=left`, undefined, who)
    expect((await ask('npmjs', bob)).json()).toMatchObject({ source: 'upstream', upstreams: [{ upstream: 'npmjs' }] })
    expect((await ask('closed', bob)).statusCode).toBe((await ask('acme-nobody', bob)).statusCode === 404 ? 403 : 0)
    expect((await ask('acme', null)).statusCode).toBe(401)
    expect((await ask('nobody', bob)).statusCode).toBe(404)
  })
})
