import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/owner.ts'
import type { BlobStore } from '../../src/storage/blob-store.ts'
import type { SpoolEntry } from '../../src/storage/spool.ts'
import { testDialects } from '../support/test-database.ts'
import { DAY, Gate, info, Registry, settle } from './registry.ts'

/** A store that a test can watch and hold up at the two moments that matter. */
class WatchedStore implements BlobStore {
  readonly #store: BlobStore
  afterPut: (sha256: string) => void | Promise<void> = () => {}
  beforeDelete: (sha256: string) => void | Promise<void> = () => {}

  constructor(store: BlobStore) {
    this.#store = store
  }

  async put(entry: SpoolEntry, options: { durable: boolean }): Promise<void> {
    await this.#store.put(entry, options)
    await this.afterPut(entry.digests.sha256)
  }

  async delete(sha256: string): Promise<number> {
    await this.beforeDelete(sha256)
    return this.#store.delete(sha256)
  }

  open = (sha256: string) => this.#store.open(sha256)
  has = (sha256: string) => this.#store.has(sha256)
  sync = (sha256: string) => this.#store.sync(sha256)
  list = () => this.#store.list()
  check = () => this.#store.check()
}

describe.each(testDialects)('garbage collection on %s', (dialect) => {
  let registry: Registry
  let alice: Owner
  let store: WatchedStore
  beforeEach(async () => {
    const wrapStore = (real: BlobStore) => {
      store = new WatchedStore(real)
      return store
    }
    registry = await Registry.open(dialect, { wrapStore })
    alice = await registry.owner('alice')
  })
  afterEach(() => registry.close())

  const publish = async (name: string, version: string, bytes: string | Buffer) =>
    registry.packages.createPackageAndAddFile(info(alice, name, version), await registry.file('f', bytes))
  /** A blob that nothing refers to any more, too old to be spared. */
  const leaveGarbage = async (bytes: string | Buffer) => {
    const record = await publish('garbage', '1', bytes)
    await registry.packages.removal.removePackage({ owner: alice, ...record }, alice)
    registry.now += 2 * DAY
    return record.blob
  }

  test('frees what nothing refers to, and says how much', async () => {
    const kept = await publish('kept', '1', 'kept')
    for (let index = 0; index < 45; index += 1) {
      const record = await publish('gone', `${index}`, `garbage ${String(index).padStart(2, '0')}`)
      await registry.packages.removal.removePackageVersion({ owner: alice, ...record }, alice)
    }
    registry.now += DAY
    expect(await registry.packages.collectGarbage()).toEqual({ blobs: 0, bytes: 0 })
    registry.now += 1
    expect(await registry.packages.collectGarbage()).toEqual({ blobs: 45, bytes: 45 * 10 })
    expect(await registry.contents()).toEqual([kept.blob.hashSha256])
    expect(await registry.counts()).toMatchObject({ blobs: 1, files: 1 })
    expect(await registry.packages.collectGarbage()).toEqual({ blobs: 0, bytes: 0 })
    expect(registry.errors).toEqual([])
  })

  test('spares what an upstream document refers to', async () => {
    const { models } = registry.parts
    const blob = await registry.packages.storeBlob(await registry.content('document'), { durable: false })
    const document = await models.upstreamDocument.create({
      ...{ upstreamId: 1, kind: 'packument', documentKey: 'a', keySha256: 'k', blobId: blob.id, etag: '' },
      ...{ bodySha256: 'b', seq: 1, fetchedAt: 1, verifiedAt: 1 },
    })
    registry.now += 2 * DAY
    expect(await registry.packages.collectGarbage()).toEqual({ blobs: 0, bytes: 0 })
    await document.destroy()
    expect(await registry.packages.collectGarbage()).toEqual({ blobs: 1, bytes: 8 })
  })

  test('gives a document stored again time to be referred to', async () => {
    const first = await registry.packages.storeBlob(await registry.content('document'), { durable: false })
    registry.now += 2 * DAY
    const again = await registry.packages.storeBlob(await registry.content('document'), { durable: false })
    expect(again.id).toBe(first.id)
    expect(await registry.packages.collectGarbage()).toEqual({ blobs: 0, bytes: 0 })
    expect(await registry.read(first.hashSha256)).toBe('document')
  })

  test('removes packages without versions, and keeps their names hosted', async () => {
    const { removal, lookup } = registry.packages
    const record = await registry.packages.createPackageAndAddFile(
      info(alice, 'tool', '1', { packageProperties: [{ name: 'p', value: '' }] }),
      await registry.file('f', 'x'),
    )
    await publish('other', '1', 'y')
    await removal.removePackageVersion({ owner: alice, ...record }, alice)
    expect(await lookup.findPackage(alice.id, 'generic', 'tool')).toEqual(record.package)
    await registry.packages.collectGarbage()
    expect(await lookup.findPackage(alice.id, 'generic', 'tool')).toBeNull()
    expect(await lookup.findPackage(alice.id, 'generic', 'other')).not.toBeNull()
    expect(await registry.counts()).toMatchObject({ packages: 1, properties: 0, bindings: 2 })
  })

  test('keeps the row of a content that cannot be deleted now, and goes on', async () => {
    const blob = await leaveGarbage('stubborn')
    const other = await leaveGarbage('willing')
    store.beforeDelete = (sha256) => {
      if (sha256 === blob.hashSha256) throw new Error('busy')
    }
    expect(await registry.packages.collectGarbage()).toEqual({ blobs: 1, bytes: 7 })
    expect(registry.errors).toEqual([new Error('busy')])
    expect(await registry.read(other.hashSha256)).toBeNull()
    store.beforeDelete = () => {}
    expect(await registry.packages.collectGarbage()).toEqual({ blobs: 1, bytes: 8 })
    expect(await registry.contents()).toEqual([])
  })

  test.each([
    ['small', Buffer.from('small')],
    ['moved from the spool', randomBytes(3 * 1024 * 1024)],
  ])('does not take a content that is uploaded while it is deleted (%s)', async (_what, bytes) => {
    const garbage = await leaveGarbage(bytes)
    const [deleting, put] = [new Gate(), new Gate()]
    store.beforeDelete = async () => {
      deleting.open()
      await put.opened
    }
    const collecting = registry.packages.collectGarbage()
    await deleting.opened
    // The upload finds the content in the store, and only then it is deleted.
    store.afterPut = put.open
    const { blob } = await publish('new', '1', bytes)
    expect(await collecting).toEqual({ blobs: 1, bytes: bytes.length })
    expect(blob.hashSha256).toBe(garbage.hashSha256)
    expect(await store.has(blob.hashSha256)).toBe(true)
    registry.now += 2 * DAY
    expect(await registry.packages.collectGarbage()).toEqual({ blobs: 0, bytes: 0 })
    expect(await registry.counts()).toMatchObject({ blobs: 1, files: 1 })
  })

  test('does not take contents that are cached while they are deleted', async () => {
    const mirror = await registry.owner('mirror', 'mirror')
    const garbage = await leaveGarbage('cached')
    const [deleting, put] = [new Gate(), new Gate()]
    store.beforeDelete = async () => {
      deleting.open()
      await put.opened
    }
    const collecting = registry.packages.collectGarbage()
    await deleting.opened
    const bodies = ['first', 'second', 'cached', 'cached']
    const files = await Promise.all(bodies.map((bytes) => registry.file('f', bytes)))
    store.afterPut = (sha256) => {
      if (sha256 === garbage.hashSha256) put.open()
    }
    const adding = files.map((file, index) =>
      registry.packages.addCachedFile({ owner: mirror, type: 'npm', name: `p${index}`, version: '1' }, file),
    )
    // In SQLite the first one waits for the collection; that must not wait for the others.
    if (dialect === 'sqlite') setTimeout(put.open, 200)
    const records = await Promise.all(adding)
    expect(await collecting).toEqual({ blobs: 1, bytes: 6 })
    for (const [index, { blob }] of records.entries()) expect(await registry.read(blob.hashSha256)).toBe(bodies[index])
  })

  test('does not take a content that an upload is about to refer to', async () => {
    const garbage = await leaveGarbage('reused')
    const [found, proceed] = [new Gate(), new Gate()]
    const file = await registry.file('f', 'reused')
    const uploading = registry.packages.createPackageAndAddFile(info(alice, 'new', '1'), file, async () => {
      found.open()
      await proceed.opened
    })
    await found.opened
    const collecting = registry.packages.collectGarbage()
    // It sees the old unreferenced row, and has to wait for the upload to look again.
    await new Promise((resolve) => setTimeout(resolve, 100))
    proceed.open()
    expect((await uploading).blob.id).toBe(garbage.id)
    expect(await collecting).toEqual({ blobs: 0, bytes: 0 })
    expect(await registry.read(garbage.hashSha256)).toBe('reused')
  })

  test('takes the content of an upload that failed, and not that of one that succeeded with it', async () => {
    const [first, second] = [await registry.file('f', 'same'), await registry.file('f', 'same')]
    const { values, errors } = await settle([
      registry.packages.createPackageAndAddFile(info(alice, 'a', '1'), first, async () => {
        throw new Error('refused')
      }),
      registry.packages.createPackageAndAddFile(info(alice, 'b', '1'), second),
    ])
    expect(errors).toEqual([new Error('refused')])
    registry.now += 2 * DAY
    expect(await registry.packages.collectGarbage()).toEqual({ blobs: 0, bytes: 0 })
    expect(await registry.read(values[0]!.blob.hashSha256)).toBe('same')
  })

  test('loses nothing beside uploads and removals of the same bytes, from two processes', async () => {
    const other = registry.replica()
    const bodies = ['one', 'two', 'three']
    const publishAndRemove = async (where: Registry, name: string) => {
      for (let round = 0; round < 12; round += 1) {
        const bytes = bodies[round % bodies.length]!
        const file = await where.file('f', bytes)
        const record = await where.packages.createPackageAndAddFile(info(alice, name, `${round}`), file)
        expect(await where.read(record.blob.hashSha256)).toBe(bytes)
        await file.content.discard()
        if (round % 4 !== 3) await where.packages.removal.removePackageVersion({ owner: alice, ...record }, alice)
      }
    }
    let isDone = false
    const collect = async (where: Registry) => {
      while (!isDone) {
        await where.packages.collectGarbage({ olderThan: -1 })
        await new Promise(setImmediate)
      }
    }
    const collecting = [collect(registry), collect(other)]
    const { errors } = await settle([
      publishAndRemove(registry, 'a'),
      publishAndRemove(registry, 'b'),
      publishAndRemove(other, 'a-other'),
      publishAndRemove(other, 'b-other'),
    ])
    isDone = true
    await Promise.all(collecting)
    expect(errors).toEqual([])
    await registry.packages.collectGarbage({ olderThan: -1 })
    const blobs = await registry.parts.models.packageBlob.findAll({ raw: true })
    expect((await registry.contents()).sort()).toEqual(blobs.map(({ hashSha256 }) => hashSha256).sort())
    expect(await registry.counts()).toMatchObject({ packages: 4, versions: 12, files: 12, blobs: 3 })
    expect([...registry.errors, ...other.errors]).toEqual([])
  })
})
