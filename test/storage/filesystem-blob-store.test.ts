import { randomBytes } from 'node:crypto'
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FilesystemBlobStore } from '../../src/storage/filesystem-blob-store.ts'
import { Spool, type SpoolEntry } from '../../src/storage/spool.ts'
import { describeBlobStore } from '../contracts/blob-store.ts'

describeBlobStore('on a file system', (folder) => new FilesystemBlobStore(folder))

const MIB = 1024 * 1024

describe('FilesystemBlobStore', () => {
  let directory: string
  let blobs: string
  let spool: Spool
  let store: FilesystemBlobStore

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'fs-blobs-'))
    blobs = join(directory, 'blobs')
    spool = new Spool(join(directory, 'spool'))
    await spool.open()
    store = new FilesystemBlobStore(blobs)
  })

  afterEach(async () => {
    store.close()
    await rm(directory, { recursive: true, force: true })
  })

  const receive = (bytes: Buffer): Promise<SpoolEntry> => spool.receive(Readable.from([bytes]), { limit: 1e9 })
  const pathOf = (sha256: string) => join(blobs, sha256.slice(0, 2), sha256.slice(2, 4), sha256)

  it('keeps a blob at aa/bb/<sha256> and moves the file of a large entry there', async () => {
    for (const size of [100, 2 * MIB]) {
      const bytes = randomBytes(size)
      const entry = await receive(bytes)
      await store.put(entry, { durable: true })
      expect((await readFile(pathOf(entry.digests.sha256))).equals(bytes)).toBe(true)
      expect(await readdir(join(directory, 'spool'))).toEqual([])
      await entry.discard()
    }
    expect(await readdir(join(blobs, 'incoming'))).toEqual([])
  })

  it('copies when the spool is on another file system', async () => {
    const other = await otherFileSystem(directory)
    if (other === null) return
    const remote = new Spool(other)
    await remote.open()
    const bytes = randomBytes(3 * MIB)
    const entry = await remote.receive(Readable.from([bytes]), { limit: 1e9 })
    await store.put(entry, { durable: true })
    expect((await readFile(pathOf(entry.digests.sha256))).equals(bytes)).toBe(true)
    expect(await readdir(other)).toHaveLength(1)
    await entry.discard()
    expect(await readdir(other)).toEqual([])
    await rm(other, { recursive: true })
  })

  it('replaces a blob that a power cut has left too short', async () => {
    const bytes = randomBytes(2 * MIB)
    const entry = await receive(bytes)
    const { sha256 } = entry.digests
    await store.put(entry, { durable: false })
    ;(await store.open(sha256))!.close()
    await truncate(pathOf(sha256), 17)
    await store.put(await receive(bytes), { durable: true })
    expect((await readFile(pathOf(sha256))).equals(bytes)).toBe(true)
    const source = (await store.open(sha256))!
    expect(source.size).toBe(bytes.length)
    source.close()
  })

  it('keeps no more than 512 files open, and none that is in use is closed', async () => {
    const first = await receive(Buffer.from('first'))
    await store.put(first, { durable: false })
    const source = (await store.open(first.digests.sha256))!
    const before = await openFilesIn(blobs)
    expect(before).toBe(1)
    for (let index = 0; index < 600; index += 1) {
      const entry = await receive(Buffer.from(`blob ${index}`))
      await store.put(entry, { durable: false })
      ;(await store.open(entry.digests.sha256))!.close()
    }
    await new Promise(setImmediate)
    expect(await openFilesIn(blobs)).toBeLessThanOrEqual(513)
    const buffer = Buffer.alloc(10)
    expect(await source.read(buffer, 0)).toBe(5)
    source.close()
    store.close()
    await waitFor(async () => (await openFilesIn(blobs)) === 0)
  })

  it('closes what nobody has read for some seconds, so that what another process deletes is free', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const now = performance.now.bind(performance)
    try {
      const store = new FilesystemBlobStore(blobs)
      const entries = [await receive(randomBytes(MIB)), await receive(randomBytes(MIB))]
      for (const entry of entries) await store.put(entry, { durable: false })
      const [idle, used] = entries.map(({ digests }) => digests.sha256) as [string, string]
      for (const entry of entries) await entry.discard()
      ;(await store.open(idle))!.close()
      const reader = (await store.open(used))!
      expect(await openFilesIn(blobs)).toBe(2)
      vi.spyOn(performance, 'now').mockImplementation(() => now() + 15_000)
      vi.advanceTimersByTime(10_000)
      await waitFor(async () => (await openFilesIn(blobs)) === 1)
      expect(await reader.read(Buffer.alloc(10), 0)).toBe(10)
      reader.close()
      await waitFor(async () => (await openFilesIn(blobs)) === 0)
      expect(await (await store.open(idle))!.read(Buffer.alloc(10), 0)).toBe(10)
      store.close()
    } finally {
      vi.useRealTimers()
      vi.restoreAllMocks()
    }
  })

  it('holds no descriptor of an entry that was put and forgotten', async () => {
    for (let index = 0; index < 5; index += 1) await store.put(await receive(randomBytes(2 * MIB)), { durable: true })
    await waitFor(async () => (await openFilesIn(directory)) === 0)
  })

  it('removes what crashed processes left behind long ago, and nothing younger', async () => {
    const incoming = join(blobs, 'incoming')
    await mkdir(incoming, { recursive: true })
    await writeFile(join(incoming, 'old'), 'x')
    await utimes(join(incoming, 'old'), 1, 1)
    await writeFile(join(incoming, 'young'), 'x')
    await store.put(await receive(Buffer.from('small')), { durable: false })
    expect(await readdir(incoming)).toEqual(['young'])
  })

  it('fails its check where it cannot write', async () => {
    await mkdir(blobs)
    await writeFile(join(blobs, 'incoming'), 'a file in the way')
    await expect(store.check()).rejects.toThrow()
    await chmod(blobs, 0o700)
  })
})

async function openFilesIn(folder: string): Promise<number> {
  const targets = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  )
  return targets.filter((target) => target.startsWith(`${folder}/`)).length
}

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('it did not happen')
}

/** An empty folder on another file system than `folder`, or null where this machine has none to write to. */
async function otherFileSystem(folder: string): Promise<string | null> {
  const { dev } = await stat(folder)
  for (const parent of ['/dev/shm', '/run', tmpdir()]) {
    const stats = await stat(parent).catch(() => null)
    if (stats === null || stats.dev === dev) continue
    const path = await mkdtemp(join(parent, 'spool-')).catch(() => null)
    if (path !== null) return path
  }
  return null
}
