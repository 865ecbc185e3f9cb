import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/owner.ts'
import type { CachedFileInfo } from '../../src/packages/package-info.ts'
import { testDialects } from '../support/test-database.ts'
import { Registry, settle } from './registry.ts'

describe.each(testDialects)('cached artifacts on %s', (dialect) => {
  let registry: Registry
  let mirror: Owner
  beforeEach(async () => {
    // Limits that would refuse everything, were mirrors not exempt.
    const limits = { limitTotalOwnerCount: 0, limitTotalOwnerSize: 0, limits: { npm: 0 } }
    registry = await Registry.open(dialect, { limits })
    mirror = await registry.owner('npmjs', 'mirror')
  })
  afterEach(() => registry.close())

  const artifact = (name: string, version: string): CachedFileInfo => ({ owner: mirror, type: 'npm', name, version })

  test('are ordinary rows, without creator, quota, binding or event', async () => {
    const { packages } = registry
    const record = await packages.addCachedFile(
      { ...artifact('left-pad', '1.0.0'), metadata: { a: 1 }, versionProperties: [{ name: 'v', value: '1' }] },
      await registry.file('left-pad-1.0.0.tgz', 'tar', { properties: [{ name: 'upstream.id', value: '7' }] }),
    )
    expect(record.version.creatorId).toBe(0)
    expect(await registry.counts()).toEqual({
      packages: 1,
      versions: 1,
      files: 1,
      blobs: 1,
      properties: 2,
      bindings: 0,
    })
    expect(registry.events).toEqual([])
    const [descriptor] = await packages.lookup.describe([record.version.id])
    expect(descriptor).toMatchObject({ owner: mirror, creator: null, metadata: { a: 1 } })
    expect(descriptor!.files[0]!.properties).toEqual([{ name: 'upstream.id', value: '7' }])
  })

  test('may be filed twice, and the work that belongs to it runs each time', async () => {
    const { packages } = registry
    const seen: number[] = []
    const add = async () =>
      packages.addCachedFile(
        artifact('a', '1.0.0'),
        await registry.file('a-1.0.0.tgz', 'tar', { properties: [{ name: 'p', value: '' }] }),
        async ({ file }) => {
          seen.push(file.id)
        },
      )
    const first = await add()
    const second = await add()
    expect(second).toEqual(first)
    expect(seen).toEqual([first.file.id, first.file.id])
    expect(await registry.counts()).toMatchObject({ versions: 1, files: 1, properties: 1 })
    expect(registry.events).toEqual([])
  })

  test('may be filed by many at once', async () => {
    const files = await Promise.all(
      Array.from({ length: 40 }, (_, index) => registry.file(`f${index % 10}.tgz`, `tar ${index % 5}`)),
    )
    const versions = files.map((_, index) => artifact(`p${index % 4}`, `${index % 2}.0.0`))
    const { errors } = await settle(files.map((file, index) => registry.packages.addCachedFile(versions[index]!, file)))
    expect(errors).toEqual([])
    // Package, version and file depend on the index by its rest modulo 4, 2 and 10.
    expect(await registry.counts()).toMatchObject({ packages: 4, versions: 4, files: 20, blobs: 5 })
  })

  test('are replaced by other bytes, under another id', async () => {
    const { packages } = registry
    const first = await packages.addCachedFile(artifact('a', '1'), await registry.file('f', 'old'))
    const second = await packages.addCachedFile(artifact('a', '1'), await registry.file('f', 'new'))
    expect(second.file.id).not.toBe(first.file.id)
    expect(registry.events).toEqual([{ action: 'file-removed', fileId: first.file.id }])
    const found = await packages.lookup.findFile(mirror.id, 'npm', 'a', '1', 'f')
    expect(await registry.read(found!.blob.hashSha256)).toBe('new')
    expect(await registry.counts()).toMatchObject({ files: 1 })
  })

  test('keep the case of their names: upstreams have two packages that differ in nothing else', async () => {
    const { packages } = registry
    for (const name of ['JSONStream', 'jsonstream']) {
      await packages.addCachedFile(artifact(name, '1.0.0'), await registry.file(`${name}-1.0.0.tgz`, name))
    }
    expect(await registry.counts()).toMatchObject({ packages: 2, versions: 2, files: 2 })
    for (const name of ['JSONStream', 'jsonstream']) {
      const found = await packages.lookup.findFile(mirror.id, 'npm', name, '1.0.0', `${name}-1.0.0.tgz`)
      expect(await registry.read(found!.blob.hashSha256)).toBe(name)
    }
    // Asked in a third way, names mean the lower-case one.
    expect(await packages.lookup.findPackage(mirror.id, 'npm', 'JsonStream')).toMatchObject({ name: 'jsonstream' })
    expect((await packages.lookup.search({ q: 'NSTREAM', page: 1, limit: 10 })).total).toBe(2)
  })

  test('that come together are filed together, each with its own rows, texts and work', async () => {
    const { packages, parts } = registry
    const texts = [
      "it's",
      'a\\b',
      '"quoted"',
      '\\',
      "\\'",
      '$1 :x ?',
      '😀',
      '%_',
      '-- x',
      '/* x',
      'x;',
      "');",
      'Ünï',
      '{}',
      '`',
    ]
    const worked: unknown[] = []
    const add = async (text: string, index: number) => {
      const file = await registry.file(`${text}.tgz`, `bytes ${index}`, {
        compositeKey: text,
        properties: [{ name: text, value: text }],
        isLead: index % 2 === 0,
      })
      const filed = await packages.addCachedFile(
        {
          ...artifact(text, '1.0.0'),
          metadata: { text, list: [text] },
          packageProperties: [{ name: 'p', value: text }],
          versionProperties: [{ name: 'v', value: text }],
        },
        file,
        async ({ package: row, file: { id }, transaction }) => {
          expect(await parts.models.packageFile.count({ where: { id }, transaction })).toBe(1)
          worked.push([row.name, id])
        },
      )
      return filed
    }
    const records = await Promise.all(texts.map(add))
    expect(records.map((record) => record.package.name)).toEqual(texts)
    expect(worked).toEqual(expect.arrayContaining(records.map(({ file }, index) => [texts[index], file.id])))
    expect(worked).toHaveLength(texts.length)
    const descriptors = await packages.lookup.describe(records.map(({ version }) => version.id))
    for (const [index, text] of texts.entries()) {
      const { package: packageRow, version, file, blob } = records[index]!
      expect(descriptors[index]).toEqual({
        ...{ owner: mirror, creator: null, package: packageRow, version, metadata: { text, list: [text] } },
        files: [{ file, blob, properties: [{ name: text, value: text }] }],
        packageProperties: [{ name: 'p', value: text }],
        versionProperties: [{ name: 'v', value: text }],
        repository: null,
      })
      expect(file).toMatchObject({ name: `${text}.tgz`, compositeKey: text, isLead: index % 2 === 0 })
      expect(await registry.read(blob.hashSha256)).toBe(`bytes ${index}`)
      expect(await packages.lookup.findFile(mirror.id, 'npm', text, '1.0.0', `${text}.tgz`, text)).toEqual(
        records[index],
      )
    }
  })

  test('that come together share new packages and versions, and replace what has other bytes', async () => {
    const { packages } = registry
    const old = await packages.addCachedFile(
      artifact('a', '1'),
      await registry.file('f', 'old', { properties: [{ name: 'n', value: 'old' }] }),
    )
    const kept = await packages.addCachedFile(artifact('a', '1'), await registry.file('g', 'kept'))
    const contents = ['other', 'new', 'kept', 'x', 'y', 'z', 'new']
    const filenames = ['h', 'f', 'g', 'f', 'g', 'f', 'f']
    const versions = ['1', '1', '1', '2', '2', '3', '1']
    const files = await Promise.all(filenames.map((name, index) => registry.file(name, contents[index]!)))
    const records = await Promise.all(
      files.map((file, index) =>
        packages.addCachedFile(
          { ...artifact('a', versions[index]!), versionProperties: [{ name: 'v', value: '' }] },
          file,
        ),
      ),
    )
    expect(records.map(({ file }) => file.name)).toEqual(filenames)
    expect(records.map(({ version }) => version.version)).toEqual(versions)
    expect(records[2]!.file).toEqual(kept.file)
    expect(records[6]!.file).toEqual(records[1]!.file)
    // The properties of the replaced file are gone; the two new versions have one each.
    expect(await registry.counts()).toMatchObject({ packages: 1, versions: 3, files: 6, properties: 2 })
    expect(registry.events).toEqual([{ action: 'file-removed', fileId: old.file.id }])
  })

  test('one that cannot be filed does not keep others from it', async () => {
    const { packages } = registry
    const attempts = Array.from({ length: 10 }, async (_, index) =>
      packages.addCachedFile(artifact(`p${index}`, '1'), await registry.file('f', `${index}`), async () => {
        if (index === 4) throw new Error('no')
      }),
    )
    const { values, errors } = await settle(attempts)
    expect(errors).toEqual([new Error('no')])
    expect(values).toHaveLength(9)
    expect(await registry.counts()).toMatchObject({ packages: 9, versions: 9, files: 9, blobs: 10 })
    expect(await packages.lookup.findPackage(mirror.id, 'npm', 'p4')).toBeNull()
  })

  test('that come together cost few statements for all', async () => {
    const files = await Promise.all(
      Array.from({ length: 31 }, (_, index) =>
        registry.file('f', `${index}`, { properties: [{ name: 'p', value: '' }] }),
      ),
    )
    // The first is filed alone, since nobody else is there yet; then four tables, each read, written and read again.
    const queries = await registry.queriesOf(() =>
      Promise.all(files.map((file, index) => registry.packages.addCachedFile(artifact(`p${index}`, '1'), file))),
    )
    expect(await registry.counts()).toMatchObject({ files: 31, properties: 31 })
    expect(queries).toBeLessThanOrEqual(9 + 17)
  })

  test('cost few statements', async () => {
    const { packages } = registry
    const [one, two, three] = [
      await registry.file('f', '1'),
      await registry.file('f', '2', { properties: [{ name: 'p', value: '' }] }),
      await registry.file('f', '1'),
    ]
    // BEGIN (MariaDB: and its isolation level), one SELECT, four INSERTs, COMMIT; properties are one more.
    const begin = dialect === 'sqlite' ? 1 : 2
    expect(await registry.queriesOf(() => packages.addCachedFile(artifact('a', '1'), one))).toBe(begin + 6)
    expect(await registry.queriesOf(() => packages.addCachedFile(artifact('b', '1'), two))).toBe(begin + 7)
    expect(await registry.queriesOf(() => packages.addCachedFile(artifact('a', '1'), three))).toBe(begin + 2)
  })
})

