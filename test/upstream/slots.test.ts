import { describe, expect, test } from 'vitest'
import { UpstreamUnavailable } from '../../src/errors.ts'
import { Slots } from '../../src/upstream/slots.ts'

const never = new AbortController().signal

describe('Slots', () => {
  test('let so many in at once, the others in the order they came', async () => {
    const slots = new Slots(2)
    const order: string[] = []
    const enter = async (name: string) => {
      const release = await slots.take('document', 60_000, never)
      order.push(name)
      return release
    }
    const [first] = await Promise.all([enter('a'), enter('b')])
    const third = enter('c')
    const fourth = enter('d')
    await Promise.resolve()
    expect(order).toEqual(['a', 'b'])
    first()
    const release = await third
    expect(order).toEqual(['a', 'b', 'c'])
    release()
    await fourth
    expect(order).toEqual(['a', 'b', 'c', 'd'])
  })

  test('are never all taken by artifacts, unless there is one only', async () => {
    const slots = new Slots(4)
    for (let i = 0; i < 3; i += 1) await slots.take('artifact', 60_000, never)
    await expect(slots.take('artifact', 1, never)).rejects.toThrow(UpstreamUnavailable)
    await expect(slots.take('document', 1, never)).resolves.toBeTypeOf('function')
    await expect(new Slots(1).take('artifact', 1, never)).resolves.toBeTypeOf('function')
  })

  test('are not given to who waits no longer', async () => {
    const slots = new Slots(1)
    const release = await slots.take('document', 60_000, never)
    const impatient = new AbortController()
    const given = slots.take('document', 60_000, impatient.signal)
    impatient.abort()
    await expect(given).rejects.toMatchObject({ status: 503, retryAfter: 5 })
    release()
    await expect(slots.take('document', 1, never)).resolves.toBeTypeOf('function')
  })
})
