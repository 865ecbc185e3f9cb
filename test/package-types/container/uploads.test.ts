import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { InsufficientStorage } from '../../../src/errors.ts'
import { TestApp } from '../../support/test-app.ts'
import { createTestDatabaseUrl, testDialects } from '../../support/test-database.ts'
import { answerTo, digestOf, Pusher } from './pusher.ts'
import { bearer, readError } from './token-client.ts'

const MIB = 1024 * 1024
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

let app: TestApp
let bob: string
let pusher: Pusher

beforeAll(async () => {
  app = await TestApp.start()
  pusher = new Pusher(app, 'alice/team/app', await app.createUser('alice'))
  bob = await app.createUser('bob')
})

afterAll(() => app.close())

afterEach(() => vi.restoreAllMocks())

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('it did not happen')
}

/** The blob's bytes, read back. */
async function download(digest: string, from = pusher): Promise<Buffer> {
  const response = await from.send('GET', from.urlOf(digest))
  expect(response.statusCode).toBe(200)
  return response.rawPayload
}

/** What uploads leave outside the blob store. */
async function leftovers() {
  const uploads = await readdir(join(app.dataDir, 'packages', 'uploads')).catch(() => [])
  return {
    spool: await readdir(join(app.dataDir, 'spool')),
    uploads,
    sessions: await app.services.models.packageBlobUpload.count(),
  }
}

describe('a new upload', () => {
  it.each(['/v2/alice/app/blobs/uploads/', '/v2/alice/app/blobs/uploads', '/v2/alice/a/b/blobs/uploads/'])(
    'begins at %s',
    async (url) => {
      const response = await pusher.send('POST', url)
      expect(response.statusCode).toBe(202)
      const id = response.headers['docker-upload-uuid'] as string
      expect(id).toMatch(UUID)
      expect(response.headers).toMatchObject({
        location: `${url.replace(/\/$/, '')}/${id}`,
        range: '0-0',
        'cache-control': 'no-store',
        'content-length': '0',
      })
    },
  )

  it('has no bytes, and says so with a range that can be parsed', async () => {
    const location = await pusher.open()
    const status = await pusher.send('GET', location)
    expect(status.statusCode).toBe(204)
    expect(status.headers).toMatchObject({
      location,
      range: '0-0',
      'docker-upload-uuid': location.split('/').at(-1),
      'cache-control': 'no-store',
    })
  })

  it.each(['sha256', 'sha512'])('may hint at %s', async (algorithm) => {
    expect((await pusher.post(`?digest-algorithm=${algorithm}`)).statusCode).toBe(202)
  })

  it.each(['?digest-algorithm=md5', '?digest-algorithm=', '?digest-algorithm=sha256&digest-algorithm=sha512'])(
    'is refused with %s',
    async (query) => {
      expect(readError(await pusher.post(query))).toMatchObject({ status: 400, code: 'DIGEST_INVALID' })
    },
  )

  it('is for those who may push', async () => {
    const url = '/v2/alice/app/blobs/uploads/'
    expect((await app.inject({ method: 'POST', url })).statusCode).toBe(401)
    const denied = await app.inject({ method: 'POST', url, headers: { authorization: bob } })
    expect(readError(denied)).toMatchObject({ status: 403, code: 'DENIED' })
    const reading = await app.createToken('alice', ['read:package'], pusher.authorization)
    const headers = { authorization: `Bearer ${reading}` }
    expect((await app.inject({ method: 'POST', url, headers })).statusCode).toBe(403)
    const pulling = await bearer(app, pusher.authorization, 'repository:alice/app:pull')
    expect((await app.inject({ method: 'POST', url, headers: { authorization: pulling } })).statusCode).toBe(401)
  })

  it('needs a name that can be', async () => {
    expect(readError(await pusher.send('POST', '/v2/alice/APP/blobs/uploads/'))).toMatchObject({
      status: 400,
      code: 'NAME_INVALID',
    })
  })
})

