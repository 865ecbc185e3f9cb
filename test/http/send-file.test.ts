import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type FileHeaders, sendFile } from '../../src/http/send-file.ts'
import type { ByteSource } from '../../src/storage/byte-source.ts'

const bytes = randomBytes(3 * 1024 * 1024 + 77)
const lastModified = Date.UTC(2026, 1, 3, 4, 5, 6, 789)
const date = 'Tue, 03 Feb 2026 04:05:06 GMT'

const headers: FileHeaders = {
  etag: '"e"',
  lastModified,
  contentType: 'application/octet-stream',
  fileName: 'a.bin',
  cacheControl: 'no-cache',
  isPrivate: false,
  extra: { 'x-extra': '1' },
}

/** A source over bytes in memory that counts, and can be made to fail, to wait or to give little at once. */
class FakeSource implements ByteSource {
  readonly size: number | null
  closed = 0
  reads = 0
  readonly #bytes: Buffer
  readonly #atOnce: number
  readonly #before: (position: number) => Promise<void>

  constructor(content: Buffer, { atOnce = Number.POSITIVE_INFINITY, before = async (_position: number) => {} } = {}) {
    this.size = content.length
    this.#bytes = content
    this.#atOnce = atOnce
    this.#before = before
  }

  async read(buffer: Buffer, position: number): Promise<number> {
    this.reads += 1
    await this.#before(position)
    if (this.closed > 0) throw new Error('closed')
    return this.#bytes.copy(buffer, 0, position, Math.min(this.#bytes.length, position + this.#atOnce))
  }

  close(): void {
    this.closed += 1
  }
}

let app: FastifyInstance
let handle: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>
let logged: { err?: Error; level: number }[]
let url: string

beforeEach(async () => {
  logged = []
  const stream = { write: (line: string) => void logged.push(JSON.parse(line)) }
  app = Fastify({ logger: { level: 'warn', stream }, forceCloseConnections: true })
  app.route({ method: ['GET', 'HEAD'], url: '/', handler: (request, reply) => handle(request, reply) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`
})

afterEach(() => app.close())

function serve(
  source: ByteSource | (() => Promise<ByteSource>),
  size: number | null,
  more: Partial<FileHeaders> = {},
): void {
  handle = (request, reply) => sendFile(request, reply, source, size, { ...headers, ...more })
}

/** What a client got: its bytes, and the error that ended them, if any. */
async function download(requestHeaders: Record<string, string> = {}) {
  const [response] = (await once(get(url, { headers: requestHeaders, agent: false }), 'response')) as [IncomingMessage]
  const parts: Buffer[] = []
  let error: NodeJS.ErrnoException | null = null
  try {
    for await (const part of response) parts.push(part as Buffer)
  } catch (cause) {
    error = cause as NodeJS.ErrnoException
  }
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(parts), error }
}

async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    if (condition()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('it did not happen')
}

describe('a file', () => {
  it.each([0, 1, 1000, 65_536, 524_288, 524_289, bytes.length])('of %i bytes arrives whole', async (size) => {
    const content = bytes.subarray(0, size)
    const source = new FakeSource(content)
    serve(source, size)
    const got = await download()
    expect(got.status).toBe(200)
    expect(got.error).toBeNull()
    expect(got.body.equals(content)).toBe(true)
    expect(got.headers).toMatchObject({
      'content-length': String(size),
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="a.bin"; filename*=UTF-8''a.bin`,
      'accept-ranges': 'bytes',
      'cache-control': 'no-cache',
      'content-security-policy': "default-src 'none'; sandbox",
      'last-modified': date,
      'x-content-type-options': 'nosniff',
      'x-extra': '1',
      etag: '"e"',
    })
    expect(got.headers.vary).toBeUndefined()
    expect(source.closed).toBeGreaterThan(0)
    expect(logged).toEqual([])
  })

  it('of up to 512 KiB is read at once', async () => {
    for (const size of [10_000, 524_288]) {
      const source = new FakeSource(bytes.subarray(0, size))
      serve(source, size)
      await download()
      expect(source.reads).toBe(1)
    }
  })

  it('arrives whole when the source gives little at once', async () => {
    const content = bytes.subarray(0, 300_000)
    serve(new FakeSource(content, { atOnce: 7001 }), content.length)
    expect((await download()).body.equals(content)).toBe(true)
  })

  it('is correct for many clients at once, on connections that are used again', async () => {
    serve(async () => new FakeSource(bytes), bytes.length)
    const fetchOnce = async () => {
      const answer = await fetch(url)
      return Buffer.from(await answer.arrayBuffer()).equals(bytes)
    }
    for (let round = 0; round < 3; round += 1) {
      expect(await Promise.all(Array.from({ length: 20 }, fetchOnce))).not.toContain(false)
    }
  })

  it('of unknown size is sent in chunks, without ranges', async () => {
    serve(async () => new FakeSource(bytes), null)
    const got = await download({ range: 'bytes=0-9' })
    expect(got.status).toBe(200)
    expect(got.headers['content-length']).toBeUndefined()
    expect(got.headers['accept-ranges']).toBeUndefined()
    expect(got.error).toBeNull()
    expect(got.body.equals(bytes)).toBe(true)
  })

  it('that is private varies by Authorization; one without etag, date or name sends none', async () => {
    serve(async () => new FakeSource(bytes.subarray(0, 10)), 10, {
      etag: null,
      lastModified: null,
      fileName: null,
      isPrivate: true,
    })
    const got = await download()
    expect(got.headers.vary).toBe('Authorization')
    for (const name of ['etag', 'last-modified', 'content-disposition']) expect(got.headers[name]).toBeUndefined()
  })

  it('carries the headers that were set before', async () => {
    handle = (request, reply) => {
      reply.header('docker-distribution-api-version', 'registry/2.0')
      return sendFile(request, reply, new FakeSource(bytes), bytes.length, headers)
    }
    expect((await download()).headers['docker-distribution-api-version']).toBe('registry/2.0')
  })

  it('arrives through inject as well', async () => {
    serve(async () => new FakeSource(bytes), bytes.length)
    const answer = await app.inject('/')
    expect(answer.statusCode).toBe(200)
    expect(answer.rawPayload.equals(bytes)).toBe(true)
    const part = await app.inject({ url: '/', headers: { range: 'bytes=10-19' } })
    expect(part.statusCode).toBe(206)
    expect(part.rawPayload.equals(bytes.subarray(10, 20))).toBe(true)
  })
})

