import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { buildNpmTarball, integrityOf, noise } from '../support/builders/npm-tarball.ts'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { admin, basic, ServerProcess, upstreamAt } from './server.ts'

const sizes = [100, 40_000, 700_000, 1_500_000, 6_000_000]
const authorization = basic(admin.username, admin.password)
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** kill -9 in the middle of work: what was acknowledged is there, what was not is whole or absent. */
describe('a server killed at any moment', () => {
  let server: ServerProcess
  let upstream: FakeNpmRegistry

  beforeAll(async () => {
    upstream = await FakeNpmRegistry.start()
    server = await ServerProcess.start(upstreamAt(upstream.url))
    await server.createOrganization('acme')
  })
  afterAll(async () => {
    await server?.dispose()
    await upstream?.close()
  })

  test.each([1, 7, 19, 40])('uploads: killed at acknowledgement %i', async (limit) => {
    const acknowledged = new Map<string, string>()
    const tried = new Map<string, string>()
    const died = deferred()
    /** Uploads one thing after the other until the server is gone. */
    async function uploader(next: (n: number) => Promise<Upload>, first: number): Promise<void> {
      for (let n = first; ; n++) {
        const upload = await next(n)
        tried.set(upload.path, upload.sha256)
        try {
          const response = await fetch(server.url + upload.put, {
            method: 'PUT',
            headers: { authorization, 'content-type': upload.contentType },
            body: upload.body,
          })
          expect(response.status).toBe(201)
        } catch (error) {
          if (!(error instanceof TypeError)) throw error
          return
        }
        acknowledged.set(upload.path, upload.sha256)
        if (acknowledged.size === limit) {
          await server.kill()
          died.resolve()
        }
      }
    }
    const files = [0, 1, 2, 3].map((worker) =>
      uploader((n) => genericUpload(`round-${limit}`, `f${worker}`, n), worker),
    )
    const packages = uploader((n) => npmUpload(`round-${limit}`, n), 0)
    await Promise.all([died.promise, ...files, packages])
    await server.restart()

    expect(await readdir(join(server.dataDirectory, 'spool'))).toEqual([])
    for (const [path, digest] of acknowledged) {
      const response = await fetch(server.url + path)
      expect([path, response.status, sha256(Buffer.from(await response.arrayBuffer()))]).toEqual([path, 200, digest])
    }
    for (const [path, digest] of tried) {
      const response = await fetch(server.url + path)
      const body = Buffer.from(await response.arrayBuffer())
      if (response.status !== 404) expect([path, response.status, sha256(body)]).toEqual([path, 200, digest])
    }
    await expectListedToBeServed('acme')
  })

  test('a pull-through: killed while the upstream still sends', async () => {
    const tarball = await upstream.publish({ name: 'large', version: '1.0.0', padding: 8_000_000 })
    const path = upstream.tarballPath('large', '1.0.0')
    upstream.upstream.on(path, { ...upstream.tarballAnswer('large', '1.0.0'), pauseAt: 5_000_000 })
    const response = await fetch(`${server.npm('npmjs')}large/-/large-1.0.0.tgz`)
    expect(response.status).toBe(200)
    let received = 0
    await expect(async () => {
      for await (const chunk of response.body!) {
        const before = received
        received += chunk.length
        if (before < 3_000_000 && received >= 3_000_000) await server.kill()
      }
    }).rejects.toThrow()
    expect(received).toBeLessThan(tarball.bytes.length)
    // The beginning, and the note that says of what.
    expect(await readdir(join(server.dataDirectory, 'spool'))).toHaveLength(2)
    await server.restart()

    // Kept: the next request goes on where this one ended.
    expect(await readdir(join(server.dataDirectory, 'spool'))).toHaveLength(2)
    expect((await server.rest('GET', '/packages/npmjs?q=large')).body).toEqual([])
    upstream.upstream.on(path, upstream.tarballAnswer('large', '1.0.0'))
    const again = await fetch(`${server.npm('npmjs')}large/-/large-1.0.0.tgz`)
    expect(Buffer.from(await again.arrayBuffer()).equals(tarball.bytes)).toBe(true)
    expect(upstream.upstream.count(path)).toBe(2)
    await vi.waitFor(async () => expect(await readdir(join(server.dataDirectory, 'spool'))).toEqual([]))
  })

  test('many pull-throughs: killed when some are done', async () => {
    const names = Array.from({ length: 40 }, (_, n) => `pulled-${n}`)
    const expected = new Map<string, string>()
    for (const [n, name] of names.entries()) {
      const { bytes } = await upstream.publish({ name, version: '1.0.0', padding: sizes[n % sizes.length]! })
      expected.set(name, sha256(bytes))
    }
    let done = 0
    const pull = async (name: string): Promise<string> => {
      const response = await fetch(`${server.npm('npmjs')}${name}/-/${name}-1.0.0.tgz`)
      expect(response.status).toBe(200)
      return sha256(Buffer.from(await response.arrayBuffer()))
    }
    const died = deferred()
    await Promise.all([
      died.promise,
      ...names.map(async (name) => {
        const digest = await pull(name).catch((error: unknown) => {
          if (error instanceof TypeError) return null
          throw error
        })
        if (digest !== null) expect(digest).toBe(expected.get(name))
        if (++done === 12) {
          await server.kill()
          died.resolve()
        }
      }),
    ])
    await server.restart()

    // Beginnings that can be continued, each with its note, and nothing else.
    const spooled = await readdir(join(server.dataDirectory, 'spool'))
    for (const file of spooled) expect(spooled).toContain(file.endsWith('.json') ? file.slice(0, -5) : `${file}.json`)
    await upstream.upstream.down()
    await expectListedToBeServed('npmjs')
    await upstream.upstream.up()
    for (const name of names) expect([name, await pull(name)]).toEqual([name, expected.get(name)])
    await vi.waitFor(async () => expect(await readdir(join(server.dataDirectory, 'spool'))).toEqual([]))
  })

  test('SIGTERM is not a kill: a running download ends whole, then the server exits with 0', async () => {
    const bytes = noise(30_000_000)
    const url = `${server.url}/api/packages/acme/generic/large/1.0.0/file.bin`
    expect((await fetch(url, { method: 'PUT', headers: { authorization }, body: bytes })).status).toBe(201)
    const request = httpRequest(url, { agent: false })
    request.end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    const stopped = server.stop()
    await vi.waitUntil(() => server.log.includes('stopping'), { timeout: 20_000 })
    expect((await buffer(response)).equals(bytes)).toBe(true)
    await stopped
    await server.restart()
  })

  /** Every file that REST lists for the owner is served with the size and the digest that REST names. */
  async function expectListedToBeServed(owner: string): Promise<void> {
    for (let page = 1; ; page++) {
      const { status, body } = await server.rest('GET', `/packages/${owner}?limit=50&page=${page}`)
      expect(status).toBe(200)
      if (body.length === 0) return
      for (const { type, name, version } of body) {
        const files = await server.rest(
          'GET',
          `/packages/${owner}/${type}/${encodeURIComponent(name)}/${version}/files`,
        )
        expect([name, version, files.status, files.body?.length]).toEqual([name, version, 200, 1])
        for (const file of files.body) {
          const path = type === 'npm' ? `${name}/-/${file.name}` : `${name}/${version}/${file.name}`
          const response = await fetch(`${server.url}/api/packages/${owner}/${type}/${path}`)
          const bytes = Buffer.from(await response.arrayBuffer())
          expect([path, response.status, bytes.length, sha256(bytes)]).toEqual([path, 200, file.size, file.sha256])
        }
      }
    }
  }
})