describe('an upload', () => {
  it('takes a stream and is closed by an empty PUT', async () => {
    const bytes = randomBytes(3 * MIB)
    const location = await pusher.open()
    const patched = await pusher.patch(location, bytes)
    expect(patched.statusCode).toBe(202)
    expect(patched.headers).toMatchObject({ location, range: `0-${bytes.length - 1}` })
    expect(patched.headers['docker-upload-uuid']).toBe(location.split('/').at(-1))
    const digest = digestOf(bytes)
    const closed = await pusher.put(location, digest)
    expect(closed.statusCode).toBe(201)
    expect(closed.headers).toMatchObject({
      location: `/v2/alice/team/app/blobs/${digest}`,
      'docker-content-digest': digest,
      'content-length': '0',
    })
    expect((await download(digest)).equals(bytes)).toBe(true)
    expect(await pusher.progress(location)).toBeNull()
  })

  it('takes several streams, one after the other', async () => {
    const location = await pusher.open()
    for (const bytes of ['one', 'two', '', 'three']) {
      expect((await pusher.patch(location, bytes)).statusCode).toBe(202)
    }
    expect(await pusher.progress(location)).toBe('0-10')
    expect((await pusher.put(location, digestOf('onetwothree'))).statusCode).toBe(201)
  })

  it('takes chunks, the last one with the PUT', async () => {
    const bytes = randomBytes(3000)
    const location = await pusher.open()
    expect((await pusher.patch(location, bytes.subarray(0, 1024), 0)).headers.range).toBe('0-1023')
    expect((await pusher.patch(location, bytes.subarray(1024, 2048), 1024)).headers.range).toBe('0-2047')
    const digest = digestOf(bytes)
    expect((await pusher.put(location, digest, bytes.subarray(2048), 2048)).statusCode).toBe(201)
    expect((await download(digest)).equals(bytes)).toBe(true)
  })

  it('takes everything with the PUT', async () => {
    const bytes = randomBytes(2 * MIB)
    const digest = digestOf(bytes)
    expect((await pusher.put(await pusher.open(), digest, bytes)).statusCode).toBe(201)
    expect((await download(digest)).equals(bytes)).toBe(true)
  })

  it('takes everything with the POST', async () => {
    const bytes = randomBytes(2 * MIB)
    const digest = digestOf(bytes)
    const posted = await pusher.post(`?digest=${digest}`, {}, bytes)
    expect(posted.statusCode).toBe(201)
    expect(posted.headers).toMatchObject({ location: pusher.urlOf(digest), 'docker-content-digest': digest })
    expect((await download(digest)).equals(bytes)).toBe(true)
  })

  it('may be of no bytes at all', async () => {
    const digest = digestOf('')
    const location = await pusher.open()
    expect((await pusher.put(location, digest, undefined, undefined, { 'content-length': '0' })).statusCode).toBe(201)
    expect((await download(digest)).length).toBe(0)
    const other = new Pusher(app, 'alice/posted', pusher.authorization)
    expect((await other.post(`?digest=${digest}`, { 'content-length': '0' })).statusCode).toBe(201)
    expect((await download(digest, other)).length).toBe(0)
  })

  it.each(['PUT', 'POST'])('may be closed by its SHA-512 digest: %s', async (method) => {
    const bytes = randomBytes(1000)
    const digest = digestOf(bytes, 'sha512')
    const closed =
      method === 'PUT'
        ? await pusher.put(await pusher.open(), digest, bytes)
        : await pusher.post(`?digest=${digest}`, {}, bytes)
    expect(closed.statusCode).toBe(201)
    expect(closed.headers).toMatchObject({ location: pusher.urlOf(digest), 'docker-content-digest': digest })
    expect((await download(digest)).equals(bytes)).toBe(true)
    expect((await download(digestOf(bytes))).equals(bytes)).toBe(true)
  })

  it('takes bodies as dockerd sends them: in transfer chunks, without type and length', async () => {
    const bytes = randomBytes(2 * MIB)
    const location = await pusher.open()
    const patch = await pusher.begin('PATCH', location)
    patch.end(bytes)
    const patched = await answerTo(patch)
    expect([patched.statusCode, patched.headers['range']]).toEqual([202, `0-${bytes.length - 1}`])
    const put = await pusher.begin('PUT', `${location}?digest=${digestOf(bytes)}`, { 'content-length': '0' })
    put.end()
    expect((await answerTo(put)).statusCode).toBe(201)
    expect((await download(digestOf(bytes))).equals(bytes)).toBe(true)
  })

  it.each(['application/octet-stream', 'application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'])(
    'takes bytes of type %s as they are',
    async (type) => {
      const bytes = Buffer.from('{ "not": json &')
      const location = await pusher.open()
      expect((await pusher.patch(location, bytes, undefined, { 'content-type': type })).statusCode).toBe(202)
      const closed = await pusher.put(location, digestOf(bytes), undefined, undefined, { 'content-type': type })
      expect(closed.statusCode).toBe(201)
    },
  )

  it('leaves nothing but the blob', async () => {
    await app.services.packages.collectGarbage({ olderThan: -1 })
    const location = await pusher.open()
    await pusher.patch(location, randomBytes(2 * MIB))
    await pusher.patch(location, 'x')
    expect(await leftovers()).toMatchObject({ uploads: [location.split('/').at(-1)], sessions: 1, spool: [] })
    await pusher.send('DELETE', location)
    await pusher.push(randomBytes(2 * MIB))
    expect(await leftovers()).toEqual({ uploads: [], sessions: 0, spool: [] })
  })

  it('may be of a blob that is there already, here or elsewhere', async () => {
    const bytes = randomBytes(2 * MIB)
    const digest = await pusher.push(bytes)
    const other = new Pusher(app, 'bob/app', bob)
    for (const one of [pusher, other]) {
      const location = await one.open()
      await one.patch(location, bytes)
      expect((await one.put(location, digest)).statusCode).toBe(201)
      expect((await download(digest, one)).equals(bytes)).toBe(true)
    }
    const rows = await app.services.models.packageBlob.count({ where: { hashSha256: digest.slice(7) } })
    expect(rows).toBe(1)
  })
})

