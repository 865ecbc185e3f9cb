import { randomBytes, randomUUID } from 'node:crypto'
import type * as FsPromises from 'node:fs/promises'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FilesystemBlobStore } from '../../src/storage/filesystem-blob-store.ts'
import { FilesystemUploadParts } from '../../src/storage/filesystem-upload-parts.ts'
import { Spool } from '../../src/storage/spool.ts'
import { describeUploadParts } from '../contracts/upload-parts.ts'

let canLink = true

// A file system without hard links, as some that are mounted into containers.
vi.mock('node:fs/promises', async (original) => {
  const fs = await original<typeof FsPromises>()
  const link = async (from: string, to: string) => {
    if (!canLink) throw Object.assign(new Error('not permitted'), { code: 'EPERM' })
    await fs.link(from, to)
  }
  return { ...fs, link, default: fs }
})

const make = (folder: string) => ({
  parts: new FilesystemUploadParts(join(folder, 'uploads')),
  blobs: new FilesystemBlobStore(folder),
})

describeUploadParts('on a file system', (folder) => {
  canLink = true
  return make(folder)
})
describeUploadParts('on a file system without links', (folder) => {
  canLink = false
  return make(folder)
})

describe('FilesystemUploadParts', () => {
  let directory: string
  let spool: Spool
  let parts: FilesystemUploadParts
  let blobs: FilesystemBlobStore
  const upload = randomUUID()

  beforeEach(async () => {
    canLink = true
    directory = await mkdtemp(join(tmpdir(), 'fs-parts-'))
    spool = new Spool(join(directory, 'spool'))
    await spool.open()
    parts = new FilesystemUploadParts(join(directory, 'packages', 'uploads'))
    blobs = new FilesystemBlobStore(join(directory, 'packages'))
  })

  afterEach(async () => {
    blobs.close()
    await rm(directory, { recursive: true, force: true })
  })

  it('moves a large part in and links it to its blob: the bytes are written once', async () => {
    const entry = await spool.receive(Readable.from([randomBytes(3_000_000)]), { limit: 1e9 })
    const [name] = await readdir(join(directory, 'spool'))
    const { ino } = await stat(join(directory, 'spool', name!))
    await parts.put(upload, '0-a', entry)
    await entry.discard()
    const adopted = (await parts.adopt(upload, { name: '0-a', size: entry.size, digests: entry.digests }))!
    await blobs.put(adopted, { durable: true })
    await adopted.discard()
    const { sha256 } = entry.digests
    const blob = await stat(join(directory, 'packages', sha256.slice(0, 2), sha256.slice(2, 4), sha256))
    expect([blob.ino, blob.nlink]).toEqual([ino, 2])
    expect((await stat(join(directory, 'packages', 'uploads', upload, '0-a'))).ino).toBe(ino)
  })

  it('replaces a broken blob by an adopted part', async () => {
    const bytes = randomBytes(3_000_000)
    const entry = await spool.receive(Readable.from([bytes]), { limit: 1e9 })
    await parts.put(upload, '0-a', entry)
    await entry.discard()
    const { sha256 } = entry.digests
    const folder = join(directory, 'packages', sha256.slice(0, 2), sha256.slice(2, 4))
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, sha256), 'cut off')
    const adopted = (await parts.adopt(upload, { name: '0-a', size: entry.size, digests: entry.digests }))!
    await blobs.put(adopted, { durable: true })
    await adopted.discard()
    expect((await stat(join(folder, sha256))).size).toBe(bytes.length)
  })

  it('lists nothing that is not an upload', async () => {
    await mkdir(join(directory, 'packages', 'uploads', 'lost+found'), { recursive: true })
    expect(await parts.list()).toEqual([])
  })
})
