import { createHash } from 'node:crypto'
import { mkdir, readdir, truncate, unlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'
import { beside, runCommand } from './run-command.ts'

const LONG_AGO = new Date(Date.now() - 25 * 60 * 60 * 1_000)

describe('doctor on blobs', () => {
  let app: TestApp
  beforeEach(async () => {
    app = await TestApp.start()
  })
  afterEach(() => app.close())

  const doctor = (...args: string[]) => runCommand(['doctor', ...args], beside(app))
  const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex')
  const pathOf = (hash: string) => join(app.dataDir, 'packages', hash.slice(0, 2), hash.slice(2, 4), hash)
  const upload = async (owner: string, version: string, payload: string) => {
    const url = `/api/packages/${owner}/generic/app/${version}/app.bin`
    const headers = { authorization: app.admin }
    expect((await app.inject({ method: 'PUT', url, payload, headers })).statusCode).toBe(201)
    return sha256(payload)
  }
  const store = async (bytes: string | Buffer, hash = sha256(bytes)) => {
    await mkdir(dirname(pathOf(hash)), { recursive: true })
    await writeFile(pathOf(hash), bytes)
    return hash
  }

  test('all is well: exit code 0, no warning about blobs, and nothing was changed', async () => {
    await upload('root', '1', 'content')
    await upload('root', '2', '')
    const before = (await readdir(app.dataDir, { recursive: true })).sort()
    for (const args of [[], ['--verify']]) {
      const { code, stdout } = await doctor(...args)
      expect(code).toBe(0)
      expect(stdout).toMatch(
        /^ok {4}blobs {10}2 rows, 7 bytes: every content that is needed is there and has its size/m,
      )
      expect(stdout).toMatch(/^ok {4}orphans/m)
      expect(stdout).toMatch(/\n0 failures, \d+ warnings?\n$/)
    }
    expect((await readdir(app.dataDir, { recursive: true })).sort()).toEqual(before)
  })

  test('a missing and a truncated content fail, name who needs them, and say what to do', async () => {
    await app.createOrganization('acme')
    const missing = await upload('acme', '1.0', 'the one that is gone')
    const truncated = await upload('root', '2.0', 'the one that is cut off')
    await upload('root', '3.0', 'whole')
    await unlink(pathOf(missing))
    await truncate(pathOf(truncated), 7)
    const { code, stdout } = await doctor()
    expect(code).toBe(1)
    expect(stdout).toMatch(/^fail {2}blobs {10}3 rows, 48 bytes: 1 missing, 1 wrong size$/m)
    expect(stdout).toContain(
      `packages/${missing.slice(0, 2)}/${missing.slice(2, 4)}/${missing}: missing (20 bytes expected)`,
    )
    expect(stdout).toContain('needed by acme: generic app 1.0; delete that version and publish it again')
    expect(stdout).toContain(`${truncated}: wrong size (7 bytes; 23 bytes expected)`)
    expect(stdout).toContain('needed by root: generic app 2.0;')
    expect(stdout).not.toContain('app 3.0')
  })

  test('a content that was changed is found by --verify alone, and so is a row that was', async () => {
    const good = await upload('root', '1', 'these bytes are good')
    const odd = await upload('root', '2', 'these ones have another md5')
    expect((await doctor()).code).toBe(0)
    await writeFile(pathOf(good), 'these bytes are evil')
    await app.services.models.packageBlob.update({ hashMd5: '0'.repeat(32) }, { where: { hashSha256: odd } })
    expect((await doctor()).code).toBe(0)
    const { code, stdout } = await doctor('--verify')
    expect(code).toBe(1)
    expect(stdout).toMatch(/^fail {2}blobs {10}2 rows, 47 bytes: 2 wrong digest$/m)
    expect(stdout).toContain(`${good}: wrong digest (sha256 ${sha256('these bytes are evil')}; 20 bytes expected)`)
    expect(stdout).toContain(`${odd}: wrong digest (the row has another md5; 27 bytes expected)`)
    // What is put again would be taken for what is there.
    expect(stdout).toMatch(/app 1; delete packages\/\S+, then delete that version and publish it again/)
  })

  test('what nothing refers to is for gc, what a mirror needs is fetched again', async () => {
    await app.createOrganization('far')
    const cached = await upload('far', '1', 'cached')
    await app.services.models.user.update({ kind: 'mirror' }, { where: { lowerName: 'far' } })
    const { id } = await app.services.packages.storeBlob(await content('document'), { durable: false })
    const garbage = await app.services.packages.storeBlob(await content('garbage'), { durable: false })
    const owner = await app.services.accounts.find('far')
    const upstream = await app.services.models.upstream.create({
      ...{ name: 'far', type: 'npm', ownerId: owner!.id, baseUrl: 'https://far.example/', createdAt: 1, updatedAt: 1 },
    })
    await app.services.models.upstreamDocument.create({
      ...{ upstreamId: upstream.id, kind: 'packument', documentKey: 'left-pad', keySha256: 'k', blobId: id, etag: '' },
      ...{ bodySha256: 'b', seq: 1, fetchedAt: 1, verifiedAt: 1 },
    })
    for (const hash of [cached, sha256('document'), garbage.hashSha256]) await unlink(pathOf(hash))
    const { code, stdout } = await doctor()
    expect(code).toBe(1)
    expect(stdout).toContain('needed by far: generic app 1; purge it from the mirror, it is fetched again')
    expect(stdout).toContain('needed by far: packument left-pad; purge it from the mirror')
    expect(stdout).not.toContain(garbage.hashSha256)
    expect(stdout).toMatch(/^warn {2}blobs {10}1 row of contents that .* nothing needs\n +→ `entrepot gc` removes/m)
    // Somebody may upload the same bytes, and would get what is there.
    const spoilt = await app.services.packages.storeBlob(await content('spoilt'), { durable: false })
    await writeFile(pathOf(spoilt.hashSha256), 'SPOILT')
    expect((await doctor('--verify')).stdout).toMatch(
      new RegExp(`${spoilt.hashSha256}: wrong digest .*\\n +nothing needs it: delete packages/.*entrepot gc`),
    )
    // As it says.
    await runCommand(['gc', '--older-than', '0ms'], beside(app))
    expect((await doctor()).stdout).not.toContain('nothing needs')
  })

  test('contents without a row are counted once they are a day old; other files are not contents', async () => {
    await upload('root', '1', 'known')
    const old = await store('left behind')
    await utimes(pathOf(old), LONG_AGO, LONG_AGO)
    await store('an upload that has no row yet')
    await writeFile(join(app.dataDir, 'packages', 'README'), '')
    const { code, stdout } = await doctor()
    expect(code).toBe(0)
    expect(stdout).toMatch(/^warn {2}orphans {8}1 content without a row, 11 bytes, in /m)
    expect(stdout).toContain(`${old} (11 bytes)`)
  })

  test('many blobs are compared in batches, ten findings are shown, and all with --all', async () => {
    const { packageBlob } = app.services.models
    const rows = []
    const gone: string[] = []
    for (let index = 0; index < 1_201; index += 1) {
      const bytes = `content ${index}`
      const hash = sha256(bytes)
      const isGone = index % 100 === 0
      if (isGone) gone.push(hash)
      else await utimes(pathOf(await store(bytes, hash)), LONG_AGO, LONG_AGO)
      rows.push({ ...digests, hashSha256: hash, size: bytes.length, createdAt: Date.now() })
    }
    await packageBlob.bulkCreate(rows)
    await needAll()
    for (let index = 0; index < 11; index += 1) await utimes(pathOf(await store(`orphan ${index}`)), LONG_AGO, LONG_AGO)
    const few = await doctor()
    expect(few.stdout).toMatch(/^fail {2}blobs {10}1,202 rows, [\d.]+ KiB: 13 missing$/m)
    expect(gone.filter((hash) => few.stdout.includes(hash))).toEqual(gone.slice(0, 10))
    expect(few.stdout).toContain('and 3 more, which --all shows')
    expect(few.stdout).toMatch(/^warn {2}orphans {8}11 contents without a row/m)
    expect(few.stdout).toContain('and 1 more, which --all shows')
    const all = await doctor('--all')
    expect(gone.filter((hash) => all.stdout.includes(hash))).toEqual(gone)
    expect(all.stdout).not.toContain('more, which')
    expect([few.code, all.code, few.stderr]).toEqual([1, 1, ''])
  })

  /** A version whose files are all blobs that there are. */
  const needAll = async () => {
    await upload('root', '1', 'a version to hang them on')
    const { packageBlob, packageFile, packageVersion } = app.services.models
    const version = await packageVersion.findOne()
    const blobs = await packageBlob.findAll({ raw: true })
    await packageFile.bulkCreate(
      blobs.map(({ id }) => ({
        ...{ versionId: version!.id, blobId: id, createdAt: 1 },
        ...{ name: `file-${id}`, lowerName: `file-${id}` },
      })),
    )
  }
  const digests = { hashMd5: '0'.repeat(32), hashSha1: '0'.repeat(40), hashSha512: '0'.repeat(128) }
  const content = async (bytes: string) => {
    const entry = app.services.packages.spool.create()
    await entry.append(Buffer.from(bytes))
    await entry.finish()
    return entry
  }
})
