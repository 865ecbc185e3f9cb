import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Invalid, TooLarge } from '../../src/errors.ts'
import { algorithms, type Digests } from '../../src/storage/digest.ts'
import { Spool, type SpoolEntry } from '../../src/storage/spool.ts'

const MIB = 1024 * 1024

let directory: string
let spool: Spool

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'spool-'))
  spool = new Spool(join(directory, 'spool'))
  await spool.open()
})

afterEach(() => rm(directory, { recursive: true, force: true }))

const files = () => readdir(join(directory, 'spool'))

function expectedDigests(bytes: Buffer): Digests {
  const pairs = algorithms.map((algorithm) => [algorithm, createHash(algorithm).update(bytes).digest('hex')])
  return Object.fromEntries(pairs) as Digests
}

function cut(bytes: Buffer, size: number): Buffer[] {
  const chunks: Buffer[] = []
  for (let start = 0; start < bytes.length; start += size) chunks.push(Buffer.from(bytes.subarray(start, start + size)))
  return chunks
}

async function readAll(
  source: { read(buffer: Buffer, position: number): Promise<number> },
  from = 0,
  step = 100_000,
): Promise<Buffer> {
  const parts: Buffer[] = []
  for (let position = from; ; ) {
    const buffer = Buffer.alloc(step)
    const bytes = await source.read(buffer, position)
    if (bytes === 0) return Buffer.concat(parts)
    parts.push(buffer.subarray(0, bytes))
    position += bytes
  }
}

async function fill(entry: SpoolEntry, chunks: Buffer[]): Promise<void> {
  for (const chunk of chunks) await entry.append(chunk)
}

