import { randomBytes, randomUUID } from 'node:crypto'
import type * as Fs from 'node:fs'
import { readlinkSync } from 'node:fs'
import type * as FsPromises from 'node:fs/promises'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { FilesystemBlobStore } from '../../src/storage/filesystem-blob-store.ts'
import { FilesystemUploadParts } from '../../src/storage/filesystem-upload-parts.ts'
import { Spool } from '../../src/storage/spool.ts'

const journal = vi.hoisted(() => [] as { what: 'sync' | 'rename'; path: string }[])

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof Fs>()
  const fdatasync = (fd: number, done: (error: NodeJS.ErrnoException | null) => void) => {
    journal.push({ what: 'sync', path: readlinkSync(`/proc/self/fd/${fd}`) })
    fs.fdatasync(fd, done)
  }
  return { ...fs, fdatasync, default: fs }
})

vi.mock('node:fs/promises', async (original) => {
  const fs = await original<typeof FsPromises>()
  const rename = async (from: string, to: string) => {
    journal.push({ what: 'rename', path: from })
    await fs.rename(from, to)
  }
  return { ...fs, rename, default: fs }
})

let directory: string
let spool: Spool
let store: FilesystemBlobStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'durable-'))
  spool = new Spool(join(directory, 'spool'))
  await spool.open()
  store = new FilesystemBlobStore(join(directory, 'blobs'))
})

beforeEach(() => {
  journal.length = 0
})

afterAll(() => rm(directory, { recursive: true, force: true }))

const receive = (bytes: Buffer) => spool.receive(Readable.from([bytes]), { limit: 1e9 })
const folderOf = (sha256: string) => join(directory, 'blobs', sha256.slice(0, 2), sha256.slice(2, 4))

it.each([100, 3_000_000])(
  '%i bytes are on disk before they get their name, and the name before the answer',
  async (size) => {
    const entry = await receive(randomBytes(size))
    await store.put(entry, { durable: true })
    const folder = folderOf(entry.digests.sha256)
    const [content, rename, ...folders] = journal
    expect(content?.what).toBe('sync')
    expect(rename).toEqual({ what: 'rename', path: content?.path })
    expect(folders).toEqual([folder, dirname(folder), join(directory, 'blobs')].map((path) => ({ what: 'sync', path })))
    await entry.discard()
  },
)

it('a cached artifact is not forced to disk until somebody uploads the same', async () => {
  const bytes = randomBytes(3_000_000)
  const cached = await receive(bytes)
  await store.put(cached, { durable: false })
  expect(journal.map(({ what }) => what)).toEqual(['rename'])
  journal.length = 0
  const uploaded = await receive(bytes)
  await store.put(uploaded, { durable: true })
  expect(journal[0]?.what).toBe('sync')
  expect(basename(journal[0]!.path)).toBe(uploaded.digests.sha256)
  expect(journal[1]).toEqual({ what: 'sync', path: folderOf(uploaded.digests.sha256) })
  await Promise.all([cached.discard(), uploaded.discard()])
})

it('a blob that somebody refers to anew is on disk, and its name too', async () => {
  const cached = await receive(randomBytes(1000))
  await store.put(cached, { durable: false })
  journal.length = 0
  await store.sync(cached.digests.sha256)
  const folder = folderOf(cached.digests.sha256)
  expect(journal.slice(0, 2)).toEqual([
    { what: 'sync', path: join(folder, cached.digests.sha256) },
    { what: 'sync', path: folder },
  ])
  await cached.discard()
})

it.each([100, 3_000_000])('a part of an upload with %i bytes is on disk, and its name too', async (size) => {
  const upload = randomUUID()
  const parts = new FilesystemUploadParts(join(directory, `uploads-${size}`))
  const entry = await receive(randomBytes(size))
  await parts.put(upload, '0-a', entry)
  const folder = join(directory, `uploads-${size}`, upload)
  expect(journal[0]).toMatchObject({ what: 'sync' })
  const folders = [folder, dirname(folder), directory].map((path) => ({ what: 'sync', path }))
  expect(journal.filter(({ what }) => what === 'sync').slice(1)).toEqual(folders)
  await entry.discard()
})
