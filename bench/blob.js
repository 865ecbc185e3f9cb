import { randomBytes } from 'node:crypto'
import { request } from 'undici'
import { acceptsManifests, pushBlob, pushImage, startHosted, startMirrors, stopAll } from './images.js'
import { compareLoad } from './measure.js'

/** @typedef {import('./images.js').Content} Content */
/** @typedef {import('./images.js').ImageRegistry} ImageRegistry */
/** @typedef {import('./measure.js').Row} Row */

const CASES = [
  { size: 10_000, title: '10 kB', connections: 16, goal: 20 },
  { size: 50_000_000, title: '50 MB', connections: 8, goal: 1.2 },
]

/**
 * Blobs of an image pushed here, and of one on the warm mirror. Nobody signs in.
 *
 * @param {import('./measure.js').Bench} bench
 * @returns {Promise<Row[]>}
 */
export async function blob(bench) {
  const contents = CASES.map(({ size }) => randomBytes(size))
  const hosted = await startHosted()
  const layers = await push(hosted.ours, contents)
  if (hosted.theirs !== null) await push(hosted.theirs, contents)
  const rows = await compare(bench, 'hosted', hosted, layers)
  await stopAll(hosted.ours, hosted.theirs)
  const { upstream, ...mirrors } = await startMirrors()
  await push(upstream, contents)
  // As clients do; a mirror shows a blob by the word of a manifest, else it asks each time who may.
  for (const registry of [mirrors.ours, mirrors.theirs]) await readManifest(registry)
  rows.push(...(await compare(bench, 'mirror', mirrors, layers)))
  await stopAll(mirrors.ours, mirrors.theirs, upstream)
  return rows
}

/**
 * Pushes one image of these layers.
 *
 * @param {ImageRegistry} registry
 * @param {Buffer[]} contents
 */
async function push(registry, contents) {
  const layers = []
  for (const content of contents) layers.push(await pushBlob(registry, 'image', content))
  await pushImage(registry, 'image', 'v1', layers)
  return layers
}

/** @param {ImageRegistry | null} mirror */
async function readManifest(mirror) {
  if (mirror === null) return
  const { statusCode, body } = await request(`${mirror.server.origin}${mirror.mirror}image/manifests/v1`, {
    headers: acceptsManifests,
  })
  await body.dump()
  if (statusCode !== 200) throw new Error(`the manifest answered ${statusCode}`)
}

/**
 * @param {import('./measure.js').Bench} bench
 * @param {'hosted' | 'mirror'} place
 * @param {{ ours: ImageRegistry, theirs: ImageRegistry | null }} registries
 * @param {Content[]} layers one for each case
 */
async function compare(bench, place, { ours, theirs }, layers) {
  /** @type {Row[]} */
  const rows = []
  for (const [n, { title, connections, goal }] of CASES.entries()) {
    const target = (/** @type {ImageRegistry} */ { server, ...paths }) => ({
      server,
      path: `${paths[place]}image/blobs/${layers[n]?.digest}`,
      headers: {},
      connections,
    })
    const figures = await compareLoad(bench, { ours: target(ours), theirs: theirs && target(theirs) })
    const what = `blob ${title}, ${place === 'hosted' ? 'hosted' : 'warm mirror'}`
    rows.push({ what, unit: 'req/CPU s', ...figures, peer: 'distribution', goal: { atLeast: goal } })
  }
  return rows
}
