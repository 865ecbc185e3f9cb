import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/owner.ts'
import { testDialects } from '../support/test-database.ts'
import { info, Registry } from './registry.ts'

describe.each(testDialects)('look-ups on %s', (dialect) => {
  let registry: Registry
  let alice: Owner
  beforeEach(async () => {
    registry = await Registry.open(dialect)
    alice = await registry.owner('alice')
  })
  afterEach(() => registry.close())

  const publish = async (name: string, version: string, filename = 'f', bytes = 'x') =>
    registry.packages.createPackageOrAddFileToExisting(info(alice, name, version), await registry.file(filename, bytes))

  /** Everything that can be asked about one file, and about nothing. */
  const askAll = async ({ packages }: Registry = registry) => {
    const { lookup } = packages
    const found = await lookup.findPackage(alice.id, 'generic', 'Tool')
    return [
      found,
      await lookup.findVersion(alice.id, 'generic', 'tool', '1.0'),
      await lookup.findFile(alice.id, 'generic', 'tool', '1.0', 'F'),
      await lookup.latest(alice.id, 'generic', 'TOOL'),
      found === null ? [] : await lookup.findVersions(found.id),
      await lookup.findPackage(alice.id, 'generic', 'none'),
      await lookup.findVersion(alice.id, 'generic', 'tool', '9'),
      await lookup.findFile(alice.id, 'generic', 'tool', '1.0', 'none'),
    ]
  }

  test('find versions in their own case where the type tells cases apart', async () => {
    await registry.close()
    registry = await Registry.open(dialect, { rules: new Map([['generic', { hasCaseSensitiveVersions: true }]]) })
    alice = await registry.owner('alice')
    const { version, package: row } = await publish('tool', 'v1')
    const { lookup } = registry.packages
    expect(await lookup.findVersion(alice.id, 'generic', 'TOOL', 'v1')).toEqual(version)
    for (const name of ['tool', 'TOOL']) {
      expect(await lookup.findVersion(alice.id, 'generic', name, 'V1')).toBeNull()
      expect(await lookup.findFile(alice.id, 'generic', name, 'V1', 'f')).toBeNull()
    }
    // How uploads spell versions is the slice's business.
    const upper = await registry.parts.models.packageVersion.create({
      ...{ packageId: row.id, version: 'V1', lowerVersion: 'V1', createdAt: 0, metadataJson: 'null' },
    })
    lookup.forget(row)
    expect((await lookup.findVersion(alice.id, 'generic', 'TOOL', 'V1'))?.id).toBe(upper.id)
    expect(await lookup.findVersion(alice.id, 'generic', 'Tool', 'v1')).toEqual(version)
  })

  test('run no SQL when warm, neither for what is there nor for what is not', async () => {
    const record = await publish('Tool', '1.0')
    const cold = await askAll()
    expect(cold).toEqual([record.package, record.version, record, record.version, [record.version], null, null, null])
    let warm: unknown
    const queries = await registry.queriesOf(async () => {
      warm = await askAll()
    })
    expect(queries).toBe(0)
    expect(warm).toEqual(cold)
  })

  test('take one statement each when cold', async () => {
    await publish('tool', '1.0')
    const { lookup } = registry.packages
    expect(await registry.queriesOf(() => lookup.findFile(alice.id, 'generic', 'tool', '1.0', 'f'))).toBe(1)
    expect(await registry.queriesOf(() => lookup.findVersion(alice.id, 'generic', 'tool', '1.0'))).toBe(1)
    const asked = () => lookup.findPackage(alice.id, 'generic', 'tool')
    expect(await registry.queriesOf(() => Promise.all([asked(), asked(), asked()]))).toBe(1)
  })

  test('cannot be changed by who gets them', async () => {
    await publish('tool', '1.0')
    const found = (await registry.packages.lookup.findFile(alice.id, 'generic', 'tool', '1.0', 'f'))!
    for (const row of [found, found.package, found.version, found.file, found.blob])
      expect(Object.isFrozen(row)).toBe(true)
    expect(Object.isFrozen(await registry.packages.lookup.findVersions(found.package.id))).toBe(true)
  })

  test('see each change at once, here and on other replicas (S29)', async () => {
    const other = registry.replica()
    const absent = Array.from({ length: 8 }, (_, index) => (index === 4 ? [] : null))
    for (const one of [registry, other]) expect(await askAll(one)).toEqual(absent)
    const record = await publish('Tool', '1.0')
    for (const one of [registry, other])
      expect((await askAll(one)).slice(0, 3)).toEqual([record.package, record.version, record])
    const second = await publish('tool', '2.0')
    for (const one of [registry, other]) {
      expect((await askAll(one)).slice(3, 5)).toEqual([second.version, [record.version, second.version]])
    }
    await registry.packages.removal.removePackageVersion({ owner: alice, ...record }, alice)
    for (const one of [registry, other]) {
      expect(await askAll(one)).toEqual([
        record.package,
        null,
        null,
        second.version,
        [second.version],
        null,
        null,
        null,
      ])
    }
    await registry.packages.removal.removePackage({ owner: alice, ...record }, alice)
    for (const one of [registry, other]) expect(await askAll(one)).toEqual(absent)
  })

  test('that run while a change is committed do not keep the old answer', async () => {
    for (let version = 1; version <= 10; version += 1) {
      const racing = [askAll(), publish('tool', `${version}`), askAll()]
      await Promise.all(racing)
      const { lookup } = registry.packages
      expect(await lookup.latest(alice.id, 'generic', 'tool')).toMatchObject({ version: `${version}` })
      const { id } = (await lookup.findPackage(alice.id, 'generic', 'tool'))!
      expect(await lookup.findVersions(id)).toHaveLength(version)
    }
  })

  test('find nothing by names that only look equal', async () => {
    await publish('tool', '1.0')
    const { lookup } = registry.packages
    for (const name of ['tool ', ' tool', 'to_l', 'to%l', 'tööl', 'tool\0', 'tool\n', 'x'.repeat(10_000), '']) {
      expect(await lookup.findPackage(alice.id, 'generic', name)).toBeNull()
      expect(await lookup.findVersion(alice.id, 'generic', name, '1.0')).toBeNull()
    }
    for (const version of ['1.0 ', '1_0', '1.0\n', '%']) {
      expect(await lookup.findVersion(alice.id, 'generic', 'tool', version)).toBeNull()
      expect(await lookup.findFile(alice.id, 'generic', 'tool', version, 'f')).toBeNull()
    }
    for (const filename of ['f ', '_', '']) {
      expect(await lookup.findFile(alice.id, 'generic', 'tool', '1.0', filename)).toBeNull()
    }
    expect(await lookup.findFile(alice.id, 'generic', 'tool', '1.0', 'f', ' ')).toBeNull()
    expect(await lookup.findPackage(alice.id, 'npm', 'tool')).toBeNull()
    expect(await lookup.findPackage(alice.id + 1, 'generic', 'tool')).toBeNull()
  })

  test('do not confuse parts of one question with those of another', async () => {
    await publish('a', 'b/c', 'd')
    await publish('a', 'b', 'c/d', 'other')
    const { lookup } = registry.packages
    const one = await lookup.findFile(alice.id, 'generic', 'a', 'b/c', 'd')
    const two = await lookup.findFile(alice.id, 'generic', 'a', 'b', 'c/d')
    expect(one!.file.id).not.toBe(two!.file.id)
    expect(await lookup.findFile(alice.id, 'generic', 'a', 'b\nc', 'd')).toBeNull()
  })

  test('do not see internal rows', async () => {
    const { models } = registry.parts
    const record = await publish('tool', '1.0')
    await models.packageVersion.create({
      packageId: record.package.id,
      version: '_upload',
      lowerVersion: '_upload',
      createdAt: registry.now,
      isInternal: true,
      metadataJson: 'null',
    })
    await models.package.create({ ownerId: alice.id, type: 'generic', name: '_x', lowerName: '_x', isInternal: true })
    const { lookup } = registry.packages
    expect(await lookup.findPackage(alice.id, 'generic', '_x')).toBeNull()
    expect(await lookup.findVersion(alice.id, 'generic', 'tool', '_upload')).toBeNull()
    expect(await lookup.latest(alice.id, 'generic', 'tool')).toEqual(record.version)
    expect(await lookup.findVersions(record.package.id)).toEqual([record.version])
    expect(await lookup.search({ page: 1, limit: 10 })).toEqual({ total: 1, versionIds: [record.version.id] })
  })

  test('the latest version is the one inserted last', async () => {
    await publish('tool', '2.0')
    await publish('tool', '1.0')
    expect(await registry.packages.lookup.latest(alice.id, 'generic', 'tool')).toMatchObject({ version: '1.0' })
  })
})

