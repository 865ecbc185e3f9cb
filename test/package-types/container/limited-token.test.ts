import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Restriction, type RestrictionLists } from '../../../src/auth/restriction.ts'
import { Scopes } from '../../../src/auth/scopes.ts'
import { buildIndex, digestOf } from '../../support/builders/image.ts'
import { basic, TestApp } from '../../support/test-app.ts'
import { Images } from './images.ts'
import { askToken, bearer, getToken, postToken, readClaims, readError, readGrants, request } from './token-client.ts'

const REPOSITORIES = ['alice/app', 'alice/team/app', 'closed/app', 'closed/tool']

let app: TestApp
let alice: string
let made = 0

beforeAll(async () => {
  app = await TestApp.start()
  alice = await app.createUser('alice')
  await app.createOrganization('closed', alice, 'private')
  for (const repository of REPOSITORIES) await new Images(app, repository, alice).push('latest', buildIndex([]))
})
afterAll(() => app.close())

async function tokenWith(
  scopes: string[],
  lists: RestrictionLists | null,
  expiresAt: number | null = null,
): Promise<{ id: number; secret: string }> {
  const user = (await app.services.accounts.find('alice'))!
  const limits = { restriction: lists === null ? null : new Restriction(lists), expiresAt }
  made += 1
  const { row, secret } = await app.services.accessTokens.create(user, `t${made}`, Scopes.parse(scopes), limits)
  return { id: row.id, secret }
}

const owner = fc.constantFrom('alice', 'closed')
const lists = fc.record(
  {
    owners: fc.array(owner, { minLength: 1, maxLength: 2 }),
    types: fc.array(fc.constantFrom('container', 'npm'), { minLength: 1, maxLength: 2 }),
    packages: fc.array(
      fc.record({
        owner,
        type: fc.constantFrom('container', 'container', 'npm'),
        name: fc.constantFrom('app', '*', 'team/*', '*pp', 'tool'),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  },
  { requiredKeys: [] },
)
const scopes = fc.uniqueArray(fc.constantFrom('public-only', 'read:package', 'write:package', 'read:user', 'all'), {
  minLength: 1,
})

describe('a registry token made with a limited access token (security.md S8)', () => {
  test('grants what the access token may, and opens no more than it, however it was got', async () => {
    const asked = REPOSITORIES.map((name) => `repository:${name}:pull,push`)
    /** What somebody can read and write, in the form of grants. */
    const opened = async (authorization: string) => {
      const each = REPOSITORIES.map(async (name) => {
        const read = await request(app, 'GET', `/v2/${name}/manifests/latest`, authorization)
        const write = await request(app, 'POST', `/v2/${name}/blobs/uploads/`, authorization)
        const actions = [...(read.statusCode === 200 ? ['pull'] : []), ...(write.statusCode === 202 ? ['push'] : [])]
        return actions.length === 0 ? [] : [`${name}:${actions.join(',')}`]
      })
      return (await Promise.all(each)).flat()
    }
    let granted = 0
    await fc.assert(
      fc.asyncProperty(scopes, lists, async (texts, parts) => {
        const restrictions = Object.keys(parts).length === 0 ? null : (parts as RestrictionLists)
        const { secret } = await tokenWith(texts, restrictions)
        const direct = await opened(`Bearer ${secret}`)
        const answer = await askToken(app, basic('alice', secret), asked, { offline_token: 'true' })
        if (answer.statusCode !== 200) {
          expect(direct).toEqual([])
          return
        }
        const first = answer.json() as { token: string; refresh_token: string }
        const form = { grant_type: 'refresh_token', refresh_token: first.refresh_token, scope: asked.join(' ') }
        const second = (await postToken(app, form)).json() as { access_token: string }
        for (const token of [first.token, second.access_token]) {
          expect(readGrants(token)).toEqual(direct)
          expect(await opened(`Bearer ${token}`)).toEqual(direct)
        }
        granted += direct.length
      }),
      { numRuns: 40 },
    )
    expect(granted).toBeGreaterThan(10)
  })

  test('pushes and deletes only there', async () => {
    const rule = { owner: 'alice', type: 'container', name: 'app' }
    const { secret } = await tokenWith(['write:package'], { packages: [rule] })
    const token = await getToken(app, basic('alice', secret), [
      'repository:alice/app:pull,push',
      'repository:alice/team/app:pull,push,delete',
      'repository:closed/app:pull',
    ])
    expect(readGrants(token.token)).toEqual(['alice/app:pull,push'])
    const push = (repository: string) => request(app, 'POST', `/v2/${repository}/blobs/uploads/`, `Bearer ${secret}`)
    expect((await push('alice/app')).statusCode).toBe(202)
    expect(readError(await push('alice/team/app'))).toMatchObject({ status: 403, code: 'DENIED' })
  })

  test('takes no blob over from a repository that it may not read', async () => {
    const blob = Buffer.from('a secret layer')
    const digest = digestOf(blob, 'sha256')
    const uploaded = await app.inject({
      method: 'POST',
      url: `/v2/closed/app/blobs/uploads/?digest=${digest}`,
      headers: { authorization: alice, 'content-type': 'application/octet-stream' },
      payload: blob,
    })
    expect(uploaded.statusCode).toBe(201)
    const mount = async (lists: RestrictionLists, from: string) => {
      const { secret } = await tokenWith(['write:package'], lists)
      return (await request(app, 'POST', `/v2/alice/app/blobs/uploads/?mount=${digest}${from}`, `Bearer ${secret}`))
        .statusCode
    }
    for (const from of ['&from=closed/app', '']) {
      expect(await mount({ owners: ['alice'] }, from)).toBe(202)
    }
    expect(await mount({ owners: ['alice', 'closed'] }, '&from=closed/app')).toBe(201)
  })

  test('ends with it, by itself and by revocation', async () => {
    const expiresAt = app.services.clock.now() + 300_000
    const limited = await tokenWith(['read:package'], null, expiresAt)
    const answer = await getToken(app, basic('alice', limited.secret), 'repository:closed/app:pull', {
      offline_token: 'true',
    })
    expect(answer.expires_in).toBeLessThanOrEqual(300)
    for (const token of [answer.token, answer.refresh_token!]) {
      expect(readClaims(token).claims['exp']).toBe(Math.floor(expiresAt / 1_000))
    }
    const pull = async (token: string) =>
      (await request(app, 'GET', '/v2/closed/app/manifests/latest', `Bearer ${token}`)).statusCode
    const refresh = async () =>
      (await postToken(app, { grant_type: 'refresh_token', refresh_token: answer.refresh_token! })).statusCode
    expect([await pull(answer.token), await refresh()]).toEqual([200, 200])
    app.clock.advance(301_000)
    expect([await pull(answer.token), await refresh()]).toEqual([401, 401])

    const revoked = await tokenWith(['read:package'], { owners: ['closed'] })
    const token = await bearer(app, basic('alice', revoked.secret), 'repository:closed/app:pull')
    expect(await pull(token.slice('Bearer '.length))).toBe(200)
    await app.services.accessTokens.revoke((await app.services.accessTokens.findById(revoked.id))!)
    expect(await pull(token.slice('Bearer '.length))).toBe(401)
  })

  test('is not made for a token of other types', async () => {
    const { secret } = await tokenWith(['all'], { types: ['npm'] })
    expect((await askToken(app, basic('alice', secret))).statusCode).toBe(401)
    expect((await request(app, 'GET', '/v2/', `Bearer ${secret}`)).statusCode).toBe(401)
  })
})
