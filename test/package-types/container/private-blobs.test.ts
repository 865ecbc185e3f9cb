import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildImage } from '../../support/builders/image.ts'
import { TestApp } from '../../support/test-app.ts'
import { failure, Images } from './images.ts'
import { digestOf, Pusher } from './pusher.ts'

const image = buildImage({ layers: ['nobody else has this'] })
const layer = image.blobs[1]!

let app: TestApp
let ann: string
let bob: string
let hidden: Images
let own: Images

beforeAll(async () => {
  app = await TestApp.start()
  ann = await app.createUser('ann')
  bob = await app.createUser('bob')
  await app.createOrganization('acme', ann)
  hidden = new Images(app, 'acme/hidden', ann)
  await hidden.push('1.0', image)
  const path = '/packages/acme/container/hidden'
  expect((await app.api('PATCH', path, { visibility: 'private' }, ann)).statusCode).toBe(204)
  own = new Images(app, 'bob/copy', bob)
})
afterAll(() => app.close())

test('a blob of a private image is not had for its digest: not by a mount, nor by name (security.md S2)', async () => {
  const unknown = digestOf('nobody has this')
  for (const from of ['', '&from=acme/hidden', '&from=acme/absent']) {
    for (const digest of [layer.digest, unknown]) {
      const answer = await own.request('POST', `blobs/uploads/?mount=${digest}${from}`, { 'content-length': '0' })
      expect(answer.statusCode).toBe(202)
    }
  }
  for (const repository of ['bob/copy', 'acme/hidden', 'acme/absent']) {
    for (const method of ['GET', 'HEAD'] as const) {
      const answer = await new Images(app, repository, bob).request(method, `blobs/${layer.digest}`)
      expect(answer.statusCode).toBe(404)
    }
  }
  const manifest = await own.put('1.0', image)
  expect(failure(manifest)).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
  expect(failure(await own.put('1.0', buildImage({ layers: ['nor this'] })))).toEqual(failure(manifest))
})

test('its reader mounts it, with a registry token that names it and without', async () => {
  const target = new Pusher(app, 'ann/copy', ann)
  const mount = `?mount=${layer.digest}&from=acme/hidden`
  expect((await target.post(mount, { 'content-length': '0' })).statusCode).toBe(201)
})

test('registry tokens tell nobody that it is there (security.md S4)', async () => {
  const actionsOf = async (authorization: string | null, name: string) => {
    const scope = `repository:acme/${name}:pull,push,delete`
    const form = new URLSearchParams({ service: new URL(app.services.config.baseUrl).host, scope })
    const answer = await app.inject({
      method: 'GET',
      url: `/v2/token?${form.toString()}`,
      headers: authorization === null ? {} : { authorization },
    })
    expect(answer.statusCode, answer.body).toBe(200)
    const [, claims] = (answer.json() as { token: string }).token.split('.')
    const { access } = JSON.parse(Buffer.from(claims!, 'base64url').toString()) as { access: { actions: string[] }[] }
    return access.map(({ actions }) => actions)
  }
  for (const who of [null, bob, ann]) expect(await actionsOf(who, 'hidden')).toEqual(await actionsOf(who, 'absent'))
})

test('one for anybody opens it to nobody', async () => {
  const token = async (authorization: string | null) => {
    const url = `/v2/token?service=${new URL(app.services.config.baseUrl).host}&scope=repository:acme/hidden:pull`
    const answer = await app.inject({ url, headers: authorization === null ? {} : { authorization } })
    return `Bearer ${(answer.json() as { token: string }).token}`
  }
  expect(failure(await hidden.as(await token(null)).manifest('1.0'))).toEqual([404, 'NAME_UNKNOWN'])
  expect(failure(await hidden.as(await token(bob)).manifest('1.0'))).toEqual([404, 'NAME_UNKNOWN'])
  expect((await hidden.as(await token(ann)).manifest('1.0')).statusCode).toBe(200)
})

test('an upload to it is as unknown as one to an image that is not there', async () => {
  const publicOnly = `Bearer ${await app.createToken('ann', ['all', 'public-only'], ann)}`
  const path = 'blobs/uploads/00000000-0000-0000-0000-000000000000'
  for (const who of [null, bob, publicOnly, ann]) {
    const [there, absent] = await Promise.all(
      ['acme/hidden', 'acme/absent'].map(async (repository) =>
        failure(await new Images(app, repository, who).get(path)),
      ),
    )
    expect(there).toEqual(absent)
  }
})

test('its tags and manifests are for private caches (security.md S43)', async () => {
  for (const path of ['manifests/1.0', `manifests/${image.digest}`, `blobs/${layer.digest}`, 'tags/list']) {
    const { headers } = await hidden.get(path)
    expect(headers['cache-control']).toMatch(/^private/)
    expect(headers.vary).toBe('Authorization')
  }
})
