import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { request } from 'undici'
import { hasDockerRegistry, startDockerRegistry } from './docker-registry.js'
import { makeNoise } from './packages.js'
import { makeDirectory } from './processes.js'
import { runEntrepot, signIn } from './registries.js'
import { user } from './requests.js'

/** @typedef {import('./processes.js').ServerProcess} ServerProcess */

/**
 * A container registry that runs for a measurement. Everybody may read.
 *
 * @typedef {object} ImageRegistry
 * @property {ServerProcess} server
 * @property {string} hosted path below which its own repositories are, with the slash at its end
 * @property {string} mirror path below which the upstream's repositories `bench/…` are, with the slash at its end
 * @property {Record<string, string>} headers what authenticates a user who may push
 */

/** @typedef {{ digest: string, size: number }} Content */

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
/** docker-registry says 404 without. */
export const acceptsManifests = { accept: MANIFEST }
/** Of an image, about as many as usual. */
const LAYERS = 8

/**
 * An Entrepot that mirrors one container registry.
 *
 * @param {string} [upstream] origin
 * @returns {Promise<ImageRegistry>}
 */
async function startEntrepot(upstream) {
  const directory = await makeDirectory()
  const upstreams = join(directory, 'upstreams')
  await mkdir(upstreams)
  if (upstream !== undefined) {
    const file = { type: 'container', owner: 'hub', url: upstream, allowPrivateNetwork: true }
    await writeFile(join(upstreams, 'hub.yaml'), JSON.stringify(file))
  }
  const server = await runEntrepot(directory, { ENTREPOT_UPSTREAMS_DIR: upstreams })
  return { server, hosted: `/v2/${user.name}/`, mirror: '/v2/hub/bench/', headers: await signIn(server) }
}

/**
 * Registries that images are pushed to; `theirs` is null where docker-registry is not installed.
 *
 * @returns {Promise<{ ours: ImageRegistry, theirs: ImageRegistry | null }>}
 */
export async function startHosted() {
  return { ours: await startEntrepot(), theirs: hasDockerRegistry() ? await startDockerRegistry() : null }
}

/**
 * Mirrors of one registry, which is itself a docker-registry where that is installed, else another Entrepot.
 *
 * @returns {Promise<{ upstream: ImageRegistry, ours: ImageRegistry, theirs: ImageRegistry | null }>}
 */
export async function startMirrors() {
  const upstream = hasDockerRegistry() ? await startDockerRegistry() : await startEntrepot()
  const { origin } = upstream.server
  const theirs = hasDockerRegistry() ? await startDockerRegistry(origin) : null
  return { upstream, ours: await startEntrepot(origin), theirs }
}

/** @param {(ImageRegistry | null)[]} registries */
export async function stopAll(...registries) {
  for (const registry of registries) await registry?.server.stop()
}

/**
 * Uploads a blob as the Docker daemon does: POST, one PATCH, PUT.
 *
 * @param {ImageRegistry} registry
 * @param {string} repository
 * @param {Buffer} bytes
 * @returns {Promise<Content>}
 */
export async function pushBlob({ server, hosted, headers }, repository, bytes) {
  const digest = digestOf(bytes)
  const opened = await send('POST', new URL(`${hosted}${repository}/blobs/uploads/`, server.origin), 202, headers)
  const location = new URL(String(opened), server.origin)
  const binary = { ...headers, 'content-type': 'application/octet-stream' }
  const received = new URL(String(await send('PATCH', location, 202, binary, bytes)), server.origin)
  received.searchParams.set('digest', digest)
  await send('PUT', received, 201, headers)
  return { digest, size: bytes.length }
}

/**
 * Pushes an image of these layers and a few small ones; the same one everywhere. Resolves to the digest of its manifest.
 *
 * @param {ImageRegistry} registry
 * @param {string} repository
 * @param {string} tag
 * @param {Content[]} [layers] that the repository has already
 */
export async function pushImage(registry, repository, tag, layers = []) {
  const config = await pushBlob(registry, repository, Buffer.from('{"architecture":"amd64","os":"linux"}'))
  const all = [...layers]
  while (all.length < LAYERS) all.push(await pushBlob(registry, repository, makeNoise(`layer ${all.length}`, 1_000)))
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: all.map((layer) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...layer })),
    }),
  )
  const url = new URL(`${registry.hosted}${repository}/manifests/${tag}`, registry.server.origin)
  await send('PUT', url, 201, { ...registry.headers, 'content-type': MANIFEST }, manifest)
  return digestOf(manifest)
}

/**
 * @param {'POST' | 'PATCH' | 'PUT'} method
 * @param {URL} url
 * @param {number} status that must be answered
 * @param {Record<string, string>} headers
 * @param {Buffer} [body]
 * @returns {Promise<unknown>} the Location of the answer
 */
async function send(method, url, status, headers, body) {
  const answer = await request(url, { method, headers, ...(body !== undefined && { body }), headersTimeout: 60_000 })
  const text = await answer.body.text()
  if (answer.statusCode !== status) throw new Error(`${method} ${url} answered ${answer.statusCode} ${text}`)
  return answer.headers['location']
}

/** @param {Buffer} bytes */
function digestOf(bytes) {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