describe('out of order', () => {
  const received = Buffer.alloc(512, 1)
  let location: string
  beforeEach(async () => {
    location = await pusher.open()
  })

  it('a first chunk that does not begin at 0 is 416, and the upload is as empty as before', async () => {
    expect(readError(await pusher.patch(location, received, 512))).toMatchObject({
      status: 416,
      code: 'BLOB_UPLOAD_INVALID',
    })
    expect(await pusher.progress(location)).toBe('0-0')
    expect((await pusher.patch(location, received, 0)).statusCode).toBe(202)
  })

  it.each([
    ['the same chunk again', 0],
    ['a chunk after a gap', 513],
    ['a chunk that overlaps', 511],
    ['a chunk far away', 9_007_199_254_740_000],
  ])('%s is 416 by PATCH and by PUT, and the first location goes on', async (_what, start) => {
    await pusher.patch(location, received, 0)
    expect((await pusher.patch(location, received, start)).statusCode).toBe(416)
    const refused = await pusher.put(location, digestOf(received), received, start)
    expect(readError(refused)).toMatchObject({ status: 416, code: 'BLOB_UPLOAD_INVALID' })
    expect(await pusher.progress(location)).toBe('0-511')
    const whole = Buffer.concat([received, received])
    expect((await pusher.put(location, digestOf(whole), received, 512)).statusCode).toBe(201)
  })

  it('a whole blob in one POST begins at 0', async () => {
    const headers = { 'content-range': '512-1023' }
    expect((await pusher.post(`?digest=${digestOf(received)}`, headers, received)).statusCode).toBe(416)
    const right = { 'content-range': '0-511' }
    expect((await pusher.post(`?digest=${digestOf(received)}`, right, received)).statusCode).toBe(201)
  })

  it.each(['bytes 0-511', 'bytes=0-511', 'bytes 0-511/*', '0-511/512'])('%s is understood', async (range) => {
    const patched = await pusher.patch(location, received, undefined, { 'content-range': range })
    expect([patched.statusCode, patched.headers.range]).toEqual([202, '0-511'])
  })

  it.each([
    ...['', '-', '0', '0-', '-511', '-1-510', '511-0', 'a-b', '0x0-0x1ff', '0-511, 0-511', '0--511', '+0-511'],
    ...['items 0-511', '0-511/', `0-${'9'.repeat(30)}`, ' 0 - 511', '0.0-511', '٠-511'],
  ])('the range %j is 400', async (range) => {
    const patched = await pusher.patch(location, received, undefined, { 'content-range': range })
    expect(readError(patched)).toMatchObject({ status: 400, code: 'BLOB_UPLOAD_INVALID' })
    const put = await pusher.put(location, digestOf(received), received, undefined, { 'content-range': range })
    expect(put.statusCode).toBe(400)
    expect(await pusher.progress(location)).toBe('0-0')
  })

  it('a length that is not that of the range is 400, announced or not', async () => {
    for (const range of ['0-510', '0-512', `0-${Number.MAX_SAFE_INTEGER - 1}`]) {
      const headers = { 'content-range': range }
      const announced = await pusher.patch(location, received, undefined, headers)
      expect(readError(announced)).toMatchObject({ status: 400, code: 'SIZE_INVALID' })
      const streamed = await pusher.begin('PATCH', location, headers)
      streamed.end(received)
      expect((await answerTo(streamed)).statusCode).toBe(400)
      const closing = await pusher.begin('PUT', `${location}?digest=${digestOf(received)}`, headers)
      closing.end(received)
      expect((await answerTo(closing)).statusCode).toBe(400)
    }
    expect(await pusher.progress(location)).toBe('0-0')
    expect((await leftovers()).spool).toEqual([])
  })
})

