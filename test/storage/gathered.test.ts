import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Gathered } from '../../src/storage/gathered.ts'

it('holds what was added, however it was cut, and reads it from anywhere', () => {
  const chunks = fc.array(fc.integer({ min: 0, max: 9000 }), { maxLength: 40 })
  fc.assert(
    fc.property(chunks, fc.nat(), fc.integer({ min: 1, max: 20_000 }), (sizes, at, room) => {
      const gathered = new Gathered()
      const all: Buffer[] = []
      for (const [index, size] of sizes.entries()) {
        const chunk = Buffer.alloc(size, index + 1)
        gathered.add(chunk)
        all.push(chunk)
      }
      const whole = Buffer.concat(all)
      expect(gathered.length).toBe(whole.length)
      expect(Buffer.concat(gathered.buffers).equals(whole)).toBe(true)
      const offset = whole.length === 0 ? 0 : at % whole.length
      const target = Buffer.alloc(room)
      const bytes = gathered.read(target, offset)
      expect(bytes).toBe(Math.min(room, whole.length - offset))
      expect(target.subarray(0, bytes).equals(whole.subarray(offset, offset + bytes))).toBe(true)
    }),
  )
})

it('needs few buffers for many single bytes', () => {
  const gathered = new Gathered()
  for (let index = 0; index < 100_000; index += 1) gathered.add(Buffer.from([index & 255]))
  expect(gathered.length).toBe(100_000)
  expect(gathered.buffers.length).toBeLessThan(5)
})
