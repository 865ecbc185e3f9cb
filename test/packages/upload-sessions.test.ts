import { randomBytes, randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/owner.ts'
import { InsufficientStorage, Invalid, NotFound, RangeNotSatisfiable } from '../../src/errors.ts'
import type { UploadBinding, UploadSession, UploadSessions } from '../../src/packages/upload-sessions.ts'
import { digestsOf } from '../../src/storage/digest.ts'
import type { SpoolEntry } from '../../src/storage/spool.ts'
import { testDialects } from '../support/test-database.ts'
import { DAY, info, Registry, settle } from './registry.ts'

const MIB = 1024 * 1024

describe.each(testDialects)('upload sessions on %s', (dialect) => {
  let registry: Registry
  let alice: Owner
  let uploads: UploadSessions
  let binding: UploadBinding
  beforeEach(async () => {
    registry = await Registry.open(dialect)
    alice = await registry.owner('alice')
    uploads = registry.packages.uploads
    binding = { userId: alice.id, ownerId: alice.id, name: 'app' }
  })
  afterEach(async () => {
    expect(registry.errors).toEqual([])
    await registry.close()
  })

  const append = async (session: UploadSession, bytes: string | Buffer, where = registry) => {
    const entry = await where.content(bytes)
    return where.packages.uploads.append(session, entry).finally(() => entry.discard())
  }
  /** What the session would become. */
  const contentOf = async (session: UploadSession, last: string | Buffer = '', where = registry) => {
    const rest = await where.content(last)
    const content = await where.packages.uploads.content(session, rest)
    const bytes = await readAll(content)
    expect(content.digests).toEqual(digestsOf(bytes))
    await Promise.all([content.discard(), rest.discard()])
    return bytes
  }
  const finish = (session: UploadSession, content: SpoolEntry, where = registry) =>
    where.packages.createPackageOrAddFileToExisting(
      info(alice, 'app', '~waiting', { isInternal: true }),
      { filename: content.digests.sha256, content, isLead: false, overwrite: true },
      ({ transaction }) => where.packages.uploads.end(session, transaction),
    )
  const rows = () => registry.parts.models.packageBlobUpload.count()
  const folders = () => registry.parts.uploadParts.list()

  test.runIf(dialect === 'sqlite')('wait for their turn to write', async () => {
    const { db } = registry.parts
    const [kept, cancelled] = [await uploads.open(binding), await uploads.open(binding)]
    const entry = await registry.content('x')
    const works = await db.inTransaction(async () => {
      const started = [uploads.open(binding), uploads.append(kept, entry), uploads.cancel(cancelled)]
      const folder = registry.parts.uploadParts
      while (!(await folder.list()).includes(kept.id)) await db.check()
      const checks = 20
      const asked = db.queries
      for (let check = 0; check < checks; check += 1) await db.check()
      expect(db.queries - asked).toBe(checks)
      return started
    })
    await Promise.all(works)
    await entry.discard()
    expect((await uploads.get(kept.id, binding)).size).toBe(1)
    expect(await rows()).toBe(2)
  })

  test('gather bytes in order, also from a second process', async () => {
    const other = registry.replica()
    const opened = await uploads.open(binding)
    expect(await uploads.get(opened.id, binding)).toEqual({ ...binding, id: opened.id, size: 0, parts: [] })
    const pieces = [randomBytes(2 * MIB), Buffer.from('middle'), randomBytes(MIB + 1)]
    for (const [index, piece] of pieces.entries()) {
      const where = index % 2 === 0 ? registry : other
      const session = await where.packages.uploads.get(opened.id, binding)
      expect((await append(session, piece, where)).size).toBe(Buffer.concat(pieces.slice(0, index + 1)).length)
    }
    const session = await other.packages.uploads.get(opened.id, binding)
    const whole = Buffer.concat(pieces)
    expect(session.size).toBe(whole.length)
    expect((await contentOf(session, '', other)).equals(whole)).toBe(true)
    expect((await contentOf(session, 'end')).equals(Buffer.concat([whole, Buffer.from('end')]))).toBe(true)
  })

  test.each([
    ['nothing', [], ''],
    ['one last piece', [], 'last'],
    ['one part', ['part'], ''],
    ['one part and a last piece', ['part'], 'last'],
    ['two parts', ['one', 'two'], ''],
  ] as const)('are read as a whole of %s', async (_what, parts, last) => {
    let session = await uploads.open(binding)
    for (const part of parts) session = await append(session, part)
    expect((await contentOf(await uploads.get(session.id, binding), last)).toString()).toBe([...parts, last].join(''))
  })

  test('are found only by their id, user, owner and name', async () => {
    const { id } = await uploads.open(binding)
    const wrong: [string, UploadBinding][] = [
      [randomUUID(), binding],
      [id.toUpperCase(), binding],
      [`${id} `, binding],
      ['../../etc/passwd', binding],
      ['', binding],
      ['x'.repeat(10_000), binding],
      [id, { ...binding, userId: 0 }],
      [id, { ...binding, userId: alice.id + 1 }],
      [id, { ...binding, ownerId: alice.id + 1 }],
      [id, { ...binding, name: 'other' }],
      [id, { ...binding, name: 'App' }],
      [id, { ...binding, name: 'app ' }],
    ]
    for (const [asked, by] of wrong) await expect(uploads.get(asked, by)).rejects.toThrow(NotFound)
    expect((await uploads.get(id, binding)).id).toBe(id)
  })

  test('take the part of one of many who append at once, and nothing of the others', async () => {
    const other = registry.replica()
    const session = await append(await uploads.open(binding), 'start ')
    const { values, errors } = await settle(
      Array.from({ length: 8 }, (_, index) => append(session, `part ${index}`, index % 2 === 0 ? registry : other)),
    )
    expect(values).toHaveLength(1)
    expect(errors).toHaveLength(7)
    for (const error of errors) {
      expect(error).toBeInstanceOf(RangeNotSatisfiable)
      expect(error).toMatchObject({ subject: 'upload' })
    }
    const now = await uploads.get(session.id, binding)
    expect(now.size).toBe('start part 0'.length)
    expect((await contentOf(now)).toString()).toMatch(/^start part \d$/)
  })

  test('become a blob once, whoever finishes them at the same time', async () => {
    const other = registry.replica()
    const session = await append(await uploads.open(binding), randomBytes(2 * MIB))
    const nothing = await registry.content('')
    const contents = await Promise.all([
      uploads.content(session, nothing),
      uploads.content(session, nothing),
      other.packages.uploads.content(session, nothing),
    ])
    const { values, errors } = await settle([
      finish(session, contents[0]),
      finish(session, contents[1]),
      finish(session, contents[2], other),
    ])
    expect(values).toHaveLength(1)
    for (const error of errors) expect(error).toBeInstanceOf(NotFound)
    await uploads.release(session.id)
    await Promise.all(contents.map((content) => content.discard()))
    expect(await registry.counts()).toMatchObject({ files: 1, blobs: 1 })
    expect([await rows(), await folders()]).toEqual([0, []])
    expect(await registry.store.has(values[0]!.blob.hashSha256)).toBe(true)
    await expect(uploads.get(session.id, binding)).rejects.toThrow(NotFound)
    await expect(append(session, 'late')).rejects.toThrow(NotFound)
    await expect(contentOf(session)).rejects.toThrow(NotFound)
    expect(await folders()).toEqual([])
  })

  test('are as they were when what should end them fails', async () => {
    const bytes = randomBytes(2 * MIB)
    const session = await append(await uploads.open(binding), bytes)
    for (const attempt of [1, 2]) {
      const nothing = await registry.content('')
      const content = await uploads.content(session, nothing)
      const refused = registry.packages.createPackageOrAddFileToExisting(
        info(alice, 'app', '~waiting', { isInternal: true }),
        { filename: 'f', content, isLead: false },
        async ({ transaction }) => {
          await uploads.end(session, transaction)
          throw new Error(`refused ${attempt}`)
        },
      )
      await expect(refused).rejects.toThrow(`refused ${attempt}`)
      await content.discard()
    }
    expect(await registry.counts()).toMatchObject({ packages: 0, versions: 0, files: 0 })
    // What the failure has left in the store is anybody's to collect, and the session does not need it.
    for (const sha256 of await registry.contents()) await registry.store.delete(sha256)
    const now = await uploads.get(session.id, binding)
    expect((await contentOf(now)).equals(bytes)).toBe(true)
    const nothing = await registry.content('')
    const { blob } = await finish(now, await uploads.content(now, nothing))
    expect(await registry.store.has(blob.hashSha256)).toBe(true)
  })

  test('that were overtaken are not ended', async () => {
    const session = await append(await uploads.open(binding), 'one')
    const nothing = await registry.content('')
    const content = await uploads.content(session, nothing)
    await append(session, 'two')
    await expect(finish(session, content)).rejects.toThrow(RangeNotSatisfiable)
    expect((await contentOf(await uploads.get(session.id, binding))).toString()).toBe('onetwo')
  })

  test('are cancelled with all their bytes, once', async () => {
    const session = await append(await uploads.open(binding), 'bytes')
    await uploads.cancel(session)
    expect([await rows(), await folders()]).toEqual([0, []])
    await expect(uploads.cancel(session)).rejects.toThrow(NotFound)
  })

  test('cancelled while somebody appends leave nothing', async () => {
    const other = registry.replica()
    for (let round = 0; round < 10; round += 1) {
      const session = await append(await uploads.open(binding), 'start')
      const { errors } = await settle<unknown>([
        append(session, randomBytes(2 * MIB)),
        append(session, 'x', other),
        uploads.cancel(session),
      ])
      for (const error of errors) expect([NotFound, RangeNotSatisfiable]).toContain(error.constructor)
      await expect(uploads.get(session.id, binding)).rejects.toThrow(NotFound)
    }
    expect([await rows(), await folders()]).toEqual([0, []])
  })

  test('keep what they had when the disk is full', async () => {
    const session = await append(await uploads.open(binding), 'before')
    const { uploadParts } = registry.parts
    const put = uploadParts.put.bind(uploadParts)
    uploadParts.put = async () => {
      throw new InsufficientStorage('full')
    }
    await expect(append(session, 'more')).rejects.toThrow(InsufficientStorage)
    uploadParts.put = put
    const now = await uploads.get(session.id, binding)
    expect(now).toEqual(session)
    expect((await append(now, ' after')).size).toBe(12)
  })

  test('have what they were given although the database did not say so', async () => {
    const session = await uploads.open(binding)
    const { db } = registry.parts
    const transact = db.inTransaction
    db.inTransaction = async (work) => {
      await transact.call(db, work)
      throw new Error('the connection is gone')
    }
    await expect(append(session, 'bytes')).rejects.toThrow('the connection is gone')
    db.inTransaction = transact
    expect((await contentOf(await uploads.get(session.id, binding))).toString()).toBe('bytes')
  })

  test('have 10,000 parts at most', async () => {
    const session = await uploads.open(binding)
    const parts = Array.from({ length: 10_000 }, (_, index) => ({ name: `${index}-a`, size: 1 }))
    const where = { where: { id: session.id } }
    await registry.parts.models.packageBlobUpload.update({ size: 10_000, parts: JSON.stringify(parts) }, where)
    const full = await uploads.get(session.id, binding)
    expect(full.parts).toHaveLength(10_000)
    await expect(append(full, 'x')).rejects.toThrow(Invalid)
  })

  test('expire after a day without a new part, and bytes that no session knows at once', async () => {
    const [idle, busy] = [await append(await uploads.open(binding), 'idle'), await uploads.open(binding)]
    const forgotten = await append(await uploads.open(binding), 'forgotten')
    await registry.parts.models.packageBlobUpload.destroy({ where: { id: forgotten.id } })
    registry.now += DAY / 2
    const grown = await append(busy, 'busy')
    registry.now += DAY / 2
    await registry.packages.collectGarbage()
    expect(await uploads.get(idle.id, binding)).toEqual(idle)
    expect((await folders()).sort()).toEqual([idle.id, busy.id].sort())
    registry.now += 1
    await registry.packages.collectGarbage()
    await expect(uploads.get(idle.id, binding)).rejects.toThrow(NotFound)
    expect((await contentOf(grown)).toString()).toBe('busy')
    expect(await folders()).toEqual([busy.id])
  })
})

async function readAll(entry: SpoolEntry): Promise<Buffer> {
  const bytes = Buffer.alloc(entry.size)
  for (let position = 0; position < bytes.length; )
    position += await entry.read(bytes.subarray(position, position + 100_000), position)
  return bytes
}
