import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { digestTarball, makePublication, SMALL } from './packages.js'
import { findFreePort, makeDirectory, ServerProcess } from './processes.js'
import { send, user } from './requests.js'

/** @typedef {import('./registries.js').Registry} Registry */

const installation = fileURLToPath(new URL('../node_modules/.cache/entrepot-bench', import.meta.url))
/** The newest one that runs on this Node, so that both run on the same. */
const range = Number.parseInt(process.versions.node, 10) < 22 ? '~6.8.0' : '6'
const INSTALL_LIMIT = 300_000
const program = join(installation, 'node_modules/verdaccio/bin/verdaccio')

export function hasVerdaccio() {
  return existsSync(program)
}

/**
 * The process alone, with the settings that are best for it: one JSON line per request like ours, no web interface.
 *
 * @param {string} upstream origin
 * @param {string} directory
 */
export async function startVerdaccioProcess(upstream, directory) {
  const port = await findFreePort()
  const config = join(directory, 'config.yaml')
  // JSON is YAML too.
  const settings = {
    storage: join(directory, 'storage'),
    auth: { htpasswd: { file: join(directory, 'htpasswd'), max_users: 10 } },
    uplinks: { upstream: { url: `${upstream}/`, maxage: '60m', timeout: '60s' } },
    packages: {
      'up-*': { access: '$all', publish: '$authenticated', proxy: 'upstream' },
      '**': { access: '$all', publish: '$authenticated' },
    },
    // Without this every request checks the password anew, which takes bcrypt a tenth of a second.
    security: { api: { legacy: false, jwt: { sign: { expiresIn: '1d' } } } },
    web: { enable: false },
    max_body_size: '200mb',
    log: { type: 'stdout', format: 'json', level: 'http' },
  }
  await writeFile(config, JSON.stringify(settings))
  return ServerProcess.start({
    directory,
    port,
    args: [program, '--config', config, '--listen', `127.0.0.1:${port}`],
    readyPath: '/-/ping',
  })
}

/**
 * @param {string} upstream origin
 * @returns {Promise<Registry>}
 */
export async function startVerdaccio(upstream) {
  const directory = await makeDirectory()
  const server = await startVerdaccioProcess(upstream, directory)
  const { token } = await send(server, 'PUT', `/-/user/org.couchdb.user:${user.name}`, {}, user)
  const headers = { authorization: `Bearer ${token}` }
  return {
    server,
    hosted: '/',
    mirror: '/',
    headers,
    // By hand after the first version: 2,000 publishes would take it minutes.
    async fill(name, count) {
      await send(server, 'PUT', `/${name}`, headers, await makePublication(name, '1.0.0', SMALL))
      const file = join(directory, 'storage', name, 'package.json')
      const stored = JSON.parse(await readFile(file, 'utf8'))
      for (let n = 1; n < count; n += 1) {
        const version = `1.0.${n}`
        const manifest = JSON.parse(JSON.stringify(stored.versions['1.0.0']).replaceAll('1.0.0', version))
        Object.assign(manifest.dist, digestTarball(version))
        stored.versions[version] = manifest
        stored._attachments[`${name}-${version}.tgz`] = { shasum: manifest.dist.shasum, version }
        stored.time[version] = stored.time['1.0.0']
        stored['dist-tags'].latest = version
      }
      await writeFile(file, JSON.stringify(stored, undefined, 2))
    },
  }
}

/** Installs verdaccio where it is not; says so where that fails. */
export async function installVerdaccio() {
  if (hasVerdaccio()) return
  process.stdout.write('installing verdaccio …\n')
  await mkdir(installation, { recursive: true })
  // A dependency asks for node-fetch by a tag, which not every mirror of npm's registry passes on.
  const wanted = { private: true, dependencies: { verdaccio: range }, overrides: { 'node-fetch': '^2.7.0' } }
  await writeFile(join(installation, 'package.json'), JSON.stringify(wanted))
  const args = ['install', '--prefix', installation, '--ignore-scripts', '--no-audit', '--no-fund']
  try {
    execFileSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'], timeout: INSTALL_LIMIT })
  } catch (error) {
    process.stdout.write(`${error}\nverdaccio is not there: comparisons with it are skipped\n`)
  }
}
