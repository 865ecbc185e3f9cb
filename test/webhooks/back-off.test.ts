import { expect, test } from 'vitest'
import { delayAfter } from '../../src/webhooks/back-off.ts'

test('the delays grow, spread a little, and end', () => {
  const delays = (random: number) => [1, 2, 3, 4, 5, 6].map((attempts) => delayAfter(attempts, random))
  expect(delays(0)).toEqual([10_000, 60_000, 600_000, 3_600_000, 21_600_000, null])
  expect(delays(1)).toEqual([12_000, 72_000, 720_000, 4_320_000, 25_920_000, null])
})