describe('a digest', () => {
  const bytes = 'content'
  const hex = digestOf(bytes).slice(7)

  it.each([
    ['', 'absent'],
    ['?digest=', 'empty'],
    ['?digest=sha256', 'no digest'],
    [`?digest=sha256:${hex.slice(1)}`, 'too short'],
    [`?digest=sha256:${hex}0`, 'too long'],
    [`?digest=sha512:${hex}`, 'a SHA-512 of the length of a SHA-256'],
    [`?digest=sha256:${hex.toUpperCase()}`, 'in upper case'],
    [`?digest=SHA256:${hex}`, 'of an algorithm in upper case'],
    [`?digest=md5:${hex.slice(32)}`, 'of an algorithm that is not supported'],
    [`?digest=blake3:${hex}`, 'of an algorithm that is not supported yet'],
    [`?digest=sha256:${hex}&digest=sha256:${hex}`, 'given twice'],
    [`?digest=sha256:${digestOf('other').slice(7)}`, 'of other bytes'],
    [`?digest=${digestOf('other', 'sha512')}`, 'of other bytes, by SHA-512'],
    [`?digest=..%2F..%2Fetc%2Fpasswd`, 'a path'],
    [`?digest=sha256:${hex}%0A`, 'with a line feed'],
  ])('%s, which is %s, is 400, and the upload is as it was', async (query) => {
    const location = await pusher.open()
    await pusher.patch(location, 'con')
    const refused = await pusher.send('PUT', `${location}${query}`, {}, 'tent')
    expect(readError(refused)).toMatchObject({ status: 400, code: 'DIGEST_INVALID' })
    if (query !== '') {
      const posted = await pusher.post(query, {}, bytes)
      expect(readError(posted)).toMatchObject({ status: 400, code: 'DIGEST_INVALID' })
    }
    expect(await pusher.progress(location)).toBe('0-2')
    expect((await pusher.put(location, `sha256:${hex}`, 'tent')).statusCode).toBe(201)
  })

  it('that is wrong leaves no blob and no row', async () => {
    const body = randomBytes(2 * MIB)
    const { models } = app.services
    const before = [await models.packageBlob.count(), await models.packageFile.count()]
    expect((await pusher.post(`?digest=${digestOf('other')}`, {}, body)).statusCode).toBe(400)
    expect([await models.packageBlob.count(), await models.packageFile.count()]).toEqual(before)
    expect((await pusher.send('HEAD', pusher.urlOf(digestOf(body)))).statusCode).toBe(404)
    expect((await leftovers()).spool).toEqual([])
  })
})

