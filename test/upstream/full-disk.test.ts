import { randomBytes } from 'node:crypto'
import type * as Fs from 'node:fs'
import type * as FsPromises from 'node:fs/promises'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createGate, FakeUpstream } from '../support/fake-upstream.ts'
import { TestEngine, type TestEngineOptions } from '../support/test-engine.ts'
import { digestOf, open, receive, sha256, wanted } from './wanted.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB

/** Bytes that the disk still takes, and bytes that it says are free. */
const disk = { writable: Number.POSITIVE_INFINITY, free: 100 * GIB }

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof Fs>()
  const writev = (
    fd: number,
    buffers: Buffer[],
    position: number,
    done: (error: NodeJS.ErrnoException | null, bytes: number) => void,
  ) => {
    if (disk.writable <= 0) return process.nextTick(done, Object.assign(new Error('full'), { code: 'ENOSPC' }), 0)
    const all = Buffer.concat(buffers)
    const some = all.subarray(0, Math.min(all.length, disk.writable))
    disk.writable -= some.length
    return fs.writev(fd, [some], position, done)
  }
  return { ...fs, writev, default: fs }
})
vi.mock('node:fs/promises', async (original) => {
  const fs = await original<typeof FsPromises>()
  const statfs = async () => ({ bsize: 1, blocks: 200 * GIB, bavail: disk.free })
  return { ...fs, statfs, default: fs }
})

const PATH = 'v2/app/layer'
const AT = `/${PATH}`
const BODY = randomBytes(8 * MIB)

let fake: FakeUpstream
let engine: TestEngine

beforeEach(async () => {
  fake = await FakeUpstream.start()
})
afterEach(async () => {
  disk.writable = Number.POSITIVE_INFINITY
  disk.free = 100 * GIB
  await engine.close()
  await fake.close()
})

async function start(options: Partial<TestEngineOptions> = {}): Promise<void> {
  engine = await TestEngine.start({ url: fake.url, ...options })
}

const get = (location = {}) => open(engine, wanted(engine, PATH, location))
const isHeld = async () => (await engine.services.upstream.artifacts.heldSize(engine.upstream, PATH)) !== null

describe('a disk that is full', () => {
  test('§14 check 15: in the middle of a transfer costs no client the rest', async () => {
    await start()
    const gate = createGate()
    fake.on(AT, (_, attempt) => ({
      body: BODY,
      etag: true,
      ranges: true,
      ...(attempt === 1 ? { pauseAt: 5 * MIB, resume: gate.opened } : {}),
    }))
    disk.writable = 3 * MIB
    const clients = Array.from({ length: 3 }, async () => receive(await get({ digest: digestOf(BODY) })))
    gate.open()
    for (const { bytes, failure } of await Promise.all(clients)) {
      expect({ failure, sha256: sha256(bytes) }).toEqual({ failure: null, sha256: sha256(BODY) })
    }
    await engine.settle()
    const [first, ...others] = fake.asked(AT).map(({ headers }) => headers.range)
    expect(first).toBe(undefined)
    for (const range of others) expect(range).toMatch(/^bytes=\d+-$/)
    expect(await isHeld()).toBe(false)
    expect(await readdir(join(engine.dataDir, 'spool'))).toEqual([])
  })

  test('§14 check 15: still keeps a wrong end from every client', async () => {
    await start()
    const wrong = Buffer.from(BODY)
    wrong[BODY.length - 10]! ^= 1
    fake.on(AT, { body: wrong, etag: '"1"', ranges: true })
    disk.writable = 3 * MIB
    const { bytes, failure } = await receive(await get({ digest: digestOf(BODY) }))
    expect(failure).toMatchObject({ detail: 'BAD_DIGEST' })
    expect(bytes.length).toBeLessThanOrEqual(BODY.length - 64 * 1024)
  })

  test('resets clients of what cannot be continued', async () => {
    await start()
    fake.on(AT, { body: BODY })
    disk.writable = 3 * MIB
    expect((await receive(await get())).failure).toMatchObject({ kind: 'insufficient-storage' })
  })

  test('§14 check 15: before a transfer lets it pass without being stored', async () => {
    await start()
    fake.on(AT, { body: BODY, etag: true, ranges: true })
    disk.free = 2 * GIB + MIB
    const opened = await get({ digest: digestOf(BODY) })
    expect(opened).toMatchObject({ isVerified: true, size: BODY.length, status: { detail: 'BYPASS' } })
    expect(sha256((await receive(opened)).bytes)).toBe(sha256(BODY))
    expect((await receive(opened, { start: 5 * MIB })).bytes.equals(BODY.subarray(5 * MIB))).toBe(true)
    await engine.settle()
    expect(await isHeld()).toBe(false)
    disk.free = 100 * GIB
    await receive(await get())
    await engine.settle()
    expect(await isHeld()).toBe(true)
  })

  test('asks for room first, and stores what fits then', async () => {
    await start()
    fake.on(AT, { body: BODY, etag: true })
    disk.free = 2 * GIB + MIB
    const asked: number[] = []
    engine.services.packages.spool.space.onLack(async (bytes) => {
      asked.push(bytes)
      disk.free = 100 * GIB
    })
    await receive(await get())
    await engine.settle()
    expect(asked).toEqual([BODY.length - MIB])
    expect(await isHeld()).toBe(true)
  })

  test('takes up again what breaks off, past the disk', async () => {
    await start()
    fake.on(AT, (_, attempt) => ({
      body: BODY,
      etag: true,
      ranges: true,
      ...(attempt === 2 ? { cutAt: 2 * MIB } : {}),
    }))
    disk.free = 0
    expect(sha256((await receive(await get({ digest: digestOf(BODY) }))).bytes)).toBe(sha256(BODY))
    expect(fake.asked(AT).map(({ headers }) => headers.range)).toEqual([undefined, undefined, `bytes=${2 * MIB}-`])
  })
})