describe('an entry', () => {
  it.each([0, 1, 4095, 4096, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 17])(
    'of %i bytes knows its digests and reads back',
    async (size) => {
      const bytes = randomBytes(size)
      const entry = await spool.receive(Readable.from(cut(bytes, 65_536)), { limit: size })
      expect(entry.size).toBe(size)
      expect(entry.written).toBe(size)
      expect(entry.digests).toEqual(expectedDigests(bytes))
      expect((await readAll(entry)).equals(bytes)).toBe(true)
      await entry.discard()
      expect(await files()).toEqual([])
    },
  )

  it('stays in memory up to 1 MiB and goes to disk beyond', async () => {
    const small = spool.create()
    await fill(small, cut(randomBytes(MIB), 65_536))
    await small.finish()
    expect(await files()).toEqual([])
    const large = spool.create()
    await fill(large, cut(randomBytes(MIB + 1), 65_536))
    await large.finish()
    expect(await files()).toHaveLength(1)
    await Promise.all([small.discard(), large.discard()])
  })

  it('has the digests and bytes of the whole, however it was cut', async () => {
    const sizes = fc.array(
      fc.oneof(
        fc.integer({ min: 0, max: 300 }),
        fc.integer({ min: 3000, max: 70_000 }),
        fc.integer({ min: 500_000, max: 1_300_000 }),
      ),
      { maxLength: 12 },
    )
    await fc.assert(
      fc.asyncProperty(sizes, async (lengths) => {
        const chunks = lengths.map((length) => randomBytes(length))
        const whole = Buffer.concat(chunks)
        const entry = spool.create()
        await fill(entry, chunks)
        expect((await readAll(entry)).equals(whole)).toBe(true)
        await entry.finish()
        expect(entry.digests).toEqual(expectedDigests(whole))
        expect((await readAll(entry, 0, 777_777)).equals(whole)).toBe(true)
        await entry.discard()
      }),
      { numRuns: 25 },
    )
  })

  it('is read by many while it grows', async () => {
    const bytes = randomBytes(6 * MIB + 4321)
    const entry = spool.create()
    let wake = () => {}
    let grown = new Promise<void>((resolve) => {
      wake = resolve
    })
    let ended = false
    const advance = () => {
      wake()
      grown = new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    const follow = async (step: number, start: number): Promise<Buffer> => {
      const parts: Buffer[] = []
      for (let position = start; ; ) {
        const buffer = Buffer.alloc(step)
        const next = grown
        const done = ended
        const got = await entry.read(buffer, position)
        if (got > 0) {
          parts.push(buffer.subarray(0, got))
          position += got
        } else if (done) return Buffer.concat(parts)
        else await next
      }
    }
    const starts = [0, 0, 1, MIB - 1, MIB, 3 * MIB + 5, 6 * MIB]
    const readers = starts.map((start, index) => follow(10_000 + index * 77_777, start))
    for (const chunk of cut(bytes, 50_001)) {
      await entry.append(chunk)
      advance()
      if (Math.random() < 0.2) await new Promise(setImmediate)
    }
    await entry.finish()
    ended = true
    advance()
    for (const [index, result] of (await Promise.all(readers)).entries()) {
      expect(result.equals(bytes.subarray(starts[index]))).toBe(true)
    }
    await entry.discard()
  })

  it('makes its caller wait when the disk is behind', async () => {
    const entry = spool.create()
    let waits = 0
    for (const chunk of cut(randomBytes(8 * MIB), 65_536)) {
      const wait = entry.append(chunk)
      if (wait !== undefined) {
        waits += 1
        await wait
      }
    }
    expect(waits).toBeGreaterThan(0)
    await entry.discard()
  })

  it('gives no size or digests before it is finished, and takes nothing afterwards', async () => {
    const entry = spool.create()
    await entry.append(Buffer.from('a'))
    expect(() => entry.digests).toThrow('not finished')
    expect(() => entry.size).toThrow('not finished')
    expect(() => entry.source()).toThrow('not finished')
    await entry.finish()
    expect(() => entry.append(Buffer.from('b'))).toThrow('no more bytes')
    expect(entry.size).toBe(1)
  })

  it.each([10, 3 * MIB])('of %i bytes stays readable through a source after it was discarded', async (size) => {
    const bytes = randomBytes(size)
    const entry = await spool.receive(Readable.from(cut(bytes, 65_536)), { limit: size })
    const source = entry.source()
    await entry.discard()
    await entry.discard()
    expect(await files()).toEqual([])
    expect(source.size).toBe(size)
    expect((await readAll(source)).equals(bytes)).toBe(true)
    source.close()
    source.close()
  })

  it.each([0, 1000, 2 * MIB])('that is held from %i bytes on stays readable after it was discarded', async (start) => {
    const bytes = randomBytes(3 * MIB)
    const entry = spool.create()
    await fill(entry, cut(bytes.subarray(0, start), 65_536))
    const release = entry.hold()
    await fill(entry, cut(bytes.subarray(start), 65_536))
    await entry.finish()
    await entry.discard()
    expect(await files()).toEqual([])
    expect((await readAll(entry)).equals(bytes)).toBe(true)
    release()
    release()
    await expect(entry.read(Buffer.alloc(1), 0)).rejects.toThrow('discarded')
  })

  it('can be discarded while it is being written, and read at that moment', async () => {
    const bytes = randomBytes(4 * MIB)
    const entry = spool.create()
    await fill(entry, cut(bytes.subarray(0, 3 * MIB), 65_536))
    const buffer = Buffer.alloc(1000)
    const reading = entry.read(buffer, 0)
    await entry.discard()
    expect(await reading).toBe(1000)
    expect(buffer.equals(bytes.subarray(0, 1000))).toBe(true)
    expect(await files()).toEqual([])
    await expect(entry.read(buffer, 0)).rejects.toThrow('discarded')
  })

  it('computes the digests of many large entries at once', async () => {
    const bodies = Array.from({ length: 7 }, (_, index) => randomBytes(MIB + 1 + index * 300_000))
    const entries = await Promise.all(
      bodies.map((bytes) => spool.receive(Readable.from(cut(bytes, 65_536)), { limit: bytes.length })),
    )
    for (const [index, entry] of entries.entries()) expect(entry.digests).toEqual(expectedDigests(bodies[index]!))
    await Promise.all(entries.map((entry) => entry.discard()))
  })
})

describe('receive', () => {
  it.each([5, 3 * MIB])('refuses a body over a limit of %i bytes and leaves nothing', async (limit) => {
    const body = Readable.from(cut(randomBytes(limit + 1), 65_536))
    const received = spool.receive(body, { limit, limitMessage: 'too much' })
    await expect(received).rejects.toThrow(TooLarge)
    await expect(received).rejects.toThrow('too much')
    expect(await files()).toEqual([])
  })

  it('reads the rest of a refused body away, so that its sender comes to the answer', async () => {
    let given = 0
    const body = new Readable({
      read() {
        given += 65_536
        this.push(given > 4 * MIB ? null : Buffer.alloc(65_536))
      },
    })
    await expect(spool.receive(body, { limit: MIB })).rejects.toThrow(TooLarge)
    if (!body.readableEnded) await new Promise((resolve) => body.once('end', resolve))
    expect(given).toBeGreaterThan(4 * MIB)
  })

  it.each([100, 3 * MIB])('fails when the sender leaves after %i bytes, and leaves nothing', async (size) => {
    async function* broken(): AsyncGenerator<Buffer> {
      yield* cut(randomBytes(size), 65_536)
      throw new Error('aborted')
    }
    await expect(spool.receive(broken(), { limit: 10 * MIB })).rejects.toThrow(Invalid)
    expect(await files()).toEqual([])
  })

  it.each([100, 3 * MIB])('can keep the %i bytes that came before the sender left', async (size) => {
    const bytes = randomBytes(size)
    async function* broken(): AsyncGenerator<Buffer> {
      yield* cut(bytes, 65_536)
      throw new Error('aborted')
    }
    const { entry, failure } = await spool.receiveSome(broken(), { limit: 10 * MIB })
    expect(failure).toBeInstanceOf(Invalid)
    expect(entry.digests).toEqual(expectedDigests(bytes))
    expect((await readAll(entry)).equals(bytes)).toBe(true)
    await entry.discard()
    const whole = await spool.receiveSome(Readable.from([bytes]), { limit: 10 * MIB })
    expect(whole.failure).toBeNull()
    await whole.entry.discard()
    await expect(spool.receiveSome(broken(), { limit: size - 1 })).rejects.toThrow(TooLarge)
    expect(await files()).toEqual([])
  })

  it('fails when the stream is destroyed or was so before', async () => {
    const body = new Readable({ read() {} })
    body.push(Buffer.from('half'))
    const received = spool.receive(body, { limit: 100 })
    body.destroy()
    await expect(received).rejects.toThrow(Invalid)
    await expect(spool.receive(body, { limit: 100 })).rejects.toThrow(Invalid)
  })

  it('gives up on a sender that has stopped', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const body = new Readable({ read() {} })
      body.push(Buffer.from('half'))
      const received = spool.receive(body, { limit: 100 })
      const refused = expect(received).rejects.toThrow('the body stopped')
      for (let tick = 0; tick < 10; tick += 1) await new Promise(setImmediate)
      await vi.advanceTimersByTimeAsync(59_000)
      expect(body.destroyed).toBe(false)
      await vi.advanceTimersByTimeAsync(2_000)
      await refused
      expect(body.destroyed).toBe(true)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('opening', () => {
  it('removes what processes that are gone have left, and nothing of those that run', async () => {
    const folder = join(directory, 'spool')
    await writeFile(join(folder, 'junk'), 'x')
    const host = encodeURIComponent(hostname())
    const write = (name: string) => writeFile(join(folder, name), 'x')
    await write(`${host}.${process.pid}-old`)
    await write(`${host}.4194305-gone`)
    await write(`${host}.${process.ppid}-running`)
    // Containers have hosts of their own and the same process id in all of them.
    await write(`other.host.${process.pid}-running`)
    await write('other.host.1-abandoned')
    await utimes(join(folder, 'other.host.1-abandoned'), 0, 0)
    await mkdir(join(folder, 'folder'))
    await new Spool(folder).open()
    expect((await files()).sort()).toEqual(
      [`${host}.${process.ppid}-running`, `other.host.${process.pid}-running`].sort(),
    )
  })
})
