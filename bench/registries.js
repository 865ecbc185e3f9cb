import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makePublication, SMALL } from './packages.js'
import { findFreePort, makeDirectory, ServerProcess } from './processes.js'
import { send, user } from './requests.js'
import { hasVerdaccio, startVerdaccio } from './verdaccio.js'

/**
 * An npm registry that runs for a measurement.
 *
 * @typedef {object} Registry
 * @property {ServerProcess} server
 * @property {string} hosted path below which its own packages are, with the slash at its end
 * @property {string} mirror path below which the upstream's packages are, with the slash at its end
 * @property {Record<string, string>} headers what authenticates a user who may publish
 * @property {(name: string, count: number) => Promise<void>} fill makes a hosted package of versions 1.0.0, 1.0.1 …
 */

const root = fileURLToPath(new URL('..', import.meta.url))

/** @returns {Promise<ServerProcess>} the registry that all others mirror */
export async function startUpstream() {
  const port = await findFreePort()
  return ServerProcess.start({
    directory: await makeDirectory(),
    port,
    args: [join(root, 'bench/npm-upstream.js'), String(port)],
    readyPath: '/-/counts',
  })
}

/**
 * Fastify that serves from memory what `target` answers.
 *
 * @param {import('./measure.js').Target} target
 */
export async function startBare({ server, path, headers }) {
  const port = await findFreePort()
  return ServerProcess.start({
    directory: await makeDirectory(),
    port,
    args: [join(root, 'bench/bare-server.js'), String(port), server.origin, path, JSON.stringify(headers)],
    readyPath: '/',
  })
}

/**
 * The process alone, on a data directory that may have been used before.
 *
 * @param {string} upstream origin
 * @param {string} directory
 */
export function startEntrepotProcess(upstream, directory) {
  return runEntrepot(directory, {
    ENTREPOT_UPSTREAMS_DIR: join(root, 'upstreams'),
    ENTREPOT_UPSTREAM_NPMJS_URL: `${upstream}/`,
    ENTREPOT_UPSTREAM_NPMJS_ALLOW_PRIVATE_NETWORK: 'true',
    ENTREPOT_MIRRORS_FRESH: '1h',
  })
}

/**
 * @param {string} directory
 * @param {Record<string, string>} environment
 */
export async function runEntrepot(directory, environment) {
  const port = await findFreePort()
  return ServerProcess.start({
    directory,
    port,
    args: [...profiling(), join(root, 'dist/main.js'), 'serve'],
    readyPath: '/readyz',
    environment: {
      ENTREPOT_PORT: String(port),
      ENTREPOT_DATA_DIR: directory,
      ENTREPOT_ADMIN_USERNAME: user.name,
      ENTREPOT_ADMIN_PASSWORD: user.password,
      ...environment,
    },
  })
}

/**
 * @param {string} upstream origin
 * @returns {Promise<Registry>}
 */
export async function startEntrepot(upstream) {
  const server = await startEntrepotProcess(upstream, await makeDirectory())
  const headers = await signIn(server)
  const hosted = `/api/packages/${user.name}/npm/`
  return {
    server,
    hosted,
    mirror: '/api/packages/npmjs/npm/',
    headers,
    async fill(name, count) {
      for (let n = 0; n < count; n += 1) {
        await send(server, 'PUT', `${hosted}${name}`, headers, await makePublication(name, `1.0.${n}`, SMALL))
      }
    },
  }
}

/**
 * Makes the token of a user who may publish.
 *
 * @param {ServerProcess} server an Entrepot
 * @returns {Promise<Record<string, string>>} the headers that present it
 */
export async function signIn(server) {
  const basic = { authorization: `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}` }
  const scopes = ['write:package']
  const token = await send(server, 'POST', `/api/v1/users/${user.name}/tokens`, basic, { name: 'bench', scopes })
  return { authorization: `Bearer ${token.sha1}` }
}

/**
 * Both registries; `theirs` is null where verdaccio is not installed.
 *
 * @param {ServerProcess} upstream
 * @returns {Promise<{ ours: Registry, theirs: Registry | null }>}
 */
export async function startBoth({ origin }) {
  return { ours: await startEntrepot(origin), theirs: hasVerdaccio() ? await startVerdaccio(origin) : null }
}

/** @param {{ ours: Registry, theirs: Registry | null }} registries */
export async function stopBoth({ ours, theirs }) {
  await ours.server.stop()
  await theirs?.server.stop()
}

/** `ENTREPOT_BENCH_PROFILE=<folder>`: every Entrepot process leaves a CPU profile there when it ends. */
function profiling() {
  const folder = process.env['ENTREPOT_BENCH_PROFILE']
  return folder ? ['--cpu-prof', `--cpu-prof-dir=${folder}`] : []
}