describe('an upload that is not there', () => {
  const everything = (location: string, by = pusher) =>
    Promise.all([
      by.send('GET', location),
      by.patch(location, 'x'),
      by.put(location, digestOf('x'), 'x'),
      by.send('DELETE', location),
    ])

  it.each([
    ['an id that nobody has', () => `/v2/alice/team/app/blobs/uploads/${randomUUID()}`],
    ['no id', () => '/v2/alice/team/app/blobs/uploads/latest'],
    ['a path', () => '/v2/alice/team/app/blobs/uploads/..%2F..%2F..%2Fetc'],
    ['dots', () => '/v2/alice/team/app/blobs/uploads/%2e%2e%2f'],
    ['a very long id', () => `/v2/alice/team/app/blobs/uploads/${'a'.repeat(5_000)}`],
    ['a zero byte', () => '/v2/alice/team/app/blobs/uploads/%00'],
  ])('is 404: %s', async (_what, location) => {
    for (const answer of await everything(location())) {
      expect(answer.statusCode).toBe(404)
      if (answer.body !== '') expect(readError(answer).code).toMatch(/UNKNOWN$/)
    }
  })

  it('answers BLOB_UPLOAD_UNKNOWN', async () => {
    for (const answer of await everything(`/v2/alice/team/app/blobs/uploads/${randomUUID()}`)) {
      expect(readError(answer)).toMatchObject({ status: 404, code: 'BLOB_UPLOAD_UNKNOWN' })
    }
  })

  it('is one that was given up', async () => {
    const location = await pusher.open()
    await pusher.patch(location, 'bytes')
    const cancelled = await pusher.send('DELETE', location)
    expect([cancelled.statusCode, cancelled.body]).toEqual([204, ''])
    for (const answer of await everything(location)) expect(answer.statusCode).toBe(404)
  })

  it('is one of somebody else, or of another repository', async () => {
    await app.createOrganization('acme', pusher.authorization)
    const [mine, theirs] = [
      new Pusher(app, 'acme/app', pusher.authorization),
      // A site admin may push everywhere, and still this is not his upload.
      new Pusher(app, 'acme/app', app.admin),
    ]
    const location = await mine.open()
    await mine.patch(location, 'bytes')
    const id = location.split('/').at(-1)
    const strange = [
      ...(await everything(location, theirs)),
      ...(await everything(`/v2/acme/other/blobs/uploads/${id}`)),
      ...(await everything(`/v2/alice/app/blobs/uploads/${id}`)),
    ]
    for (const answer of strange) {
      expect(readError(answer)).toMatchObject({ status: 404, code: 'BLOB_UPLOAD_UNKNOWN' })
    }
    expect(await mine.progress(location)).toBe('0-4')
  })

  it('is not told from one that is there by those who may not push', async () => {
    const location = await pusher.open()
    for (const url of [location, `/v2/alice/team/app/blobs/uploads/${randomUUID()}`]) {
      const anonymous = await app.inject({ method: 'GET', url })
      expect(anonymous.statusCode).toBe(401)
      expect(anonymous.headers['www-authenticate']).toContain('scope="repository:alice/team/app:pull,push"')
      const denied = await app.inject({ method: 'GET', url, headers: { authorization: bob } })
      expect(readError(denied)).toMatchObject({ status: 403, code: 'DENIED' })
    }
  })

  it('is one that nobody went on with for a day', async () => {
    const idle = await pusher.open()
    await pusher.patch(idle, 'bytes')
    app.clock.advance(25 * 3_600_000)
    const busy = await pusher.open()
    await app.services.packages.collectGarbage()
    expect([await pusher.progress(idle), await pusher.progress(busy)]).toEqual([null, '0-0'])
  })
})

describe('a client that breaks off', () => {
  it.each([100_000, 3 * MIB])('keeps what has arrived of a PATCH of %i bytes', async (sent) => {
    const bytes = randomBytes(sent + 1000)
    const location = await pusher.open()
    const arrived = vi.spyOn(app.services.packages.spool, 'receiveSome')
    const patch = await pusher.begin('PATCH', location, { 'content-length': String(bytes.length) })
    patch.write(bytes.subarray(0, sent))
    await until(() => arrived.mock.calls.length > 0)
    await until(async () => patch.writableLength === 0)
    patch.destroy()
    await until(async () => (await pusher.progress(location)) !== '0-0')
    const size = Number((await pusher.progress(location))!.slice(2)) + 1
    expect(size).toBeGreaterThan(1)
    expect(size).toBeLessThanOrEqual(sent)
    expect((await pusher.patch(location, bytes.subarray(size), size)).statusCode).toBe(202)
    expect((await pusher.put(location, digestOf(bytes))).statusCode).toBe(201)
    expect((await leftovers()).spool).toEqual([])
  })

  it('keeps nothing of a PUT', async () => {
    const bytes = randomBytes(200_000)
    const location = await pusher.open()
    await pusher.patch(location, bytes.subarray(0, 10))
    const arrived = vi.spyOn(app.services.packages.spool, 'receiveSome')
    const url = `${location}?digest=${digestOf(bytes)}`
    const put = await pusher.begin('PUT', url, { 'content-length': String(bytes.length - 10) })
    put.write(bytes.subarray(10, 100_000))
    await until(() => arrived.mock.calls.length > 0)
    put.destroy()
    await until(async () => (await leftovers()).spool.length === 0)
    await expect(arrived.mock.results[0]!.value).resolves.toMatchObject({ failure: expect.any(Error) })
    expect(await pusher.progress(location)).toBe('0-9')
    expect((await pusher.put(location, digestOf(bytes), bytes.subarray(10))).statusCode).toBe(201)
  })
})

