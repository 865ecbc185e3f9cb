import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BlobStore, ByteSource } from '../../src/storage/blob-store.ts'
import { Spool, type SpoolEntry } from '../../src/storage/spool.ts'

const MIB = 1024 * 1024

/** What every BlobStore must do; `make` gives an empty store that may use the empty folder it is given. */
export function describeBlobStore(name: string, make: (folder: string) => Promise<BlobStore> | BlobStore): void {
  describe(`the blob store ${name}`, () => {
    let directory: string
    let spool: Spool
    let store: BlobStore

    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'blobs-'))
      spool = new Spool(join(directory, 'spool'))
      await spool.open()
      store = await make(join(directory, 'store'))
    })

    afterEach(() => rm(directory, { recursive: true, force: true }))

    const enter = async (bytes: Buffer): Promise<SpoolEntry> => {
      const entry = spool.create()
      for (let start = 0; start < bytes.length; start += 65_536)
        await entry.append(bytes.subarray(start, start + 65_536))
      await entry.finish()
      return entry
    }

    const put = async (bytes: Buffer, durable = true): Promise<string> => {
      const entry = await enter(bytes)
      await store.put(entry, { durable })
      await entry.discard()
      return entry.digests.sha256
    }

    const absent = createHash('sha256').update('absent').digest('hex')

    it.each([0, 1, MIB, MIB + 1, 3 * MIB + 7])('gives %i bytes back, durable or not', async (size) => {
      for (const durable of [true, false]) {
        const bytes = randomBytes(size)
        const sha256 = await put(bytes, durable)
        expect(sha256).toBe(createHash('sha256').update(bytes).digest('hex'))
        expect(await store.has(sha256)).toBe(true)
        const source = (await store.open(sha256))!
        expect(source.size).toBe(size)
        expect((await readAll(source)).equals(bytes)).toBe(true)
        source.close()
      }
    })

    it('reads from any position and answers 0 at the end and beyond', async () => {
      const bytes = randomBytes(100_000)
      const source = (await store.open(await put(bytes)))!
      const buffer = Buffer.alloc(1000)
      expect(await source.read(buffer, 98_765)).toBe(1000)
      expect(buffer.equals(bytes.subarray(98_765, 99_765))).toBe(true)
      expect(await source.read(buffer, 99_500)).toBe(500)
      expect(await source.read(buffer, 100_000)).toBe(0)
      expect(await source.read(buffer, 1e12)).toBe(0)
      source.close()
    })

    it('knows what it does not have', async () => {
      expect(await store.open(absent)).toBeNull()
      expect(await store.has(absent)).toBe(false)
      expect(await store.sync(absent)).toBe(false)
      expect(await store.delete(absent)).toBe(0)
    })

    it('lists what it holds, and says how much a deletion freed', async () => {
      const list = async () => {
        const found = []
        for await (const blob of store.list()) found.push(blob)
        return found
      }
      expect(await list()).toEqual([])
      const sizes = new Map<string, number>()
      for (const size of [0, 1, 1000, 2 * MIB]) sizes.set(await put(randomBytes(size)), size)
      const found = await list()
      expect(found.map(({ sha256 }) => sha256)).toEqual([...sizes.keys()].sort())
      for (const { sha256, size, storedAt } of found) {
        expect(size).toBe(sizes.get(sha256))
        expect(Math.abs(Date.now() - storedAt)).toBeLessThan(60_000)
        expect(await store.delete(sha256)).toBe(size)
      }
      expect(await list()).toEqual([])
    })

    it('makes a blob durable that was not', async () => {
      const sha256 = await put(randomBytes(1000), false)
      expect(await store.sync(sha256)).toBe(true)
      expect(await store.has(sha256)).toBe(true)
    })

    it('takes the same bytes again, from the same entry, from another, and from several at once', async () => {
      const bytes = randomBytes(2 * MIB)
      const entries = await Promise.all([enter(bytes), enter(bytes), enter(bytes)])
      await Promise.all(entries.map((entry, index) => store.put(entry, { durable: index % 2 === 0 })))
      await store.put(entries[0]!, { durable: true })
      await Promise.all(entries.map((entry) => entry.discard()))
      const source = (await store.open(entries[0]!.digests.sha256))!
      expect((await readAll(source)).equals(bytes)).toBe(true)
      source.close()
    })

    it.each([1000, 2 * MIB])('leaves an entry of %i bytes readable, and its discarding harms nothing', async (size) => {
      const bytes = randomBytes(size)
      const entry = await enter(bytes)
      const before = entry.source()
      await store.put(entry, { durable: false })
      expect((await readAll(entry)).equals(bytes)).toBe(true)
      const after = entry.source()
      await entry.discard()
      for (const source of [before, after]) {
        expect((await readAll(source)).equals(bytes)).toBe(true)
        source.close()
      }
      expect(await store.has(entry.digests.sha256)).toBe(true)
    })

    it('puts a deleted blob again, even from the entry that it came from', async () => {
      const bytes = randomBytes(2 * MIB)
      const entry = await enter(bytes)
      const reader = entry.source()
      await store.put(entry, { durable: true })
      await store.delete(entry.digests.sha256)
      expect(await store.has(entry.digests.sha256)).toBe(false)
      expect(await store.open(entry.digests.sha256)).toBeNull()
      await store.put(await enter(bytes), { durable: true })
      expect(await store.has(entry.digests.sha256)).toBe(true)
      reader.close()
      await entry.discard()
    })

    it('lets open sources read on after the blob was deleted', async () => {
      const bytes = randomBytes(200_000)
      const sha256 = await put(bytes)
      const source = (await store.open(sha256))!
      await store.delete(sha256)
      expect(await store.open(sha256)).toBeNull()
      expect((await readAll(source)).equals(bytes)).toBe(true)
      source.close()
    })

    it('serves many readers of one blob, each with its own life', async () => {
      const bytes = randomBytes(300_000)
      const sha256 = await put(bytes)
      const sources = await Promise.all(Array.from({ length: 20 }, () => store.open(sha256)))
      sources[0]!.close()
      sources[0]!.close()
      for (const source of sources.slice(1)) expect((await readAll(source!)).equals(bytes)).toBe(true)
      for (const source of sources) source!.close()
      const again = (await store.open(sha256))!
      expect((await readAll(again)).equals(bytes)).toBe(true)
      again.close()
    })

    it('refuses to read from a source that is closed', async () => {
      const source = (await store.open(await put(randomBytes(10))))!
      source.close()
      await expect(source.read(Buffer.alloc(10), 0)).rejects.toThrow()
    })

    it('settles a read that waits while the source is closed', async () => {
      const source = (await store.open(await put(randomBytes(100_000))))!
      const reading = source.read(Buffer.alloc(100_000), 0)
      source.close()
      await reading.catch(() => {})
    })

    it.each(['', '..', '../../../../etc/passwd', 'A'.repeat(64), `${'a'.repeat(63)}/`, 'a'.repeat(63), 'a'.repeat(65)])(
      'never takes %j for the name of a blob',
      async (name) => {
        await expect(store.open(name)).rejects.toThrow('SHA-256')
        await expect(store.has(name)).rejects.toThrow('SHA-256')
        await expect(store.delete(name)).rejects.toThrow('SHA-256')
      },
    )

    it('can be checked', async () => {
      await store.check()
    })
  })
}

async function readAll(source: Pick<ByteSource, 'read'>): Promise<Buffer> {
  const parts: Buffer[] = []
  for (let position = 0; ; ) {
    const buffer = Buffer.alloc(65_536)
    const bytes = await source.read(buffer, position)
    if (bytes === 0) return Buffer.concat(parts)
    parts.push(buffer.subarray(0, bytes))
    position += bytes
  }
}
