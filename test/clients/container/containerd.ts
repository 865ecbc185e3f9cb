import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RunOptions, run, runFailing, tryRun } from '../run.ts'
import { Workplace } from '../workplace.ts'
import { Daemon } from './daemon.ts'

/** A containerd of its own with everything it keeps in a temporary directory, used through `ctr`; needs root. */
export class Containerd {
  readonly directory: string
  readonly #workplace: Workplace
  #daemon: Daemon | null = null

  private constructor(workplace: Workplace) {
    this.#workplace = workplace
    this.directory = workplace.directory
  }

  static async start(): Promise<Containerd> {
    const containerd = new Containerd(await Workplace.create())
    const path = (name: string): string => join(containerd.directory, name)
    const configuration = [
      ...['version = 2', `root = "${path('root')}"`, `state = "${path('state')}"`],
      ...['disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]'],
      ...['[grpc]', `address = "${path('sock')}"`],
    ]
    await writeFile(path('config.toml'), `${configuration.join('\n')}\n`)
    containerd.#daemon = await Daemon.start('containerd', ['--config', path('config.toml')], {
      env: containerd.#options().env,
      isReady: async () => (await tryRun('ctr', ['version'], containerd.#options())).code === 0,
    })
    return containerd
  }

  /** Runs ctr; it must succeed. Resolves to its standard output. */
  ctr(...args: string[]): Promise<string> {
    return run('ctr', args, this.#options())
  }

  /** Runs ctr; it must fail. Resolves to all that it printed. */
  failing(...args: string[]): Promise<string> {
    return runFailing('ctr', args, this.#options())
  }

  /** Pulls an image of this machine's platform, or with `--all-platforms`. */
  async pull(reference: string, ...options: string[]): Promise<void> {
    await this.ctr('images', 'pull', '--snapshotter', 'native', ...options, reference)
  }

  /** The digest of an image that is here. */
  async digestOf(reference: string): Promise<string | undefined> {
    const lines = (await this.ctr('images', 'ls', `name==${reference}`)).split('\n')
    return /sha256:[0-9a-f]{64}/.exec(lines[1] ?? '')?.[0]
  }

  /** The digests of all content that is here, sorted. */
  async content(): Promise<string[]> {
    return (await this.ctr('content', 'ls', '--quiet')).split('\n').filter(Boolean).sort()
  }

  /** Removes all images and their content. */
  async forgetAll(): Promise<void> {
    const references = (await this.ctr('images', 'ls', '--quiet')).split('\n').filter(Boolean)
    if (references.length > 0) await this.ctr('images', 'rm', '--sync', ...references)
    const content = await this.content()
    if (content.length > 0) await this.ctr('content', 'rm', ...content)
  }

  /** Writes a hosts.toml for each registry name; resolves to the value of `--hosts-dir`. */
  async hostsDirectory(files: Record<string, string>): Promise<string> {
    const directory = await this.#workplace.project({})
    for (const [registry, text] of Object.entries(files)) {
      await mkdir(join(directory, registry), { recursive: true })
      await writeFile(join(directory, registry, 'hosts.toml'), text)
    }
    return directory
  }

  async dispose(): Promise<void> {
    await this.#daemon?.stop()
    await this.#workplace.dispose()
  }

  #options(): RunOptions {
    const more = { CONTAINERD_ADDRESS: join(this.directory, 'sock'), CONTAINERD_NAMESPACE: undefined }
    return this.#workplace.in(this.directory, { timeout: 120_000 }, more)
  }
}
