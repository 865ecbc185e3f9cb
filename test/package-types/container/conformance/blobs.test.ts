import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestApp } from '../../../support/test-app.ts'
import { type Algorithm, digestOf, mediaType } from './content.ts'
import type { Answer } from './registry-client.ts'
import { Repository, startRegistry } from './repository.ts'

// What the suite on main does with blobs alone: every way of pushing, mounts, ranges, well-known contents and wrong
// digests, with either algorithm. The upload never says which one it will be closed with.
describe.each<Algorithm>(['sha256', 'sha512'])('blobs by %s', (algorithm) => {
  let server: TestApp
  let repository: Repository
  let other: Repository

  beforeAll(async () => {
    const started = await startRegistry({ visibility: 'public', keepsTokens: true })
    server = started.server
    repository = new Repository(started.client, 'acme/conformance/repo1')
    other = new Repository(started.client, 'acme/conformance/repo2')
  })
  afterAll(() => server.close())

  const blob = (size = 512) => {
    const bytes = randomBytes(size)
    return { bytes, digest: digestOf(bytes, algorithm) }
  }

  /** Pushed, fetched from where the answer says it is, found by HEAD and GET, and gone once deleted. */
  async function expectPushed(answer: Answer, bytes: Buffer, digest: string): Promise<void> {
    expect(answer.status).toBe(201)
    expect(answer.header('docker-content-digest')).toBe(digest)
    const located = await repository.client.send('GET', answer.location)
    expect(located.status).toBe(200)
    expect(located.body.equals(bytes)).toBe(true)
    const head = await repository.head(`blobs/${digest}`)
    const whole = await repository.get(`blobs/${digest}`)
    for (const found of [head, whole]) {
      expect(found.status).toBe(200)
      expect(found.header('content-length')).toBe(String(bytes.length))
      expect(found.header('docker-content-digest')).toBe(digest)
      expect(found.header('content-encoding')).toBeNull()
    }
    expect(head.body).toHaveLength(0)
    expect(whole.body.equals(bytes)).toBe(true)
    expect((await repository.delete(`blobs/${digest}`)).status).toBe(202)
    expect((await repository.head(`blobs/${digest}`)).status).toBe(404)
  }

  test('a blob that nobody pushed is 404', async () => {
    expect((await repository.get(`blobs/${blob().digest}`)).status).toBe(404)
  })

  test('one POST with the digest and the bytes is enough', async () => {
    const { bytes, digest } = blob()
    await expectPushed(await repository.postBlob(bytes, digest), bytes, digest)
  })

  test('a POST and a PUT with all bytes', async () => {
    const { bytes, digest } = blob()
    const started = await repository.startUpload()
    expect(started.status).toBe(202)
    await expectPushed(await repository.finish(started.location, digest, bytes), bytes, digest)
  })

  test('a stream without a range, closed by an empty PUT', async () => {
    const { bytes, digest } = blob()
    const patched = await repository.patch((await repository.startUpload()).location, bytes)
    expect(patched.status).toBe(202)
    await expectPushed(await repository.finish(patched.location, digest), bytes, digest)
  })

  test.each([1, 3])('%i chunks, closed by an empty PUT', async (count) => {
    const { bytes, digest } = blob(count === 1 ? 512 : 3067)
    let { location } = await repository.startUpload()
    for (const [start, chunk] of split(bytes, Math.ceil(bytes.length / count))) {
      const patched = await repository.patch(location, chunk, start)
      expect(patched.status).toBe(202)
      expect(patched.header('range')).toBe(`0-${start + chunk.length - 1}`)
      location = patched.location
    }
    await expectPushed(await repository.finish(location, digest), bytes, digest)
  })

  test('the last of three chunks goes with the PUT', async () => {
    const { bytes, digest } = blob(3067)
    let { location } = await repository.startUpload()
    for (const [start, chunk] of split(bytes, 1024).slice(0, 2)) {
      location = (await repository.patch(location, chunk, start)).location
    }
    await expectPushed(await repository.finish(location, digest, bytes.subarray(2048), 2048), bytes, digest)
  })

  test.each(['PATCH', 'PUT'])(
    'chunks out of order are 416, also by %s, and the upload goes on where it was',
    async (last) => {
      const { bytes, digest } = blob(3067)
      let { location } = await repository.startUpload()
      let answer: Answer | null = null
      for (const [start, chunk] of split(bytes, 1024)) {
        const skipped = start + 1024 < bytes.length ? start + 1024 : 0
        const wrong = bytes.subarray(skipped, skipped + 1024)
        const endsThere = last === 'PUT' && skipped + wrong.length === bytes.length
        const refused = endsThere
          ? await repository.finish(location, digest, wrong, skipped)
          : await repository.patch(location, wrong, skipped)
        expect(refused.status).toBe(416)

        const status = await repository.client.send('GET', location)
        expect(status.status).toBe(204)
        expect(status.header('range')).toBe(`0-${Math.max(start - 1, 0)}`)
        location = status.location
        if (last === 'PUT' && start + chunk.length === bytes.length) {
          answer = await repository.finish(location, digest, chunk, start)
        } else {
          const patched = await repository.patch(location, chunk, start)
          expect(patched.status).toBe(202)
          location = patched.location
        }
      }
      await expectPushed(answer ?? (await repository.finish(location, digest)), bytes, digest)
    },
  )

  test('an upload can be cancelled, and is then unknown', async () => {
    const { location } = await repository.startUpload()
    expect((await repository.client.send('DELETE', location)).status).toBe(204)
    expect((await repository.client.send('GET', location)).status).toBe(404)
  })

  test.each([
    ['names the repository it is in', { from: 'acme/conformance/repo2' }],
    ['names none', {}],
  ])('a mount that %s makes the blob of another repository one of this one', async (_how, from) => {
    const { bytes, digest } = blob()
    expect((await other.pushBlob(bytes, digest)).status).toBe(201)
    await expectPushed(await repository.startUpload({ mount: digest, ...from }), bytes, digest)
    expect((await other.delete(`blobs/${digest}`)).status).toBe(202)
    expect((await other.head(`blobs/${digest}`)).status).toBe(404)
  })

  test('a mount of what is not there starts an upload instead', async () => {
    const { bytes, digest } = blob()
    const started = await repository.startUpload({ mount: digest, from: other.name })
    expect(started.status).toBe(202)
    await expectPushed(await repository.finish(started.location, digest, bytes), bytes, digest)
  })

  test.each([
    ['bytes=500-1499', 500, 1500],
    ['bytes=500-', 500, 2048],
    ['bytes=-500', 1548, 2048],
    ['bytes=2000-5000', 2000, 2048],
  ])('the range %s of 2048 bytes is 206', async (asked, start, end) => {
    const { bytes, digest } = blob(2048)
    await repository.pushBlob(bytes, digest)
    const part = await repository.get(`blobs/${digest}`, { headers: { range: asked } })
    expect(part.status).toBe(206)
    expect(part.header('content-range')).toBe(`bytes ${start}-${end - 1}/2048`)
    expect(part.header('content-length')).toBe(String(end - start))
    expect(part.body.equals(bytes.subarray(start, end))).toBe(true)
  })

  test.each(['bytes=500-0', 'bytes=5000-10000'])('the range %s of 2048 bytes is 416', async (range) => {
    const { bytes, digest } = blob(2048)
    await repository.pushBlob(bytes, digest)
    expect((await repository.get(`blobs/${digest}`, { headers: { range } })).status).toBe(416)
  })

  test.each(['', '{}'])('the content %j is a blob like any other', async (text) => {
    const bytes = Buffer.from(text)
    const digest = digestOf(bytes, algorithm)
    await expectPushed(await repository.pushBlob(bytes, digest), bytes, digest)
  })

  test('bytes that do not have the digest are 400, however they came', async () => {
    const { bytes, digest } = blob(3067)
    const wrong = Buffer.concat([bytes, Buffer.from('oh no')])
    const refusals = [
      await repository.postBlob(wrong, digest),
      await repository.pushBlob(wrong, digest),
      await repository.finish(
        (await repository.patch((await repository.startUpload()).location, wrong)).location,
        digest,
      ),
    ]
    let { location } = await repository.startUpload()
    for (const [start, chunk] of split(wrong, 1024))
      location = (await repository.patch(location, chunk, start)).location
    refusals.push(await repository.finish(location, digest))
    expect(refusals.map(({ status }) => status)).toEqual([400, 400, 400, 400])
    for (const { body } of refusals) {
      expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ code: 'DIGEST_INVALID' }] })
    }
    expect((await repository.head(`blobs/${digest}`)).status).toBe(404)
  })

  test('a blob is sent as octets or as what a manifest calls it, never as text', async () => {
    const { bytes, digest } = blob()
    await repository.pushBlob(bytes, digest)
    expect((await repository.get(`blobs/${digest}`)).header('content-type')).toBe(mediaType.octets)
  })
})

function split(bytes: Buffer, size: number): [start: number, chunk: Buffer][] {
  const starts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => i * size)
  return starts.map((start) => [start, bytes.subarray(start, start + size)])
}
