import { afterEach, describe, expect, test } from 'vitest'
import { Conflict, Invalid, MethodNotAllowed, NotFound } from '../../src/errors.ts'
import { testDialects } from '../support/test-database.ts'
import { DAY, info, Registry, type RegistryOptions, settle } from './registry.ts'

// Two inputs with one MD5, published by Wang, Feng, Lai and Yu in 2004.
const COLLISION = [
  'd131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70',
  'd131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f8955ad340609f4b30283e4888325f1415a085125e8f7cdc99fd91dbd7280373c5bd8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0e99f33420f577ee8ce54b67080280d1ec69821bcb6a8839396f965ab6ff72a70',
].map((hex) => Buffer.from(hex, 'hex'))

const nothing = { packages: 0, versions: 0, files: 0, blobs: 0, properties: 0, bindings: 0 }

describe.each(testDialects)('uploads on %s', (dialect) => {
  let registry: Registry
  const open = async (options?: RegistryOptions) => {
    registry = await Registry.open(dialect, options)
    return registry
  }
  afterEach(() => registry.close())

  test('a first upload writes everything once and announces it', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const metadata = { description: 'it\'s \\ "quoted" $1 :x ? 😀', list: [1, null] }
    const record = await packages.createPackageAndAddFile(
      info(alice, 'Tool', '1.0-RC', {
        metadata,
        packageProperties: [{ name: 'p', value: "o'clock \\ $1" }],
        versionProperties: [
          { name: 'v', value: '1' },
          { name: 'v', value: '2' },
        ],
      }),
      await registry.file('Tool.bin', 'bytes', { properties: [{ name: 'f', value: '' }] }),
    )
    expect(record.package).toMatchObject({ name: 'Tool', lowerName: 'tool', type: 'generic', ownerId: alice.id })
    expect(record.version).toMatchObject({ version: '1.0-RC', lowerVersion: '1.0-rc', creatorId: alice.id })
    expect(record.file).toMatchObject({ name: 'Tool.bin', lowerName: 'tool.bin', compositeKey: '', isLead: true })
    expect(record.blob).toMatchObject({ size: 5, createdAt: registry.now })
    expect(await registry.counts()).toEqual({
      packages: 1,
      versions: 1,
      files: 1,
      blobs: 1,
      properties: 4,
      bindings: 1,
    })
    expect(await registry.read(record.blob.hashSha256)).toBe('bytes')
    const [descriptor] = await packages.lookup.describe([record.version.id])
    expect(descriptor).toEqual({
      owner: alice,
      creator: alice,
      package: record.package,
      repository: null,
      version: record.version,
      files: [{ file: record.file, blob: record.blob, properties: [{ name: 'f', value: '' }] }],
      packageProperties: [{ name: 'p', value: "o'clock \\ $1" }],
      versionProperties: [
        { name: 'v', value: '1' },
        { name: 'v', value: '2' },
      ],
      metadata,
    })
    expect(registry.events).toEqual([
      { action: 'changed', ownerId: alice.id, type: 'generic', lowerName: 'tool' },
      {
        ...{ action: 'created', owner: alice, type: 'generic', name: 'Tool', version: '1.0-RC', doer: alice },
        rows: { package: record.package, version: record.version },
      },
    ])
  })

  test('a version is published once, whatever its case', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    await packages.createPackageAndAddFile(info(alice, 'Tool', '1.0-RC'), await registry.file('a', 'one'))
    const before = await registry.counts()
    registry.events.length = 0
    const again = packages.createPackageAndAddFile(info(alice, 'tOOL', '1.0-rc'), await registry.file('b', 'two'))
    await expect(again).rejects.toMatchObject({ kind: 'conflict', subject: 'version' })
    expect(await registry.counts()).toEqual(before)
    expect(await registry.contents()).toHaveLength(1)
    expect(registry.events).toEqual([])
    await packages.createPackageAndAddFile(info(alice, 'TOOL', '2.0'), await registry.file('b', 'two'))
    expect(await registry.counts()).toMatchObject({ packages: 1, versions: 2, bindings: 1 })
    expect(await packages.lookup.findPackage(alice.id, 'generic', 'toOL')).toMatchObject({ name: 'Tool' })
  })

  test('equal names of other owners and types are other packages', async () => {
    const { packages } = await open()
    const [alice, bob] = [await registry.owner('alice'), await registry.owner('bob')]
    for (const owner of [alice, bob]) {
      for (const type of ['generic', 'npm']) {
        await packages.createPackageAndAddFile(info(owner, 'a', '1', { type }), await registry.file('f', 'same'))
      }
    }
    expect(await registry.counts()).toMatchObject({ packages: 4, versions: 4, files: 4, blobs: 1, bindings: 4 })
  })

  test('a file is added to a version that keeps its metadata, and is not replaced', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const first = await packages.createPackageOrAddFileToExisting(
      info(alice, 'a', '1', { metadata: { first: true }, versionProperties: [{ name: 'v', value: '1' }] }),
      await registry.file('one', '1'),
    )
    registry.events.length = 0
    const second = await packages.createPackageOrAddFileToExisting(
      info(alice, 'a', '1', { metadata: { first: false }, versionProperties: [{ name: 'v', value: '2' }] }),
      await registry.file('two', '2', { isLead: false }),
    )
    expect(second.version).toEqual(first.version)
    expect(second.version.metadataJson).toBe('{"first":true}')
    expect(second.file.isLead).toBe(false)
    expect(await registry.counts()).toMatchObject({ versions: 1, files: 2, properties: 1 })
    expect(registry.events.map(({ action }) => action)).toEqual(['changed'])
    const other = packages.createPackageOrAddFileToExisting(info(alice, 'a', '1'), await registry.file('TWO', 'other'))
    await expect(other).rejects.toMatchObject({ kind: 'conflict', subject: 'file' })
    const found = await packages.lookup.findFile(alice.id, 'generic', 'a', '1', 'two')
    expect(await registry.read(found!.blob.hashSha256)).toBe('2')
  })

  test('composite keys tell files of one name apart', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    for (const compositeKey of ['', 'x|y', 'x|Y']) {
      await packages.createPackageOrAddFileToExisting(
        info(alice, 'a', '1'),
        await registry.file('f', `for ${compositeKey}`, { compositeKey }),
      )
    }
    const found = await packages.lookup.findFile(alice.id, 'generic', 'a', '1', 'f', 'x|Y')
    expect(await registry.read(found!.blob.hashSha256)).toBe('for x|Y')
    expect(await packages.lookup.findFile(alice.id, 'generic', 'a', '1', 'f', 'X|Y')).toBeNull()
  })

  test('an overwriting upload replaces the file, unless the bytes are the same', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const upload = async (bytes: string) =>
      packages.createPackageOrAddFileToExisting(
        info(alice, 'a', '1'),
        await registry.file('f', bytes, { overwrite: true, properties: [{ name: 'n', value: bytes }] }),
      )
    const first = await upload('old')
    registry.events.length = 0
    const same = await upload('old')
    expect(same.file).toEqual(first.file)
    expect(registry.events).toEqual([])
    const replaced = await upload('new')
    expect(replaced.file.id).not.toBe(first.file.id)
    expect(await registry.counts()).toMatchObject({ versions: 1, files: 1, blobs: 2, properties: 1 })
    expect(registry.events).toContainEqual({ action: 'file-removed', fileId: first.file.id })
    const found = await packages.lookup.findFile(alice.id, 'generic', 'a', '1', 'f')
    expect(await registry.read(found!.blob.hashSha256)).toBe('new')
  })

  test('a file is added only to a version that exists', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const target = { owner: alice, type: 'generic', name: 'a', version: '1' }
    const missing = packages.addFileToExistingPackage(target, await registry.file('f', 'x'))
    await expect(missing).rejects.toThrow(NotFound)
    await expect(missing).rejects.toMatchObject({ subject: 'package' })
    expect(await registry.counts()).toEqual(nothing)
    expect(await registry.contents()).toEqual([])
    await packages.createPackageAndAddFile(info(alice, 'a', '1'), await registry.file('f', 'x'))
    await packages.addFileToExistingPackage(target, await registry.file('symbols', 'y'))
    await expect(packages.addFileToExistingPackage(target, await registry.file('f', 'z'))).rejects.toThrow(Conflict)
    expect(await registry.counts()).toMatchObject({ versions: 1, files: 2 })
  })

  test('equal bytes are one blob, and bytes with one MD5 are two', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const records = []
    for (const [index, bytes] of [...COLLISION, COLLISION[0]!].entries()) {
      records.push(
        await packages.createPackageAndAddFile(info(alice, 'a', `${index}`), await registry.file('f', bytes)),
      )
    }
    const [one, two, three] = records.map(({ blob }) => blob)
    expect(one!.hashMd5).toBe(two!.hashMd5)
    expect(one!.hashSha256).not.toBe(two!.hashSha256)
    expect(three).toEqual(one)
    expect(await registry.counts()).toMatchObject({ blobs: 2, files: 3 })
    expect(await registry.contents()).toHaveLength(2)
  })

  test('of concurrent first publishes of one version exactly one succeeds', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const files = await Promise.all(Array.from({ length: 12 }, (_, index) => registry.file('f', `bytes ${index}`)))
    const { values, errors } = await settle(
      files.map((file) => packages.createPackageAndAddFile(info(alice, 'a', '1'), file)),
    )
    expect(values).toHaveLength(1)
    expect(errors.map((error) => [error.constructor, (error as Conflict).subject])).toEqual(
      Array.from({ length: 11 }, () => [Conflict, 'version']),
    )
    expect(await registry.counts()).toMatchObject({ packages: 1, versions: 1, files: 1, bindings: 1 })
    expect(registry.events.filter(({ action }) => action === 'created')).toHaveLength(1)
    const found = await packages.lookup.findFile(alice.id, 'generic', 'a', '1', 'f')
    expect(await registry.read(found!.blob.hashSha256)).toMatch(/^bytes/)
  })

  test('concurrent first uploads of different files of one version all succeed', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const names = Array.from({ length: 30 }, (_, index) => `f${index}`)
    // Half of them share their bytes, so that they also meet in the blob's row.
    const files = await Promise.all(names.map((name, index) => registry.file(name, index % 2 === 0 ? 'same' : name)))
    const { errors } = await settle(
      files.map((file) => packages.createPackageOrAddFileToExisting(info(alice, 'a', '1'), file)),
    )
    expect(errors).toEqual([])
    expect(await registry.counts()).toMatchObject({ packages: 1, versions: 1, files: 30, blobs: 16, bindings: 1 })
    expect(registry.events.filter(({ action }) => action === 'created')).toHaveLength(1)
  })

  test('of concurrent uploads of one file exactly one succeeds', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const files = await Promise.all(Array.from({ length: 12 }, (_, index) => registry.file('f', `${index % 3}`)))
    const { values, errors } = await settle(
      files.map((file) => packages.createPackageOrAddFileToExisting(info(alice, 'a', '1'), file)),
    )
    expect(values).toHaveLength(1)
    for (const error of errors) expect(error).toMatchObject({ kind: 'conflict', subject: 'file' })
  })

  test('concurrent uploads of equal bytes to different packages share one blob', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const files = await Promise.all(Array.from({ length: 25 }, () => registry.file('f', 'same')))
    const { errors } = await settle(
      files.map((file, index) => packages.createPackageAndAddFile(info(alice, `p${index}`, '1'), file)),
    )
    expect(errors).toEqual([])
    expect(await registry.counts()).toMatchObject({ packages: 25, files: 25, blobs: 1 })
  })

  test('an upload that fails in its transaction leaves nothing that can be seen', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const attempt = packages.createPackageAndAddFile(
      info(alice, 'a', '1', { packageProperties: [{ name: 'p', value: '' }] }),
      await registry.file('f', 'lost', { properties: [{ name: 'f', value: '' }] }),
      async ({ version, file, transaction }) => {
        expect(await registry.parts.models.packageFile.count({ where: { id: file.id }, transaction })).toBe(1)
        throw new Error(`no ${version.version}`)
      },
    )
    await expect(attempt).rejects.toThrow('no 1')
    // The blob's row alone: by it garbage collection finds the content.
    expect(await registry.counts()).toEqual({ ...nothing, blobs: 1 })
    expect(registry.events).toEqual([])
    expect(await packages.lookup.findPackage(alice.id, 'generic', 'a')).toBeNull()
    expect((await packages.lookup.search({ page: 1, limit: 10 })).total).toBe(0)
    registry.now += 2 * DAY
    expect(await packages.collectGarbage()).toEqual({ blobs: 1, bytes: 4 })
    expect(await registry.contents()).toEqual([])
  })

  test('work that belongs to an upload is committed with it', async () => {
    const { packages, parts } = await open()
    const alice = await registry.owner('alice')
    const { version } = await packages.createPackageAndAddFile(
      info(alice, 'a', '1'),
      await registry.file('f', 'x'),
      async (created) => {
        const { transaction } = created
        await parts.models.packageProperty.create(
          { refType: 0, refId: created.version.id, name: 'npm.tag', value: 'latest' },
          { transaction },
        )
      },
    )
    const [descriptor] = await packages.lookup.describe([version.id])
    expect(descriptor!.versionProperties).toEqual([{ name: 'npm.tag', value: 'latest' }])
  })

  test('a lost content is put again by the next upload of its bytes', async () => {
    const { packages, store } = await open()
    const alice = await registry.owner('alice')
    const { blob } = await packages.createPackageAndAddFile(info(alice, 'a', '1'), await registry.file('f', 'x'))
    await store.delete(blob.hashSha256)
    await packages.createPackageAndAddFile(info(alice, 'a', '2'), await registry.file('f', 'x'))
    expect(await registry.read(blob.hashSha256)).toBe('x')
  })

  test('a name that is bound to an upstream cannot be published until it is released', async () => {
    const { packages, parts } = await open()
    const acme = await registry.owner('acme', 'organization')
    const times = { createdAt: 1, updatedAt: 1 }
    const upstream = await parts.models.upstream.create({
      ...times,
      name: 'public-things',
      ownerId: 99,
      type: 'generic',
      baseUrl: '',
    })
    const binding = await parts.models.nameBinding.create({
      ownerId: acme.id,
      type: 'generic',
      lowerName: 'left-pad',
      upstreamId: upstream.id,
      createdAt: 1,
    })
    const publish = async () =>
      packages.createPackageAndAddFile(info(acme, 'Left-Pad', '1'), await registry.file('f', 'x'))
    await expect(publish()).rejects.toMatchObject({ kind: 'conflict', subject: 'package' })
    await expect(publish()).rejects.toThrow(/public-things.*confirm by PUT/)
    expect(await registry.counts()).toEqual({ ...nothing, bindings: 1 })
    await binding.destroy()
    await publish()
    expect(await parts.models.nameBinding.findAll({ raw: true })).toMatchObject([
      { ownerId: acme.id, type: 'generic', lowerName: 'left-pad', upstreamId: 0 },
    ])
  })

  test('nothing is published to a mirror', async () => {
    const { packages } = await open()
    const mirror = await registry.owner('npmjs', 'mirror')
    const attempt = packages.createPackageAndAddFile(info(mirror, 'a', '1'), await registry.file('f', 'x'))
    await expect(attempt).rejects.toThrow(MethodNotAllowed)
    expect(await registry.counts()).toEqual(nothing)
  })

  test.each([
    ['empty', ''],
    ['of 256 characters', 'x'.repeat(256)],
    ['of 256 characters in lower case', `${'x'.repeat(254)}İ`],
    ['with a blank at the end', 'x '],
    ['with a blank at the start', ' x'],
    ['with a NUL', 'x\0y'],
    ['with a line feed', 'x\ny'],
    ['with half a surrogate pair', 'x\ud83d'],
  ])('a name, version or file name %s is refused before anything is stored', async (_what, text) => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    for (const [name, version, filename] of [
      [text, '1', 'f'],
      ['a', text, 'f'],
      ['a', '1', text],
    ] as const) {
      const attempt = packages.createPackageAndAddFile(info(alice, name, version), await registry.file(filename, 'x'))
      await expect(attempt).rejects.toThrow(Invalid)
    }
    expect(await registry.counts()).toEqual(nothing)
    expect(await registry.contents()).toEqual([])
  })

  test('names of 255 characters of any plane are kept and found', async () => {
    const { packages } = await open()
    const alice = await registry.owner('alice')
    const name = '😀'.repeat(255)
    await packages.createPackageAndAddFile(info(alice, name, 'Ünï-1'), await registry.file('ДАТА 100%_', 'x'))
    const found = await packages.lookup.findFile(alice.id, 'generic', name, 'ÜNÏ-1', 'дата 100%_')
    expect(found).toMatchObject({ package: { name }, version: { version: 'Ünï-1' }, file: { name: 'ДАТА 100%_' } })
  })
})