describe('at the same time', () => {
  it('of two PATCHes one wins and the other is 416', async () => {
    const location = await pusher.open()
    await pusher.patch(location, 'start-')
    const arrived = vi.spyOn(app.services.packages.spool, 'receiveSome')
    const patches = await Promise.all([0, 1].map(() => pusher.begin('PATCH', location)))
    await until(() => arrived.mock.calls.length === 2)
    for (const [index, patch] of patches.entries()) patch.end(Buffer.alloc(2 * MIB, `${index}`))
    const answers = await Promise.all(patches.map(answerTo))
    expect(answers.map(({ statusCode }) => statusCode).sort()).toEqual([202, 416])
    const winner = answers.findIndex(({ statusCode }) => statusCode === 202)
    const whole = Buffer.concat([Buffer.from('start-'), Buffer.alloc(2 * MIB, `${winner}`)])
    expect(await pusher.progress(location)).toBe(`0-${whole.length - 1}`)
    expect((await pusher.put(location, digestOf(whole))).statusCode).toBe(201)
  })

  it('of a PUT and a PATCH that overtakes it, the PATCH stays', async () => {
    const location = await pusher.open()
    const arrived = vi.spyOn(app.services.packages.spool, 'receiveSome')
    const put = await pusher.begin('PUT', `${location}?digest=${digestOf('put')}`)
    await until(() => arrived.mock.calls.length === 1)
    expect((await pusher.patch(location, 'patch')).statusCode).toBe(202)
    put.end('put')
    expect((await answerTo(put)).statusCode).toBe(416)
    expect((await pusher.put(location, digestOf('patch'))).statusCode).toBe(201)
    expect((await pusher.send('HEAD', pusher.urlOf(digestOf('put')))).statusCode).toBe(404)
  })

  it('finished by several, it becomes the blob once', async () => {
    for (const parts of [1, 2]) {
      const bytes = randomBytes(2 * MIB)
      const location = await pusher.open()
      const step = Math.ceil(bytes.length / parts)
      for (let start = 0; start < bytes.length; start += step) {
        await pusher.patch(location, bytes.subarray(start, start + step))
      }
      const digest = digestOf(bytes)
      const answers = await Promise.all(Array.from({ length: 4 }, () => pusher.put(location, digest)))
      const statuses = answers.map(({ statusCode }) => statusCode).sort()
      expect(statuses[0]).toBe(201)
      for (const status of statuses) expect([201, 404]).toContain(status)
      expect((await download(digest)).equals(bytes)).toBe(true)
      expect(await pusher.progress(location)).toBeNull()
    }
    expect((await leftovers()).spool).toEqual([])
  })

  it('many push the same blob to one repository, which did not exist', async () => {
    const bytes = randomBytes(MIB + 1)
    const one = new Pusher(app, 'alice/fresh', pusher.authorization)
    const digest = digestOf(bytes)
    const answers = await Promise.all(Array.from({ length: 6 }, async () => one.put(await one.open(), digest, bytes)))
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([201, 201, 201, 201, 201, 201])
    const { models } = app.services
    expect(await models.package.count({ where: { name: 'fresh' } })).toBe(1)
    expect((await download(digest, one)).equals(bytes)).toBe(true)
  })
})

describe('when the server fails', () => {
  it('a full disk is 507, and the upload keeps what it had', async () => {
    const location = await pusher.open()
    await pusher.patch(location, 'before')
    const { spool } = app.services.packages
    vi.spyOn(spool, 'receiveSome').mockRejectedValueOnce(new InsufficientStorage('no space left'))
    expect((await pusher.patch(location, 'lost')).statusCode).toBe(507)
    vi.spyOn(spool, 'receiveSome').mockRejectedValueOnce(new InsufficientStorage('no space left'))
    expect((await pusher.put(location, digestOf('before lost'), ' lost')).statusCode).toBe(507)
    expect(await pusher.progress(location)).toBe('0-5')
    expect((await pusher.put(location, digestOf('before'))).statusCode).toBe(201)
  })

  it.each([1, 2])('at the last step, an upload of %i parts is there and can be finished again', async (parts) => {
    const bytes = randomBytes(2 * MIB)
    const location = await pusher.open()
    const step = bytes.length / parts
    for (let start = 0; start < bytes.length; start += step) {
      await pusher.patch(location, bytes.subarray(start, start + step))
    }
    const digest = digestOf(bytes)
    const end = vi.spyOn(app.services.packages.uploads, 'end').mockRejectedValueOnce(new Error('the database is gone'))
    expect((await pusher.put(location, digest)).statusCode).toBe(500)
    expect(end).toHaveBeenCalledTimes(1)
    expect((await pusher.send('HEAD', pusher.urlOf(digest))).statusCode).toBe(404)
    expect(await pusher.progress(location)).toBe(`0-${bytes.length - 1}`)
    expect((await pusher.put(location, digest)).statusCode).toBe(201)
    expect((await download(digest)).equals(bytes)).toBe(true)
  })
})