interface Upload {
  readonly put: string
  readonly body: Buffer
  readonly contentType: string
  /** Where the bytes must be afterwards, and what they must be. */
  readonly path: string
  readonly sha256: string
}

async function genericUpload(version: string, worker: string, n: number): Promise<Upload> {
  const name = `${worker}-${n}`
  const body = Buffer.concat([Buffer.from(`${version} ${name}\n`), noise(sizes[n % sizes.length]!)])
  const path = `/api/packages/acme/generic/${name}/${version}/file.bin`
  return { put: path, body, contentType: 'application/octet-stream', path, sha256: sha256(body) }
}

async function npmUpload(prefix: string, n: number): Promise<Upload> {
  const name = `${prefix}-${n % 3}`
  const version = `1.${n}.0`
  const { bytes, shasum } = await buildNpmTarball({ name, version }, { padding: sizes[n % 4]! })
  const tarball = `${name}-${version}.tgz`
  const document = {
    _id: name,
    name,
    'dist-tags': { latest: version },
    versions: {
      [version]: { name, version, dist: { integrity: integrityOf(bytes), shasum, tarball: `http://x/${tarball}` } },
    },
    _attachments: {
      [tarball]: { content_type: 'application/octet-stream', data: bytes.toString('base64'), length: bytes.length },
    },
  }
  return {
    put: `/api/packages/acme/npm/${name}`,
    body: Buffer.from(JSON.stringify(document)),
    contentType: 'application/json',
    path: `/api/packages/acme/npm/${name}/-/${tarball}`,
    sha256: sha256(bytes),
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((r) => {
    resolve = r
  })
  return { promise, resolve: () => resolve() }
}
