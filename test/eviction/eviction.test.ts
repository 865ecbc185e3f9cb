import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { TestEngine, type TestEngineOptions } from '../support/test-engine.ts'
import { open, receive, sha256, wanted } from '../upstream/wanted.ts'

const KIB = 1024
const HOUR = 3_600_000
const DAY = 24 * HOUR
const SIZE = 20 * KIB

let fake: FakeUpstream
const engines: TestEngine[] = []
const bodies = new Map<string, Buffer>()

beforeEach(async () => {
  fake = await FakeUpstream.start()
  bodies.clear()
})
afterEach(async () => {
  vi.restoreAllMocks()
  for (const engine of engines.splice(0).reverse()) await engine.close()
  await fake.close()
})

async function start(file: object = {}, options: Partial<TestEngineOptions> = {}): Promise<TestEngine> {
  const engine = await TestEngine.start({ url: fake.url, file, ...options })
  engines.push(engine)
  return engine
}

/** Publishes so many bytes at a path of the upstream. */
function publish(path: string, body = randomBytes(SIZE)): Buffer {
  bodies.set(path, body)
  fake.on(`/${path}`, { body, etag: true, ranges: true })
  return body
}

function request(engine: TestEngine, path: string) {
  return wanted(
    engine,
    path,
    {},
    {
      file: async (content, properties, also) => {
        const info = { owner: engine.upstream.owner, type: 'probe', name: path, version: '1', metadata: {} }
        const file = { filename: 'file', content, isLead: true, overwrite: true, properties }
        await engine.services.packages.addCachedFile(info, file, also)
      },
    },
  )
}

/** What a client does; the bytes must be right. */
async function read(engine: TestEngine, path: string): Promise<void> {
  const { bytes, failure } = await receive(await open(engine, request(engine, path)))
  expect({ failure, sha256: sha256(bytes) }).toEqual({ failure: null, sha256: sha256(bodies.get(path)!) })
  await engine.settle()
}

async function fill(engine: TestEngine, paths: string[]): Promise<void> {
  for (const path of paths) {
    publish(path)
    await read(engine, path)
    engine.clock.advance(60_000)
  }
}

const run = async (engine: TestEngine) => engine.services.eviction.run()
const isHeld = (engine: TestEngine, path: string) => engine.services.upstream.artifacts.heldSize(engine.upstream, path)
async function held(engine: TestEngine, paths: string[]): Promise<string[]> {
  const sizes = await Promise.all(paths.map(async (path) => [path, await isHeld(engine, path)] as const))
  return sizes.filter(([, size]) => size !== null).map(([path]) => path)
}
const hasBlob = (engine: TestEngine, bytes: Buffer) => engine.services.packages.blobs.has(sha256(bytes))

const FIVE = ['a', 'b', 'c', 'd', 'e']