describe('limits', () => {
  const start = async (environment: Record<string, string>) => {
    const limited = await TestApp.start({ environment })
    const one = new Pusher(limited, 'alice/app', await limited.createUser('alice'))
    const traces = async () => ({
      blobs: await limited.services.models.packageBlob.count(),
      spool: await readdir(join(limited.dataDir, 'spool')),
    })
    return { limited, one, traces }
  }
  /** Asks with a length alone: whoever waits for the bytes waits for ever. */
  const announce = async (one: Pusher, method: 'PATCH' | 'PUT' | 'POST', url: string, length: number) => {
    const request = await one.begin(method, url, { 'content-length': String(length) })
    const answer = await answerTo(request)
    request.destroy()
    return answer.statusCode
  }

  it('of the type hold for all bytes of an upload together', async () => {
    const { limited, one, traces } = await start({ ENTREPOT_PACKAGES_LIMITS_CONTAINER: '2MiB' })
    const location = await one.open()
    const first = Buffer.alloc(MIB)
    expect((await one.patch(location, first)).statusCode).toBe(202)
    const refused = await one.patch(location, Buffer.alloc(MIB + 1))
    expect(readError(refused)).toMatchObject({ status: 403, code: 'DENIED' })
    expect((await one.put(location, digestOf('x'), Buffer.alloc(MIB + 1))).statusCode).toBe(403)
    const streamed = await one.begin('PATCH', location)
    streamed.end(Buffer.alloc(MIB + 1))
    expect((await answerTo(streamed)).statusCode).toBe(403)
    expect(await announce(one, 'PATCH', location, MIB + 1)).toBe(403)
    expect(await announce(one, 'PUT', `${location}?digest=${digestOf('x')}`, MIB + 1)).toBe(403)
    expect(await announce(one, 'POST', `/v2/alice/app/blobs/uploads/?digest=${digestOf('x')}`, 2 * MIB + 1)).toBe(403)
    expect(await one.progress(location)).toBe(`0-${MIB - 1}`)
    expect(await traces()).toEqual({ blobs: 0, spool: [] })
    const whole = Buffer.alloc(2 * MIB)
    expect((await one.put(location, digestOf(whole), first, MIB)).statusCode).toBe(201)
    // Site admins are exempt.
    const admin = new Pusher(limited, 'alice/app', limited.admin)
    expect((await admin.post(`?digest=${digestOf(Buffer.alloc(3 * MIB))}`, {}, Buffer.alloc(3 * MIB))).statusCode).toBe(
      201,
    )
    await limited.close()
  })

  it('of the owner hold for what is uploaded and not yet in an image', async () => {
    const { limited, one, traces } = await start({ ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_SIZE: '1000' })
    const digest = await one.push(Buffer.alloc(600))
    const location = await one.open()
    expect((await one.patch(location, Buffer.alloc(300, 1))).statusCode).toBe(202)
    expect(readError(await one.patch(location, Buffer.alloc(101, 1)))).toMatchObject({ status: 403, code: 'DENIED' })
    expect(await announce(one, 'PATCH', location, 101)).toBe(403)
    // What fitted when it came may not fit when it is filed.
    const other = new Pusher(limited, 'alice/other', one.authorization)
    const url = '/api/packages/alice/generic/tool/1/file'
    const headers = { authorization: one.authorization! }
    // What others have begun to upload has its room already.
    expect((await limited.inject({ method: 'PUT', url, headers, payload: Buffer.alloc(101, 2) })).statusCode).toBe(403)
    expect((await limited.inject({ method: 'PUT', url, headers, payload: Buffer.alloc(100, 2) })).statusCode).toBe(201)
    await limited.api('PUT', '/admin/users/alice/quota/limits', { total_size: 900 })
    expect((await one.put(location, digestOf(Buffer.alloc(300, 1)))).statusCode).toBe(403)
    expect(await traces()).toEqual({ blobs: 2, spool: [] })
    // What is there already adds nothing.
    expect((await one.post(`?mount=${digest}&from=alice/app`)).statusCode).toBe(201)
    expect((await other.post(`?mount=${digest}&from=alice/app`)).statusCode).toBe(403)
    expect((await one.send('DELETE', one.urlOf(digest))).statusCode).toBe(202)
    expect((await one.put(location, digestOf(Buffer.alloc(300, 1)))).statusCode).toBe(201)
    await limited.close()
  })

  it('of the owner hold for all unfinished uploads together, in bytes and in number', async () => {
    const { limited, one } = await start({ ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_SIZE: '1000' })
    const [first, second] = [await one.open(), await one.open()]
    expect((await one.patch(first, Buffer.alloc(900, 1))).statusCode).toBe(202)
    expect(readError(await one.patch(second, Buffer.alloc(101, 2)))).toMatchObject({ status: 403, code: 'DENIED' })
    expect((await one.patch(second, Buffer.alloc(100, 2))).statusCode).toBe(202)
    expect((await one.put(first, digestOf(Buffer.alloc(900, 1)))).statusCode).toBe(201)
    expect((await one.put(second, digestOf(Buffer.alloc(100, 2)))).statusCode).toBe(201)
    const opened = await Promise.all(Array.from({ length: 1_000 }, () => one.open()))
    expect(readError(await one.post())).toMatchObject({ status: 403, code: 'DENIED' })
    expect((await one.send('DELETE', opened[0]!)).statusCode).toBe(204)
    expect((await one.post()).statusCode).toBe(202)
    await limited.close()
  })

  it('of versions do not hold for uploads', async () => {
    const { limited, one } = await start({ ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_COUNT: '0' })
    await one.push('blob')
    await limited.close()
  })
})

