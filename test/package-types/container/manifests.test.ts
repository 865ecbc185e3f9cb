import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildArtifact, buildBlob, buildImage, buildIndex, digestOf, types } from '../../support/builders/image.ts'
import { TestApp } from '../../support/test-app.ts'
import { failure, Images } from './images.ts'

let server: TestApp
let alice: string
beforeAll(async () => {
  server = await TestApp.start()
  alice = await server.createUser('alice')
})
afterAll(() => server.close())

let count = 0
/** A repository of its own for each test. */
const repository = (name = `image-${++count}`) => new Images(server, `alice/${name}`, alice)

describe('a pushed manifest', () => {
  test('comes back byte for byte, by tag and by digest, with its type, length and digest', async () => {
    const images = repository()
    const image = buildImage({ layers: ['a', 'b'] })
    const response = await images.push('v1', image)
    expect(response.headers).toMatchObject({
      location: `/v2/${images.repository}/manifests/${image.digest}`,
      'docker-content-digest': image.digest,
      'docker-distribution-api-version': 'registry/2.0',
      'cache-control': 'no-store',
    })
    for (const reference of ['v1', image.digest, encodeURIComponent(image.digest)]) {
      for (const method of ['GET', 'HEAD'] as const) {
        const answer = await images.request(method, `manifests/${reference}`)
        expect(answer.statusCode).toBe(200)
        expect(answer.rawPayload).toEqual(method === 'GET' ? image.bytes : Buffer.alloc(0))
        expect(answer.headers).toMatchObject({
          'content-type': types.manifest,
          'content-length': String(image.bytes.length),
          'docker-content-digest': image.digest,
          etag: `"${image.digest}"`,
        })
      }
    }
  })
})
