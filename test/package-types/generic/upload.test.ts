import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { Agent, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { TestApp } from '../../support/test-app.ts'

const LIMIT = 4 * 1024 * 1024

let app: TestApp
let alice: string
let base: string
let counter = 0

beforeAll(async () => {
  app = await TestApp.start({ environment: { ENTREPOT_PACKAGES_LIMITS_GENERIC: '4MiB' } })
  alice = await app.createUser('alice')
  base = `${await app.listen()}/api/packages/alice/generic`
})

afterAll(() => app.close())

/** A URL that names nothing yet. */
const fresh = () => `${base}/app/1.${counter++}/file.bin`

async function put(url: string, body: Buffer | string | FormData, headers: Record<string, string> = {}) {
  const response = await fetch(url, {
    method: 'PUT',
    body: body as never,
    headers: { authorization: alice, ...headers },
  })
  return { status: response.status, text: await response.text() }
}

async function download(url: string): Promise<Buffer> {
  const response = await fetch(url)
  expect(response.status).toBe(200)
  return Buffer.from(await response.arrayBuffer())
}

/** A PUT whose body and headers are sent exactly so. */
async function rawPut(url: string, headers: OutgoingHttpHeaders, body: AsyncIterable<Buffer> | null) {
  // As curl does, the connection is offered for more: a server may drop one that is not with the rest of a refused body.
  const agent = new Agent({ keepAlive: true })
  const request = httpRequest(url, { method: 'PUT', headers: { authorization: alice, ...headers }, agent })
  const answered = once(request, 'response') as Promise<[IncomingMessage]>
  answered.catch(() => {})
  if (body === null) request.flushHeaders()
  else Readable.from(body).pipe(request)
  const [response] = await answered
  response.resume()
  await once(response, 'end')
  agent.destroy()
  return { status: response.statusCode }
}

async function* chunks(total: number, size = 65_536): AsyncGenerator<Buffer> {
  for (let sent = 0; sent < total; sent += size) yield Buffer.alloc(Math.min(size, total - sent), 7)
}

/** Everything that an upload may leave. */
async function traces() {
  const { models } = app.services
  return {
    spool: await readdir(join(app.dataDir, 'spool')),
    files: await models.packageFile.count(),
    blobs: await models.packageBlob.count(),
    stored: (await readdir(join(app.dataDir, 'packages'), { recursive: true })).filter((name) =>
      /[0-9a-f]{64}$/.test(name),
    ).length,
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt += 1) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('it did not happen')
}

describe('a body', () => {
  it.each([
    ['application/octet-stream', randomBytes(1000)],
    ['application/json', Buffer.from('{ not json')],
    ['application/x-www-form-urlencoded', Buffer.from('a=1&b=2')],
    ['text/html; charset=utf-8', Buffer.from('<script>alert(1)</script>')],
    ['nonsense', randomBytes(10)],
    ['multipart/mixed; boundary=b', Buffer.from('--b\r\n\r\nx\r\n--b--')],
    ['', randomBytes(10)],
  ])('of type %j is stored as it is, and never served under that type', async (type, body) => {
    const url = fresh()
    expect(await put(url, body, { 'content-type': type })).toEqual({ status: 201, text: '' })
    const response = await fetch(url)
    expect(response.headers.get('content-type')).toBe('application/octet-stream')
    expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true)
  })

  it('without any type, with a length or in chunks, with Expect, is stored', async () => {
    for (const headers of [
      { 'content-length': '100000' },
      {},
      { 'content-length': '100000', expect: '100-continue' },
    ]) {
      const url = fresh()
      expect(await rawPut(url, headers, chunks(100_000))).toEqual({ status: 201 })
      expect((await download(url)).equals(Buffer.alloc(100_000, 7))).toBe(true)
    }
  })

  it('may be empty', async () => {
    for (const headers of [{}, { 'content-type': 'text/plain' }]) {
      const url = fresh()
      expect((await put(url, Buffer.alloc(0), headers)).status).toBe(201)
      expect((await download(url)).length).toBe(0)
    }
    const url = fresh()
    expect(await rawPut(url, { 'transfer-encoding': 'chunked' }, chunks(0))).toEqual({ status: 201 })
    expect((await download(url)).length).toBe(0)
  })

  it('larger than memory buffers is stored with all its digests, and nothing else is left', async () => {
    const body = randomBytes(3 * 1024 * 1024 + 5)
    const url = fresh()
    expect((await put(url, body)).status).toBe(201)
    expect((await download(url)).equals(body)).toBe(true)
    const hex = (algorithm: string) => createHash(algorithm).update(body).digest('hex')
    const blob = await app.services.models.packageBlob.findOne({ where: { hashSha256: hex('sha256') }, raw: true })
    expect(blob).toMatchObject({
      size: body.length,
      hashMd5: hex('md5'),
      hashSha1: hex('sha1'),
      hashSha512: hex('sha512'),
    })
    expect((await traces()).spool).toEqual([])
  })

  it('that breaks off leaves nothing', async () => {
    for (const size of [1000, 2_500_000]) {
      const before = await traces()
      for (const headers of [
        { 'content-length': String(size + 1000) },
        { 'transfer-encoding': 'chunked' },
      ] as OutgoingHttpHeaders[]) {
        const url = fresh()
        const request = httpRequest(url, { method: 'PUT', headers: { authorization: alice, ...headers }, agent: false })
        request.on('error', () => {})
        for await (const chunk of chunks(size)) request.write(chunk)
        await new Promise((resolve) => setTimeout(resolve, 100))
        request.destroy()
        await until(async () => (await traces()).spool.length === 0)
        expect(await traces()).toEqual(before)
        expect((await fetch(url)).status).toBe(404)
      }
    }
  })
})

