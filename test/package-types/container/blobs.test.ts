import { createHash, randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CONTAINER, MANIFEST_FILE } from '../../../src/package-types/container/names.ts'
import { digestsOf } from '../../../src/storage/digest.ts'
import { TestApp } from '../../support/test-app.ts'
import { digestOf, Pusher } from './pusher.ts'
import { bearer, readError } from './token-client.ts'

const OCTETS = 'application/octet-stream'

let app: TestApp
let bob: string
let pusher: Pusher

beforeAll(async () => {
  app = await TestApp.start()
  pusher = new Pusher(app, 'alice/app', await app.createUser('alice'))
  bob = await app.createUser('bob')
})

afterAll(() => app.close())

const get = (digest: string, headers: Record<string, string> = {}, from = pusher) =>
  from.send('GET', from.urlOf(digest), headers)
const head = (digest: string, headers: Record<string, string> = {}, from = pusher) =>
  from.send('HEAD', from.urlOf(digest), headers)

describe('a blob', () => {
  it('has its length, digest and entity tag, by GET and by HEAD', async () => {
    const bytes = randomBytes(2048)
    const digest = await pusher.push(bytes)
    for (const answer of [await get(digest), await head(digest)]) {
      expect(answer.statusCode).toBe(200)
      expect(answer.headers).toMatchObject({
        'content-length': '2048',
        'content-type': OCTETS,
        'docker-content-digest': digest,
        'docker-distribution-api-version': 'registry/2.0',
        etag: `"${digest}"`,
        'accept-ranges': 'bytes',
        'x-content-type-options': 'nosniff',
      })
      expect(answer.headers['content-encoding']).toBeUndefined()
      expect(answer.headers['content-disposition']).toBeUndefined()
    }
    expect((await get(digest)).rawPayload.equals(bytes)).toBe(true)
    expect((await head(digest)).rawPayload).toHaveLength(0)
  })

  it('of no bytes has a length too', async () => {
    const digest = await pusher.push('')
    for (const answer of [await get(digest), await head(digest), await get(digest, { range: 'bytes=0-' })]) {
      expect([answer.statusCode, answer.headers['content-length'], answer.body]).toEqual([200, '0', ''])
    }
  })

  it('goes by both algorithms, and is called as it was asked for', async () => {
    const bytes = randomBytes(100)
    await pusher.push(bytes)
    const digest = digestOf(bytes, 'sha512')
    const answer = await get(digest)
    expect(answer.headers).toMatchObject({ 'docker-content-digest': digest, etag: `"${digest}"` })
    expect(answer.rawPayload.equals(bytes)).toBe(true)
  })

  it.each(['public', 'limited', 'private'])('of a %s owner is kept by the right caches', async (visibility) => {
    const owner = `${visibility}-owner`
    await app.createOrganization(owner, pusher.authorization, visibility)
    const one = new Pusher(app, `${owner}/app`, pusher.authorization)
    const answer = await get(await one.push(visibility), {}, one)
    const cacheControl = answer.headers['cache-control'] as string
    expect(cacheControl).toContain('immutable')
    expect(cacheControl.split(',')[0]).toBe(visibility === 'public' ? 'public' : 'private')
    expect(answer.headers.vary).toBe(visibility === 'public' ? undefined : 'Authorization')
  })

  it('that a client has is 304', async () => {
    const digest = await pusher.push('cached')
    const answer = await get(digest, { 'if-none-match': `"${digest}"` })
    expect([answer.statusCode, answer.body, answer.headers.etag]).toEqual([304, '', `"${digest}"`])
  })

  it('is not compressed for anybody', async () => {
    const bytes = Buffer.alloc(100_000, 'a')
    const digest = await pusher.push(bytes)
    const answer = await get(digest, { 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5' })
    expect(answer.headers['content-encoding']).toBeUndefined()
    expect(answer.rawPayload.equals(bytes)).toBe(true)
  })

  it('has the type that a manifest gives it, if that is one', async () => {
    const types: Record<string, string> = {
      'application/vnd.oci.image.layer.v1.tar+gzip': 'application/vnd.oci.image.layer.v1.tar+gzip',
      'text/html; charset=utf-8': OCTETS,
      'no type\r\nset-cookie: a=b': OCTETS,
    }
    for (const [index, [mediaType, served]] of Object.entries(types).entries()) {
      const bytes = `layer ${index}`
      const digest = await pusher.push(bytes)
      expect((await get(digest)).headers['content-type']).toBe(OCTETS)
      await fileUnderManifest(digest, mediaType)
      const answer = await get(digest)
      expect(answer.headers['content-type']).toBe(served)
      expect(answer.headers['set-cookie']).toBeUndefined()
    }
  })

  it('is sent in one piece after the other, however large', async () => {
    const bytes = randomBytes(5 * 1024 * 1024)
    const digest = await pusher.push(bytes)
    const url = new URL(pusher.urlOf(digest), await app.listen())
    const response = await new Promise<IncomingMessage>((resolve) => {
      httpGet(url, { headers: { range: 'bytes=1000000-' } }, resolve)
    })
    expect(response.statusCode).toBe(206)
    const hash = createHash('sha256')
    for await (const chunk of response) hash.update(chunk as Buffer)
    expect(hash.digest('hex')).toBe(digestOf(bytes.subarray(1_000_000)).slice(7))
  })

  /** A manifest that calls a blob whatever it likes; those that are pushed are checked. */
  async function fileUnderManifest(digest: string, mediaType: string): Promise<void> {
    const { packages, accounts } = app.services
    const [owner, name] = [(await accounts.find('alice'))!, 'app']
    const info = { owner, type: CONTAINER, name, creator: owner, semverCompatible: false, metadata: null }
    const lead = packages.spool.create()
    await lead.append(Buffer.from(mediaType))
    await lead.finish()
    const version = `sha256:${lead.digests.sha256}`
    await packages.createPackageAndAddFile(
      { ...info, version },
      { filename: MANIFEST_FILE, content: lead, isLead: true },
    )
    await packages.addFileOfExistingBlob(
      { ...info, version },
      {
        filename: digest.replace(':', '_'),
        compositeKey: digest,
        blob: { hashSha256: digest.slice(7), size: 7 },
        isLead: false,
        properties: [
          { name: 'container.digest', value: digest },
          { name: 'container.mediatype', value: mediaType },
        ],
      },
    )
  }
})

describe('a range of 2048 bytes', () => {
  const bytes = randomBytes(2048)
  let digest: string
  beforeAll(async () => {
    digest = await pusher.push(bytes)
  })

  it.each([
    ['bytes=500-1499', 500, 1499],
    ['bytes=500-', 500, 2047],
    ['bytes=-500', 1548, 2047],
    ['bytes=2000-5000', 2000, 2047],
    ['bytes=0-0', 0, 0],
    ['bytes=-5000', 0, 2047],
  ])('%s is 206', async (range, start, end) => {
    const answer = await get(digest, { range })
    expect(answer.statusCode).toBe(206)
    expect(answer.headers).toMatchObject({
      'content-range': `bytes ${start}-${end}/2048`,
      'content-length': String(end - start + 1),
      'docker-content-digest': digest,
    })
    expect(answer.rawPayload.equals(bytes.subarray(start, end + 1))).toBe(true)
    const headed = await head(digest, { range })
    expect([headed.statusCode, headed.headers['content-length']]).toEqual([200, '2048'])
  })

  it.each(['bytes=500-0', 'bytes=5000-10000', 'bytes=2048-', 'bytes=-0'])('%s is 416', async (range) => {
    const answer = await get(digest, { range })
    expect([answer.statusCode, answer.headers['content-range']]).toEqual([416, 'bytes */2048'])
    expect(answer.headers['content-type']).not.toBe(OCTETS)
  })

  it.each(['bytes=a-b', 'items=0-1', 'bytes=0-1,3-4', 'bytes'])('%s is answered whole', async (range) => {
    const answer = await get(digest, { range })
    expect([answer.statusCode, answer.rawPayload.length]).toEqual([200, 2048])
  })

  it('is of the blob that the client has begun', async () => {
    expect((await get(digest, { range: 'bytes=0-1', 'if-range': `"${digest}"` })).statusCode).toBe(206)
    expect((await get(digest, { range: 'bytes=0-1', 'if-range': '"other"' })).statusCode).toBe(200)
  })
})

describe('a blob that is not there', () => {
  it.each(['GET', 'HEAD', 'DELETE'] as const)('is 404 by %s', async (method) => {
    const absent = digestOf('absent')
    for (const repository of ['alice/app', 'alice/none']) {
      const answer = await pusher.send(method, `/v2/${repository}/blobs/${absent}`)
      expect(answer.statusCode).toBe(404)
      if (method !== 'HEAD') expect(readError(answer).code).toBe('BLOB_UNKNOWN')
    }
  })

  it('may be in another repository', async () => {
    const digest = await pusher.push('only in app')
    const other = new Pusher(app, 'alice/other', pusher.authorization)
    expect((await get(digest, {}, other)).statusCode).toBe(404)
    expect((await head(digest, {}, other)).statusCode).toBe(404)
    expect((await get(digestOf('only in app', 'sha512'), {}, other)).statusCode).toBe(404)
    const longer = new Pusher(app, 'alice/app/more', pusher.authorization)
    expect((await get(digest, {}, longer)).statusCode).toBe(404)
  })

  it.each([
    'latest',
    'sha256:',
    `sha256:${'A'.repeat(64)}`,
    `sha256:${'a'.repeat(63)}`,
    `sha512:${'a'.repeat(64)}`,
    `md5:${'a'.repeat(32)}`,
    'sha256:..%2F..%2Fetc',
    `sha256:${'a'.repeat(10_000)}`,
  ])('is 400 with the digest %s', async (digest) => {
    for (const method of ['GET', 'DELETE'] as const) {
      const answer = await pusher.send(method, pusher.urlOf(digest))
      // A slash divides a path before anything is a digest.
      if (digest.includes('%2F')) expect([400, 404]).toContain(answer.statusCode)
      else expect(readError(answer)).toMatchObject({ status: 400, code: 'DIGEST_INVALID' })
    }
  })

  it('is found as soon as it is uploaded, whatever was answered before', async () => {
    const digest = digestOf('soon')
    expect((await head(digest)).statusCode).toBe(404)
    await pusher.push('soon')
    expect((await head(digest)).statusCode).toBe(200)
  })

  it('may be one that the store has lost: the next push brings it back', async () => {
    const bytes = randomBytes(100)
    const digest = await pusher.push(bytes)
    expect((await get(digest)).statusCode).toBe(200)
    const hex = digest.slice(7)
    await app.services.packages.blobs.delete(hex)
    await rm(join(app.dataDir, 'packages', hex.slice(0, 2), hex.slice(2, 4), hex), { force: true })
    expect([(await head(digest)).statusCode, (await get(digest)).statusCode]).toEqual([404, 404])
    await pusher.push(bytes)
    expect((await get(digest)).rawPayload.equals(bytes)).toBe(true)
  })
})

describe('who may read', () => {
  it('is decided by the owner of the repository', async () => {
    await app.createOrganization('secret', pusher.authorization, 'private')
    const one = new Pusher(app, 'secret/app', pusher.authorization)
    const digest = await one.push('secret')
    const url = one.urlOf(digest)
    expect((await app.inject({ url })).statusCode).toBe(401)
    expect((await app.inject({ url, headers: { authorization: bob } })).statusCode).toBe(404)
    const token = await bearer(app, pusher.authorization, 'repository:secret/app:pull')
    expect((await app.inject({ url, headers: { authorization: token } })).statusCode).toBe(200)
    const elsewhere = await bearer(app, pusher.authorization, 'repository:alice/app:pull')
    expect((await app.inject({ url, headers: { authorization: elsewhere } })).statusCode).toBe(401)
    // The same bytes in a repository that he may read are another matter.
    const theirs = new Pusher(app, 'bob/app', bob)
    await theirs.push('secret')
    expect((await app.inject({ url, headers: { authorization: bob } })).statusCode).toBe(404)
  })
})

describe('a warm blob', () => {
  it('takes no statement to the database', async () => {
    const digest = await pusher.push(randomBytes(1000))
    await get(digest)
    const { db } = app.services
    await app.quiet()
    const before = db.queries
    expect((await get(digest)).statusCode).toBe(200)
    expect((await head(digest)).statusCode).toBe(200)
    expect((await get(digest, { range: 'bytes=1-2' })).statusCode).toBe(206)
    expect(db.queries - before).toBe(0)
  })
})

describe('deleting a blob', () => {
  it('that no manifest names is 202, and then it is gone', async () => {
    const digest = await pusher.push('useless')
    expect((await head(digest)).statusCode).toBe(200)
    const deleted = await pusher.send('DELETE', pusher.urlOf(digest))
    expect([deleted.statusCode, deleted.body]).toEqual([202, ''])
    expect((await head(digest)).statusCode).toBe(404)
    expect((await pusher.send('DELETE', pusher.urlOf(digest))).statusCode).toBe(404)
  })

  it('goes by both algorithms', async () => {
    const digest = await pusher.push('useless')
    expect((await pusher.send('DELETE', pusher.urlOf(digestOf('useless', 'sha512')))).statusCode).toBe(202)
    expect((await head(digest)).statusCode).toBe(404)
  })

  it('that a manifest names is refused, also when it was uploaded again', async () => {
    const one = new Pusher(app, 'alice/image', pusher.authorization)
    const digest = await one.push('layer')
    await one.pushImage('1', [{ digest, size: 5 }])
    for (const round of [1, 2]) {
      const refused = await one.send('DELETE', one.urlOf(digest))
      expect(readError(refused)).toMatchObject({ status: 405, code: 'UNSUPPORTED' })
      expect((await head(digest, {}, one)).statusCode).toBe(200)
      if (round === 1) await one.push('layer')
    }
  })

  it('leaves it in other repositories', async () => {
    const other = new Pusher(app, 'alice/other', pusher.authorization)
    const digest = await pusher.push('shared')
    await other.push('shared')
    await pusher.send('DELETE', pusher.urlOf(digest))
    expect((await get(digest, {}, other)).body).toBe('shared')
  })

  it('is for those who may push', async () => {
    const digest = await pusher.push('mine')
    const url = pusher.urlOf(digest)
    expect((await app.inject({ method: 'DELETE', url })).statusCode).toBe(401)
    expect((await app.inject({ method: 'DELETE', url, headers: { authorization: bob } })).statusCode).toBe(403)
    expect((await head(digest)).statusCode).toBe(200)
  })

  it('by many at once happens once', async () => {
    const digest = await pusher.push('once')
    const answers = await Promise.all(Array.from({ length: 5 }, () => pusher.send('DELETE', pusher.urlOf(digest))))
    expect(answers.map(({ statusCode }) => statusCode).sort()).toEqual([202, 404, 404, 404, 404])
  })
})

describe('a blob that waits for a manifest', () => {
  let one: Pusher
  let digest: string
  beforeEach(async () => {
    one = new Pusher(app, `alice/waiting-${randomBytes(4).toString('hex')}`, pusher.authorization)
    digest = await one.push(randomBytes(100))
  })

  it('is no version of anything: nothing lists it', async () => {
    const listed = await app.api('GET', '/packages/alice?type=container&limit=50')
    expect(listed.body).not.toContain(one.repository.slice('alice/'.length))
    expect(listed.body).not.toContain('~uploads')
    expect((await one.send('GET', `/v2/${one.repository}/manifests/~uploads`)).statusCode).toBeGreaterThanOrEqual(400)
  })

  it('is filed as one file of an internal version', async () => {
    const { models } = app.services
    const sha256 = digest.slice(7)
    const blob = await models.packageBlob.findOne({ where: { hashSha256: sha256 }, raw: true })
    const file = await models.packageFile.findOne({ where: { blobId: blob!.id }, raw: true })
    expect(file).toMatchObject({ name: `sha256_${sha256}`, compositeKey: '' })
    expect(Boolean(file!.isLead)).toBe(false)
    const version = await models.packageVersion.findByPk(file!.versionId, { raw: true })
    expect(version).toMatchObject({ version: '~uploads', metadataJson: 'null' })
    expect(Boolean(version!.isInternal)).toBe(true)
    const properties = await models.packageProperty.findAll({ where: { refType: 1, refId: file!.id }, raw: true })
    expect(properties.map(({ name, value }) => [name, value])).toEqual([['container.digest', digest]])
  })

  it('is collected after a day, with the repository that has nothing else', async () => {
    app.clock.advance(25 * 3_600_000)
    await app.services.packages.collectGarbage()
    expect((await head(digest, {}, one)).statusCode).toBe(404)
    const name = one.repository.slice('alice/'.length)
    expect(await app.services.models.package.count({ where: { name } })).toBe(0)
    expect(await app.services.packages.blobs.has(digest.slice(7))).toBe(false)
  })

  it('stays when it was uploaded again meanwhile', async () => {
    const { rawPayload: bytes } = await get(digest, {}, one)
    app.clock.advance(23 * 3_600_000)
    await one.push(bytes)
    app.clock.advance(2 * 3_600_000)
    await app.services.packages.collectGarbage()
    expect((await get(digest, {}, one)).rawPayload.equals(bytes)).toBe(true)
    expect(digestsOf(bytes).sha256).toBe(digest.slice(7))
  })
})
