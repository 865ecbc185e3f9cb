import { acceptsManifests, pushImage, startHosted, startMirrors, stopAll } from './images.js'
import { compareLoad } from './measure.js'

/** @typedef {import('./images.js').ImageRegistry} ImageRegistry */
/** @typedef {import('./measure.js').Row} Row */

/** For both ways to ask; a docker-registry that mirrors asks its upstream for every tag, but not for a digest. */
const GOALS = { hosted: [15, 15], mirror: [70, 15] }

/**
 * Manifests by tag and by digest, of an image pushed here and of one on the warm mirror. Nobody signs in.
 *
 * @param {import('./measure.js').Bench} bench
 * @returns {Promise<Row[]>}
 */
export async function manifest(bench) {
  const hosted = await startHosted()
  const digest = await pushImage(hosted.ours, 'image', 'v1')
  if (hosted.theirs !== null) await pushImage(hosted.theirs, 'image', 'v1')
  const rows = await compare(bench, 'hosted', hosted, digest)
  await stopAll(hosted.ours, hosted.theirs)
  const { upstream, ...mirrors } = await startMirrors()
  await pushImage(upstream, 'image', 'v1')
  rows.push(...(await compare(bench, 'mirror', mirrors, digest)))
  await stopAll(mirrors.ours, mirrors.theirs, upstream)
  return rows
}

/**
 * @param {import('./measure.js').Bench} bench
 * @param {'hosted' | 'mirror'} place
 * @param {{ ours: ImageRegistry, theirs: ImageRegistry | null }} registries
 * @param {string} digest
 */
async function compare(bench, place, { ours, theirs }, digest) {
  /** @type {Row[]} */
  const rows = []
  for (const [n, reference] of ['v1', digest].entries()) {
    const target = (/** @type {ImageRegistry} */ { server, ...paths }) => ({
      server,
      path: `${paths[place]}image/manifests/${reference}`,
      headers: acceptsManifests,
    })
    const figures = await compareLoad(bench, { ours: target(ours), theirs: theirs && target(theirs) })
    const what = `manifest by ${n === 0 ? 'tag' : 'digest'}, ${place === 'hosted' ? 'hosted' : 'warm mirror'}`
    rows.push({ what, unit: 'req/CPU s', ...figures, peer: 'distribution', goal: { atLeast: GOALS[place][n] ?? 0 } })
  }
  return rows
}
