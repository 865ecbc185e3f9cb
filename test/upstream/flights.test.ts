import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Coordination } from '../../src/upstream/coordination.ts'
import { HeldArtifacts } from '../../src/upstream/held-artifacts.ts'
import { Orphans } from '../../src/upstream/orphans.ts'
import { type Answer, createGate, FakeUpstream } from '../support/fake-upstream.ts'
import { TestEngine, type TestEngineOptions } from '../support/test-engine.ts'
import { digestOf, open, receive, sha256, wanted } from './wanted.ts'

const MIB = 1024 * 1024
const PATH = 'v2/app/layer'
const AT = `/${PATH}`

let fake: FakeUpstream
let engine: TestEngine
const started: TestEngine[] = []

beforeEach(async () => {
  fake = await FakeUpstream.start()
})
afterEach(async () => {
  vi.useRealTimers()
  for (const one of started.splice(0)) await one.close()
  await fake.close()
})

async function start(options: Partial<TestEngineOptions> = {}): Promise<void> {
  engine = await TestEngine.start({ url: fake.url, ...options })
  started.push(engine)
}

describe('a flight', () => {
  test('of an upstream that trickles is given up: 10 KiB/s over a minute is the least (pull-through.md §6.1)', async () => {
    await start()
    const body = randomBytes(4 * MIB)
    fake.on(AT, { body, pauseAt: 3 * MIB })
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    let size = 0
    const reading = receive(await open(engine, wanted(engine, PATH)), {
      onBytes: (received) => {
        size = received
      },
    })
    await expect.poll(() => size).toBeGreaterThan(2.9 * MIB)
    vi.advanceTimersByTime(60_000)
    // The first minute brought three megabytes, the second nothing.
    expect(engine.services.upstream.artifacts.flights).toBe(1)
    vi.advanceTimersByTime(60_000)
    expect((await reading).failure).toMatchObject({ detail: 'TRUNCATED' })
  })

  test('does not keep a client waiting who wants what is far ahead: it comes past it (§4.2)', async () => {
    await start()
    const body = randomBytes(40 * MIB)
    const gate = createGate()
    fake.on(
      AT,
      (_, attempt): Answer => ({
        body,
        etag: true,
        ranges: true,
        ...(attempt === 1 ? { pauseAt: MIB, resume: gate.opened } : {}),
      }),
    )
    const whole = receive(await open(engine, wanted(engine, PATH)))
    const far = await receive(await open(engine, wanted(engine, PATH)), { start: 38 * MIB })
    expect(far.bytes.equals(body.subarray(38 * MIB))).toBe(true)
    gate.open()
    expect(sha256((await whole).bytes)).toBe(sha256(body))
    expect(fake.asked(AT).map(({ headers }) => headers.range)).toEqual([undefined, `bytes=${38 * MIB}-`])
  })

  test('of a body that ends with its connection needs a digest: it may have been cut', async () => {
    const body = randomBytes(2 * MIB)
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), body])))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    await start({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
    await expect(open(engine, wanted(engine, PATH))).rejects.toMatchObject({
      kind: 'upstream-unavailable',
      status: 502,
    })
    await engine.settle()
    const opened = await open(engine, wanted(engine, PATH, { digest: digestOf(body) }))
    expect(sha256((await receive(opened)).bytes)).toBe(sha256(body))
    server.close()
  })

  test('brings what the blob store has lost, though it is listed and another replica may be bringing it', async () => {
    await start()
    const body = randomBytes(10_000)
    fake.on(AT, { body })
    let questions = 0
    vi.spyOn(Coordination.prototype, 'lead').mockImplementation(async (_, isThere) => {
      questions += 1
      if (questions > 10) throw new Error('it is asked again and again')
      return (await isThere()) ? null : { announce: () => {}, end: () => {} }
    })
    const get = async () => sha256((await receive(await open(engine, wanted(engine, PATH)))).bytes)
    expect(await get()).toBe(sha256(body))
    await engine.settle()
    await engine.services.packages.blobs.delete(sha256(body))
    expect(await get()).toBe(sha256(body))
    vi.restoreAllMocks()
  })

  test('waits for a turn when too many run, and all arrive', async () => {
    await start()
    const gate = createGate()
    fake.fallback = { body: 'bytes', before: gate.opened }
    const all = Array.from({ length: 40 }, async (_, index) =>
      receive(await open(engine, wanted(engine, `v2/app/${index}`))),
    )
    // A quarter of the 32 turns is left to what is as small as a document.
    await expect.poll(() => fake.requests.length).toBe(24)
    const small = open(engine, wanted(engine, 'v2/app/manifest', { use: 'document' }))
    await expect.poll(() => fake.count('/v2/app/manifest')).toBe(1)
    gate.open()
    await small
    for (const { bytes } of await Promise.all(all)) expect(bytes.toString()).toBe('bytes')
    expect(fake.requests).toHaveLength(41)
  })
})

test('fetches that nobody waits for are eight at most: the oldest is given up (pull-through.md §4.2)', () => {
  const orphans = new Orphans()
  const over: number[] = []
  const giveUps = Array.from({ length: 10 }, (_, index) => () => over.push(index))
  for (const giveUp of giveUps.slice(0, 9)) orphans.add(giveUp)
  expect(over).toEqual([0])
  orphans.delete(giveUps[3]!)
  orphans.add(giveUps[9]!)
  expect(over).toEqual([0])
  orphans.add(giveUps[3]!)
  expect(over).toEqual([0, 1])
})

describe('what is held', () => {
  test('is looked up again when its own file is removed, and not when another one is', async () => {
    await start()
    fake.fallback = { body: 'bytes' }
    for (const path of ['v2/one', 'v2/two']) await receive(await open(engine, wanted(engine, path)))
    await engine.settle()
    const { db, packages, models } = engine.services
    const isHeld = async (path: string) =>
      (await engine.services.upstream.artifacts.heldSize(engine.upstream, path)) !== null
    expect([await isHeld('v2/one'), await isHeld('v2/two')]).toEqual([true, true])
    const [row] = await models.packageFile.findAll({ where: { name: 'v2_one' } })
    await row!.destroy()
    const before = db.queries
    packages.events.emit({ action: 'file-removed', fileId: 1_000_000 })
    expect([await isHeld('v2/one'), await isHeld('v2/two')]).toEqual([true, true])
    expect(db.queries).toBe(before)
    packages.events.emit({ action: 'file-removed', fileId: row!.id })
    expect([await isHeld('v2/one'), await isHeld('v2/two')]).toEqual([false, true])
    expect(db.queries).toBe(before + 1)
  })

  test('is not what a look-up found before the removal', async () => {
    await start()
    const gate = createGate()
    const answers = [{ fileId: 7 }, null]
    const store = {
      find: async () => {
        const answer = answers.shift()
        await gate.opened
        return answer
      },
    }
    const { packages } = engine.services
    const held = new HeldArtifacts(store as never, { notices: silent, events: packages.events })
    const finding = held.find(1, 'key')
    packages.events.emit({ action: 'file-removed', fileId: 7 })
    gate.open()
    expect(await finding).toBe(null)
  })
})

/** Notices that nobody sends. */
const silent = { subscribe: () => {}, onGap: () => {}, publish: () => {} } as never
