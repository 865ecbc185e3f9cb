import { request } from 'undici'
import { compareLoad } from './measure.js'
import { startBare, startBoth, stopBoth } from './registries.js'

/** @typedef {import('./measure.js').Row} Row */
/** @typedef {import('./measure.js').Target} Target */

const HEADERS = { accept: 'application/vnd.npm.install-v1+json', 'accept-encoding': 'gzip' }
const CASES = [
  { versions: 20, goal: 20, goalNotModified: 17 },
  { versions: 2_000, goal: 500, goalNotModified: 700 },
]
const BARE_GOAL = 0.75

/**
 * Abbreviated packuments as npm asks for them, and the answer 304 to a client that holds them: of packages published
 * here and of the warm mirror.
 *
 * @param {import('./measure.js').Bench} bench
 * @returns {Promise<Row[]>}
 */
export async function packument(bench) {
  const registries = await startBoth(bench.upstream)
  /** @type {Row[]} */
  const rows = []
  for (const { versions, goal, goalNotModified } of CASES) {
    const hosted = `hosted-v${versions}`
    await registries.ours.fill(hosted, versions)
    await registries.theirs?.fill(hosted, versions)
    for (const place of /** @type {const} */ (['hosted', 'mirror'])) {
      const name = place === 'hosted' ? hosted : `up-packument-v${versions}-b1000`
      const target = (/** @type {import('./registries.js').Registry} */ { server, headers, ...paths }) => ({
        server,
        path: `${paths[place]}${name}`,
        headers: { ...HEADERS, ...headers },
      })
      const ours = target(registries.ours)
      const bare = { ...ours, server: await startBare(ours) }
      const theirs = registries.theirs && target(registries.theirs)
      const what = `${versions.toLocaleString('en-US')} versions, ${place === 'hosted' ? 'hosted' : 'warm mirror'}`
      rows.push(...toRows(what, await compareLoad(bench, { ours, theirs, bare }), goal))
      const conditional = {
        ours: await holding(ours),
        theirs: theirs && (await holding(theirs)),
        bare: await holding(bare),
      }
      rows.push(...toRows(`304, ${what}`, await compareLoad(bench, conditional), goalNotModified))
      await bare.server.stop()
    }
  }
  await stopBoth(registries)
  return rows
}

/**
 * @param {string} what
 * @param {import('./measure.js').Contest<number[]>} figures
 * @param {number} goal against verdaccio
 * @returns {Row[]}
 */
function toRows(what, { ours, theirs, bare = [] }, goal) {
  const row = { what, unit: 'req/CPU s', ours }
  return [
    { ...row, peer: 'verdaccio', theirs, goal: { atLeast: goal } },
    { ...row, peer: 'bare Fastify', theirs: bare, goal: { atLeast: BARE_GOAL } },
  ]
}

/**
 * The target as a client asks it that holds the answer.
 *
 * @param {Target} target
 * @returns {Promise<Target>}
 */
async function holding(target) {
  const answer = await request(`${target.server.origin}${target.path}`, { headers: target.headers })
  await answer.body.dump()
  return { ...target, headers: { ...target.headers, 'if-none-match': String(answer.headers['etag']) }, status: 304 }
}
