import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

describe('reserved names of an organization', () => {
  let app: TestApp
  let ann: string
  let bob: string

  beforeAll(async () => {
    app = await TestApp.start()
    ann = await app.createUser('ann')
    bob = await app.createUser('bob')
    await app.createOrganization('acme', ann)
  })
  afterAll(() => app.close())

  const put = (payload: unknown, authorization: string | null = ann, path = '/orgs/acme/reserved-names/npm') =>
    app.api('PUT', path, payload as object, authorization)
  const list = async () => (await app.api('GET', '/orgs/acme/reserved-names/npm', undefined, ann)).json()

  test('none by default', async () => {
    expect(await list()).toEqual([])
    expect((await app.api('GET', '/orgs/acme/reserved-names/unknown', undefined, ann)).json()).toEqual([])
  })

  test('are written and read as a whole, per type, as they were written', async () => {
    const answer = await put(['acme-*', '@Acme/*', 'acme-*'])
    expect([answer.statusCode, answer.json()]).toEqual([200, ['acme-*', '@Acme/*']])
    expect(await list()).toEqual(['acme-*', '@Acme/*'])
    expect((await put(['acme/**'], ann, '/orgs/acme/reserved-names/container')).json()).toEqual(['acme/**'])
    expect((await put(['z', 'a'])).json()).toEqual(['z', 'a'])
    expect((await put([])).json()).toEqual([])
    const containers = await app.api('GET', '/orgs/acme/reserved-names/container', undefined, ann)
    expect(containers.json()).toEqual(['acme/**'])
  })

  test('may be a thousand, each of 255 characters', async () => {
    const most = Array.from({ length: 1_000 }, (_, index) => `${index}-`.padEnd(255, 'x'))
    expect((await put(most)).json()).toEqual(most)
    expect((await put([...most, 'x'])).statusCode).toBe(422)
    expect(await list()).toHaveLength(1_000)
    await put([])
  })

  test.each([
    [{}],
    [{ patterns: ['a'] }],
    [[7]],
    [[null]],
    [['']],
    [['x'.repeat(256)]],
    [['a b']],
    [['+(a|aa)+(a|aa)']],
    [['fine', 'a*a*a*a*b']],
    [[['a']]],
  ])('%j is 422 and changes nothing', async (payload) => {
    await put(['acme-*'])
    const refused = await put(payload)
    expect(refused.statusCode).toBe(422)
    expect(refused.json().message).toMatch(/^\[(Body|\d+)\]/)
    expect(await list()).toEqual(['acme-*'])
  })

  test('of a type that no upstream has are refused: they would protect nothing', async () => {
    for (const type of ['nmp', 'generic', '%00']) {
      expect((await put(['a'], ann, `/orgs/acme/reserved-names/${type}`)).statusCode).toBe(422)
    }
  })

  test('are the business of owners', async () => {
    for (const [who, status] of [
      [null, 401],
      [bob, 403],
    ] as const) {
      expect((await put(['a'], who)).statusCode).toBe(status)
      expect((await app.api('GET', '/orgs/acme/reserved-names/npm', undefined, who)).statusCode).toBe(status)
    }
    expect((await put([], ann, '/orgs/ann/reserved-names/npm')).statusCode).toBe(404)
    const reader = await app.createToken('ann', ['read:organization'], ann)
    expect((await put([], `token ${reader}`)).statusCode).toBe(403)
  })

  test('two lists written at once do not become one', async () => {
    const answers = await Promise.all([put(['a']), put(['b']), put(['a']), put(['b'])])
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 200])
    expect(await list()).toHaveLength(1)
  })

  test('end with the organization', async () => {
    await app.createOrganization('shortlived', ann)
    const { id } = (await app.services.accounts.find('shortlived'))!
    const count = () => app.services.models.reservedName.count({ where: { orgId: id } })
    await put(['a'], ann, '/orgs/shortlived/reserved-names/npm')
    expect(await count()).toBe(1)
    await app.api('DELETE', '/orgs/shortlived', undefined, ann)
    expect(await count()).toBe(0)
  })
})
