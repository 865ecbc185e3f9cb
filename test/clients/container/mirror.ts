import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { makeTemporaryDirectory } from '../run.ts'
import { ServerProcess } from '../server.ts'
import { HubFront } from './hub-front.ts'
import { UpstreamRegistry } from './upstream-registry.ts'

/** Keys of the upstream's file that a test sets. */
export interface MirrorOptions {
  readonly fresh?: string
  readonly auth?: { readonly kind: 'docker'; readonly usernameEnv: string; readonly passwordEnv: string }
}

/**
 * Entrepot's mirror `docker.io`, also called `docker-hub`, of a registry that behaves like Docker Hub. It is mounted at
 * the host name `localhost`; at 127.0.0.1, which `server.host` names, nothing is mounted.
 */
export class Mirror {
  readonly registry: UpstreamRegistry
  readonly hub: HubFront
  readonly server: ServerProcess
  readonly #removeFiles: () => Promise<void>

  private constructor(
    registry: UpstreamRegistry,
    hub: HubFront,
    server: ServerProcess,
    removeFiles: () => Promise<void>,
  ) {
    this.registry = registry
    this.hub = hub
    this.server = server
    this.#removeFiles = removeFiles
  }

  /** `environment` is the server's. */
  static async start(options: MirrorOptions = {}, environment: NodeJS.ProcessEnv = {}): Promise<Mirror> {
    const { path, remove } = await makeTemporaryDirectory()
    const registry = await UpstreamRegistry.start()
    const hub = await HubFront.start(registry.url)
    const upstream = {
      type: 'container',
      owner: 'docker.io',
      aliases: ['docker-hub'],
      url: `http://${hub.host}`,
      serves: ['docker.io'],
      hosts: ['localhost'],
      allowPrivateNetwork: true,
      options: { defaultNamespace: 'library' },
      ...options,
    }
    await writeFile(join(path, 'docker-io.yaml'), stringify(upstream))
    const server = await ServerProcess.start({ ENTREPOT_UPSTREAMS_DIR: path, ...environment })
    return new Mirror(registry, hub, server, remove)
  }

  async dispose(): Promise<void> {
    await this.server.dispose()
    await this.hub.close()
    await this.registry.dispose()
    await this.#removeFiles()
  }
}
