import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { loadConfig } from '../../src/config/config.ts'
import type { UpstreamAdapter } from '../../src/upstream/adapter.ts'
import { UpstreamClient } from '../../src/upstream/client.ts'
import type { UpstreamResponse } from '../../src/upstream/exchange.ts'
import { type NetworkSettings, readNetwork } from '../../src/upstream/network-settings.ts'
import { proxyOf, requireNameBehindProxy } from '../../src/upstream/proxy.ts'
import { RetryBudget } from '../../src/upstream/retries.ts'
import type { UpstreamSettings } from '../../src/upstream/upstream-settings.ts'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { settingsOf } from '../support/upstream-settings.ts'

const direct: NetworkSettings = { proxy: 'none', ca: '', clientCertificate: null, insecureTls: false }

let fake: FakeUpstream
const clients: UpstreamClient[] = []

beforeEach(async () => {
  fake = await FakeUpstream.start()
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await Promise.all(clients.splice(0).map((client) => client.close()))
  await fake.close()
})

async function makeClient(changes: Partial<UpstreamSettings> = {}) {
  const { mirrors } = await loadConfig({ ENTREPOT_MIRRORS_RETRIES: '0' })
  const adapter = {} as UpstreamAdapter
  const settings = settingsOf(fake.url, changes)
  const client = new UpstreamClient({ settings, adapter, config: mirrors, clock: { now: Date.now }, version: '0' })
  clients.push(client)
  return client
}

async function ask(client: UpstreamClient, url = `${fake.url}/x`): Promise<UpstreamResponse> {
  const response = await client.send({
    url: new URL(url),
    headers: {},
    use: 'document',
    headersTimeout: 5_000,
    signal: AbortSignal.timeout(10_000),
  })
  response.body.resume()
  return response
}