describe('a form', () => {
  const file = (text: string) => new File([text], 'ignored.txt', { type: 'text/html' })

  it('gives its first file', async () => {
    const form = new FormData()
    form.append('note', 'a field comes first')
    form.append('file', file('the first'))
    form.append('file', file('the second'))
    form.append('note', 'after')
    const url = fresh()
    expect(await put(url, form)).toEqual({ status: 201, text: '' })
    expect((await download(url)).toString()).toBe('the first')
  })

  it('may hold a large file', async () => {
    const body = randomBytes(3_000_000)
    const form = new FormData()
    form.append('file', new File([body], 'x'))
    const url = fresh()
    expect((await put(url, form)).status).toBe(201)
    expect((await download(url)).equals(body)).toBe(true)
  })

  it('without a file is refused', async () => {
    const form = new FormData()
    form.append('note', 'nothing else')
    const url = fresh()
    expect(await put(url, form)).toEqual({ status: 400, text: 'the form has no file\n' })
    expect((await fetch(url)).status).toBe(404)
  })

  it.each([
    ['multipart/form-data', 'x'],
    ['multipart/form-data; boundary=', 'x'],
    ['multipart/form-data; boundary=b', ''],
    ['multipart/form-data; boundary=b', 'no boundary anywhere'],
    [
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nnever ends',
    ],
    ['multipart/form-data; boundary=b', `--b\r\n${'x'.repeat(200_000)}`],
  ])('that is broken is refused (%s, %#)', async (type, body) => {
    const before = await traces()
    expect((await put(fresh(), body, { 'content-type': type })).status).toBe(400)
    expect(await traces()).toEqual(before)
  })

  it('with more fields than anyone needs is refused', async () => {
    const form = new FormData()
    for (let index = 0; index < 1000; index += 1) form.append(`field ${index}`, 'x')
    form.append('file', file('late'))
    expect([400, 413]).toContain((await put(fresh(), form)).status)
  })

  it('with a file over the limit is refused, and its sender gets to know', async () => {
    const before = await traces()
    const form = new FormData()
    form.append('file', new File([Buffer.alloc(LIMIT + 1)], 'x'))
    form.append('file', new File([Buffer.alloc(2 * LIMIT)], 'y'))
    expect(await put(fresh(), form)).toEqual({ status: 403, text: 'maximum allowed package type size exceeded\n' })
    expect(await traces()).toEqual(before)
  })

  it('that breaks off leaves nothing', async () => {
    const before = await traces()
    const url = fresh()
    const headers = {
      authorization: alice,
      'content-type': 'multipart/form-data; boundary=b',
      'content-length': '5000000',
    }
    const request = httpRequest(url, { method: 'PUT', headers, agent: false })
    request.on('error', () => {})
    request.write('--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n')
    for await (const chunk of chunks(2_500_000)) request.write(chunk)
    await new Promise((resolve) => setTimeout(resolve, 100))
    request.destroy()
    await until(async () => (await traces()).spool.length === 0)
    expect(await traces()).toEqual(before)
    expect((await fetch(url)).status).toBe(404)
  })
})

