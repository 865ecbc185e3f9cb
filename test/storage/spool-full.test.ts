import type * as Fs from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { InsufficientStorage } from '../../src/errors.ts'
import { FilesystemBlobStore } from '../../src/storage/filesystem-blob-store.ts'
import { Spool } from '../../src/storage/spool.ts'

let writable = Number.POSITIVE_INFINITY
let writableAtOnce = Number.POSITIVE_INFINITY

// A disk that takes `writable` more bytes and is then full, as the kernel reports it: first a short write, then ENOSPC.
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof Fs>()
  const writev = (
    fd: number,
    buffers: Buffer[],
    position: number,
    done: (error: NodeJS.ErrnoException | null, bytes: number) => void,
  ) => {
    if (writable <= 0) return process.nextTick(done, Object.assign(new Error('full'), { code: 'ENOSPC' }), 0)
    const all = Buffer.concat(buffers)
    const some = all.subarray(0, Math.min(all.length, writable, writableAtOnce))
    writable -= some.length
    return fs.writev(fd, [some], position, done)
  }
  return { ...fs, writev, default: fs }
})

const MIB = 1024 * 1024
let directory: string
let spool: Spool

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'full-'))
  spool = new Spool(join(directory, 'spool'))
  await spool.open()
})

afterAll(() => rm(directory, { recursive: true, force: true }))

it('a full disk is InsufficientStorage and leaves nothing', async () => {
  writable = 2 * MIB + 12_345
  const body = Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(65_536)))
  await expect(spool.receive(body, { limit: 100 * MIB })).rejects.toThrow(InsufficientStorage)
  expect(await readdir(join(directory, 'spool'))).toEqual([])
})

it('a short write is continued', async () => {
  writable = Number.POSITIVE_INFINITY
  writableAtOnce = 700_001
  const entry = spool.create()
  const bytes = Buffer.from(Array.from({ length: 3 * MIB }, (_, index) => index % 251))
  for (let start = 0; start < bytes.length; start += 300_000) await entry.append(bytes.subarray(start, start + 300_000))
  await entry.finish()
  const read = Buffer.alloc(bytes.length)
  for (let position = 0; position < read.length; ) position += await entry.read(read.subarray(position), position)
  expect(read.equals(bytes)).toBe(true)
  await entry.discard()
  writableAtOnce = Number.POSITIVE_INFINITY
})

it('a blob store that is full says so, and keeps no half blob', async () => {
  writable = Number.POSITIVE_INFINITY
  const store = new FilesystemBlobStore(join(directory, 'blobs'))
  const entry = await spool.receive(Readable.from([Buffer.alloc(10_000)]), { limit: MIB })
  writable = 5000
  await expect(store.put(entry, { durable: true })).rejects.toThrow(InsufficientStorage)
  await expect(store.check()).rejects.toThrow()
  expect(await store.has(entry.digests.sha256)).toBe(false)
  expect(await readdir(join(directory, 'blobs', 'incoming'))).toEqual([])
  writable = Number.POSITIVE_INFINITY
  await store.put(entry, { durable: true })
  expect(await store.has(entry.digests.sha256)).toBe(true)
  await store.check()
})
