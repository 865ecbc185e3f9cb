import { Pool } from 'undici'
import { inTurn, pick } from './measure.js'
import { startEntrepot } from './registries.js'
import { hasVerdaccio, startVerdaccio } from './verdaccio.js'

const PACKAGES = 300
const VERSIONS = 30
/** Bytes; together the 19 MB that 300 packages of everyday size are. */
const SIZES = [3_000, 8_000, 15_000, 40_000, 250_000]
/** What npm opens to one registry. */
const CONNECTIONS = 15

/**
 * What `npm ci` asks of a registry, without npm's own work: the tarballs of 300 packages, first of a server that holds
 * nothing, then once more.
 *
 * @param {import('./measure.js').Bench} bench
 * @returns {Promise<import('./measure.js').Row[]>}
 */
export async function install({ rounds, upstream }) {
  const names = Array.from({ length: PACKAGES }, (_, n) => `up-ci${n}-v${VERSIONS}-b${SIZES[n % SIZES.length]}`)
  const paths = names.map((name) => `${name}/-/${name}-1.0.${VERSIONS - 1}.tgz`)
  // Else the first to ask pays for making them up.
  await fetchAll(upstream, '/', paths)
  const starts = { ours: startEntrepot, theirs: hasVerdaccio() ? startVerdaccio : null }
  const figures = await inTurn(rounds, starts, async (start) => {
    const { server, mirror, headers } = await start(upstream.origin)
    const cold = await fetchAll(server, mirror, paths, headers)
    const warm = await fetchAll(server, mirror, paths, headers)
    await server.stop()
    return { cold, warm }
  })
  const row = { unit: 's', lowerIsBetter: true, peer: 'verdaccio' }
  const what = `npm ci of ${PACKAGES} packages`
  return [
    { ...row, what: `${what}, cold, wall`, ...pick(figures, ({ cold }) => cold.wall), goal: { atLeast: 1.2 } },
    { ...row, what: `${what}, cold, CPU`, ...pick(figures, ({ cold }) => cold.cpu), goal: { atLeast: 4 } },
    { ...row, what: `${what}, warm, wall`, ...pick(figures, ({ warm }) => warm.wall), goal: { atLeast: 1 } },
    { ...row, what: `${what}, warm, CPU`, ...pick(figures, ({ warm }) => warm.cpu), goal: { atLeast: 6 } },
  ]
}

/**
 * Fetches all paths below `base`; resolves to the seconds that took, by the clock and of the server's CPU.
 * The CPU counts until the server rests: answers may leave before what they brought is filed.
 *
 * @param {import('./processes.js').ServerProcess} server
 * @param {string} base
 * @param {string[]} paths
 * @param {Record<string, string>} [headers]
 */
async function fetchAll(server, base, paths, headers = {}) {
  const pool = new Pool(server.origin, { connections: CONNECTIONS, headersTimeout: 60_000 })
  const cpuBefore = server.cpuSeconds()
  const startedAt = performance.now()
  await Promise.all(
    paths.map(async (path) => {
      const { statusCode, body } = await pool.request({ path: `${base}${path}`, method: 'GET', headers })
      await body.arrayBuffer()
      if (statusCode !== 200) throw new Error(`${path} answered ${statusCode}\n${server.tail()}`)
    }),
  )
  const wall = (performance.now() - startedAt) / 1_000
  await server.settle()
  const cpu = server.cpuSeconds() - cpuBefore
  await pool.close()
  return { wall, cpu }
}
