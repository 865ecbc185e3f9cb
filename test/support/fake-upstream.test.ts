import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { noise } from './builders/npm-tarball.ts'
import { createGate, FakeUpstream, silence } from './fake-upstream.ts'

let upstream: FakeUpstream
beforeEach(async () => {
  upstream = await FakeUpstream.start()
})
afterEach(() => upstream.close())

/** What arrived of a body, and whether it ended as it should; nothing is decoded. */
async function get(path: string, headers: Record<string, string> = {}) {
  const request = httpRequest(new URL(path, upstream.url), { headers, agent: false })
  request.end()
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
  const chunks: Buffer[] = []
  let whole = true
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer)
  } catch {
    whole = false
  }
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks), whole }
}

describe('FakeUpstream', () => {
  test('what nobody scripted is 404, and every request is counted by its decoded path', async () => {
    expect((await get('/@a%2fb')).status).toBe(404)
    expect((await get('/@a/b?write=true', { 'x-mark': '1' })).status).toBe(404)
    expect(upstream.count('/@a/b')).toBe(2)
    expect(upstream.count('/@a/b', 'PUT')).toBe(0)
    expect(upstream.asked('/@a%2Fb')[1]).toMatchObject({ method: 'GET', path: '/@a/b', query: 'write=true' })
    expect(upstream.asked('/@a/b')[1]?.headers['x-mark']).toBe('1')
  })

  test('a script sees the attempt, so that the second try succeeds', async () => {
    upstream.on('/doc', (_, attempt) =>
      attempt === 1 ? { status: 429, headers: { 'retry-after': '7' } } : { body: 'ok' },
    )
    const refused = await get('/doc')
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '7'])
    expect((await get('/doc')).body.toString()).toBe('ok')
  })

  test('validators answer 304 until the body changes', async () => {
    upstream.on('/doc', { body: 'one', etag: true })
    const etag = (await get('/doc')).headers['etag'] as string
    expect((await get('/doc', { 'if-none-match': `W/"x", W/${etag}` })).status).toBe(304)
    upstream.on('/doc', { body: 'two', etag: true })
    expect((await get('/doc', { 'if-none-match': etag })).status).toBe(200)
    upstream.on('/doc', { body: 'two', lastModified: 1_600_000_000_000 })
    expect((await get('/doc', { 'if-modified-since': new Date(1_600_000_000_000).toUTCString() })).status).toBe(304)
  })

  test('gzip is sent to those who accept it', async () => {
    upstream.on('/doc', { body: 'text', gzip: 'accepted' })
    expect((await get('/doc')).headers['content-encoding']).toBeUndefined()
    const packed = await get('/doc', { 'accept-encoding': 'br, gzip' })
    expect(packed.headers['content-encoding']).toBe('gzip')
    expect(gunzipSync(packed.body).toString()).toBe('text')
  })

  test('a cut body ends early and badly', async () => {
    upstream.on('/file', { body: noise(100_000), cutAt: 40_000 })
    const { body, headers, whole } = await get('/file')
    expect(whole).toBe(false)
    expect(headers['content-length']).toBe('100000')
    expect(body.equals(noise(100_000).subarray(0, 40_000))).toBe(true)
  })

  test('a wrong byte leaves the length right', async () => {
    upstream.on('/file', { body: noise(1000), corruptAt: 999 })
    const { body, whole } = await get('/file')
    expect([whole, body.length, body.subarray(0, 999).equals(noise(1000).subarray(0, 999))]).toEqual([true, 1000, true])
    expect(body[999]).not.toBe(noise(1000)[999])
  })

  test('a body pauses where told and goes on when the gate opens', async () => {
    const gate = createGate()
    upstream.on('/file', { body: noise(50_000), chunked: true, pauseAt: 20_000, resume: gate.opened })
    const request = httpRequest(new URL('/file', upstream.url), { agent: false })
    request.end()
    const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
    let received = 0
    response.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received === 20_000) gate.open()
    })
    await once(response, 'end')
    expect(response.headers['content-length']).toBeUndefined()
    expect(received).toBe(50_000)
  })

  test('a range is answered when the validator still holds', async () => {
    upstream.on('/file', { body: noise(1000), ranges: true, etag: '"v1"' })
    const rest = await get('/file', { range: 'bytes=900-', 'if-range': '"v1"' })
    expect([rest.status, rest.headers['content-range'], rest.body.length]).toEqual([206, 'bytes 900-999/1000', 100])
    expect((await get('/file', { range: 'bytes=900-', 'if-range': '"v0"' })).status).toBe(200)
  })

  test('silence lasts until the server closes', async () => {
    upstream.on('/never', silence)
    const asked = expect(get('/never')).rejects.toThrow()
    while (upstream.count('/never') === 0) await new Promise(setImmediate)
    await upstream.close()
    await asked
  })

  test('down cuts every connection, up answers at the same address', async () => {
    const { url } = upstream
    await upstream.down()
    await expect(get('/')).rejects.toThrow(/ECONNRESET|socket hang up/)
    await upstream.up()
    expect(upstream.url).toBe(url)
    expect((await get('/')).status).toBe(404)
  })

  test('everything overrides all scripts until it is taken back', async () => {
    upstream.on('/doc', { body: 'ok' })
    upstream.everything({ status: 503 })
    expect((await get('/doc')).status).toBe(503)
    upstream.everything(null)
    expect((await get('/doc')).status).toBe(200)
    upstream.everything({ refuse: true })
    await expect(get('/doc')).rejects.toThrow()
  })
})
