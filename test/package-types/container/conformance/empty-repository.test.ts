import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestApp } from '../../../support/test-app.ts'
import { Content, digestOf, mediaType } from './content.ts'
import { Repository, startRegistry } from './repository.ts'

// What the suite on main tries last, and what it asks before anything was pushed.
describe('a repository with nothing in it', () => {
  let server: TestApp
  let repository: Repository

  beforeAll(async () => {
    const started = await startRegistry({ visibility: 'public', keepsTokens: true })
    server = started.server
    repository = new Repository(started.client, 'acme/nothing')
  })
  afterAll(() => server.close())

  test('answers to whoever has a token that the registry is one', async () => {
    expect((await repository.client.send('GET', '/v2/')).status).toBe(200)
  })

  test('has no tags', async () => {
    expect([200, 404]).toContain((await repository.get('tags/list')).status)
  })

  test('has an empty list of referrers for anything', async () => {
    const answer = await repository.get(`referrers/${digestOf(randomBytes(8))}`)
    expect(answer.status).toBe(200)
    expect(answer.header('content-type')).toBe(mediaType.index)
    expect(JSON.parse(answer.body.toString())).toEqual({ schemaVersion: 2, mediaType: mediaType.index, manifests: [] })
  })

  test('has no manifest by tag or digest', async () => {
    for (const reference of ['missing', digestOf(randomBytes(8))]) {
      const answer = await repository.get(`manifests/${reference}`)
      expect(answer.status).toBe(404)
      expect(JSON.parse(answer.body.toString())).toMatchObject({
        errors: [{ code: expect.stringMatching(/UNKNOWN$/) }],
      })
    }
  })

  test('refuses a manifest under a digest that is none, or another one’s', async () => {
    const content = new Content()
    const { bytes, descriptor } = content.image()
    for (const [digest, blob] of content.blobs) await repository.pushBlob(blob, digest)
    const malformed = await repository.putManifest('sha256:baddigeststring', bytes, descriptor.mediaType)
    const padded = Buffer.concat([bytes, Buffer.from('  ')])
    const mismatched = await repository.putManifest(descriptor.digest, padded, descriptor.mediaType)
    for (const answer of [malformed, mismatched]) {
      expect(answer.status).toBe(400)
      expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'DIGEST_INVALID' }] })
    }
    expect((await repository.get('manifests/sha256:baddigeststring')).status).toBe(400)
    expect((await repository.get(`manifests/${descriptor.digest}`)).status).toBe(404)
  })
})