describe('a range', () => {
  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=1000000-2999999', 1_000_000, 3_000_000],
    ['bytes=3145804-', 3_145_804, bytes.length],
    ['bytes=-5', bytes.length - 5, bytes.length],
    ['bytes=5-99999999999', 5, bytes.length],
  ])('%s is sent as 206', async (range, start, end) => {
    const source = new FakeSource(bytes)
    serve(source, bytes.length)
    const got = await download({ range })
    expect(got.status).toBe(206)
    expect(got.headers['content-range']).toBe(`bytes ${start}-${end - 1}/${bytes.length}`)
    expect(got.headers['content-length']).toBe(String(end - start))
    expect(got.headers.etag).toBe('"e"')
    expect(got.body.equals(bytes.subarray(start, end))).toBe(true)
    expect(source.closed).toBeGreaterThan(0)
  })

  it('beyond the end is 416 and says how long the file is; the source is not opened', async () => {
    const open = vi.fn()
    serve(open, bytes.length)
    const got = await download({ range: `bytes=${bytes.length}-` })
    expect(got.status).toBe(416)
    expect(got.headers['content-range']).toBe(`bytes */${bytes.length}`)
    expect(got.headers['content-length']).toBe('0')
    expect(got.headers['cache-control']).toBe('no-store')
    expect(open).not.toHaveBeenCalled()
  })

  it.each([
    { range: 'bytes=0-1,5-6' },
    { range: 'bytes=oops' },
    { range: 'bytes=0-1', 'if-range': '"other"' },
    { range: 'bytes=0-1', 'if-range': 'W/"e"' },
  ])('%j is answered whole', async (requestHeaders) => {
    serve(new FakeSource(bytes), bytes.length)
    const got = await download(requestHeaders as Record<string, string>)
    expect(got.status).toBe(200)
    expect(got.body.length).toBe(bytes.length)
  })

  it.each([{ 'if-range': '"e"' }, { 'if-range': date }])('with %j that still holds is 206', async (condition) => {
    serve(new FakeSource(bytes), bytes.length)
    const got = await download({ range: 'bytes=0-1', ...(condition as Record<string, string>) })
    expect(got.status).toBe(206)
  })

  it('of an empty file is the empty file', async () => {
    serve(new FakeSource(Buffer.alloc(0)), 0)
    expect((await download({ range: 'bytes=0-' })).status).toBe(200)
  })
})

