import { describe, expect, test } from 'vitest'
import { Tallies } from '../../src/cache/tallies.ts'

const WINDOW = 60_000

function open() {
  const clock = { time: Date.UTC(2030, 0, 1), now: () => clock.time }
  const errors: unknown[] = []
  return { clock, errors, tallies: new Tallies({ clock, onError: (error) => errors.push(error) }) }
}

describe('tallies', () => {
  test('count from the first event on, and begin anew after the window', async () => {
    const { tallies, clock } = open()
    const since = clock.time
    expect(await tallies.read(['a'], WINDOW)).toEqual([null])
    await tallies.add('a', WINDOW)
    clock.time += WINDOW - 1
    expect(await tallies.add('a', WINDOW)).toEqual({ count: 2, since, last: clock.time })
    expect(await tallies.read(['a', 'b'], WINDOW)).toEqual([{ count: 2, since, last: clock.time }, null])
    clock.time += 1
    expect(await tallies.read(['a'], WINDOW)).toEqual([null])
    expect(await tallies.add('a', WINDOW)).toEqual({ count: 1, since: clock.time, last: clock.time })
    await tallies.forget('a')
    expect(await tallies.read(['a'], WINDOW)).toEqual([null])
  })

  test('a Redis that fails or does not answer is left alone for a while, and each server counts for itself', async () => {
    const { tallies, errors } = open()
    let asked = 0
    const ask = () => {
      asked += 1
      return asked === 1 ? new Promise(() => {}) : Promise.reject(new Error('gone'))
    }
    tallies.share({ eval: ask, hmGet: ask, del: ask } as never, '/test')
    const started = Date.now()
    for (const count of [1, 2, 3]) expect((await tallies.add('a', WINDOW)).count).toBe(count)
    await tallies.forget('a')
    expect(await tallies.read(['a'], WINDOW)).toEqual([null])
    expect(Date.now() - started).toBeLessThan(2_000)
    expect([asked, errors.length]).toEqual([1, 1])
  })

  test.skipIf(process.env['TEST_REDIS_URL'] === undefined)('replicas with Redis count together', async () => {
    const { createClient } = await import('@keyv/redis')
    const client = createClient({ url: process.env['TEST_REDIS_URL']! })
    await client.connect()
    try {
      const installation = `/test-${Math.random()}`
      const [here, there] = [open(), open()]
      for (const { tallies } of [here, there]) tallies.share(client as never, installation)
      await here.tallies.add('a', WINDOW)
      there.clock.time += 10
      const both = { count: 2, since: here.clock.time, last: there.clock.time }
      expect(await there.tallies.add('a', WINDOW)).toEqual(both)
      expect(await here.tallies.read(['a', 'b'], WINDOW)).toEqual([both, null])
      there.clock.time += WINDOW
      expect(await there.tallies.read(['a'], WINDOW)).toEqual([null])
      expect((await there.tallies.add('a', WINDOW)).count).toBe(1)
      await here.tallies.forget('a')
      expect(await there.tallies.read(['a'], WINDOW)).toEqual([null])
      expect([here.errors, there.errors]).toEqual([[], []])
    } finally {
      client.destroy()
    }
  })
})
