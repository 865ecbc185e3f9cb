import { get, type IncomingMessage } from 'node:http'
import { gunzipSync } from 'node:zlib'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cacheControl } from '../../src/http/cache-control.ts'
import { type RenderedDocument, renderDocument, sendDocument } from '../../src/http/send-document.ts'

const small = Buffer.from(JSON.stringify({ name: 'left-pad', readme: 'x'.repeat(2000) }))
const large = Buffer.from(JSON.stringify(Array.from({ length: 30_000 }, (_, index) => `entry ${index}`)))
const lastModified = Date.UTC(2026, 0, 2, 3, 4, 5, 678)

let app: FastifyInstance
const documents: Record<string, RenderedDocument> = {}

beforeAll(async () => {
  documents['small'] = await renderDocument(small, { contentType: 'application/json', lastModified })
  documents['large'] = await renderDocument(large, { contentType: 'application/json', lastModified: null })
  app = Fastify()
  app.route<{ Params: { name: string }; Querystring: { private?: string } }>({
    method: ['GET', 'HEAD'],
    url: '/:name',
    handler: (request, reply) =>
      sendDocument(
        request,
        reply,
        documents[request.params.name]!,
        cacheControl.hosted(request.query.private === undefined),
      ),
  })
  await app.ready()
})

afterAll(() => app.close())

describe('a rendered document', () => {
  it('has different strong etags for its two forms, and the same for the same bytes', async () => {
    const again = await renderDocument(Buffer.from(small), { contentType: 'text/plain', lastModified: 1 })
    expect(again.etag).toBe(documents['small']!.etag)
    expect(again.gzipEtag).toBe(documents['small']!.gzipEtag)
    expect(again.etag).not.toBe(again.gzipEtag)
    for (const etag of [again.etag, again.gzipEtag]) expect(etag).toMatch(/^"[\w-]+"$/)
    const other = await renderDocument(Buffer.from('other'), { contentType: 'text/plain', lastModified: 1 })
    expect(other.etag).not.toBe(again.etag)
  })

  it('keeps the plain form of small ones only', () => {
    expect(documents['small']!.identity?.equals(small)).toBe(true)
    expect(documents['large']!.identity).toBeNull()
  })
})

describe('sending a document', () => {
  it('in its plain form costs no copy of it per client', async () => {
    const size = 32 * 1024 * 1024
    documents['huge'] = await renderDocument(Buffer.alloc(size, ' '), { contentType: 'text/plain', lastModified: null })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const before = process.memoryUsage().arrayBuffers
    // Clients that do not read what they are sent.
    const clients = await Promise.all(
      Array.from(
        { length: 16 },
        () =>
          new Promise<IncomingMessage>((resolve, reject) => {
            get(`${url}/huge`, { agent: false }, resolve).on('error', reject)
          }),
      ),
    )
    expect(clients.map((client) => client.headers['content-length'])).toEqual(Array(16).fill(String(size)))
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * size)
    for (const client of clients) client.on('error', () => {}).destroy()
  })

  it.each([
    ['small', small],
    ['large', large],
  ])('%s: compressed or plain, as asked', async (name, bytes) => {
    const zipped = await app.inject({ url: `/${name}`, headers: { 'accept-encoding': 'gzip' } })
    expect(zipped.headers).toMatchObject({
      etag: documents[name]!.gzipEtag,
      'content-encoding': 'gzip',
      'content-type': 'application/json',
      'content-length': String(zipped.rawPayload.length),
      'cache-control': 'no-cache',
      vary: 'Accept, Accept-Encoding',
      'x-content-type-options': 'nosniff',
    })
    expect(gunzipSync(zipped.rawPayload).equals(bytes)).toBe(true)
    const plain = await app.inject(`/${name}`)
    expect(plain.headers['content-encoding']).toBeUndefined()
    expect(plain.headers.etag).toBe(documents[name]!.etag)
    expect(plain.headers['content-length']).toBe(String(bytes.length))
    expect(plain.rawPayload.equals(bytes)).toBe(true)
  })

  it('HEAD says what GET says, without the body', async () => {
    for (const headers of [{}, { 'accept-encoding': 'gzip' }]) {
      const get = await app.inject({ url: '/large', headers })
      const head = await app.inject({ method: 'HEAD', url: '/large', headers })
      expect(head.statusCode).toBe(200)
      expect(head.rawPayload.length).toBe(0)
      const { date: _get, ...expected } = get.headers
      const { date: _head, ...actual } = head.headers
      expect(actual).toEqual(expected)
    }
  })

  it('a client that holds either form gets 304 with the etag of that form', async () => {
    const { etag, gzipEtag } = documents['small']!
    for (const held of [etag, gzipEtag]) {
      for (const encoding of ['gzip', 'identity']) {
        const answer = await app.inject({
          url: '/small',
          headers: { 'if-none-match': held, 'accept-encoding': encoding },
        })
        expect(answer.statusCode).toBe(304)
        expect(answer.rawPayload.length).toBe(0)
        expect(answer.headers).toMatchObject({
          etag: held,
          'cache-control': 'no-cache',
          vary: 'Accept, Accept-Encoding',
        })
        expect(answer.headers['content-length']).toBeUndefined()
        expect(answer.headers['content-encoding']).toBeUndefined()
      }
    }
  })

  it('Last-Modified serves clients that know no etags, and loses against them', async () => {
    const since = 'Fri, 02 Jan 2026 03:04:05 GMT'
    expect((await app.inject('/small')).headers['last-modified']).toBe(since)
    expect((await app.inject({ url: '/small', headers: { 'if-modified-since': since } })).statusCode).toBe(304)
    const both = await app.inject({ url: '/small', headers: { 'if-modified-since': since, 'if-none-match': '"x"' } })
    expect(both.statusCode).toBe(200)
    expect((await app.inject('/large')).headers['last-modified']).toBeUndefined()
  })

  it('a private one varies by Authorization', async () => {
    const answer = await app.inject('/small?private=1')
    expect(answer.headers).toMatchObject({
      'cache-control': 'private, no-cache',
      vary: 'Accept, Accept-Encoding, Authorization',
    })
  })
})
