import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

describe('a rename and the tokens that are restricted', () => {
  let app: TestApp
  beforeAll(async () => {
    app = await TestApp.start()
    await app.createOrganization('acme')
    await app.createOrganization('acme2')
  })
  afterAll(() => app.close())

  async function makeToken(name: string, owner: string): Promise<string> {
    const input = { name, scopes: ['read:package'], restrictions: { owners: [owner] } }
    const response = await app.api('POST', '/users/root/tokens', input)
    expect(response.statusCode, response.body).toBe(201)
    return (response.json() as { sha1: string }).sha1
  }
  const ownersOf = async (secret: string) => {
    const response = await app.api('GET', '/token', undefined, `token ${secret}`)
    return (response.json() as { restrictions: { owners: string[] } }).restrictions.owners
  }

  test('touches those that name the owner, and no others', async () => {
    const named = await makeToken('named', 'acme')
    const other = await makeToken('other', 'acme2')
    for (const secret of [named, other]) await ownersOf(secret)
    const loaded = async (work: () => Promise<unknown>) => {
      await app.quiet()
      const before = app.services.db.queries
      await work()
      return app.services.db.queries - before
    }
    const visit = (secret: string) =>
      app.inject({
        method: 'GET',
        url: '/api/packages/acme2/generic/none/1/none',
        headers: { authorization: `token ${secret}` },
      })
    await visit(other)
    const warm = await loaded(() => visit(other))
    expect((await app.api('POST', '/orgs/acme/rename', { new_name: 'acme-corp' })).statusCode).toBe(204)
    expect(await loaded(() => visit(other))).toBe(warm)
    expect(await ownersOf(named)).toEqual(['acme-corp'])
    expect(await ownersOf(other)).toEqual(['acme2'])
  })
})
