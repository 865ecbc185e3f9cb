import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findFreePort, makeDirectory, ServerProcess } from './processes.js'

/** @typedef {import('./images.js').ImageRegistry} ImageRegistry */

/** Where Debian's package `docker-registry` has it. */
const program = '/usr/bin/docker-registry'

export function hasDockerRegistry() {
  return existsSync(program)
}

/**
 * CNCF distribution with the settings that are best for it: no credentials, descriptors in memory, one JSON line per
 * request like ours.
 *
 * @param {string} [upstream] origin of the registry that it is to mirror; then nothing can be pushed to it
 * @returns {Promise<ImageRegistry>}
 */
export async function startDockerRegistry(upstream) {
  const directory = await makeDirectory()
  const port = await findFreePort()
  const config = join(directory, 'config.yml')
  // JSON is YAML too.
  const settings = {
    version: 0.1,
    log: { level: 'info', formatter: 'json', accesslog: { disabled: true } },
    storage: {
      cache: { blobdescriptor: 'inmemory' },
      filesystem: { rootdirectory: join(directory, 'storage'), maxthreads: 100 },
    },
    http: { addr: `127.0.0.1:${port}`, secret: 'bench' },
    ...(upstream !== undefined && { proxy: { remoteurl: upstream } }),
  }
  await writeFile(config, JSON.stringify(settings))
  const server = await ServerProcess.start({ program, directory, port, args: ['serve', config], readyPath: '/v2/' })
  return { server, hosted: '/v2/bench/', mirror: '/v2/bench/', headers: {} }
}