describe.each(testDialects)('blobs of documents on %s', (dialect) => {
  let registry: Registry
  beforeEach(async () => {
    registry = await Registry.open(dialect)
  })
  afterEach(() => registry.close())

  test('are stored once, however many store them at once', async () => {
    const entries = await Promise.all(Array.from({ length: 10 }, () => registry.content('document')))
    const rows = await Promise.all(entries.map((entry) => registry.packages.storeBlob(entry, { durable: false })))
    expect(new Set(rows.map(({ id }) => id)).size).toBe(1)
    expect(await registry.counts()).toMatchObject({ blobs: 1 })
    expect(await registry.read(rows[0]!.hashSha256)).toBe('document')
  })

  test('are referred to in the same transaction, or not at all', async () => {
    const { packages, parts } = registry
    const refer = (fails: boolean) => async () => {
      const entry = await registry.content('document')
      return packages.storeBlob(entry, { durable: false }, async ({ blob, transaction }) => {
        await parts.models.packageProperty.create(
          { refType: 0, refId: blob.id, name: 'reference', value: '' },
          { transaction },
        )
        if (fails) throw new Error('refused')
      })
    }
    await expect(refer(true)()).rejects.toThrow('refused')
    expect(await registry.counts()).toMatchObject({ properties: 0 })
    await refer(false)()
    expect(await registry.counts()).toMatchObject({ properties: 1, blobs: 1 })
  })
})
