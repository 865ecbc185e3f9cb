import { inTurn, median } from './measure.js'
import { makePublication } from './packages.js'
import { startBoth, stopBoth } from './registries.js'
import { send } from './requests.js'

/** @typedef {import('./registries.js').Registry} Registry */

const SIZE = 20_000
const NEW_PER_ROUND = 20
const LATE_PER_ROUND = 4
const OLD_VERSIONS = 1_999

/**
 * `npm publish` by its one request: of new packages, and of further versions of a package that has 1,999.
 *
 * @param {import('./measure.js').Bench} bench
 * @returns {Promise<import('./measure.js').Row[]>}
 */
export async function publish(bench) {
  const registries = await startBoth(bench.upstream)
  for (const registry of [registries.ours, registries.theirs]) {
    if (registry === null) continue
    await registry.fill('long', OLD_VERSIONS)
    await publishAll(registry, newPackages('warm-up'))
  }
  const first = await inTurn(bench.rounds, registries, (registry, round) =>
    publishAll(registry, newPackages(`round-${round}`)),
  )
  const late = await inTurn(bench.rounds, registries, (registry, round) => {
    const numbers = Array.from({ length: LATE_PER_ROUND }, (_, n) => OLD_VERSIONS + round * LATE_PER_ROUND + n)
    const releases = numbers.map((n) => ({ name: 'long', version: `1.0.${n}` }))
    return publishAll(registry, releases)
  })
  await stopBoth(registries)

  const row = { unit: 'ms', lowerIsBetter: true, peer: 'verdaccio' }
  const flat = { ours: late.ours, peer: 'Entrepot', theirs: first.ours }
  return [
    { ...row, what: 'publish 20 kB, first version, wall', ...first, goal: { atLeast: 3 } },
    { ...row, what: 'publish 20 kB as version 2,000, wall', ...late, goal: { atLeast: 40 } },
    { ...row, what: 'the same against our own first version', ...flat, goal: { atMost: 1.5 } },
  ]
}

/** @param {string} prefix */
function newPackages(prefix) {
  return Array.from({ length: NEW_PER_ROUND }, (_, n) => ({ name: `${prefix}-${n}`, version: '1.0.0' }))
}

/**
 * Publishes one after the other; resolves to the median time, ms.
 *
 * @param {Registry} registry
 * @param {{ name: string, version: string }[]} releases
 */
async function publishAll({ server, hosted, headers }, releases) {
  const times = []
  for (const { name, version } of releases) {
    const body = await makePublication(name, version, SIZE)
    const startedAt = performance.now()
    await send(server, 'PUT', `${hosted}${name}`, headers, body)
    times.push(performance.now() - startedAt)
  }
  return median(times)
}
