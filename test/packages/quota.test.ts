import { Readable } from 'node:stream'
import { afterEach, describe, expect, test } from 'vitest'
import { Conflict, QuotaExceeded } from '../../src/errors.ts'
import { testDialects } from '../support/test-database.ts'
import { info, Registry, settle } from './registry.ts'

const messages = {
  type: 'maximum allowed package type size exceeded',
  size: 'maximum allowed package storage quota exceeded',
  count: 'maximum allowed package count exceeded',
}

describe.each(testDialects)('quotas on %s', (dialect) => {
  let registry: Registry
  afterEach(() => registry.close())

  const expectRefused = async (attempt: Promise<unknown>, message: string) => {
    const { errors } = await settle([attempt])
    expect(errors.map((error) => [error.constructor, error.message])).toEqual([[QuotaExceeded, message]])
  }
  const publish = async (owner: Parameters<typeof info>[0], name: string, bytes: string, more = {}) =>
    registry.packages.createPackageOrAddFileToExisting(
      info(owner, name, '1', more),
      await registry.file(`${bytes.length}-${bytes.slice(0, 20)}`, bytes),
    )

  test('of a type limit the size of one file', async () => {
    registry = await Registry.open(dialect, { limits: { limits: { npm: 4, generic: 0 } } })
    const { packages } = registry
    const alice = await registry.owner('alice')
    const limits = ['npm', 'generic', 'maven', 'constructor'].map((type) => packages.quota.typeLimit(alice, type))
    expect(await Promise.all(limits)).toEqual([4, 0, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY])
    await publish(alice, 'a', '1234', { type: 'npm' })
    await expectRefused(publish(alice, 'a', '12345', { type: 'npm' }), messages.type)
    await publish(alice, 'empty', '')
    await expectRefused(publish(alice, 'a', '1'), messages.type)
    await publish(alice, 'a', 'x'.repeat(100), { type: 'maven' })
    expect(await registry.counts()).toMatchObject({ files: 3 })
  })

  test('of the owner limit the bytes of all files, equal ones counted each time', async () => {
    registry = await Registry.open(dialect, { limits: { limitTotalOwnerSize: 10 } })
    const [alice, bob] = [await registry.owner('alice'), await registry.owner('bob')]
    await publish(alice, 'a', '1234')
    await publish(alice, 'b', '1234', { type: 'npm' })
    await expectRefused(publish(alice, 'c', '123'), messages.size)
    await publish(alice, 'c', '12')
    await expectRefused(publish(alice, 'd', '1'), messages.size)
    await publish(bob, 'a', '1234567890')
    const { removal, lookup } = registry.packages
    const found = await lookup.findFile(alice.id, 'generic', 'a', '1', '4-1234')
    await removal.removePackageVersion({ owner: alice, ...found! }, alice)
    await publish(alice, 'd', '1234')
  })

  test('of the owner limit the versions, of all types together', async () => {
    registry = await Registry.open(dialect, { limits: { limitTotalOwnerCount: 2 } })
    const [alice, bob] = [await registry.owner('alice'), await registry.owner('bob')]
    await publish(alice, 'a', '1')
    await publish(alice, 'a', '1', { type: 'npm' })
    await publish(alice, 'a', 'another')
    await expectRefused(publish(alice, 'b', '1'), messages.count)
    await publish(bob, 'a', '1')
    expect(await registry.counts()).toMatchObject({ versions: 3, files: 4 })
  })

  test('count the files of internal versions, and not the versions', async () => {
    registry = await Registry.open(dialect, { limits: { limitTotalOwnerCount: 1, limitTotalOwnerSize: 8 } })
    const alice = await registry.owner('alice')
    await publish(alice, 'a', '1234', { isInternal: true })
    await publish(alice, 'b', '123')
    await publish(alice, 'c', '1', { isInternal: true })
    await expectRefused(publish(alice, 'c', '12', { isInternal: true }), messages.size)
    await expectRefused(publish(alice, 'd', ''), messages.count)
  })

  test('let pass what adds nothing', async () => {
    registry = await Registry.open(dialect, { limits: { limitTotalOwnerSize: 4 } })
    const alice = await registry.owner('alice')
    const again = async (bytes: string) =>
      registry.packages.createPackageOrAddFileToExisting(
        info(alice, 'a', '1'),
        await registry.file('f', bytes, { overwrite: true }),
      )
    const first = await again('1234')
    expect((await again('1234')).file).toEqual(first.file)
    await expectRefused(again('4321'), messages.size)
  })

  test('leave a body without a length the room that is left', async () => {
    const limits = { limitTotalOwnerSize: 10, limits: { npm: 5, maven: 100 } }
    registry = await Registry.open(dialect, { limits })
    const [alice, admin] = [await registry.owner('alice'), await registry.owner('admin', 'user', true)]
    const { quota } = registry.packages
    await publish(alice, 'a', '1234')
    expect(await quota.room(alice, alice, 'npm')).toEqual({ limit: 5, limitMessage: messages.type })
    expect(await quota.room(alice, alice, 'maven')).toEqual({ limit: 6, limitMessage: messages.size })
    expect((await quota.room(admin, alice, 'npm')).limit).toBe(Number.POSITIVE_INFINITY)
  })

  test('count what unfinished uploads have received, but not twice', async () => {
    registry = await Registry.open(dialect, { limits: { limitTotalOwnerSize: 10 } })
    const [alice, bob] = [await registry.owner('alice'), await registry.owner('bob')]
    const { quota, uploads } = registry.packages
    await publish(alice, 'a', '1234')
    const session = await uploads.open({ userId: bob.id, ownerId: alice.id, name: 'app' })
    const entry = await registry.content('123')
    await uploads.append(session, entry).finally(() => entry.discard())
    expect((await quota.room(alice, alice, 'container')).limit).toBe(3)
    expect((await quota.room(alice, alice, 'container', 3)).limit).toBe(6)
    expect((await quota.room(bob, bob, 'container')).limit).toBe(10)
    await publish(alice, 'b', '123456')
  })

  test('limit how many uploads of an owner are unfinished', async () => {
    registry = await Registry.open(dialect)
    const [alice, admin] = [await registry.owner('alice'), await registry.owner('admin', 'user', true)]
    const { quota } = registry.packages
    const session = (number: number) => ({
      ...{ id: String(number).padStart(36, '0'), userId: alice.id, ownerId: alice.id, name: 'app' },
      ...{ size: 0, parts: '[]', createdAt: 0, updatedAt: 0 },
    })
    const { packageBlobUpload } = registry.parts.models
    await packageBlobUpload.bulkCreate(Array.from({ length: 999 }, (_, number) => session(number)))
    await quota.checkUploads(alice, alice)
    await packageBlobUpload.create(session(999))
    await expectRefused(quota.checkUploads(alice, alice), 'there are 1000 unfinished uploads: end or cancel some')
    await quota.checkUploads(admin, alice)
    await quota.checkUploads(alice, admin)
  })

  test('exempt site admins who upload, not owners who are site admins', async () => {
    const limits = { limitTotalOwnerCount: 0, limitTotalOwnerSize: 0, limits: { generic: 0 } }
    registry = await Registry.open(dialect, { limits })
    const admin = await registry.owner('admin', 'user', true)
    const alice = await registry.owner('alice')
    await publish(alice, 'a', '1234', { creator: admin })
    await expectRefused(publish(admin, 'a', '1234', { creator: alice }), messages.count)
    await expectRefused(publish(admin, 'a', '1234', { creator: null }), messages.count)
  })

  test('refuse by length before the body is read, and store nothing of what they refuse', async () => {
    registry = await Registry.open(dialect, { limits: { limitTotalOwnerSize: 10, limits: { npm: 5 } } })
    const [alice, mirror] = [await registry.owner('alice'), await registry.owner('mirror', 'mirror')]
    await publish(alice, 'a', '1234')
    const receive = async (owner: typeof alice, type: string, length: number) => {
      const body = Readable.from([Buffer.alloc(length)])
      const entry = await registry.packages.receive({ creator: null, owner, type }, body, length)
      expect(entry.size).toBe(length)
      await entry.discard()
    }
    await expectRefused(receive(alice, 'npm', 6), messages.type)
    await expectRefused(receive(alice, 'generic', 7), messages.size)
    await receive(alice, 'generic', 6)
    await receive(mirror, 'npm', 1_000)
    const before = await registry.contents()
    await expectRefused(publish(alice, 'b', '1234567'), messages.size)
    expect(await registry.contents()).toEqual(before)
  })

  test('come after conflicts: an existing version is reported as such', async () => {
    registry = await Registry.open(dialect, { limits: { limitTotalOwnerCount: 1, limitTotalOwnerSize: 1 } })
    const alice = await registry.owner('alice')
    await publish(alice, 'a', '1')
    const again = registry.packages.createPackageAndAddFile(info(alice, 'a', '1'), await registry.file('f', '22'))
    await expect(again).rejects.toThrow(Conflict)
  })

  test('are exact for concurrent uploads of versions', async () => {
    registry = await Registry.open(dialect, { limits: { limitTotalOwnerCount: 5 } })
    const alice = await registry.owner('alice')
    const files = await Promise.all(Array.from({ length: 20 }, (_, index) => registry.file('f', `${index}`)))
    const { values, errors } = await settle(
      files.map((file, index) =>
        registry.packages.createPackageAndAddFile(info(alice, `p${index % 7}`, `${index}`), file),
      ),
    )
    expect(values).toHaveLength(5)
    expect(new Set(errors.map(({ message }) => message))).toEqual(new Set([messages.count]))
    expect(await registry.counts()).toMatchObject({ versions: 5, files: 5 })
  })

  test('are exact for concurrent uploads of files', async () => {
    registry = await Registry.open(dialect, { limits: { limitTotalOwnerSize: 70 } })
    const alice = await registry.owner('alice')
    const files = await Promise.all(
      Array.from({ length: 20 }, (_, index) => registry.file(`f${index}`, `${index % 2}`.padEnd(10))),
    )
    const { values, errors } = await settle(
      files.map((file, index) =>
        registry.packages.createPackageOrAddFileToExisting(info(alice, `p${index % 3}`, '1'), file),
      ),
    )
    expect(values).toHaveLength(7)
    expect(new Set(errors.map(({ message }) => message))).toEqual(new Set([messages.size]))
  })
})
