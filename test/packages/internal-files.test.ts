import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/owner.ts'
import { Conflict, MethodNotAllowed } from '../../src/errors.ts'
import type { PackageCreationInfo } from '../../src/packages/package-info.ts'
import { testDialects } from '../support/test-database.ts'
import { DAY, info, Registry, settle } from './registry.ts'

describe.each(testDialects)('internal versions on %s', (dialect) => {
  let registry: Registry
  let alice: Owner
  beforeEach(async () => {
    registry = await Registry.open(dialect)
    alice = await registry.owner('alice')
  })
  afterEach(async () => {
    expect(registry.errors).toEqual([])
    await registry.close()
  })

  const waiting = (name = 'app'): PackageCreationInfo => info(alice, name, '~waiting', { isInternal: true })
  const upload = async (filename: string, bytes: string | Buffer = filename, name = 'app') =>
    registry.packages.createPackageOrAddFileToExisting(
      waiting(name),
      await registry.file(filename, bytes, { isLead: false, overwrite: true, properties: [{ name: 'p', value: 'v' }] }),
    )
  const link = (filename: string, blob: { hashSha256: string; size: number }, name = 'app', more = {}) =>
    registry.packages.addFileOfExistingBlob(waiting(name), { filename, blob, isLead: false, overwrite: true, ...more })

  test('are neither found nor announced nor bound', async () => {
    const record = await upload('f')
    expect(record.version).toMatchObject({ isInternal: true, version: '~waiting', metadataJson: 'null' })
    const { lookup } = registry.packages
    expect(await lookup.findVersion(alice.id, 'generic', 'app', '~waiting')).toBeNull()
    expect(await lookup.findFile(alice.id, 'generic', 'app', '~waiting', 'f')).toBeNull()
    expect(await lookup.findVersions(record.package.id)).toEqual([])
    expect(await registry.counts()).toMatchObject({ packages: 1, versions: 1, files: 1, bindings: 0 })
    expect(registry.events.map(({ action }) => action)).toEqual(['changed'])
    await registry.packages.removal.removePackageFileAndVersionIfUnreferenced({ owner: alice, ...record }, alice)
    expect(registry.events.map(({ action }) => action)).toEqual(['changed', 'file-removed', 'changed'])
    expect(await registry.counts()).toMatchObject({ versions: 0, files: 0 })
  })

  test('leave the name to be bound by the first version that is not', async () => {
    await upload('f')
    await registry.packages.createPackageAndAddFile(info(alice, 'app', '1'), await registry.file('f', 'x'))
    expect(await registry.counts()).toMatchObject({ packages: 1, versions: 2, bindings: 1 })
    expect(registry.events.map(({ action }) => action)).toEqual(['changed', 'changed', 'created'])
  })

  test('lose their files after a day, and go with the last; renewed ones stay', async () => {
    const old = await upload('old')
    await upload('renewed')
    const linked = await upload('linked')
    const elsewhere = await upload('alone', 'alone', 'other')
    const kept = await registry.packages.createPackageAndAddFile(
      info(alice, 'app', '1'),
      await registry.file('lead', 'x'),
    )
    registry.now += DAY / 2
    const renewed = await upload('renewed')
    expect(renewed.file.createdAt).toBe(registry.now)
    expect((await link('linked', linked.blob))?.file).toEqual({ ...linked.file, createdAt: registry.now })
    registry.now += DAY / 2
    await registry.packages.collectGarbage()
    expect(await registry.counts()).toMatchObject({ versions: 3, files: 5 })
    registry.events.length = 0
    registry.now += 1
    await registry.packages.collectGarbage()
    expect(registry.events).toEqual([
      { action: 'file-removed', fileId: old.file.id },
      { action: 'changed', ownerId: alice.id, type: 'generic', lowerName: 'app' },
      { action: 'file-removed', fileId: elsewhere.file.id },
      { action: 'changed', ownerId: alice.id, type: 'generic', lowerName: 'other' },
    ])
    expect(await registry.counts()).toEqual({
      packages: 1,
      versions: 2,
      files: 3,
      blobs: 3,
      properties: 2,
      bindings: 1,
    })
    expect(await registry.read(old.blob.hashSha256)).toBeNull()
    registry.now += DAY
    await registry.packages.collectGarbage()
    expect(await registry.counts()).toMatchObject({ packages: 1, versions: 1, files: 1, blobs: 1, properties: 0 })
    expect(await registry.packages.lookup.findFile(alice.id, 'generic', 'app', '1', 'lead')).toEqual(kept)
  })

  test('that are empty go at once', async () => {
    const record = await upload('f')
    await registry.parts.models.packageFile.destroy({ where: { id: record.file.id } })
    await registry.packages.collectGarbage()
    expect(await registry.counts()).toMatchObject({ packages: 0, versions: 0 })
  })

  test('are not taken from below an upload', async () => {
    const other = registry.replica()
    let isDone = false
    const expire = async () => {
      while (!isDone) {
        await other.packages.collectGarbage({ olderThan: -1 })
        await new Promise(setImmediate)
      }
    }
    const expiring = expire()
    const { values, errors } = await settle(Array.from({ length: 20 }, (_, index) => upload(`f${index % 3}`)))
    isDone = true
    await expiring
    expect(errors).toEqual([])
    expect(values).toHaveLength(20)
    await registry.packages.collectGarbage({ olderThan: -1 })
    expect(await registry.counts()).toMatchObject({ packages: 0, versions: 0, files: 0, blobs: 0 })
    expect(await registry.contents()).toEqual([])
  })

  describe('a file over an existing blob', () => {
    test('has rows of its own and the same bytes, forced to disk', async () => {
      const { blob } = await upload('f', 'shared')
      let synced = 0
      const sync = registry.store.sync.bind(registry.store)
      registry.store.sync = async (sha256) => {
        synced += 1
        return sync(sha256)
      }
      const properties = [{ name: 'q', value: 'w' }]
      const record = await link('g', blob, 'other', { properties })
      expect(record).toMatchObject({ blob, package: { name: 'other' }, file: { name: 'g', blobId: blob.id } })
      expect(synced).toBe(1)
      expect(await registry.counts()).toMatchObject({ packages: 2, versions: 2, files: 2, blobs: 1, properties: 2 })
    })

    test('is not made when the blob, or its content, is gone', async () => {
      const { blob } = await upload('f', 'shared')
      expect(await link('g', { hashSha256: 'a'.repeat(64), size: 6 }, 'other')).toBeNull()
      await registry.store.delete(blob.hashSha256)
      expect(await link('g', blob, 'other')).toBeNull()
      expect(await registry.counts()).toMatchObject({ packages: 1, files: 1 })
    })

    test('is not made when its content goes between', async () => {
      const { blob } = await upload('f', 'shared')
      const has = registry.store.has.bind(registry.store)
      registry.store.has = async () => false
      expect(await link('g', blob, 'other')).toBeNull()
      registry.store.has = has
      expect(await registry.counts()).toMatchObject({ packages: 1, files: 1 })
    })

    test('obeys the rules of uploads', async () => {
      const mirror = await registry.owner('mirror', 'mirror')
      const { blob } = await upload('f', 'shared')
      const other = await upload('g', 'different')
      await expect(link('f', other.blob, 'app', { overwrite: false })).rejects.toThrow(Conflict)
      const file = { filename: 'f', blob, isLead: false }
      await expect(registry.packages.addFileOfExistingBlob({ ...waiting(), owner: mirror }, file)).rejects.toThrow(
        MethodNotAllowed,
      )
      const replaced = await link('f', other.blob)
      expect(replaced?.blob).toEqual(other.blob)
    })

    test('loses nothing to garbage collection at the same time', async () => {
      const replica = registry.replica()
      const bytes = randomBytes(1000)
      for (let round = 0; round < 10; round += 1) {
        const record = await upload('f', bytes)
        await registry.packages.removal.removePackage({ owner: alice, ...record }, alice)
        const [linked] = await Promise.all([
          registry.packages.addFileOfExistingBlob(info(alice, 'other', '1'), {
            ...{ filename: 'g', blob: record.blob, isLead: false },
          }),
          replica.packages.collectGarbage({ olderThan: -1 }),
        ])
        const { files, blobs } = await registry.counts()
        const isThere = await registry.store.has(record.blob.hashSha256)
        expect({ files, blobs, isThere }).toEqual(
          linked === null ? { files: 0, blobs: 0, isThere: false } : { files: 1, blobs: 1, isThere: true },
        )
        await registry.packages.removal.removeAllPackages(alice, alice)
      }
    })
  })

  test('what a slice has found out of a package is remembered until it changes', async () => {
    const { lookup } = registry.packages
    const record = await upload('f')
    let asked = 0
    const ask = (rest: string[] = [], name = 'app') =>
      lookup.remember({ ownerId: alice.id, type: 'generic', name }, 'question', rest, async () => {
        asked += 1
        return { asked }
      })
    expect([await ask(), await ask(), await ask(['x']), await ask([], 'other')]).toEqual([
      { asked: 1 },
      { asked: 1 },
      { asked: 2 },
      { asked: 3 },
    ])
    await upload('g')
    expect([await ask(), await ask([], 'other')]).toEqual([{ asked: 4 }, { asked: 3 }])
    await registry.packages.removal.removePackageFileAndVersionIfUnreferenced({ owner: alice, ...record }, alice)
    expect(await ask()).toEqual({ asked: 5 })
    const fail = () =>
      lookup.remember({ ownerId: alice.id, type: 'generic', name: 'app' }, 'failure', [], async () => {
        asked += 1
        throw new Error('no answer')
      })
    await expect(fail()).rejects.toThrow('no answer')
    await expect(fail()).rejects.toThrow('no answer')
    expect(asked).toBe(7)
    expect([await ask(['a\nb']), await ask(['a\nb'])]).toEqual([{ asked: 8 }, { asked: 9 }])
  })
})