describe.each(testDialects)('descriptors on %s', (dialect) => {
  let registry: Registry
  beforeEach(async () => {
    registry = await Registry.open(dialect)
  })
  afterEach(() => registry.close())

  test('take the same number of statements for one version and for many', async () => {
    const ids: number[] = []
    for (let index = 0; index < 12; index += 1) {
      const owner = await registry.owner(`owner${index}`)
      const creator = await registry.owner(`creator${index}`)
      for (const filename of ['b', 'a', 'C']) {
        const { version } = await registry.packages.createPackageOrAddFileToExisting(
          info(owner, `p${index}`, '1', { creator, versionProperties: [{ name: 'n', value: `${index}` }] }),
          await registry.file(filename, `${index} ${filename}`, { properties: [{ name: 'f', value: filename }] }),
        )
        if (filename === 'b') ids.push(version.id)
      }
    }
    const { lookup } = registry.packages
    const forOne = await registry.queriesOf(() => lookup.describe(ids.slice(0, 1)))
    expect(await registry.queriesOf(() => lookup.describe(ids))).toBe(forOne)
    expect(forOne).toBeLessThanOrEqual(4)
    expect(await registry.queriesOf(() => lookup.describe([]))).toBe(0)

    const asked = [ids[5]!, 987_654, ids[2]!]
    const descriptors = await lookup.describe(asked)
    expect(descriptors.map(({ package: row }) => row.name)).toEqual(['p5', 'p2'])
    expect(descriptors[0]).toMatchObject({
      owner: { name: 'owner5' },
      creator: { name: 'creator5' },
      versionProperties: [{ name: 'n', value: '5' }],
      packageProperties: [],
      metadata: null,
    })
    const files = descriptors[0]!.files.map(({ file, properties }) => [file.name, properties])
    expect(files).toEqual(['a', 'b', 'C'].map((name) => [name, [{ name: 'f', value: name }]]))
  })

  test('survive metadata that is not JSON and creators that are gone', async () => {
    const alice = await registry.owner('alice')
    const bob = await registry.owner('bob')
    const { version } = await registry.packages.createPackageAndAddFile(
      info(alice, 'a', '1', { creator: bob }),
      await registry.file('f', 'x'),
    )
    await registry.parts.models.packageVersion.update({ metadataJson: '{' }, { where: { id: version.id } })
    await registry.parts.models.user.destroy({ where: { id: bob.id } })
    const [descriptor] = await registry.packages.lookup.describe([version.id])
    expect(descriptor).toMatchObject({ creator: null, metadata: null })
  })
})