describe('an artifact over mirrors.maxArtifactSize', () => {
  const small = { environment: { ENTREPOT_MIRRORS_MAX_ARTIFACT_SIZE: '4MiB' } }

  test('is passed on to every client, and not stored', async () => {
    await start(small)
    fake.on(AT, { body: BODY, etag: true, ranges: true })
    for (let round = 0; round < 2; round += 1) {
      const opened = await get()
      expect(opened).toMatchObject({ isVerified: false, sha256: null, status: { detail: 'BYPASS' } })
      expect(sha256((await receive(opened)).bytes)).toBe(sha256(BODY))
      await engine.settle()
    }
    expect(await isHeld()).toBe(false)
  })

  test('of unknown length goes on past the cache when it turns out to be one', async () => {
    await start(small)
    fake.on(AT, ({ headers }) => ({ body: BODY, etag: true, ranges: headers.range !== undefined, chunked: true }))
    const { bytes, failure } = await receive(await get())
    expect({ failure, sha256: sha256(bytes) }).toEqual({ failure: null, sha256: sha256(BODY) })
    await engine.settle()
    expect(await isHeld()).toBe(false)
  })

  test('is refused when what comes for a client is something else, and nothing tells what it should be', async () => {
    await start(small)
    const strange = { body: randomBytes(BODY.length), headers: { 'content-type': 'text/html' } }
    fake.on(AT, (_, attempt) => (attempt === 1 ? { body: BODY } : strange))
    const { bytes, failure } = await receive(await get())
    expect(failure).toMatchObject({ kind: 'upstream-unavailable', status: 502 })
    expect(bytes.length).toBe(0)
  })

  test('is refused when its bytes are wrong', async () => {
    await start(small)
    fake.on(AT, { body: BODY, etag: true, corruptAt: 3 })
    const { bytes, failure } = await receive(await get({ digest: digestOf(BODY) }))
    expect(failure).toMatchObject({ detail: 'BAD_DIGEST' })
    expect(bytes.length).toBeLessThanOrEqual(BODY.length - 64 * 1024)
  })
})

describe('an encoding that nobody asked for (pull-through.md §5.2)', () => {
  test.each([
    ['small', randomBytes(10_000)],
    ['large', BODY],
  ])('is taken off when the digest is that of the decoded bytes: %s', async (_, body) => {
    await start()
    fake.on(AT, { body, gzip: 'always', etag: true })
    const opened = await get({ digest: digestOf(body) })
    expect(opened.size).toBe(body.length)
    expect(sha256((await receive(opened)).bytes)).toBe(sha256(body))
    await engine.settle()
    expect((await get()).sha256).toBe(sha256(body))
    expect(fake.count(AT)).toBe(1)
  })

  test('stays on when the digest is that of the bytes as they came', async () => {
    await start()
    const packed = gzipSync(BODY)
    fake.on(AT, { body: packed, headers: { 'content-encoding': 'x-gzip' } })
    expect(sha256((await receive(await get({ digest: digestOf(packed) }))).bytes)).toBe(sha256(packed))
  })

  test.each([
    ['neither fits', { 'content-encoding': 'gzip' }, gzipSync(randomBytes(10_000))],
    ['it is not what it says', { 'content-encoding': 'gzip' }, randomBytes(10_000)],
    ['it is unknown', { 'content-encoding': 'snappy' }, randomBytes(10_000)],
  ])('is refused when %s', async (_, headers, body) => {
    await start()
    fake.on(AT, { body, headers })
    await expect(get({ digest: digestOf(BODY) })).rejects.toMatchObject({ detail: 'BAD_DIGEST' })
  })

  test('is not inflated beyond the largest artifact', async () => {
    await start({ environment: { ENTREPOT_MIRRORS_MAX_ARTIFACT_SIZE: '4MiB' } })
    fake.on(AT, { body: Buffer.alloc(40 * MIB), gzip: 'always' })
    const opened = await get({ digest: digestOf(BODY) }).then(receive, (failure: unknown) => ({ failure }))
    expect(opened.failure).not.toBe(null)
    await engine.settle()
    expect(await readdir(join(engine.dataDir, 'spool'))).toEqual([])
  })
})
