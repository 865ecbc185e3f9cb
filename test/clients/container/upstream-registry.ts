import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeTemporaryDirectory, plainEnvironment } from '../run.ts'
import { findFreePort } from '../server.ts'
import { Daemon } from './daemon.ts'

/** Debian's docker-registry as a process, without users, its images in a temporary directory. */
export class UpstreamRegistry {
  /** `127.0.0.1:PORT`. */
  readonly host: string
  readonly #daemon: Daemon
  readonly #remove: () => Promise<void>

  private constructor(host: string, daemon: Daemon, remove: () => Promise<void>) {
    this.host = host
    this.#daemon = daemon
    this.#remove = remove
  }

  static async start(): Promise<UpstreamRegistry> {
    const { path, remove } = await makeTemporaryDirectory()
    const host = `127.0.0.1:${await findFreePort()}`
    const configuration = join(path, 'registry.json')
    await writeFile(
      configuration,
      JSON.stringify({
        version: '0.1',
        log: { level: 'warn', accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: join(path, 'storage') }, delete: { enabled: true } },
        http: { addr: host, secret: 'of no use to anybody' },
      }),
    )
    const daemon = await Daemon.start('docker-registry', ['serve', configuration], {
      env: plainEnvironment(),
      isReady: () => answers(`http://${host}/v2/`),
    })
    return new UpstreamRegistry(host, daemon, remove)
  }

  get url(): string {
    return `http://${this.host}`
  }

  async dispose(): Promise<void> {
    await this.#daemon.stop()
    await this.#remove()
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok
  } catch {
    return false
  }
}