describe('a promised digest', () => {
  const body = randomBytes(2_000_000)
  const right = `sha-256=:${createHash('sha256').update(body).digest('base64')}:`
  const wrong = `sha-256=:${createHash('sha256').update('other').digest('base64')}:`

  it('that is kept changes nothing', async () => {
    expect((await put(fresh(), body, { 'content-digest': right })).status).toBe(201)
    const digest = `SHA-512=${createHash('sha512').update(body).digest('base64')}`
    expect((await put(fresh(), body, { digest })).status).toBe(201)
  })

  it.each([{ 'content-digest': wrong }, { digest: `MD5=${'A'.repeat(22)}==` }, { 'content-digest': 'sha-256=:oops:' }])(
    'that is not kept, or none, is refused and leaves nothing: %j',
    async (headers) => {
      const before = await traces()
      const url = fresh()
      expect((await put(url, Buffer.from(`never seen ${url}`), headers as Record<string, string>)).status).toBe(400)
      expect(await traces()).toEqual(before)
      expect((await fetch(url)).status).toBe(404)
    },
  )

  it('of a form is not understood, and said so', async () => {
    const form = new FormData()
    form.append('file', new File(['x'], 'x'))
    expect((await put(fresh(), form, { 'content-digest': right })).status).toBe(400)
  })
})

describe('the limit of the type', () => {
  const refusal = { status: 403, text: 'maximum allowed package type size exceeded\n' }

  it('is itself allowed', async () => {
    expect((await put(fresh(), Buffer.alloc(LIMIT))).status).toBe(201)
    expect(await rawPut(fresh(), { 'transfer-encoding': 'chunked' }, chunks(LIMIT))).toEqual({ status: 201 })
  })

  it('refuses a longer body, announced or not, and leaves nothing', async () => {
    const before = await traces()
    expect(await put(fresh(), Buffer.alloc(LIMIT + 1))).toEqual(refusal)
    expect(await rawPut(fresh(), { 'transfer-encoding': 'chunked' }, chunks(LIMIT + 1))).toEqual({ status: 403 })
    expect(await rawPut(fresh(), { 'transfer-encoding': 'chunked' }, chunks(10 * LIMIT))).toEqual({ status: 403 })
    expect(await traces()).toEqual(before)
  })

  it('refuses before the body is sent', async () => {
    expect(await rawPut(fresh(), { 'content-length': String(LIMIT + 1) }, null)).toEqual({ status: 403 })
  })

  it('does not bind administrators', async () => {
    const url = fresh()
    expect((await put(url, Buffer.alloc(LIMIT + 1), { authorization: app.admin })).status).toBe(201)
    expect((await download(url)).length).toBe(LIMIT + 1)
    const form = new FormData()
    form.append('file', new File([Buffer.alloc(LIMIT + 1)], 'x'))
    expect((await put(fresh(), form, { authorization: app.admin })).status).toBe(201)
  })
})