/** A proxy that tunnels everything to the fake upstream, and what it was asked for. */
async function startProxy(): Promise<{ url: string; asked: string[]; close: () => Promise<void> }> {
  const asked: string[] = []
  const server: Server = createServer((_, response) => response.writeHead(500).end())
  server.on('connect', (request, socket) => {
    asked.push(`${request.url} ${request.headers['proxy-authorization'] ?? '-'}`)
    const target = connect(Number(new URL(fake.url).port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      socket.pipe(target).pipe(socket)
    })
    for (const one of [socket, target]) one.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    close: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

describe('a proxy (pull-through.md §6.1)', () => {
  test('of the upstream’s file, or of the environment unless NO_PROXY names the host, carries the request', async () => {
    const proxy = await startProxy()
    const own = await makeClient({ network: { ...direct, proxy: new URL(proxy.url.replace('//', '//me:secret@')) } })
    fake.on('/x', {})
    expect((await ask(own, 'http://upstream.example/x')).status).toBe(200)
    expect(proxy.asked).toEqual([`upstream.example:80 Basic ${Buffer.from('me:secret').toString('base64')}`])
    vi.stubEnv('HTTP_PROXY', proxy.url)
    vi.stubEnv('NO_PROXY', '127.0.0.1')
    const usual = await makeClient()
    expect((await ask(usual, 'http://other.example/x')).status).toBe(200)
    expect((await ask(usual)).status).toBe(200)
    expect(proxy.asked.slice(1)).toEqual(['other.example:80 -'])
    await ask(await makeClient({ network: direct }))
    expect(proxy.asked).toHaveLength(2)
    await proxy.close()
  })

  test('is asked for no address, and for no name of its own network (security.md S40)', async () => {
    const proxy = await startProxy()
    const settings = { privateNetwork: 'refused' as const, network: { ...direct, proxy: new URL(proxy.url) } }
    const client = await makeClient({ ...settings, url: new URL('http://upstream.example/') })
    for (const host of [
      '127.0.0.1',
      '[::1]',
      '8.8.8.8',
      'localhost',
      'a.localhost',
      'intranet',
      'intranet.',
      'a.localhost.',
      'metadata.google.internal',
    ]) {
      await expect(ask(client, `http://${host}/x`)).rejects.toMatchObject({ kind: 'upstream-unavailable', status: 502 })
    }
    fake.on('/x', { status: 302, headers: { location: 'http://169.254.169.254/latest' } })
    await expect(ask(client, 'http://upstream.example/x')).rejects.toMatchObject({ status: 502 })
    expect(proxy.asked).toEqual(['upstream.example:80 -'])
    await proxy.close()
  })

  test.each([
    ['http://a.example/', { HTTP_PROXY: 'http://p:1' }, 'http://p:1/'],
    ['http://a.example/', { http_proxy: 'http://q:1', HTTP_PROXY: 'http://p:1' }, 'http://q:1/'],
    ['https://a.example/', { HTTP_PROXY: 'http://p:1' }, null],
    ['https://a.example/', { HTTPS_PROXY: 'http://p:1' }, 'http://p:1/'],
    ['https://a.example/', { HTTPS_PROXY: 'http://p:1', NO_PROXY: '*' }, null],
    ['https://a.example/', { HTTPS_PROXY: 'http://p:1', NO_PROXY: 'x, .example' }, null],
    ['https://a.example/', { HTTPS_PROXY: 'http://p:1', NO_PROXY: '*.example' }, null],
    ['https://a.example/', { HTTPS_PROXY: 'http://p:1', NO_PROXY: 'A.EXAMPLE:443' }, null],
    ['https://a.example/', { HTTPS_PROXY: 'http://p:1', NO_PROXY: 'a.example:8443' }, 'http://p:1/'],
    ['https://ba.example/', { HTTPS_PROXY: 'http://p:1', NO_PROXY: 'a.example' }, 'http://p:1/'],
    ['https://a.example/', { HTTPS_PROXY: 'not a URL' }, null],
  ])('for %s of %j is %s', (url, variables, proxy) => {
    expect(proxyOf(new URL(url), 'environment', variables)?.href ?? null).toBe(proxy)
  })

  test('may be asked for private names where the file allows private networks', () => {
    const allowed = settingsOf('http://10.0.0.1/')
    expect(() => requireNameBehindProxy(new URL('http://10.0.0.2/'), allowed)).not.toThrow()
    const own = settingsOf('http://10.0.0.1/', { privateNetwork: 'origin' })
    expect(() => requireNameBehindProxy(new URL('http://10.0.0.1/x'), own)).not.toThrow()
    expect(() => requireNameBehindProxy(new URL('http://10.0.0.2/x'), own)).toThrow(/address/)
  })
})

describe('what an upstream’s file says of its network', () => {
  const read = (file: object, environment = {}) =>
    readNetwork('x.yaml', '/nowhere', file, { environment, globalCa: '' })

  test('is taken over', async () => {
    expect(await read({ proxy: 'http://proxy.example:3128' })).toEqual({
      ...direct,
      proxy: new URL('http://proxy.example:3128'),
    })
    expect(await read({ proxyEnv: 'P', insecureTls: true }, { P: 'http://u:p@proxy.example' })).toMatchObject({
      proxy: new URL('http://u:p@proxy.example'),
      insecureTls: true,
    })
    expect(await read({})).toMatchObject({ proxy: 'environment' })
  })

  test.each([
    [{ proxy: 'http://u:p@proxy.example' }, /proxyEnv/],
    [{ proxy: 'ftp://proxy.example' }, /http or https/],
    [{ proxyEnv: 'P' }, /P is not set/],
    [{ proxy: 'none', proxyEnv: 'P' }, /not both/],
    [{ caFile: 'missing.pem' }, /caFile/],
  ])('is refused: %j', async (file, message) => {
    await expect(read(file)).rejects.toThrow(message)
  })
})

test('retries are a tenth of the requests at most, after the first few (pull-through.md §6.2)', () => {
  const budget = new RetryBudget()
  const spend = (times: number) => Array.from({ length: times }, () => budget.spend()).filter(Boolean).length
  expect(spend(20)).toBe(10)
  for (let i = 0; i < 35; i += 1) budget.earn()
  expect(spend(20)).toBe(3)
  for (let i = 0; i < 1_000; i += 1) budget.earn()
  expect(spend(20)).toBe(10)
})

describe('an upstream of which hardly any requests are left', () => {
  test('is known by its headers', async () => {
    const client = await makeClient()
    const left = (remaining: string) =>
      fake.on('/x', { headers: { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': `${remaining};w=21600` } })
    left('10')
    await ask(client)
    expect(client.isScarce).toBe(false)
    left('9')
    await ask(client)
    expect(client.isScarce).toBe(true)
    left('100')
    await ask(client)
    expect(client.isScarce).toBe(false)
  })
})

test('an upstream that has seen a request before works: whoever sent it may have made that up (RFC 8586)', async () => {
  const client = await makeClient()
  fake.on('/x', { status: 508 })
  for (let request = 0; request < 6; request += 1) expect((await ask(client)).status).toBe(508)
  expect(client.condition.open).toBe(0)
})
