import { randomBytes } from 'node:crypto'
import { request } from 'undici'
import { acceptsManifests, pushBlob, pushImage, startMirrors, stopAll } from './images.js'
import { inTurn, pick } from './measure.js'

/** @typedef {import('./processes.js').ServerProcess} ServerProcess */

const SIZE = 50_000_000
const CLIENTS = 20

/**
 * Layers of 50 MB through a mirror that holds their manifest and not them: for one client, and for 20 at once.
 *
 * @param {import('./measure.js').Bench} bench
 * @returns {Promise<import('./measure.js').Row[]>}
 */
export async function layerMisses({ rounds }) {
  const { upstream, ...mirrors } = await startMirrors()
  const figures = await inTurn(
    rounds,
    { ...mirrors, bare: { ...upstream, mirror: upstream.hosted } },
    async (registry, round) => {
      const image = `image-${registry.server.port}-${round}`
      const forOne = await pushBlob(upstream, image, randomBytes(SIZE))
      const forAll = await pushBlob(upstream, image, randomBytes(SIZE))
      await pushImage(upstream, image, 'v1', [forOne, forAll])
      const base = `${registry.server.origin}${registry.mirror}${image}`
      await pull(`${base}/manifests/v1`)
      const alone = await pull(`${base}/blobs/${forOne.digest}`)
      await registry.server.settle()
      await Promise.all(Array.from({ length: CLIENTS }, () => pull(`${base}/blobs/${forAll.digest}`)))
      await registry.server.settle()
      return { ...alone, fetches: countFetches(upstream.server, forAll.digest) }
    },
  )
  await stopAll(mirrors.ours, mirrors.theirs, upstream)
  const { bare = [] } = figures
  const row = { unit: 'ms', lowerIsBetter: true, peer: 'distribution' }
  const first = pick(figures, ({ firstByte }) => firstByte)
  const itself = { peer: 'upstream', theirs: bare.map(({ firstByte }) => firstByte) }
  return [
    { ...row, what: 'miss of 50 MB, first byte', ...first, goal: { atMost: 0.5 } },
    { ...row, what: 'the same against the upstream itself', ...first, ...itself },
    { ...row, what: 'the same, last byte', ...pick(figures, ({ lastByte }) => lastByte), goal: { atMost: 0.7 } },
    {
      ...row,
      what: `${CLIENTS} misses of it at once, upstream requests`,
      unit: 'requests',
      ...pick(figures, ({ fetches }) => fetches),
      goal: { exactly: 1 },
    },
  ]
}

/**
 * Reads all of one URL; resolves to the times of its first and last byte, ms.
 *
 * @param {string} url
 */
async function pull(url) {
  const startedAt = performance.now()
  const { statusCode, body } = await request(url, { headers: acceptsManifests, headersTimeout: 60_000 })
  let firstByte = 0
  for await (const _chunk of body) firstByte ||= performance.now() - startedAt
  if (statusCode !== 200) throw new Error(`${url} answered ${statusCode}`)
  return { firstByte, lastByte: performance.now() - startedAt }
}

/**
 * How often a blob was read from a registry, by its log: docker-registry and Entrepot both write one JSON line for each
 * request.
 *
 * @param {ServerProcess} server
 * @param {string} digest
 */
function countFetches(server, digest) {
  return server.lines().filter((line) => line.includes('"GET"') && line.includes(`/blobs/${digest}"`)).length
}
