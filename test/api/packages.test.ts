import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { TestApp } from '../support/test-app.ts'

interface PackageJson {
  id: number
  name: string
  version: string
  origin: string
}

describe('packages over REST', () => {
  let app: TestApp
  let ann: string
  let bob: string

  beforeAll(async () => {
    app = await TestApp.start({
      upstreams: { npmjs: { type: 'npm', owner: 'npmjs', url: 'http://127.0.0.1:1/', allowPrivateNetwork: true } },
    })
    ann = await app.createUser('Ann')
    bob = await app.createUser('bob')
    await app.createOrganization('closed', ann, 'private')
    await app.createOrganization('half', ann, 'limited')
    await publish(app, { owner: 'closed', name: 'secret', creator: 'ann' })
    for (const version of ['1.0.0', '2.0.0', '1.10.0']) {
      await publish(app, { owner: 'ann', name: '@Scope/Thing', type: 'npm', version, content: `thing ${version}` })
    }
    await publish(app, { owner: 'ann', name: 'under_score' })
    await publish(app, { owner: 'ann', name: 'underXscore' })
    await publish(app, { owner: 'npmjs', type: 'npm', name: 'left-pad', creator: null })
    await publish(app, { owner: 'npmjs', type: 'npm', name: 'left-pad', version: '1.0.1', creator: null })
  })
  afterAll(() => app.close())

  const get = (path: string, authorization: string | null = ann) => app.api('GET', path, undefined, authorization)
  const names = async (path: string, authorization: string | null = ann) =>
    ((await get(path, authorization)).json() as PackageJson[]).map(({ name, version }) => `${name} ${version}`)

  test('a package is a version in the form of Gitea', async () => {
    const response = await get('/packages/ann/npm/@scope%2fthing/1.0.0')
    expect(response.statusCode).toBe(200)
    expect(response.json()).toMatchObject({
      id: expect.any(Number),
      owner: { login: 'Ann' },
      repository: null,
      creator: { login: 'Ann' },
      type: 'npm',
      name: '@Scope/Thing',
      version: '1.0.0',
      html_url: 'http://127.0.0.1:8080/Ann/-/packages/npm/%40scope%2Fthing/1.0.0',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      origin: 'hosted',
      upstream: null,
      last_downloaded_at: '0001-01-01T00:00:00Z',
    })
  })

  test('the list has one entry per version, newest first, paged', async () => {
    expect(await names('/packages/ANN?type=npm')).toEqual([
      '@Scope/Thing 1.10.0',
      '@Scope/Thing 2.0.0',
      '@Scope/Thing 1.0.0',
    ])
    const page = await get('/packages/ann?limit=2&page=2')
    expect(page.headers['x-total-count']).toBe('5')
    expect(page.headers['link']).toContain('page=3>; rel="next"')
    expect(page.json()).toHaveLength(2)
    const beyond = await get('/packages/ann?limit=2&page=9')
    expect([beyond.json(), beyond.headers['x-total-count']]).toEqual([[], '5'])
  })

  test.each([
    ['q=_score', ['under_score 1.0.0']],
    ['q=%25', []],
    ['q=UNDER_', ['under_score 1.0.0']],
    ['q=%27', []],
    ['type=all&q=xscore', ['underXscore 1.0.0']],
    ['type=&q=xscore', ['underXscore 1.0.0']],
    ['type=unknown', []],
    ['type=NPM', []],
    ['origin=cached', []],
    ['origin=hosted&q=xscore', ['underXscore 1.0.0']],
  ])('the filter %s finds %j', async (query, found) => {
    expect(await names(`/packages/ann?${query}`)).toEqual(found)
  })

  test.each(['q=a&q=b', 'type=a&type=b', 'origin=elsewhere', `q=${'x'.repeat(300)}`, 'q=a%00b', 'type=%00', 'page=x'])(
    'the filter %s is 422',
    async (query) => {
      expect((await get(`/packages/ann?${query}`)).statusCode).toBe(422)
    },
  )

  test('one package lists its versions; latest is the one that came last', async () => {
    expect(await names('/packages/ann/npm/@scope%2Fthing?limit=2')).toEqual([
      '@Scope/Thing 1.10.0',
      '@Scope/Thing 2.0.0',
    ])
    expect((await get('/packages/ann/npm/@scope%2Fthing/-/latest')).json()).toMatchObject({ version: '1.10.0' })
    for (const path of [
      'npm/missing',
      'npm/missing/-/latest',
      'generic/@scope%2Fthing',
      'npm/@scope%2Fthing/9.9.9',
      'npm/%00',
      'npm/missing/1/files',
    ]) {
      expect([path, (await get(`/packages/ann/${path}`)).statusCode]).toEqual([path, 404])
    }
  })

  test('files come with their digests', async () => {
    const sha256 = createHash('sha256').update('thing 2.0.0').digest('hex')
    const files = (await get('/packages/ann/npm/@SCOPE%2fTHING/2.0.0/files')).json()
    expect(files).toEqual([
      {
        id: expect.any(Number),
        size: 11,
        name: 'file.txt',
        md5: expect.stringMatching(/^[0-9a-f]{32}$/),
        sha1: expect.stringMatching(/^[0-9a-f]{40}$/),
        sha256,
        sha512: expect.stringMatching(/^[0-9a-f]{128}$/),
      },
    ])
  })

  test('nobody anonymous gets in, and without rights nobody does', async () => {
    for (const path of ['/packages/ann', '/packages/closed', '/packages/nobody', '/packages/ann/npm/x']) {
      const response = await get(path, null)
      expect([path, response.statusCode, response.json().message]).toEqual([path, 401, 'token is required'])
    }
    expect((await get('/packages/ann', bob)).statusCode).toBe(200)
    expect((await get('/packages/closed', bob)).statusCode).toBe(403)
    expect((await get('/packages/closed/generic/secret', bob)).body).toBe(
      (await get('/packages/closed/generic/absent', bob)).body,
    )
    expect((await get('/packages/nobody', bob)).statusCode).toBe(404)
    expect((await get('/packages/closed', app.admin)).statusCode).toBe(200)
  })

  test('tokens need the scope package, and with public-only reach public owners alone', async () => {
    const status = async (path: string, secret: string) => (await get(path, `token ${secret}`)).statusCode
    const user = await app.createToken('ann', ['write:user'], ann)
    expect(await status('/packages/ann', user)).toBe(403)
    const open = await app.createToken('ann', ['public-only', 'all'], ann)
    expect(await status('/packages/ann', open)).toBe(200)
    expect(await status('/packages/half', open)).toBe(403)
    expect(await status('/packages/closed', open)).toBe(403)
    const remove = await app.api('DELETE', '/packages/closed/generic/secret', undefined, `token ${open}`)
    expect(remove.statusCode).toBe(403)
    const reader = await app.createToken('ann', ['read:package'], ann)
    expect(await status('/packages/closed', reader)).toBe(200)
    const byReader = await app.api('DELETE', '/packages/closed/generic/secret', undefined, `token ${reader}`)
    expect(byReader.statusCode).toBe(403)
  })

  test('versions and packages are deleted by who may write', async () => {
    for (const version of ['1', '2', '3']) await publish(app, { owner: 'ann', name: 'Doomed', version })
    const remove = async (path: string, authorization: string | null = ann) =>
      (await app.api('DELETE', `/packages/ann/generic/${path}`, undefined, authorization)).statusCode
    expect(await remove('doomed/1', null)).toBe(401)
    expect(await remove('doomed/1', bob)).toBe(403)
    expect(await remove('DOOMED/1')).toBe(204)
    expect(await remove('doomed/1')).toBe(404)
    expect(await names('/packages/ann/generic/doomed')).toEqual(['Doomed 3', 'Doomed 2'])
    expect(await remove('doomed', bob)).toBe(403)
    expect(await remove('doomed')).toBe(204)
    expect(await remove('doomed')).toBe(404)
    expect((await get('/packages/ann/generic/doomed')).statusCode).toBe(404)
  })

  test('cached packages say so, and where from', async () => {
    const cached = (await get('/packages/npmjs')).json()
    expect(cached).toHaveLength(2)
    expect(cached[0]).toMatchObject({
      owner: { login: 'npmjs' },
      creator: { id: -1, login: 'Ghost' },
      name: 'left-pad',
      origin: 'cached',
      upstream: 'npmjs',
      last_downloaded_at: '0001-01-01T00:00:00Z',
    })
    expect(await names('/packages/npmjs?origin=hosted')).toEqual([])
    expect(await names('/packages/npmjs?origin=cached&q=pad')).toHaveLength(2)
  })

  test('a cached package is purged by site admins and by nobody else', async () => {
    const remove = async (path: string, authorization: string | null) =>
      (await app.api('DELETE', `/packages/npmjs/npm/${path}`, undefined, authorization)).statusCode
    expect(await remove('left-pad/1.0.1', null)).toBe(401)
    expect(await remove('left-pad/1.0.1', ann)).toBe(403)
    expect(await remove('left-pad', ann)).toBe(403)
    expect(await remove('left-pad/1.0.1', app.admin)).toBe(204)
    expect(await names('/packages/npmjs')).toEqual(['left-pad 1.0.0'])
    expect(await remove('left-pad', app.admin)).toBe(204)
    expect(await remove('left-pad', app.admin)).toBe(404)
    expect(await names('/packages/npmjs')).toEqual([])
  })
})
