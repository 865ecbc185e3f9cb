import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

const file = (owner: string) => ({ type: 'npm', owner, url: 'http://127.0.0.1:1/', allowPrivateNetwork: true })

describe('upstreams over REST', () => {
  let app: TestApp
  let ann: string
  let bob: string

  beforeAll(async () => {
    app = await TestApp.start({ upstreams: { npmjs: file('npmjs'), other: file('other'), hidden: file('hidden') } })
    ann = await app.createUser('ann')
    bob = await app.createUser('bob')
    await app.createOrganization('acme', ann)
    const hidden = (await app.services.accounts.find('hidden'))!
    await app.services.accounts.updateOrganization(hidden, { visibility: 'private' })
  })
  afterAll(() => app.close())

  describe('for administrators', () => {
    test('are listed and shown', async () => {
      const list = (await app.api('GET', '/admin/upstreams')).json() as { name: string }[]
      expect(list.map(({ name }) => name).sort()).toEqual(['hidden', 'npmjs', 'other'])
      expect((await app.api('GET', '/admin/upstreams/npmjs')).json()).toMatchObject({
        name: 'npmjs',
        type: 'npm',
        owner: 'npmjs',
        url: 'http://127.0.0.1:1/',
        mode: 'online',
        origins: [],
      })
      expect((await app.api('GET', '/admin/upstreams/none')).statusCode).toBe(404)
    })

    test('are switched', async () => {
      for (const mode of ['offline', 'blocked', 'online']) {
        const response = await app.api('POST', '/admin/upstreams/other/mode', { mode })
        expect([response.statusCode, response.json().mode]).toEqual([200, mode])
        expect((await app.api('GET', '/admin/upstreams/other')).json().mode).toBe(mode)
      }
      for (const body of [{}, { mode: 'on' }, { mode: null }, { mode: 'offline', url: 'http://evil' }]) {
        expect((await app.api('POST', '/admin/upstreams/other/mode', body)).statusCode).toBe(422)
      }
      expect((await app.api('POST', '/admin/upstreams/none/mode', { mode: 'offline' })).statusCode).toBe(404)
    })

    test.each(['invalidate', 'purge'])('%s takes a name or nothing', async (action) => {
      for (const body of [undefined, {}, { name: null }, { name: '@scope/thing' }]) {
        expect((await app.api('POST', `/admin/upstreams/npmjs/${action}`, body)).statusCode).toBe(204)
      }
      for (const body of [{ name: 7 }, { name: '' }, { name: 'x'.repeat(600) }, { package: 'x' }, []]) {
        expect((await app.api('POST', `/admin/upstreams/npmjs/${action}`, body)).statusCode).toBe(422)
      }
      expect((await app.api('POST', `/admin/upstreams/none/${action}`)).statusCode).toBe(404)
    })
  })

  describe('attached to an organization', () => {
    const put = (payload: object, authorization: string | null = ann, path = '/orgs/acme/upstreams/npm') =>
      app.api('PUT', path, payload, authorization)
    const list = async () => (await app.api('GET', '/orgs/acme/upstreams/npm', undefined, ann)).json()

    test('none by default', async () => {
      expect(await list()).toEqual([])
    })

    test('are written and read as a whole, in order, a string being short for the rest', async () => {
      const answer = await put(['other', { upstream: 'npmjs', include: ['@acme/*'], exclude: ['*-internal'] }])
      expect(answer.statusCode).toBe(200)
      const stored = [
        { upstream: 'other', include: [], exclude: [] },
        { upstream: 'npmjs', include: ['@acme/*'], exclude: ['*-internal'] },
      ]
      expect(answer.json()).toEqual(stored)
      expect(await list()).toEqual(stored)
      expect((await put([{ upstream: 'npmjs', include: null }])).json()).toEqual([
        { upstream: 'npmjs', include: [], exclude: [] },
      ])
      expect((await put([])).json()).toEqual([])
    })

    test('take effect at once', async () => {
      const acme = (await app.services.accounts.find('acme'))!
      await put(['npmjs'])
      expect((await app.services.upstream.upstreamsOf(acme, 'npm')).map(({ settings }) => settings.name)).toEqual([
        'npmjs',
      ])
      await put(['other', 'npmjs'])
      expect(await app.services.upstream.upstreamsOf(acme, 'npm')).toHaveLength(2)
      await put([])
      expect(await app.services.upstream.upstreamsOf(acme, 'npm')).toEqual([])
    })

    test.each([
      [['none']],
      [['npmjs', 'npmjs']],
      [['']],
      [[7]],
      [[{ include: [] }]],
      [[{ upstream: 'npmjs', policy_id: 1 }]],
      [[{ upstream: 'npmjs', include: 'x' }]],
      [[{ upstream: 'npmjs', include: [''] }]],
      [[{ upstream: 'npmjs', include: ['+(a|aa)+(a|aa)'] }]],
      [[{ upstream: 'npmjs', exclude: ['a*a*a*a*a*b'] }]],
      [Array(51).fill('npmjs')],
      [{ upstream: 'npmjs' }],
    ])('%j is 422 and changes nothing', async (payload) => {
      await put(['other'])
      expect((await put(payload)).statusCode).toBe(422)
      expect(await list()).toEqual([{ upstream: 'other', include: [], exclude: [] }])
    })

    test('must be of the type and readable by the caller', async () => {
      expect((await put(['npmjs'], ann, '/orgs/acme/upstreams/generic')).statusCode).toBe(422)
      expect((await put([], ann, '/orgs/acme/upstreams/unknown')).statusCode).toBe(200)
      expect((await put([], ann, '/orgs/acme/upstreams/%00')).statusCode).toBe(422)
      const [hidden, missing] = [await put(['hidden']), await put(['absent'])]
      expect(hidden.statusCode).toBe(422)
      expect(hidden.body.replaceAll('hidden', 'absent')).toBe(missing.body)
      expect((await put(['hidden'], app.admin)).statusCode).toBe(200)
      await put([])
    })

    test('are the business of owners', async () => {
      for (const [who, status] of [
        [null, 401],
        [bob, 403],
      ] as const) {
        expect((await put(['npmjs'], who)).statusCode).toBe(status)
        expect((await app.api('GET', '/orgs/acme/upstreams/npm', undefined, who)).statusCode).toBe(status)
      }
      expect((await put([], ann, '/orgs/ann/upstreams/npm')).statusCode).toBe(404)
      expect((await put([], app.admin, '/orgs/npmjs/upstreams/npm')).statusCode).toBe(404)
      const reader = await app.createToken('ann', ['read:organization'], ann)
      expect((await put([], `token ${reader}`)).statusCode).toBe(403)
    })

    test('two lists written at once do not become one', async () => {
      const answers = await Promise.all([put(['npmjs']), put(['other']), put(['npmjs']), put(['other'])])
      expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 200])
      expect(await list()).toHaveLength(1)
    })

    test('end with the organization', async () => {
      await app.createOrganization('shortlived', ann)
      const { id } = (await app.services.accounts.find('shortlived'))!
      await put(['npmjs'], ann, '/orgs/shortlived/upstreams/npm')
      await app.api('DELETE', '/orgs/shortlived', undefined, ann)
      expect(await app.services.models.upstreamAttachment.count({ where: { orgId: id } })).toBe(0)
    })
  })
})