describe('without a body', () => {
  it.each([
    { 'if-none-match': 'W/"e"' },
    { 'if-modified-since': date },
    { 'if-none-match': '"e"', range: 'bytes=0-1' },
  ])('304 for %j, and the source is not opened', async (condition) => {
    const open = vi.fn()
    serve(open, bytes.length, { isPrivate: true })
    const got = await download(condition as Record<string, string>)
    expect(got.status).toBe(304)
    expect(got.headers).toMatchObject({ etag: '"e"', 'cache-control': 'no-cache', vary: 'Authorization' })
    expect(got.headers['content-length']).toBeUndefined()
    expect(open).not.toHaveBeenCalled()
  })

  it('HEAD says what GET says, ranges apart, and does not open the source', async () => {
    for (const size of [bytes.length, 0, null]) {
      const open = vi.fn(async () => new FakeSource(bytes.subarray(0, size ?? 10)))
      serve(open, size)
      const get = await app.inject('/')
      expect(open).toHaveBeenCalledTimes(1)
      const head = await app.inject({ method: 'HEAD', url: '/', headers: { range: 'bytes=0-1' } })
      expect(open).toHaveBeenCalledTimes(1)
      expect(head.statusCode).toBe(200)
      expect(head.rawPayload.length).toBe(0)
      for (const name of [...Object.keys(get.headers), ...Object.keys(head.headers)]) {
        if (name === 'date' || name === 'connection' || name === 'transfer-encoding') continue
        expect([name, head.headers[name]]).toEqual([name, get.headers[name]])
      }
    }
  })

  it('a source that was open already is closed', async () => {
    for (const [method, requestHeaders] of [
      ['HEAD', {}],
      ['GET', { 'if-none-match': '"e"' }],
      ['GET', { range: 'bytes=99999999-' }],
    ] as const) {
      const source = new FakeSource(bytes)
      serve(source, bytes.length)
      await app.inject({ method, url: '/', headers: requestHeaders })
      expect(source.closed).toBe(1)
      expect(source.reads).toBe(0)
    }
  })
})

describe('a source that fails', () => {
  const fail = (at: number) => async (position: number) => {
    if (position >= at) throw new Error('bad bytes')
  }

  it.each([10, bytes.length])(
    'before the first of %i bytes is an error answer without the headers of the file',
    async (size) => {
      const source = new FakeSource(bytes.subarray(0, size), { before: fail(0) })
      serve(source, size)
      const got = await download()
      expect(got.status).toBe(500)
      expect(got.body.toString()).toContain('bad bytes')
      for (const name of ['etag', 'content-disposition', 'cache-control', 'accept-ranges', 'last-modified']) {
        expect(got.headers[name]).toBeUndefined()
      }
      expect(source.closed).toBeGreaterThan(0)
    },
  )

  it('when it is opened is an error answer', async () => {
    serve(async () => {
      throw Object.assign(new Error('gone'), { statusCode: 502 })
    }, 10)
    expect((await download()).status).toBe(502)
  })

  it('before the first byte because it is empty is an error answer', async () => {
    serve(new FakeSource(Buffer.alloc(0)), 10)
    expect((await download()).status).toBe(500)
  })

  it.each([bytes.length, null])('after the first byte resets the connection (size %s)', async (size) => {
    const source = new FakeSource(bytes, { before: fail(1) })
    serve(source, size)
    const got = await download()
    expect(got.status).toBe(200)
    expect(got.error?.code).toBe('ECONNRESET')
    expect(got.body.length).toBeLessThan(bytes.length)
    expect(source.closed).toBeGreaterThan(0)
    expect(logged).toMatchObject([{ err: { message: 'bad bytes' } }])
  })

  it.each([null, bytes.length])('is a reset on the wire, not an end (size %s)', async (size) => {
    const good = bytes.length - 1
    let received = ''
    serve(
      new FakeSource(bytes.subarray(0, good), {
        before: async (position) => {
          if (position < good) return
          // A client that still has something to read would see that first, and then merely an end.
          await until(() => received.length > good)
          throw new Error('bad bytes')
        },
      }),
      size,
    )
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    const ending = await new Promise<string>((resolve) => {
      socket.on('data', (chunk) => {
        received += chunk.toString('latin1')
      })
      socket.on('end', () => resolve('end'))
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
    })
    expect(ending).toBe('ECONNRESET')
    expect(received.endsWith('\r\n0\r\n\r\n')).toBe(false)
  })

  it('because it is shorter than its size resets the connection', async () => {
    serve(new FakeSource(bytes.subarray(0, 1_000_000)), bytes.length)
    const got = await download()
    expect(got.error?.code).toBe('ECONNRESET')
    expect(logged).toMatchObject([{ err: { message: 'the source ended early' } }])
  })

  it('is seen by inject too', async () => {
    serve(new FakeSource(bytes, { before: fail(1) }), bytes.length)
    await expect(app.inject('/')).rejects.toThrow('destroyed')
  })
})