describe.each(testDialects)('on %s', (dialect) => {
  const setUp = async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'entrepot-uploads-'))
    const database = await createTestDatabaseUrl(dataDir, dialect)
    const options = { dataDir, databaseUrl: database.url }
    const tearDown = async () => {
      await database.drop()
      await rm(dataDir, { recursive: true, force: true })
    }
    return { options, tearDown }
  }

  it('an upload goes on after a restart', async () => {
    const { options, tearDown } = await setUp()
    const bytes = randomBytes(3 * MIB)
    const first = await TestApp.start(options)
    const before = new Pusher(first, 'root/app', first.admin)
    const location = await before.open()
    await before.patch(location, bytes.subarray(0, MIB + 7))
    await first.close()

    const second = await TestApp.start(options)
    const after = new Pusher(second, 'root/app', second.admin)
    expect(await after.progress(location)).toBe(`0-${MIB + 6}`)
    expect((await after.patch(location, bytes.subarray(MIB + 7), MIB + 7)).statusCode).toBe(202)
    expect((await after.put(location, digestOf(bytes))).statusCode).toBe(201)
    expect((await download(digestOf(bytes), after)).equals(bytes)).toBe(true)
    await second.close()
    await tearDown()
  })

  it.runIf(dialect === 'mysql')('an upload goes on at another replica, and only at one at a time', async () => {
    const { options, tearDown } = await setUp()
    const replicas = [await TestApp.start(options), await TestApp.start(options)]
    const [one, other] = replicas.map((replica) => new Pusher(replica, 'root/app', replica.admin)) as [Pusher, Pusher]
    const bytes = randomBytes(3 * MIB)
    const location = await one.open()
    for (let start = 0; start < bytes.length; start += MIB) {
      const by = start % (2 * MIB) === 0 ? other : one
      expect((await by.patch(location, bytes.subarray(start, start + MIB), start)).statusCode).toBe(202)
    }
    const digest = digestOf(bytes)
    const answers = await Promise.all([one, other, one, other].map((by) => by.put(location, digest)))
    const statuses = answers.map(({ statusCode }) => statusCode).sort()
    expect(statuses[0]).toBe(201)
    for (const status of statuses) expect([201, 404]).toContain(status)
    for (const by of [one, other]) expect((await download(digest, by)).equals(bytes)).toBe(true)

    const second = await one.open()
    const racing = await Promise.all([one, other, one, other].map((by, index) => by.patch(second, `${index}`, 0)))
    expect(racing.map(({ statusCode }) => statusCode).sort()).toEqual([202, 416, 416, 416])
    for (const replica of replicas) await replica.close()
    await tearDown()
  })
})
