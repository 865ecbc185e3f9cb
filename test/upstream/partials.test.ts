import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Partials } from '../../src/storage/partials.ts'
import { type Answer, createGate, FakeUpstream } from '../support/fake-upstream.ts'
import { TestEngine, type TestEngineOptions } from '../support/test-engine.ts'
import { digestOf, open, receive, sha256, wanted } from './wanted.ts'

const MIB = 1024 * 1024
const BODY = randomBytes(6 * MIB)
const PATH = 'v2/app/layer'
const AT = `/${PATH}`

let fake: FakeUpstream
let dataDir: string
const started: TestEngine[] = []

beforeEach(async () => {
  fake = await FakeUpstream.start()
  dataDir = await mkdtemp(join(tmpdir(), 'entrepot-partials-'))
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((one) => one.close()))
  await fake.close()
  await rm(dataDir, { recursive: true, force: true })
})

async function start(options: Partial<TestEngineOptions> = {}): Promise<TestEngine> {
  const engine = await TestEngine.start({ url: fake.url, dataDir, ...options })
  started.push(engine)
  return engine
}

async function stop(engine: TestEngine): Promise<void> {
  started.splice(started.indexOf(engine), 1)
  await engine.close()
}

const spooled = async () => (await readdir(join(dataDir, 'spool'))).sort()
const ranges = () => fake.asked(AT).map(({ headers }) => headers.range)
const conditions = () => fake.asked(AT).map(({ headers }) => headers['if-range'])

/** Fetches until the upstream breaks off, for good. */
async function breakOff(engine: TestEngine, good: Answer, cutAt: number, location = {}): Promise<void> {
  fake.on(AT, (_, attempt) => (attempt === 1 ? { ...good, cutAt } : { refuse: true }))
  const { failure } = await receive(await open(engine, wanted(engine, PATH, location)))
  expect(failure).toMatchObject({ detail: 'TRUNCATED' })
  await engine.settle()
  fake.forget()
  fake.on(AT, good)
}

