import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

const OVER_SIZE = 'maximum allowed package storage quota exceeded'

let server: TestApp
let olga: string

beforeAll(async () => {
  server = await TestApp.start({ environment: { ENTREPOT_PACKAGES_LIMITS_GENERIC: '100' } })
  olga = await server.createUser('olga')
  await server.createOrganization('acme', olga)
})
afterAll(() => server.close())

const upload = (owner: string, name: string, bytes: number, version = '1') =>
  server.inject({
    method: 'PUT',
    url: `/api/packages/${owner}/generic/${name}/${version}/file`,
    headers: { authorization: olga },
    payload: 'x'.repeat(bytes),
  })
const limit = (owner: string, limits: object) => server.api('PUT', `/admin/users/${owner}/quota/limits`, limits)

describe('a quota', () => {
  test('says what is used and allowed, in Forgejo’s shape', async () => {
    expect((await upload('acme', 'app', 10)).statusCode).toBe(201)
    expect((await upload('acme', 'app', 20, '2')).statusCode).toBe(201)
    const quota = (await server.api('GET', '/orgs/acme/quota', undefined, olga)).json()
    expect(quota.used.size.assets.packages).toEqual({ all: 30 })
    expect(quota.used.count).toEqual({ packages: 2 })
    expect(quota.groups).toEqual([{ rules: [{ limit: -1, subjects: ['size:assets:packages:all'] }] }])
    expect(quota.limits).toEqual({ total_count: -1, total_size: -1, type_sizes: { generic: 100 } })
    const named = (await server.api('GET', '/admin/users/acme/quota')).json()
    expect(named.groups[0]).toMatchObject({ name: 'packages', rules: [{ name: 'total-size' }] })
    expect((await server.api('GET', '/user/quota', undefined, olga)).json().used.count).toEqual({ packages: 0 })
  })

  test('lists what takes the most', async () => {
    const response = await server.api('GET', '/orgs/acme/quota/packages?limit=1', undefined, olga)
    const path = 'acme/-/packages/generic/app/2'
    expect(response.json()).toEqual([
      { name: 'app', type: 'generic', version: '2', size: 20, html_url: `http://127.0.0.1:8080/${path}` },
    ])
    expect(response.headers['x-total-count']).toBe('2')
  })

  test('of one owner is what administrators say, at once', async () => {
    expect((await upload('olga', 'big', 101)).statusCode).toBe(403)
    expect((await limit('olga', { type_sizes: { generic: 200 } })).statusCode).toBe(200)
    expect((await upload('olga', 'big', 101)).statusCode).toBe(201)
    expect((await upload('acme', 'big', 101)).statusCode).toBe(403)

    await limit('olga', { total_size: 150 })
    expect((await upload('olga', 'big', 101, '2')).body).toContain('maximum allowed package type size exceeded')
    expect((await upload('olga', 'more', 50)).body).toContain(OVER_SIZE)
    expect((await upload('olga', 'more', 49)).statusCode).toBe(201)

    await limit('olga', { total_count: 2 })
    expect((await upload('olga', 'third', 1)).body).toContain('maximum allowed package count exceeded')
    expect((await server.api('GET', '/admin/users/olga/quota/limits')).json()).toEqual({
      total_count: 2,
      total_size: null,
      type_sizes: {},
    })
    await limit('olga', {})
    expect((await upload('olga', 'third', 1)).statusCode).toBe(201)
    expect(await server.services.models.ownerQuota.count()).toBe(0)
  })

  test('answers whether there is room', async () => {
    const check = async (subject: string) =>
      (await server.api('GET', `/orgs/acme/quota/check?subject=${subject}`, undefined, olga)).json()
    await limit('acme', { total_size: 31 })
    expect(await check('size:all')).toBe(true)
    await limit('acme', { total_size: 30 })
    for (const subject of ['size:all', 'size:assets:all', 'size:assets:packages:all']) {
      expect(await check(subject)).toBe(false)
    }
    for (const subject of ['none', 'size:git:lfs', 'size:assets:artifacts']) expect(await check(subject)).toBe(true)
    const unknown = await server.api('GET', '/orgs/acme/quota/check?subject=size:moon', undefined, olga)
    expect(unknown.statusCode).toBe(422)
    await limit('acme', {})
  })

  test.each([
    [{ total_size: -2 }],
    [{ total_count: 1.5 }],
    [{ type_sizes: { nonsense: 1 } }],
    [{ type_sizes: { generic: 'x' } }],
    [{ owner_id: 1 }],
  ])('that makes no sense is refused: %j', async (limits) => {
    expect((await limit('acme', limits)).statusCode).toBe(422)
    expect((await server.api('GET', '/admin/users/acme/quota/limits')).json().total_size).toBeNull()
  })

  test('is exact however many upload at once', async () => {
    await limit('acme', { total_size: 100 })
    const answers = await Promise.all([...Array(12).keys()].map((index) => upload('acme', `p${index}`, 20)))
    expect(answers.filter(({ statusCode }) => statusCode === 201)).toHaveLength(3)
    expect(answers.filter(({ body }) => body.includes(OVER_SIZE))).toHaveLength(9)
    const quota = (await server.api('GET', '/orgs/acme/quota', undefined, olga)).json()
    expect(quota.used.size.assets.packages.all).toBe(90)
    await limit('acme', {})
  })

  test('goes with its owner', async () => {
    await server.createUser('brief')
    await limit('brief', { total_size: 1 })
    expect((await server.api('DELETE', '/admin/users/brief')).statusCode).toBe(204)
    expect(await server.services.models.ownerQuota.count()).toBe(0)
    expect((await limit('brief', { total_size: 1 })).statusCode).toBe(404)
  })
})
