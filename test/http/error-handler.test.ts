import { once } from 'node:events'
import { connect } from 'node:net'
import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance, LogController } from 'fastify'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Invalid, NotFound, Unauthenticated } from '../../src/errors.ts'
import { createErrorHandler } from '../../src/http/error-handler.ts'

const failures: Record<string, Error> = {
  '/plain': new Invalid('the POM says version 1, its path 2'),
  '/attack': new Invalid('no\r\nSet-Cookie: a=b\r\n\r\n<script>\u001b[31m\u0000ä€😀'),
  '/long': new Invalid('x'.repeat(1_000)),
  '/sign-in': new Unauthenticated('sign in first', 'access'),
  '/gone': new NotFound('file'),
  '/unknown': new Error('select * from secrets'),
}

let app: FastifyInstance
let port: number
let lines: Record<string, unknown>[] = []

beforeAll(async () => {
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  const logController = new LogController({ disableRequestLogging: true })
  app = Fastify({ loggerInstance: pino(stream), logController }) as unknown as FastifyInstance
  const render = (error: { status: number; message: string }) => ({
    status: error.status,
    reason: error.message,
    body: `${error.message}\n`,
  })
  app.setErrorHandler(createErrorHandler(render))
  app.route({
    method: ['GET', 'PUT'],
    url: '/*',
    handler: async (request) => {
      throw failures[request.url.split('?', 1)[0]!]!
    },
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  port = (app.server.address() as { port: number }).port
})
afterAll(() => app.close())
beforeEach(() => {
  lines = []
})

/** What came over the wire. */
async function ask(method: string, path: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  let received = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text
  })
  await once(socket, 'close')
  return received
}

test('the reason phrase is what the client is told, if its scope wants that', async () => {
  expect(await ask('GET', '/plain')).toMatch(/^HTTP\/1\.1 400 the POM says version 1, its path 2\r\n/)
  expect(await ask('GET', '/gone')).toMatch(/^HTTP\/1\.1 404 file not found\r\n/)
  expect(await ask('GET', '/unknown')).toMatch(/^HTTP\/1\.1 500 internal error\r\n/)
})

test('the reason phrase is printable ASCII and short, whatever the message', async () => {
  const [statusLine, ...rest] = (await ask('GET', '/attack')).split('\r\n')
  expect(statusLine).toMatch(/^HTTP\/1\.1 400 no\?\?Set-Cookie: a=b\?\?\?\?<script>\?\[31m\?+$/)
  expect(rest.join('\n').split('\n\n')[0]).not.toMatch(/^set-cookie/im)
  expect((await ask('GET', '/long')).split('\r\n', 1)[0]).toBe(`HTTP/1.1 400 ${'x'.repeat(200)}`)
})

test('a refused upload is a line of the log with its reason, and no secret of its path', async () => {
  await ask('PUT', '/attack?token=secret')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({ level: 30, msg: 'upload refused', status: 400, path: '/attack' })
  expect(lines[0]!['reason']).toMatch(/^no\?\?Set-Cookie[ -~]*$/)
})

test('neither a refused download nor the question who uploads is one', async () => {
  await ask('GET', '/plain')
  await ask('PUT', '/sign-in')
  expect(lines).toEqual([])
})

test('what nobody foresaw is logged whole and told to nobody', async () => {
  const answer = await ask('PUT', '/unknown')
  expect(answer).not.toContain('secrets')
  expect(lines).toMatchObject([{ level: 50, msg: 'request failed', err: { message: 'select * from secrets' } }])
})