describe('a client', () => {
  it('that leaves in the middle closes the source and is no error', async () => {
    const source = new FakeSource(Buffer.alloc(100_000_000))
    let done = false
    handle = async (request, reply) => {
      await sendFile(request, reply, source, source.size, headers)
      done = true
      return reply
    }
    const request = get(url, { agent: false })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    await once(response, 'readable')
    request.destroy()
    await until(() => done)
    expect(source.closed).toBeGreaterThan(0)
    expect(logged).toEqual([])
  })

  it('that leaves while the source has nothing yet closes it at once, and is no error', async () => {
    let reject: (error: Error) => void = () => {}
    const source = {
      size: 10,
      closed: 0,
      read: () =>
        new Promise<number>((_resolve, fail) => {
          reject = fail
        }),
      close() {
        this.closed += 1
        reject(new Error('closed while reading'))
      },
    }
    let done = false
    handle = async (request, reply) => {
      await sendFile(request, reply, source, 10, headers)
      done = true
      return reply
    }
    const request = get(url, { agent: false })
    request.on('error', () => {})
    await new Promise((resolve) => setTimeout(resolve, 50))
    request.destroy()
    await until(() => done)
    expect(source.closed).toBeGreaterThan(0)
    expect(logged).toEqual([])
  })

  it('that is slow gets every byte, and slows the reading down', async () => {
    const source = new FakeSource(bytes)
    const large = 40 * bytes.length
    const repeated: ByteSource = {
      size: large,
      read: (buffer, position) => source.read(buffer, position % bytes.length),
      close: () => source.close(),
    }
    serve(repeated, large)
    const [response] = (await once(get(url, { agent: false }), 'response')) as [IncomingMessage]
    await new Promise((resolve) => setTimeout(resolve, 200))
    const readsWhileStalled = source.reads
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(source.reads).toBe(readsWhileStalled)
    expect(readsWhileStalled * 524_288).toBeLessThan(large / 2)
    let received = 0
    let right = true
    for await (const part of response as AsyncIterable<Buffer>) {
      for (let offset = 0; offset < part.length; ) {
        const at = (received + offset) % bytes.length
        const length = Math.min(part.length - offset, bytes.length - at)
        right &&= part.subarray(offset, offset + length).equals(bytes.subarray(at, at + length))
        offset += length
      }
      received += part.length
    }
    expect(received).toBe(large)
    expect(right).toBe(true)
  })

  it('that takes nothing for a minute is let go; one that waits for a slow source is not', async () => {
    const timeouts: number[] = []
    app.server.on('connection', (socket) => {
      const original = socket.setTimeout.bind(socket)
      socket.setTimeout = (ms: number, ...rest: [() => void]) => {
        timeouts.push(ms)
        return original(ms === 60_000 ? 200 : ms, ...rest)
      }
    })
    const stuck = new FakeSource(bytes)
    serve(
      { size: null, read: (buffer, position) => stuck.read(buffer, position % 1000), close: () => stuck.close() },
      null,
    )
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    socket.on('error', () => {})
    socket.pause()
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(() => stuck.closed > 0)
    expect(timeouts).toContain(60_000)
    expect(logged).toEqual([])
    socket.destroy()

    const slow = new FakeSource(bytes.subarray(0, 10), {
      atOnce: 5,
      before: (position) => new Promise((resolve) => setTimeout(resolve, position === 0 ? 0 : 600)),
    })
    serve(slow, 10)
    const got = await download()
    expect(got.error).toBeNull()
    expect(got.body.length).toBe(10)
  })
})