describe('the connection of a refused upload', () => {
  const form = Buffer.concat([
    Buffer.from('--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'),
    Buffer.alloc(LIMIT + 1),
    Buffer.from('\r\n--b\r\nContent-Disposition: form-data; name="g"; filename="g"\r\n\r\n'),
    Buffer.alloc(2 * LIMIT),
    Buffer.from('\r\n--b--\r\n'),
  ])

  it.each([
    ['a form', 'multipart/form-data; boundary=b', form],
    ['a body', 'application/octet-stream', Buffer.alloc(3 * LIMIT)],
  ])('is read on, for the next request: %s', async (_what, type, body) => {
    const { hostname, port, pathname } = new URL(fresh())
    const socket = connect(Number(port), hostname)
    const head = `Host: ${hostname}\r\nAuthorization: ${alice}\r\n`
    socket.write(`PUT ${pathname} HTTP/1.1\r\n${head}Content-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`)
    socket.write(`${body.length.toString(16)}\r\n`)
    socket.write(body)
    socket.write(`\r\n0\r\n\r\nGET ${pathname} HTTP/1.1\r\n${head}\r\n`)
    let received = ''
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
    })
    await until(async () => received.includes('HTTP/1.1 404'))
    expect(received).toContain('HTTP/1.1 403')
    socket.destroy()
  })
})

describe('an upload that stops', () => {
  it.each([
    ['in a body', 'application/octet-stream', 'half'],
    ['before the first part of a form', 'multipart/form-data; boundary=b', '--b\r\nContent-Dispo'],
    [
      'in the file of a form',
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nx',
    ],
  ])('%s is given up after a minute, and leaves nothing', async (_where, type, body) => {
    const before = await traces()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const { hostname, port, pathname } = new URL(fresh())
      const socket = connect(Number(port), hostname)
      const closed = once(socket, 'close')
      let open = true
      closed.then(
        () => {
          open = false
        },
        () => {},
      )
      socket.resume()
      const head = `Host: ${hostname}\r\nAuthorization: ${alice}\r\nContent-Type: ${type}\r\nContent-Length: 1000`
      socket.write(`PUT ${pathname} HTTP/1.1\r\n${head}\r\n\r\n${body}`)
      for (let round = 0; open && round < 200; round += 1) {
        await readdir(app.dataDir)
        vi.advanceTimersByTime(1000)
      }
      expect(open).toBe(false)
    } finally {
      vi.useRealTimers()
    }
    expect(await traces()).toEqual(before)
  })
})

describe('several uploads at once', () => {
  it('of one file: one is accepted, the others are conflicts', async () => {
    const url = fresh()
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => put(url, Buffer.from(`content ${index}`))),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409, 409, 409, 409])
  })

  it('into one new version: all are accepted', async () => {
    const folder = fresh().replace(/file\.bin$/, '')
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => put(`${folder}${index}`, Buffer.from('the same'))),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
    for (let index = 0; index < 8; index += 1) expect((await download(`${folder}${index}`)).toString()).toBe('the same')
  })
})

describe('the limits of the owner', () => {
  it('refuse what is too much in all, and too many versions', async () => {
    const small = await TestApp.start({
      environment: { ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_SIZE: '1000', ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_COUNT: '2' },
    })
    try {
      const dave = await small.createUser('dave')
      const send = async (path: string, size: number) => {
        const url = `/api/packages/dave/generic/${path}`
        const answer = await small.inject({
          method: 'PUT',
          url,
          headers: { authorization: dave },
          payload: Buffer.alloc(size),
        })
        return [answer.statusCode, answer.body]
      }
      expect(await send('a/1/a', 600)).toEqual([201, ''])
      expect(await send('a/1/b', 600)).toEqual([403, 'maximum allowed package storage quota exceeded\n'])
      expect(await send('a/2/a', 10)).toEqual([201, ''])
      expect(await send('a/3/a', 10)).toEqual([403, 'maximum allowed package count exceeded\n'])
      expect(await send('a/2/b', 10)).toEqual([201, ''])
    } finally {
      await small.close()
    }
  })
})
