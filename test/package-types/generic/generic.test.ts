import { createHash } from 'node:crypto'
import type { LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestApp } from '../../support/test-app.ts'

// Gitea's own test of generic packages, in its order: each step goes on from the one before.
describe('the life of a generic package', () => {
  const root = '/api/packages/alice/generic'
  const url = `${root}/te-st_pac.kage/${encodeURIComponent('1.0.3-te st')}`
  const content = Buffer.from([1, 2, 3])
  const sha256 = createHash('sha256').update(content).digest()

  let app: TestApp
  let alice: string

  beforeAll(async () => {
    app = await TestApp.start()
    alice = await app.createUser('alice')
  })

  afterAll(() => app.close())

  const request = (method: 'GET' | 'HEAD' | 'PUT' | 'DELETE', path: string, authorization: string | null = alice) =>
    app.inject({
      method,
      url: path,
      headers: authorization === null ? {} : { authorization },
      ...(method === 'PUT' ? { payload: content } : {}),
    })
  const versions = async () => (await app.api('GET', '/packages/alice?type=generic', undefined, alice)).json()
  const files = async () =>
    (await app.api('GET', '/packages/alice/generic/te-st_pac.kage/1.0.3-te%20st/files', undefined, alice)).json()
  const count = async () => {
    await app.services.packages.downloads.flush()
    const [row] = await app.services.models.packageVersion.findAll({ raw: true })
    return row?.downloadCount
  }

  it('an upload creates package, version and file', async () => {
    const answer = await request('PUT', `${url}/fi-le_na.me`)
    expect(answer.statusCode).toBe(201)
    expect(answer.body).toBe('')
    const [version] = await app.services.models.packageVersion.findAll({ raw: true })
    expect(version).toMatchObject({ version: '1.0.3-te st', metadataJson: 'null' })
    const [file] = await app.services.models.packageFile.findAll({ raw: true })
    expect(file).toMatchObject({ name: 'fi-le_na.me', compositeKey: '' })
    expect(Boolean(file?.isLead)).toBe(true)
    const [row] = await app.services.models.package.findAll({ raw: true })
    expect(row).toMatchObject({ type: 'generic', name: 'te-st_pac.kage' })
    expect(Boolean(row?.semverCompatible)).toBe(false)
  })

  it('the same file again is refused, in any case, with the same or other bytes', async () => {
    expect((await request('PUT', `${url}/fi-le_na.me`)).statusCode).toBe(409)
    expect((await request('PUT', `${url}/FI-LE_NA.ME`)).statusCode).toBe(409)
    const other = {
      method: 'PUT',
      url: `${url}/fi-le_na.me`,
      headers: { authorization: alice },
      payload: 'other',
    } as const
    expect((await app.inject(other)).statusCode).toBe(409)
    expect(
      (await request('PUT', `${url.toUpperCase().replace('/API/PACKAGES/ALICE/GENERIC', root)}/fi-le_na.me`))
        .statusCode,
    ).toBe(409)
  })

  it('another file joins the version; equal bytes are one blob', async () => {
    expect((await request('PUT', `${url}/dummy.bin`)).statusCode).toBe(201)
    const rows = await app.services.models.packageFile.findAll({ raw: true })
    expect(rows).toHaveLength(2)
    expect(new Set(rows.map(({ blobId }) => blobId)).size).toBe(1)
    expect(await app.services.models.packageBlob.count()).toBe(1)
    expect(await app.services.models.packageVersion.count()).toBe(1)
  })

  it.each([
    `${root}/invalid%20package%20name/1.0/a`,
    `${root}/a/%20test%20/a`,
    `${root}/a/1.0/inva%7Cid.name`,
    `${root}/../1.0/a`.replace('..', '%2e%2e%2f'),
    `${root}/a%2fb/1.0/a`,
    `${root}/a/1%2f0/a`,
    `${root}/a/%2e%2e%2f/a`,
    `${root}/a/1.0/a%2fb`,
    `${root}/a/1%0a0/a`,
    `${root}/a/1%000/a`,
    `${root}/-/1.0/a`,
    `${root}/a/1.0/%20a`,
    `${root}/a/1.0/r%C3%A9sum%C3%A9`,
    `${root}/${'a'.repeat(256)}/1.0/a`,
    `${root}/a/${'a'.repeat(256)}/a`,
    `${root}/a/1.0/${'a'.repeat(256)}`,
  ])('uploading to %s is refused, and reading from there finds nothing', async (path) => {
    expect((await request('PUT', path)).statusCode).toBe(400)
    expect((await request('GET', path)).statusCode).toBe(404)
    expect((await request('DELETE', path)).statusCode).toBe(404)
  })

  it('names of 255 characters are taken', async () => {
    const long = `${root}/${'n'.repeat(255)}/${'v'.repeat(255)}/${'f'.repeat(255)}`
    expect((await request('PUT', long)).statusCode).toBe(201)
    expect((await request('GET', long)).statusCode).toBe(200)
    expect((await request('DELETE', long)).statusCode).toBe(204)
  })

  it('anybody can download it, and each download counts', async () => {
    const answer = await request('GET', `${url}/fi-le_na.me`, null)
    expect(answer.statusCode).toBe(200)
    expect(answer.rawPayload.equals(content)).toBe(true)
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '3',
      'content-disposition': `attachment; filename="fi-le_na.me"; filename*=UTF-8''fi-le_na.me`,
      'cache-control': 'no-cache',
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
      etag: `"sha256:${sha256.toString('hex')}"`,
      'repr-digest': `sha-256=:${sha256.toString('base64')}:`,
    })
    expect(Date.parse(String(answer.headers['last-modified']))).toBeGreaterThan(0)
    expect(await count()).toBe(1)
    expect((await request('GET', `${url}/DUMMY.bin`, null)).statusCode).toBe(200)
    expect(await count()).toBe(2)
    const missing = await request('GET', `${url}/not.found`, null)
    expect(missing.statusCode).toBe(404)
    expect(missing.headers['content-type']).toContain('text/plain')
    expect(missing.headers['cache-control']).toBe('no-store')
  })

  it('HEAD says the same without the bytes and does not count; a range and a revalidation work', async () => {
    const get = await request('GET', `${url}/fi-le_na.me`, null)
    const before = await count()
    const head = await request('HEAD', `${url}/fi-le_na.me`, null)
    expect(head.statusCode).toBe(200)
    expect(head.rawPayload.length).toBe(0)
    for (const name of Object.keys(get.headers).filter((key) => key !== 'date' && key !== 'connection')) {
      expect([name, head.headers[name]]).toEqual([name, get.headers[name]])
    }
    expect(await count()).toBe(before)
    const ranged = (range: string) => app.inject({ url: `${url}/fi-le_na.me`, headers: { range } })
    const part = await ranged('bytes=1-')
    expect(part.statusCode).toBe(206)
    expect(part.rawPayload.equals(content.subarray(1))).toBe(true)
    expect((await ranged('bytes=3-')).statusCode).toBe(416)
    const etag = String(get.headers.etag)
    const again = await app.inject({ url: `${url}/fi-le_na.me`, headers: { 'if-none-match': etag } })
    expect(again.statusCode).toBe(304)
  })

  it('a warm download runs no SQL', async () => {
    await request('GET', `${url}/fi-le_na.me`, null)
    await request('HEAD', `${url}/fi-le_na.me`, alice)
    await app.quiet()
    const before = app.services.db.queries
    for (const method of ['GET', 'HEAD'] as const) {
      for (const who of [null, alice]) expect((await request(method, `${url}/fi-le_na.me`, who)).statusCode).toBe(200)
    }
    const missing = `${url}/not.found`
    await request('GET', missing, null)
    expect(app.services.db.queries).toBe(before)
  })

  it('REST lists it', async () => {
    expect(await versions()).toMatchObject([{ name: 'te-st_pac.kage', version: '1.0.3-te st', type: 'generic' }])
    expect((await files()).map(({ name }: { name: string }) => name).sort()).toEqual(['dummy.bin', 'fi-le_na.me'])
  })

  it('a file is deleted by who may, once; the version stays', async () => {
    const anonymous = await request('DELETE', `${url}/fi-le_na.me`, null)
    expect(anonymous.statusCode).toBe(401)
    expect(anonymous.headers['www-authenticate']).toBe('Basic realm="Entrepot"')
    expect((await request('DELETE', `${url}/fi-le_na.me`)).statusCode).toBe(204)
    expect((await request('GET', `${url}/fi-le_na.me`)).statusCode).toBe(404)
    expect((await request('DELETE', `${url}/fi-le_na.me`)).statusCode).toBe(404)
    expect(await versions()).toHaveLength(1)
  })

  it('the last file takes the version with it', async () => {
    expect((await request('DELETE', `${url}/dummy.bin`)).statusCode).toBe(204)
    expect(await versions()).toEqual([])
  })

  it('a version is deleted by who may, once, with all files', async () => {
    expect((await request('PUT', `${url}/fi-le_na.me`)).statusCode).toBe(201)
    expect((await request('PUT', `${url}/dummy.bin`)).statusCode).toBe(201)
    expect((await request('DELETE', url, null)).statusCode).toBe(401)
    expect((await request('DELETE', url)).statusCode).toBe(204)
    expect((await request('GET', `${url}/fi-le_na.me`)).statusCode).toBe(404)
    expect((await request('GET', `${url}/dummy.bin`)).statusCode).toBe(404)
    expect((await request('DELETE', url)).statusCode).toBe(404)
    expect(await versions()).toEqual([])
  })

  it('other bytes can follow under the same name, and nobody gets the old ones', async () => {
    expect((await request('PUT', `${url}/fi-le_na.me`)).statusCode).toBe(201)
    const old = await request('GET', `${url}/fi-le_na.me`)
    expect((await request('DELETE', `${url}/fi-le_na.me`)).statusCode).toBe(204)
    const put = await app.inject({
      method: 'PUT',
      url: `${url}/fi-le_na.me`,
      headers: { authorization: alice },
      payload: 'new bytes',
    })
    expect(put.statusCode).toBe(201)
    const headers = {
      'if-none-match': String(old.headers.etag),
      'if-modified-since': String(old.headers['last-modified']),
    }
    const fresh = await app.inject({ url: `${url}/fi-le_na.me`, headers })
    expect(fresh.statusCode).toBe(200)
    expect(fresh.body).toBe('new bytes')
  })

  it('nothing else is here', async () => {
    const statuses = async (answers: Promise<LightMyRequestResponse>[]) =>
      (await Promise.all(answers)).map(({ statusCode }) => statusCode)
    expect(
      await statuses([
        request('GET', root),
        request('GET', `${root}/te-st_pac.kage`),
        request('DELETE', `${root}/te-st_pac.kage`),
        request('GET', url),
        request('PUT', url),
        request('PUT', `${url}/folder/file`),
        request('GET', '/api/packages/nobody/generic/a/1/b'),
      ]),
    ).toEqual([404, 404, 404, 404, 404, 404, 404])
  })
})