describe('the beginning of a file (pull-through.md §4.2)', () => {
  const strong: Answer = { body: BODY, etag: true, ranges: true }

  test('is kept when the upstream breaks off, and the next request fetches the rest only', async () => {
    const engine = await start()
    await breakOff(engine, strong, 4 * MIB)
    expect(await spooled()).toHaveLength(2)
    const { bytes, failure } = await receive(await open(engine, wanted(engine, PATH)))
    expect({ failure, sha256: sha256(bytes) }).toEqual({ failure: null, sha256: sha256(BODY) })
    expect(ranges()).toEqual([`bytes=${4 * MIB}-`])
    expect(conditions()[0]).toMatch(/^"/)
    await engine.settle()
    expect(await spooled()).toEqual([])
    expect((await open(engine, wanted(engine, PATH))).status.hit).toBe(true)
  })

  test('is kept although its last reader leaves before that', async () => {
    const engine = await start()
    const noted = createGate()
    vi.spyOn(engine.services.packages.spool.partials, 'note').mockReturnValue(noted.opened)
    fake.on(AT, (_, attempt) => (attempt === 1 ? { ...strong, cutAt: 4 * MIB } : { refuse: true }))
    expect((await receive(await open(engine, wanted(engine, PATH)))).failure).toMatchObject({ detail: 'TRUNCATED' })
    noted.open()
    await engine.settle()
    expect(await spooled()).toHaveLength(1)
  })

  test('is kept over a restart', async () => {
    const first = await start()
    await breakOff(first, strong, 3 * MIB)
    await stop(first)
    const second = await start()
    const { bytes } = await receive(await open(second, wanted(second, PATH)))
    expect(sha256(bytes)).toBe(sha256(BODY))
    expect(ranges()).toEqual([`bytes=${3 * MIB}-`])
  })

  test('of a transfer that runs when the server stops is kept, too', async () => {
    const first = await start()
    fake.on(AT, { ...strong, pauseAt: 3 * MIB })
    const reading = receive(await open(first, wanted(first, PATH)))
    await expect.poll(async () => (await spooled()).length).toBe(2)
    await stop(first)
    expect((await reading).failure).not.toBe(null)
    fake.forget()
    fake.on(AT, strong)
    const second = await start()
    expect(sha256((await receive(await open(second, wanted(second, PATH)))).bytes)).toBe(sha256(BODY))
    expect(ranges()).toEqual([expect.stringMatching(/^bytes=[1-9]\d{5,}-$/)])
  })

  test('of a process that was killed is found by its note, if it is younger than an hour', async () => {
    const first = await start()
    await breakOff(first, strong, 2 * MIB)
    const [file, note] = await spooled()
    const [bytes, label] = await Promise.all([file, note].map((name) => readFile(join(dataDir, 'spool', name!))))
    await stop(first)
    const spool = join(dataDir, 'spool')
    await rm(spool, { recursive: true })
    const second = await start()
    await stop(second)
    // No process has this number.
    const dead = `${encodeURIComponent(hostname())}.99999999-1`
    await writeFile(join(spool, dead), bytes!)
    await writeFile(join(spool, `${dead}.json`), label!)
    const old = `${encodeURIComponent(hostname())}.99999998-1`
    await writeFile(join(spool, old), bytes!)
    await writeFile(join(spool, `${old}.json`), JSON.stringify({ of: 'old', etag: '"x"', digest: '' }))
    const anHourAgo = Date.now() / 1_000 - 3_601
    await utimes(join(spool, old), anHourAgo, anHourAgo)
    await writeFile(join(spool, `${dead}x`), 'without a note')
    await writeFile(join(spool, `${dead}y.json`), JSON.stringify({ of: 'nothing', etag: '"x"', digest: '' }))
    const third = await start()
    expect(await spooled()).toEqual([expect.stringContaining(`.${process.pid}-`), expect.stringMatching(/\.json$/)])
    expect((await stat(join(spool, (await spooled())[0]!))).size).toBe(2 * MIB)
    const received = await receive(await open(third, wanted(third, PATH)))
    expect(sha256(received.bytes)).toBe(sha256(BODY))
    expect(ranges()).toEqual([`bytes=${2 * MIB}-`])
  })

  test('is fetched anew when the upstream has other bytes now', async () => {
    const engine = await start()
    await breakOff(engine, strong, 4 * MIB)
    const other = randomBytes(5 * MIB)
    fake.on(AT, { body: other, etag: true, ranges: true })
    const { bytes } = await receive(await open(engine, wanted(engine, PATH)))
    expect(sha256(bytes)).toBe(sha256(other))
    expect(ranges()).toEqual([`bytes=${4 * MIB}-`])
  })

  test('is not continued by other bytes of an upstream that does not know If-Range', async () => {
    const engine = await start()
    await breakOff(engine, strong, 4 * MIB)
    const other = randomBytes(BODY.length)
    const contentRange = `bytes ${4 * MIB}-${other.length - 1}/${other.length}`
    fake.on(AT, ({ headers }) =>
      headers.range === undefined
        ? { body: other, etag: true }
        : { status: 206, body: other.subarray(4 * MIB), etag: '"other"', headers: { 'content-range': contentRange } },
    )
    const { bytes } = await receive(await open(engine, wanted(engine, PATH)))
    expect(sha256(bytes)).toBe(sha256(other))
    expect(ranges()).toEqual([`bytes=${4 * MIB}-`, undefined])
  })

  test('without a strong ETag is kept if the digest is known, and not believed if it does not fit the rest', async () => {
    const engine = await start()
    const weak: Answer = { body: BODY, etag: 'W/"1"', ranges: true }
    await breakOff(engine, weak, 4 * MIB, { digest: digestOf(BODY) })
    const name = (await spooled())[0]!
    const whole = await readFile(join(dataDir, 'spool', name))
    whole[5] = whole[5]! ^ 1
    await writeFile(join(dataDir, 'spool', name), whole)
    const request = () => wanted(engine, PATH, { digest: digestOf(BODY) })
    const first = await receive(await open(engine, request()))
    expect(first.failure).toMatchObject({ kind: 'upstream-unavailable', detail: undefined })
    expect(first.bytes.length).toBeLessThan(BODY.length)
    await engine.settle()
    // Nobody is blamed: the next one has it at once.
    expect(sha256((await receive(await open(engine, request()))).bytes)).toBe(sha256(BODY))
    expect(ranges()).toEqual([`bytes=${4 * MIB}-`, undefined])
  })

  test('that cannot be removed troubles nobody', async () => {
    const file = join(dataDir, 'no-folder')
    await writeFile(file, '')
    await expect(new Partials(() => join(dataDir, 'new')).adopt(file, 'x')).resolves.toBe(undefined)
  })

  test('that nothing identifies is not kept', async () => {
    const engine = await start()
    fake.on(AT, { body: BODY, cutAt: 4 * MIB })
    expect((await receive(await open(engine, wanted(engine, PATH)))).failure).toMatchObject({ detail: 'TRUNCATED' })
    await engine.settle()
    expect(await spooled()).toEqual([])
  })
})
