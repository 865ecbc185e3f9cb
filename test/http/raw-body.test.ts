import { request as httpRequest } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createErrorHandler } from '../../src/http/error-handler.ts'
import { readJson, useRawBody } from '../../src/http/raw-body.ts'

const LIMIT = 1_000
const LARGE = 100_000_000
let app: FastifyInstance
beforeAll(async () => {
  app = Fastify({ forceCloseConnections: true })
  useRawBody(app)
  app.setErrorHandler(createErrorHandler((error) => ({ status: error.status, body: error.kind })))
  app.post('/', async (request) => ({ read: await readJson(request, LIMIT) }))
  app.post('/large', async (request) => ({ read: await readJson(request, LARGE) }))
  await app.listen({ host: '127.0.0.1', port: 0 })
})
afterAll(() => app.close())

function post(
  chunks: Buffer[],
  headers: Record<string, string> = {},
  cut = false,
): Promise<{ status: number; body: string }> {
  return new Promise((done, fail) => {
    const outgoing = httpRequest(
      { port: (app.server.address() as AddressInfo).port, host: '127.0.0.1', method: 'POST', headers },
      (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => (body += chunk.toString()))
        response.on('end', () => done({ status: response.statusCode ?? 0, body }))
      },
    )
    outgoing.on('error', fail)
    for (const chunk of chunks) outgoing.write(chunk)
    if (cut) outgoing.destroy(new Error('cut'))
    else outgoing.end()
  })
}

describe('readJson', () => {
  test('reads JSON of any content type, plain or gzip', async () => {
    const json = Buffer.from('{"a":[1,"ü"]}')
    expect(await post([json], { 'content-type': 'text/html' })).toEqual({ status: 200, body: '{"read":{"a":[1,"ü"]}}' })
    expect((await post([gzipSync(json)], { 'content-encoding': 'gzip' })).body).toBe('{"read":{"a":[1,"ü"]}}')
  })

  test('a body over the limit is 413, announced, chunked or inflated (security.md S34, S35)', async () => {
    const large = Buffer.from(JSON.stringify('x'.repeat(500_000)))
    expect((await post([large], { 'content-length': String(large.length) })).status).toBe(413)
    expect((await post([large.subarray(0, 300), large.subarray(300)])).status).toBe(413)
    const bomb = gzipSync(Buffer.alloc(50_000_000, ' '))
    expect((await post([bomb.subarray(0, 100), bomb.subarray(100)], { 'content-encoding': 'gzip' })).status).toBe(413)
  })

  test('the rest of a bomb is read and dropped, so that a client that sends all before it reads is answered', async () => {
    const ten = gzipSync(Buffer.alloc(10_000_000), { level: 1 })
    const bomb = Buffer.concat(Array.from({ length: 1_000 }, () => ten))
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    socket.resume()
    const sent = new Promise<void>((done, fail) => {
      socket.on('error', fail)
      socket.write(
        `POST /large HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`,
      )
      socket.write(bomb, () => done())
    })
    await expect(sent).resolves.toBeUndefined()
    socket.destroy()
  })

  test.each([
    ['{"a":', {}],
    ['', {}],
    ['not gzip', { 'content-encoding': 'gzip' }],
    ['{}', { 'content-encoding': 'br' }],
  ])('%j with %j is 400', async (body, headers) => {
    expect((await post([Buffer.from(body)], headers as Record<string, string>)).status).toBe(400)
  })
})
