import { Pool } from 'undici'
import { inTurn, median, pick } from './measure.js'
import { startBoth, stopBoth } from './registries.js'

const CLIENTS = 20
const SIZE = 10_000_000

/**
 * 20 clients that ask at once for one tarball nobody has asked for before.
 *
 * @param {import('./measure.js').Bench} bench
 * @returns {Promise<import('./measure.js').Row[]>}
 */
export async function misses({ upstream, rounds }) {
  const registries = await startBoth(upstream)
  const figures = await inTurn(rounds, registries, async (registry, round) => {
    const name = `up-miss${registry.server.port}round${round}-v1-b${SIZE}`
    const file = `${name}/-/${name}-1.0.0.tgz`
    // Else the first to ask pays for making it up.
    await (await fetch(`${upstream.origin}/${name}`)).arrayBuffer()
    const firstByte = await missTogether(registry, `${registry.mirror}${file}`)
    const counts = await (await fetch(`${upstream.origin}/-/counts`)).json()
    return { firstByte, fetches: /** @type {Record<string, number>} */ (counts)[`/${file}`] ?? 0 }
  })
  await stopBoth(registries)
  const row = { peer: 'verdaccio', lowerIsBetter: true }
  return [
    {
      ...row,
      what: `${CLIENTS} misses of one 10 MB file, upstream requests`,
      unit: 'requests',
      ...pick(figures, ({ fetches }) => fetches),
      goal: { exactly: 1 },
    },
    { ...row, what: 'first byte of these', unit: 'ms', ...pick(figures, ({ firstByte }) => firstByte) },
  ]
}

/**
 * @param {import('./registries.js').Registry} registry
 * @param {string} path
 * @returns {Promise<number>} the median time to the first byte, ms
 */
async function missTogether({ server, headers }, path) {
  const pool = new Pool(server.origin, { connections: CLIENTS, headersTimeout: 60_000 })
  const startedAt = performance.now()
  const ask = async () => {
    const { statusCode, body } = await pool.request({ path, method: 'GET', headers })
    let firstByte = 0
    for await (const _chunk of body) firstByte ||= performance.now() - startedAt
    if (statusCode !== 200) throw new Error(`${path} answered ${statusCode}`)
    return firstByte
  }
  const times = await Promise.all(Array.from({ length: CLIENTS }, ask))
  await pool.close()
  return median(times)
}
