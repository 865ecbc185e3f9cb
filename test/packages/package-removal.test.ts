import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/owner.ts'
import type { FileRecord } from '../../src/packages/package-info.ts'
import type { PackageRules } from '../../src/packages/package-rules.ts'
import { testDialects } from '../support/test-database.ts'
import { info, Registry, settle } from './registry.ts'

describe.each(testDialects)('removal on %s', (dialect) => {
  let registry: Registry
  let alice: Owner
  let bob: Owner
  beforeEach(async () => {
    registry = await Registry.open(dialect)
    alice = await registry.owner('alice')
    bob = await registry.owner('bob')
  })
  afterEach(() => registry.close())

  const publish = async (name: string, version: string, filename: string, owner = alice) => {
    const property = [{ name: 'n', value: '' }]
    const record = await registry.packages.createPackageOrAddFileToExisting(
      info(owner, name, version, { packageProperties: property, versionProperties: property }),
      await registry.file(filename, `${name} ${version} ${filename}`, { properties: property }),
    )
    registry.events.length = 0
    return record
  }
  const deleted = (name: string, version: string) => ({
    ...{ action: 'deleted', owner: alice, type: 'generic', name, version, doer: bob },
    rows: { package: expect.objectContaining({ name }), version: expect.objectContaining({ version }) },
  })
  const changed = (lowerName: string) => ({ action: 'changed', ownerId: alice.id, type: 'generic', lowerName })
  const removed = ({ file }: FileRecord) => ({ action: 'file-removed', fileId: file.id })

  test('of a version takes its files and properties, and nothing else', async () => {
    const one = await publish('Tool', '1', 'f')
    const two = await publish('tool', '1', 'g')
    const other = await publish('tool', '2', 'f')
    expect(await registry.packages.removal.removePackageVersion({ owner: alice, ...one }, bob)).toBe(true)
    expect(registry.events).toEqual([removed(one), removed(two), changed('tool'), deleted('Tool', '1')])
    // Blobs, contents and the binding stay.
    expect(await registry.counts()).toEqual({
      packages: 1,
      versions: 1,
      files: 1,
      blobs: 3,
      properties: 3,
      bindings: 1,
    })
    expect(await registry.contents()).toHaveLength(3)
    const { lookup } = registry.packages
    expect(await lookup.findFile(alice.id, 'generic', 'tool', '1', 'g')).toBeNull()
    expect(await lookup.findFile(alice.id, 'generic', 'tool', '2', 'f')).toEqual(other)
  })

  test('of a version takes those that its type says go with it, whichever there are then', async () => {
    const asked: string[] = []
    const rules: PackageRules = {
      versionsRemovedWith: async (db, { packageId, version }, transaction) => {
        asked.push(version)
        if (version !== '1') return []
        const { models } = registry.parts
        expect(db).toBe(registry.parts.db)
        const others = await models.packageVersion.findAll({ where: { packageId, version: ['1a', '1b'] }, transaction })
        return others.map((row) => row.get({ plain: true }))
      },
    }
    await registry.close()
    registry = await Registry.open(dialect, { rules: new Map([['generic', rules]]) })
    alice = await registry.owner('alice')
    bob = await registry.owner('bob')
    const [one, a, b, two] = [
      await publish('tool', '1', 'f'),
      await publish('tool', '1a', 'f'),
      await publish('tool', '1b', 'f'),
      await publish('tool', '2', 'f'),
    ]
    const { removal } = registry.packages
    expect(await removal.removePackageVersion({ owner: alice, ...one }, bob)).toBe(true)
    expect(registry.events).toEqual([
      ...[removed(one), removed(a), removed(b), changed('tool')],
      ...[deleted('tool', '1'), deleted('tool', '1a'), deleted('tool', '1b')],
    ])
    expect(await registry.counts()).toMatchObject({ versions: 1, files: 1 })
    expect(await removal.removePackageVersion({ owner: alice, ...two }, bob)).toBe(true)
    // One that is gone has nothing to take with it.
    expect(await removal.removePackageVersion({ owner: alice, ...one }, bob)).toBe(false)
    expect(asked).toEqual(['1', '2'])
  })

  test.runIf(dialect === 'mysql')('of a version waits for uploads that change what goes along', async () => {
    let asked = false
    const rules: PackageRules = {
      versionsRemovedWith: async (_db, { packageId }, transaction) => {
        asked = true
        const { models } = registry.parts
        return models.packageVersion.findAll({ where: { packageId, version: '1a' }, raw: true, transaction })
      },
    }
    await registry.close()
    registry = await Registry.open(dialect, { rules: new Map([['generic', rules]]) })
    alice = await registry.owner('alice')
    const one = await publish('tool', '1', 'f')
    await publish('tool', '1a', 'f')
    const { db, models } = registry.parts
    const { version } = one
    let removal: Promise<boolean> | undefined
    await registry.packages.createPackageOrAddFileToExisting(
      info(alice, 'tool', '2'),
      await registry.file('f', 'two'),
      async ({ transaction }) => {
        const where = { packageId: version.packageId, version: '1a' }
        await models.packageVersion.update({ version: '2a', lowerVersion: '2a' }, { where, transaction })
        removal ??= registry.packages.removal.removePackageVersion({ owner: alice, ...one }, alice)
        const isWaiting = async () => {
          const [rows] = await db.sequelize.query(
            `SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'`,
          )
          return rows.length > 0
        }
        // The server shows this table anew only when nobody has looked for 100 ms.
        while (!asked && !(await isWaiting())) await new Promise((resolve) => setTimeout(resolve, 150))
        expect(asked).toBe(false)
      },
    )
    expect(await removal).toBe(true)
    const left = await models.packageVersion.findAll({ order: ['version'], raw: true })
    expect(left.map((row) => row.version)).toEqual(['2', '2a'])
  })

  test('of a package takes all versions, internal ones too', async () => {
    const one = await publish('tool', '1', 'f')
    const two = await publish('tool', '2', 'f')
    const other = await publish('other', '1', 'f')
    await registry.parts.models.packageVersion.update({ isInternal: true }, { where: { id: two.version.id } })
    expect(await registry.packages.removal.removePackage({ owner: alice, ...one }, bob)).toBe(true)
    expect(registry.events).toEqual([
      removed(one),
      removed(two),
      changed('tool'),
      // The other was nobody's to hear of.
      deleted('tool', '1'),
    ])
    expect(await registry.counts()).toEqual({
      packages: 1,
      versions: 1,
      files: 1,
      blobs: 3,
      properties: 3,
      bindings: 2,
    })
    expect(await registry.packages.lookup.findFile(alice.id, 'generic', 'other', '1', 'f')).toEqual(other)
  })

  test('of a file takes the version with the last one', async () => {
    const one = await publish('tool', '1', 'f')
    const two = await publish('tool', '1', 'g')
    const { removal } = registry.packages
    expect(await removal.removePackageFileAndVersionIfUnreferenced({ owner: alice, ...one }, bob)).toBe(true)
    expect(registry.events).toEqual([removed(one), changed('tool')])
    expect(await registry.counts()).toMatchObject({ versions: 1, files: 1, properties: 3 })
    registry.events.length = 0
    expect(await removal.removePackageFileAndVersionIfUnreferenced({ owner: alice, ...two }, bob)).toBe(true)
    expect(registry.events).toEqual([removed(two), changed('tool'), deleted('tool', '1')])
    expect(await registry.counts()).toMatchObject({ packages: 1, versions: 0, files: 0, properties: 1 })
  })

  test('of what is gone is no error and no event', async () => {
    const one = await publish('tool', '1', 'f')
    const target = { owner: alice, ...one }
    const { removal } = registry.packages
    await removal.removePackage(target, bob)
    registry.events.length = 0
    expect(await removal.removePackage(target, bob)).toBe(false)
    expect(await removal.removePackageVersion(target, bob)).toBe(false)
    expect(await removal.removePackageFileAndVersionIfUnreferenced(target, bob)).toBe(false)
    expect(registry.events).toEqual([])
  })

  test('twice at the same time happens once', async () => {
    const target = { owner: alice, ...(await publish('tool', '1', 'f')) }
    const { removal } = registry.packages
    const { values, errors } = await settle([
      removal.removePackageVersion(target, bob),
      removal.removePackageVersion(target, bob),
      removal.removePackageFileAndVersionIfUnreferenced(target, bob),
    ])
    expect(errors).toEqual([])
    expect(values.filter(Boolean)).toHaveLength(1)
    expect(registry.events.filter(({ action }) => action === 'deleted')).toHaveLength(1)
  })

  test('frees the version for another publish, and keeps the name hosted', async () => {
    const one = await publish('tool', '1', 'f')
    await registry.packages.removal.removePackage({ owner: alice, ...one }, bob)
    expect(await registry.parts.models.nameBinding.count()).toBe(1)
    const again = await publish('TOOL', '1', 'f')
    expect(again.package.name).toBe('TOOL')
    expect(await registry.counts()).toMatchObject({ packages: 1, versions: 1, bindings: 1 })
  })

  test('beside uploads to the same version leaves no file without version', async () => {
    for (let round = 0; round < 8; round += 1) {
      const target = { owner: alice, ...(await publish('tool', `${round}`, 'f')) }
      const files = await Promise.all(['g', 'h', 'i'].map((name) => registry.file(name, name)))
      const { removal } = registry.packages
      const { errors } = await settle<unknown>([
        registry.packages.createPackageOrAddFileToExisting(info(alice, 'tool', `${round}`), files[0]!),
        round % 2 === 0 ? removal.removePackageVersion(target, bob) : removal.removePackage(target, bob),
        registry.packages.createPackageOrAddFileToExisting(info(alice, 'tool', `${round}`), files[1]!),
        removal.removePackageFileAndVersionIfUnreferenced(target, bob),
        registry.packages.createPackageOrAddFileToExisting(info(alice, 'tool', `${round}`), files[2]!),
      ])
      expect(errors).toEqual([])
    }
    const { models } = registry.parts
    const packageIds = (await models.package.findAll({ raw: true })).map(({ id }) => id)
    const versions = await models.packageVersion.findAll({ raw: true })
    const files = await models.packageFile.findAll({ raw: true })
    expect(versions.filter(({ packageId }) => !packageIds.includes(packageId))).toEqual([])
    expect(files.filter(({ versionId }) => !versions.some(({ id }) => id === versionId))).toEqual([])
    expect(files.length).toBeGreaterThan(0)
  })

  test('of all packages of an owner spares other owners', async () => {
    await publish('a', '1', 'f')
    await publish('b', '1', 'f')
    await publish('a', '1', 'f', bob)
    await registry.packages.removal.removeAllPackages(alice, bob)
    expect(registry.events.filter(({ action }) => action === 'deleted')).toHaveLength(2)
    expect(await registry.counts()).toMatchObject({ packages: 1, versions: 1, files: 1 })
  })

  test('on a mirror can purge one name exactly, or one type, without deleted events', async () => {
    const { packages } = registry
    const mirror = await registry.owner('npmjs', 'mirror')
    for (const [type, name] of [
      ['npm', 'JSONStream'],
      ['npm', 'jsonstream'],
      ['generic', 'jsonstream'],
    ] as const) {
      await packages.addCachedFile({ owner: mirror, type, name, version: '1' }, await registry.file('f', name))
    }
    await packages.removal.removeAll(mirror, 'npm', 'jsonstream')
    expect(await packages.lookup.findPackage(mirror.id, 'npm', 'JSONStream')).not.toBeNull()
    expect(await registry.counts()).toMatchObject({ packages: 2 })
    await packages.removal.removeAll(mirror, 'npm')
    expect(await registry.counts()).toMatchObject({ packages: 1 })
    expect(registry.events.map(({ action }) => action)).toEqual(['file-removed', 'changed', 'file-removed', 'changed'])
  })
})