describe('eviction', () => {
  test('drops what was read longest ago until the cache is below the low water, and frees the disk', async () => {
    const engine = await start({ capBytes: '100KiB' })
    await fill(engine, FIVE)
    engine.clock.advance(2 * HOUR)
    await read(engine, 'a')
    engine.clock.advance(2 * HOUR)
    expect(await run(engine)).toEqual({ files: 1, bytes: SIZE, freed: SIZE, documents: 0 })
    expect(await held(engine, FIVE)).toEqual(['a', 'c', 'd', 'e'])
    expect(await hasBlob(engine, bodies.get('b')!)).toBe(false)
    expect(await run(engine)).toMatchObject({ files: 0 })
    const metrics = await engine.services.metrics.registry.metrics()
    expect(metrics).toContain(`entrepot_mirror_evicted_bytes_total{upstream="probe"} ${SIZE}`)
  })

  test('leaves alone what is below the high water, and what came or was read within the hour', async () => {
    const engine = await start({ capBytes: '100KiB' })
    await fill(engine, FIVE.slice(0, 4))
    engine.clock.advance(2 * HOUR)
    expect(await run(engine)).toMatchObject({ files: 0 })
    await fill(engine, ['e'])
    for (const path of FIVE) await read(engine, path)
    engine.clock.advance(50 * 60_000)
    expect(await run(engine)).toMatchObject({ files: 0 })
    expect(await held(engine, FIVE)).toEqual(FIVE)
    engine.clock.advance(20 * 60_000)
    expect(await run(engine)).toMatchObject({ files: 1 })
  })

  test('keeps a cap for all mirrors', async () => {
    const engine = await start({}, { environment: { ENTREPOT_MIRRORS_CACHE_CAP: '100KiB' } })
    await fill(engine, FIVE)
    engine.clock.advance(2 * HOUR)
    expect(await run(engine)).toMatchObject({ files: 1 })
    expect(await isHeld(engine, 'a')).toBe(null)
  })

  test('drops what nobody has read for so many days', async () => {
    const engine = await start({ unusedDays: 10 })
    await fill(engine, FIVE)
    engine.clock.advance(9 * DAY)
    await read(engine, 'c')
    engine.clock.advance(2 * DAY)
    expect(await run(engine)).toMatchObject({ files: 4, bytes: 4 * SIZE })
    expect(await held(engine, FIVE)).toEqual(['c'])
  })

  test('drops nothing for its age where that is switched off', async () => {
    const engine = await start({ unusedDays: 0 })
    await fill(engine, ['a'])
    engine.clock.advance(1_000 * DAY)
    expect(await run(engine)).toMatchObject({ files: 0 })
  })

  test('never drops what is pinned', async () => {
    const engine = await start({ capBytes: '100KiB', unusedDays: 10 })
    const { pins } = engine.services.eviction
    await pins.put(engine.upstream, { name: 'a', version: '*' }, 'root')
    await pins.put(engine.upstream, { name: 'c', version: '2' }, 'root')
    await pins.put(engine.upstream, { name: 'd*', version: '1' }, 'root')
    await fill(engine, FIVE)
    engine.clock.advance(11 * DAY)
    await run(engine)
    expect(await held(engine, FIVE)).toEqual(['a', 'd'])
    await pins.delete(engine.upstream, { name: 'a', version: '*' })
    await run(engine)
    expect(await held(engine, FIVE)).toEqual(['d'])
  })

  test.each(['offline', 'blocked'] as const)('touches nothing of an upstream that is %s', async (mode) => {
    const engine = await start({ capBytes: '100KiB', unusedDays: 10 })
    await fill(engine, FIVE)
    engine.clock.advance(100 * DAY)
    await engine.services.upstream.setMode('probe', mode)
    expect(await run(engine)).toMatchObject({ files: 0 })
    await engine.services.eviction.makeRoom(SIZE)
    await engine.services.upstream.setMode('probe', 'online')
    expect(await held(engine, FIVE)).toEqual(FIVE)
  })

  test.each(['switched off', 'pinned'])('stops at once when what it goes through is %s', async (what) => {
    const engine = await start({ unusedDays: 10 })
    const { space } = engine.services.upstream
    await fill(engine, FIVE)
    engine.clock.advance(100 * DAY)
    if (what === 'pinned') {
      const matcher = vi.spyOn(engine.services.eviction.pins, 'matcher')
      matcher.mockResolvedValueOnce(() => false).mockResolvedValueOnce(() => false)
      await engine.services.eviction.pins.put(engine.upstream, { name: '*', version: '*' }, 'root')
    } else {
      const add = space.add.bind(space)
      vi.spyOn(space, 'add').mockImplementationOnce((id, bytes) => {
        add(id, bytes)
        Object.assign(engine.services.upstream.findById(engine.upstream.id)!, { mode: 'offline' })
      })
    }
    expect(await run(engine)).toMatchObject({ files: 1 })
  })

  test('touches nothing of an upstream that fails just now', async () => {
    const engine = await start({ unusedDays: 10 })
    await fill(engine, ['a'])
    engine.clock.advance(100 * DAY)
    for (const path of FIVE.map((name) => `broken-${name}`)) {
      fake.on(`/${path}`, { status: 500 })
      await open(engine, request(engine, path)).catch(() => {})
    }
    await engine.settle()
    expect(engine.upstream.client.states()).toEqual([{ origin: fake.url, state: 'open' }])
    expect(await run(engine)).toMatchObject({ files: 0 })
  })

  test('keeps what the upstream has withdrawn: it could not come back', async () => {
    const nameDocument = (name: string) => ({ kind: 'probe', key: name }) as never
    const engine = await start({ unusedDays: 10 }, { adapter: { nameDocument } })
    await fill(engine, ['a', 'b'])
    await engine.services.models.upstreamDocument.create({
      ...{ upstreamId: engine.upstream.id, kind: 'probe', documentKey: 'a', keySha256: 'k', blobId: 1, etag: '' },
      ...{ bodySha256: 'b', seq: 1, fetchedAt: 1, verifiedAt: 1, goneAt: 1 },
    })
    engine.clock.advance(11 * DAY)
    await run(engine)
    expect(await held(engine, ['a', 'b'])).toEqual(['a'])
  })

  test('what was dropped is fetched again', async () => {
    const engine = await start({ unusedDays: 10 })
    await fill(engine, ['a'])
    engine.clock.advance(11 * DAY)
    await run(engine)
    expect(await isHeld(engine, 'a')).toBe(null)
    await read(engine, 'a')
    await read(engine, 'a')
    expect(fake.count('/a')).toBe(2)
    engine.clock.advance(9 * DAY)
    expect(await run(engine)).toMatchObject({ files: 0 })
  })

  test('§14 check 14: what was dropped and then changed upstream is REPUBLISHED, and not served', async () => {
    const engine = await start({ unusedDays: 10 })
    await fill(engine, ['a'])
    engine.clock.advance(11 * DAY)
    await run(engine)
    const changed = randomBytes(SIZE)
    fake.on('/a', { body: changed, etag: true })
    await expect(open(engine, request(engine, 'a'))).rejects.toMatchObject({ detail: 'REPUBLISHED' })
    await engine.settle()
    expect(await isHeld(engine, 'a')).toBe(null)
    expect(await hasBlob(engine, changed)).toBe(false)
    const [digest] = await engine.services.models.upstreamDigest.findAll({ raw: true })
    expect(digest).toMatchObject({ sha256: sha256(bodies.get('a')!), lastUsedAt: 0 })
  })

  test('who reads a file while it is dropped gets all of it', async () => {
    const engine = await start({ unusedDays: 10 })
    publish('a', randomBytes(2 * KIB * KIB))
    await read(engine, 'a')
    engine.clock.advance(11 * DAY)
    const opened = await open(engine, request(engine, 'a'))
    const source = await opened.source()
    const first = Buffer.alloc(1_000)
    await source.read(first, 0)
    // The read is in memory only: another server does not know of it.
    vi.spyOn(engine.services.upstream, 'flushUses').mockResolvedValue()
    expect(await run(engine)).toMatchObject({ files: 1, freed: 2 * KIB * KIB })
    const rest: Buffer[] = [first]
    for (let position = first.length; ; ) {
      const buffer = Buffer.alloc(256 * KIB)
      const count = await source.read(buffer, position)
      if (count === 0) break
      rest.push(buffer.subarray(0, count))
      position += count
    }
    source.close()
    expect(sha256(Buffer.concat(rest))).toBe(sha256(bodies.get('a')!))
  })

  test('bytes that a hosted package has too stay, and only the row goes', async () => {
    const engine = await start({ unusedDays: 10 })
    const body = publish('a')
    const owner = await engine.services.accounts.ensureMirror('hosted', 'x', 'public')
    await read(engine, 'a')
    await upload(engine, { ...owner, kind: 'organization' }, body)
    engine.clock.advance(11 * DAY)
    expect(await run(engine)).toEqual({ files: 1, bytes: SIZE, freed: 0, documents: 0 })
    expect(await hasBlob(engine, body)).toBe(true)
  })

  test('bytes that are uploaded while they are dropped are there afterwards', async () => {
    const engine = await start({ unusedDays: 10 })
    const owner = await engine.services.accounts.ensureMirror('hosted', 'x', 'public')
    for (let round = 0; round < 10; round += 1) {
      const body = publish(`file-${round}`)
      await read(engine, `file-${round}`)
      engine.clock.advance(11 * DAY)
      const [, uploaded] = await Promise.all([
        run(engine),
        upload(engine, { ...owner, kind: 'organization' }, body, `v${round}`),
      ])
      expect(uploaded.blob.hashSha256).toBe(sha256(body))
      expect(await hasBlob(engine, body)).toBe(true)
    }
    await engine.services.packages.collectGarbage()
    for (const body of bodies.values()) expect(await hasBlob(engine, body)).toBe(true)
  })

  test('a full cache serves without storing, and stores again when there is room', async () => {
    const engine = await start({ capBytes: '60KiB' })
    await fill(engine, ['a', 'b', 'c'])
    const body = publish('d')
    const opened = await open(engine, request(engine, 'd'))
    expect(opened.status.detail).toBe('BYPASS')
    expect(sha256((await receive(opened)).bytes)).toBe(sha256(body))
    await engine.settle()
    expect(await held(engine, ['a', 'b', 'c', 'd'])).toEqual(['a', 'b', 'c'])
    engine.clock.advance(2 * HOUR)
    await read(engine, 'd')
    expect(await held(engine, ['a', 'b', 'c', 'd'])).toEqual(['b', 'c', 'd'])
  })

  test('a file that is larger than the cache is passed on', async () => {
    const engine = await start({ capBytes: '10KiB' })
    publish('a')
    await read(engine, 'a')
    expect(await isHeld(engine, 'a')).toBe(null)
  })

  test('a disk without room gets as much as is asked for', async () => {
    const engine = await start()
    await fill(engine, FIVE)
    engine.clock.advance(2 * HOUR)
    await engine.services.eviction.makeRoom(SIZE + 1)
    expect(await held(engine, FIVE)).toEqual(['c', 'd', 'e'])
  })

  test('goes on where a server died', async () => {
    const engine = await start({ unusedDays: 10 })
    await fill(engine, FIVE)
    engine.clock.advance(11 * DAY)
    vi.spyOn(engine.services.packages, 'collectBlobs').mockRejectedValueOnce(new Error('killed'))
    await expect(run(engine)).rejects.toThrow('killed')
    expect(await held(engine, FIVE)).toEqual([])
    expect(await run(engine)).toMatchObject({ files: 0 })
    // Whose rows nobody deleted garbage collection finds.
    await engine.services.packages.collectGarbage()
    expect(await hasBlob(engine, bodies.get('a')!)).toBe(false)
  })

  test('is not confused by files that somebody else removed', async () => {
    const engine = await start({ unusedDays: 10 })
    await fill(engine, ['a', 'b'])
    await engine.services.packages.removal.removeAll(engine.upstream.owner, 'probe', 'a')
    engine.clock.advance(11 * DAY)
    expect(await run(engine)).toMatchObject({ files: 1 })
    const rows = await engine.services.models.upstreamDigest.findAll({ raw: true })
    expect(rows.map(({ lastUsedAt, fileId }) => [lastUsedAt, fileId])).toEqual([
      [0, 0],
      [0, 0],
    ])
  })

  test('does not believe that what the previous release stored was never used', async () => {
    const engine = await start({ unusedDays: 10 })
    await fill(engine, ['a', 'b'])
    await engine.services.models.upstreamDigest.update({ lastUsedAt: 1 }, { where: {} })
    expect(await run(engine)).toMatchObject({ files: 0 })
    expect(await held(engine, ['a', 'b'])).toEqual(['a', 'b'])
    engine.clock.advance(11 * DAY)
    expect(await run(engine)).toMatchObject({ files: 2 })
  })

  test('goes through more than fits into one batch, whatever stays at its front', async () => {
    const engine = await start({ unusedDays: 10 })
    await engine.services.eviction.pins.put(engine.upstream, { name: 'pinned-*', version: '*' }, 'root')
    const paths = Array.from({ length: 120 }, (_, index) => `pinned-${index}`)
    const others = Array.from({ length: 120 }, (_, index) => `other-${index}`)
    for (const path of [...paths, ...others]) publish(path, randomBytes(64))
    await Promise.all(paths.map((path) => read(engine, path)))
    await Promise.all(others.map((path) => read(engine, path)))
    engine.clock.advance(11 * DAY)
    expect(await run(engine)).toMatchObject({ files: 120 })
    expect((await held(engine, [...paths, ...others])).length).toBe(120)
  }, 60_000)

  test('of two servers one drops, and the other one serves on', async () => {
    const one = await start({ unusedDays: 10 })
    const { databaseUrl } = { databaseUrl: one.services.config.database.url }
    const two = await start({ unusedDays: 10 }, { dataDir: one.dataDir, databaseUrl })
    await fill(one, FIVE)
    for (const path of FIVE) await read(two, path)
    one.clock.advance(11 * DAY)
    two.clock.advance(11 * DAY + 5 * 60_000)
    const done = await Promise.all([run(one), run(two)])
    expect(done.reduce((sum, one) => sum + (one?.files ?? 0), 0)).toBe(5)
    for (const path of FIVE) await read(two, path)
    for (const path of FIVE) await read(one, path)
    expect(fake.requests.length).toBeLessThanOrEqual(15)
  })

  test('metadata that nobody has read for a month goes, unless the upstream has withdrawn it', async () => {
    const engine = await start()
    const ask = (key: string) =>
      engine.services.upstream.documents.get(engine.upstream, {
        ...{ kind: 'probe', key, path: key, accept: '*/*' },
        parse: (body: Buffer) => body.toString(),
      })
    for (const key of ['kept', 'old', 'gone']) {
      fake.on(`/${key}`, { body: key, etag: true })
      await ask(key)
    }
    await engine.settle()
    await engine.services.upstream.flushUses()
    await engine.services.models.upstreamDocument.update({ goneAt: 1 }, { where: { documentKey: 'gone' } })
    engine.clock.advance(20 * DAY)
    await ask('kept')
    await engine.settle()
    engine.clock.advance(11 * DAY)
    expect(await run(engine)).toMatchObject({ documents: 1 })
    const rows = await engine.services.models.upstreamDocument.findAll({ raw: true, order: ['id'] })
    expect(rows.map(({ documentKey }) => documentKey)).toEqual(['kept', 'gone'])
    expect(await (await ask('old')).accepted()).toBe('old')
  })

  test('metadata stays while anything of the upstream is pinned', async () => {
    const engine = await start()
    fake.on('/old', { body: 'old', etag: true })
    const wanted = { kind: 'probe', key: 'old', path: 'old', accept: '*/*', parse: (body: Buffer) => body.toString() }
    await engine.services.upstream.documents.get(engine.upstream, wanted)
    await engine.settle()
    const pin = { name: 'a', version: '*' }
    await engine.services.eviction.pins.put(engine.upstream, pin, 'root')
    engine.clock.advance(100 * DAY)
    expect(await run(engine)).toMatchObject({ documents: 0 })
    await engine.services.eviction.pins.delete(engine.upstream, pin)
    expect(await run(engine)).toMatchObject({ documents: 1 })
  })
})

async function upload(engine: TestEngine, owner: typeof engine.upstream.owner, body: Buffer, version = '1') {
  const { packages } = engine.services
  const content = await packages.spool.receive(Readable.from([body]), { limit: body.length })
  try {
    const info = { owner, type: 'probe', name: 'hosted', version, creator: null, semverCompatible: false, metadata: {} }
    return await packages.createPackageAndAddFile(info, { filename: 'f', content, isLead: true, overwrite: false })
  } finally {
    await content.discard()
  }
}
