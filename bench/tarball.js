import { compareLoad } from './measure.js'
import { makePublication } from './packages.js'
import { startBoth, stopBoth } from './registries.js'
import { send } from './requests.js'

/** @typedef {import('./measure.js').Row} Row */

const CASES = [
  { size: 20_000, title: '20 kB', goal: 6 },
  { size: 2_000_000, title: '2 MB', goal: 3.5 },
]

/**
 * Tarballs from disk, of packages published here and of the warm mirror.
 *
 * @param {import('./measure.js').Bench} bench
 * @returns {Promise<Row[]>}
 */
export async function tarball(bench) {
  const registries = await startBoth(bench.upstream)
  /** @type {Row[]} */
  const rows = []
  for (const { size, title, goal } of CASES) {
    for (const place of /** @type {const} */ (['hosted', 'mirror'])) {
      const name = place === 'hosted' ? `hosted-b${size}` : `up-tarball-v1-b${size}`
      /** @param {import('./registries.js').Registry} registry */
      const prepare = async ({ server, headers, ...paths }) => {
        if (place === 'hosted') {
          await send(server, 'PUT', `${paths.hosted}${name}`, headers, await makePublication(name, '1.0.0', size))
        }
        return { server, headers, path: `${paths[place]}${name}/-/${name}-1.0.0.tgz` }
      }
      const { ours, theirs } = await compareLoad(bench, {
        ours: await prepare(registries.ours),
        theirs: registries.theirs && (await prepare(registries.theirs)),
      })
      const what = `tarball ${title}, ${place === 'hosted' ? 'hosted' : 'warm mirror'}`
      rows.push({ what, unit: 'req/CPU s', ours, peer: 'verdaccio', theirs, goal: { atLeast: goal } })
    }
  }
  await stopBoth(registries)
  return rows
}
