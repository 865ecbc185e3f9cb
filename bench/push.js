import { randomBytes } from 'node:crypto'
import { pushBlob, startHosted, stopAll } from './images.js'
import { inTurn, median, pick } from './measure.js'

const SIZE = 20_000_000
const PER_ROUND = 5

/**
 * Layers that nobody has, pushed one after the other: POST, PATCH, PUT. docker-registry looks at no credentials, we do
 * at each request; and it digests them once, we four times.
 *
 * @param {import('./measure.js').Bench} bench
 * @returns {Promise<import('./measure.js').Row[]>}
 */
export async function push({ rounds }) {
  const registries = await startHosted()
  const figures = await inTurn(rounds, registries, async (registry) => {
    const layers = Array.from({ length: PER_ROUND }, () => randomBytes(SIZE))
    const before = registry.server.cpuSeconds()
    const times = []
    for (const layer of layers) {
      const startedAt = performance.now()
      await pushBlob(registry, 'image', layer)
      times.push(performance.now() - startedAt)
    }
    await registry.server.settle()
    const cpu = ((registry.server.cpuSeconds() - before) * 1_000) / PER_ROUND
    return { wall: median(times), cpu }
  })
  await stopAll(registries.ours, registries.theirs)
  const row = { unit: 'ms', lowerIsBetter: true, peer: 'distribution' }
  return [
    { ...row, what: 'push of a 20 MB layer, wall', ...pick(figures, ({ wall }) => wall), goal: { atLeast: 1.2 } },
    { ...row, what: 'the same, CPU', ...pick(figures, ({ cpu }) => cpu) },
  ]
}
