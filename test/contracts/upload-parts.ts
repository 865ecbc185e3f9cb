import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BlobStore } from '../../src/storage/blob-store.ts'
import { Spool, type SpoolEntry } from '../../src/storage/spool.ts'
import type { StoredPart, UploadParts } from '../../src/storage/upload-parts.ts'

const MIB = 1024 * 1024

/** What is to be tested, over the empty folder that it is given. */
export interface PartsUnderTest {
  readonly parts: UploadParts
  /** The store that its parts end in. */
  readonly blobs: BlobStore
}

/** What every UploadParts must do. */
export function describeUploadParts(name: string, make: (folder: string) => PartsUnderTest): void {
  describe(`the upload parts ${name}`, () => {
    let directory: string
    let spool: Spool
    let parts: UploadParts
    let blobs: BlobStore
    const upload = randomUUID()

    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'parts-'))
      spool = new Spool(join(directory, 'spool'))
      await spool.open()
      const made = make(join(directory, 'store'))
      parts = made.parts
      blobs = made.blobs
    })

    afterEach(() => rm(directory, { recursive: true, force: true }))

    const enter = (bytes: Buffer): Promise<SpoolEntry> => spool.receive(Readable.from([bytes]), { limit: 1e9 })
    const put = async (part: string, bytes: Buffer): Promise<StoredPart> => {
      const entry = await enter(bytes)
      await parts.put(upload, part, entry)
      await entry.discard()
      return { name: part, size: bytes.length, digests: entry.digests }
    }
    const adopt = async (part: StoredPart): Promise<SpoolEntry> => {
      const entry = await parts.adopt(upload, part)
      if (entry === null) throw new Error(`no part ${part.name}`)
      return entry
    }

    it.each([1, MIB, MIB + 1, 3 * MIB + 7])('give %i bytes back, and leave nothing in the spool', async (size) => {
      const bytes = randomBytes(size)
      const part = await put('0-a', bytes)
      const source = (await parts.open(upload, '0-a'))!
      expect(source.size).toBe(size)
      expect((await readAll(source)).equals(bytes)).toBe(true)
      source.close()
      const entry = await adopt(part)
      expect({ size: entry.size, digests: entry.digests }).toEqual({ size, digests: part.digests })
      expect((await readAll(entry.source())).equals(bytes)).toBe(true)
      await entry.discard()
      expect(await readdir(join(directory, 'spool'))).toEqual([])
    })

    it.each([1000, 3 * MIB])('keep a part of %i bytes that went into the blob store', async (size) => {
      const bytes = randomBytes(size)
      const part = await put('0-a', bytes)
      for (const durable of [true, false]) {
        const entry = await adopt(part)
        await blobs.put(entry, { durable })
        await entry.discard()
        const source = (await blobs.open(part.digests.sha256))!
        expect((await readAll(source)).equals(bytes)).toBe(true)
        source.close()
      }
      await blobs.delete(part.digests.sha256)
      const again = await adopt(part)
      await blobs.put(again, { durable: true })
      await again.discard()
      await parts.removeAll(upload)
      const source = (await blobs.open(part.digests.sha256))!
      expect((await readAll(source)).equals(bytes)).toBe(true)
      source.close()
    })

    it('let an adopted part be put again after the store has lost it, also when the part is gone', async () => {
      const bytes = randomBytes(2 * MIB)
      const entry = await adopt(await put('0-a', bytes))
      const release = entry.hold()
      await blobs.put(entry, { durable: true })
      await blobs.delete(entry.digests.sha256)
      await parts.removeAll(upload)
      await blobs.put(entry, { durable: true })
      release()
      await entry.discard()
      expect(await blobs.has(entry.digests.sha256)).toBe(true)
    })

    it('let entries and sources that are open read on after the end', async () => {
      const bytes = randomBytes(200_000)
      const part = await put('0-a', bytes)
      const [entry, source] = [await adopt(part), (await parts.open(upload, '0-a'))!]
      await parts.removeAll(upload)
      expect((await readAll(entry.source())).equals(bytes)).toBe(true)
      expect((await readAll(source)).equals(bytes)).toBe(true)
      source.close()
      await entry.discard()
    })

    it('know what they do not have', async () => {
      const { digests } = await enter(Buffer.from('x'))
      expect(await parts.open(upload, '0-a')).toBeNull()
      expect(await parts.adopt(upload, { name: '0-a', size: 1, digests })).toBeNull()
      expect(await parts.list()).toEqual([])
      await parts.remove(upload, '0-a')
      await parts.removeAll(upload)
    })

    it('refuse a part that has not the size that it had', async () => {
      const part = await put('0-a', Buffer.from('abc'))
      await expect(parts.adopt(upload, { ...part, size: 4 })).rejects.toThrow('size')
    })

    it('list uploads, and forget them part by part or at once', async () => {
      await put('0-a', Buffer.from('a'))
      await put('1-b', Buffer.from('b'))
      expect(await parts.list()).toEqual([upload])
      await parts.remove(upload, '0-a')
      expect(await parts.open(upload, '0-a')).toBeNull()
      expect(await parts.list()).toEqual([upload])
      await parts.remove(upload, '1-b')
      await put('0-c', Buffer.from('c'))
      await put('1-d', Buffer.from('d'))
      await parts.removeAll(upload)
      expect(await parts.list()).toEqual([])
      expect(await parts.open(upload, '0-c')).toBeNull()
    })

    it('take parts while others are removed', async () => {
      const entries = await Promise.all(Array.from({ length: 20 }, (_, index) => enter(Buffer.from(`${index}`))))
      await Promise.all(
        entries.flatMap((entry, index) => [
          parts.put(upload, `${index}-a`, entry),
          parts.remove(upload, `${index}-b`),
          parts.remove(upload, `${index - 1}-a`),
        ]),
      )
      expect(await parts.open(upload, '19-a')).not.toBeNull()
      await Promise.all(entries.map((entry) => entry.discard()))
    })

    it.each([
      ['../escape', 'part'],
      ['', 'part'],
      ['A', 'part'],
      [upload, '../../escape'],
      [upload, 'a/b'],
      [upload, ''],
      [upload, 'a'.repeat(101)],
      [upload.toUpperCase(), 'part'],
      [`${upload}\n`, 'part'],
      [`${upload}/..`, 'part'],
    ])('refuse the upload %j with the part %j', async (id, part) => {
      const entry = await enter(Buffer.from('x'))
      await expect(parts.put(id, part, entry)).rejects.toThrow('is known by')
      await expect(parts.open(id, part)).rejects.toThrow('is known by')
      await expect(parts.remove(id, part)).rejects.toThrow('is known by')
      await entry.discard()
    })
  })
}

async function readAll(source: { read(buffer: Buffer, position: number): Promise<number> }): Promise<Buffer> {
  const read: Buffer[] = []
  for (let position = 0; ; ) {
    const buffer = Buffer.alloc(100_000)
    const bytes = await source.read(buffer, position)
    if (bytes === 0) return Buffer.concat(read)
    read.push(buffer.subarray(0, bytes))
    position += bytes
  }
}
