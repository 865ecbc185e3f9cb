import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type RunOptions, run, runFailing } from '../run.ts'
import { Workplace } from '../workplace.ts'

/** One entry of registries.conf: a registry that speaks plain HTTP, or the mirror of another one. */
export type RegistryEntry = { readonly insecure: string } | { readonly prefix: string; readonly mirror: string }

/** A person's configuration, store and logins of skopeo, podman and buildah, which share them. */
export class ContainersHome {
  readonly directory: string
  readonly #workplace: Workplace
  #layouts = 0

  private constructor(workplace: Workplace) {
    this.#workplace = workplace
    this.directory = workplace.directory
  }

  static async create(registries: readonly RegistryEntry[]): Promise<ContainersHome> {
    const home = new ContainersHome(await Workplace.create())
    await home.configure(registries)
    return home
  }

  /** Writes registries.conf, as users write it, and settings that keep all state below this home. */
  async configure(registries: readonly RegistryEntry[]): Promise<void> {
    const entries = registries.map((entry) =>
      'insecure' in entry
        ? `[[registry]]\nlocation = "${entry.insecure}"\ninsecure = true\n`
        : `[[registry]]\nprefix = "${entry.prefix}"\nlocation = "${entry.prefix}"\n` +
          `[[registry.mirror]]\nlocation = "${entry.mirror}"\ninsecure = true\n`,
    )
    await this.#write('home/.config/containers/registries.conf', entries.join('\n'))
    const [root, state] = [join(this.#store, 'root'), join(this.#store, 'run')]
    await this.#write('storage.conf', `[storage]\ndriver = "vfs"\ngraphroot = "${root}"\nrunroot = "${state}"\n`)
    const engine = ['cgroup_manager = "cgroupfs"', 'events_logger = "none"', 'lock_type = "file"']
    await this.#write('containers.conf', `[engine]\n${engine.join('\n')}\ntmp_dir = "${join(state, 'libpod')}"\n`)
    await this.#write('auth.json', '{}')
    await mkdir(join(this.directory, 'xdg'), { recursive: true })
  }

  /** Runs a command that must succeed; resolves to its standard output. */
  skopeo(...args: string[]): Promise<string> {
    return run('skopeo', args, this.options())
  }

  podman(...args: string[]): Promise<string> {
    return run('podman', args, this.options())
  }

  buildah(...args: string[]): Promise<string> {
    return run('buildah', args, this.options())
  }

  /** Runs a command that must fail; resolves to all that it printed. */
  failing(command: 'skopeo' | 'podman' | 'buildah', ...args: string[]): Promise<string> {
    return runFailing(command, args, this.options())
  }

  /** Copies an image into a new OCI layout with all its platforms; resolves to the layout's directory. */
  async download(reference: string, ...options: string[]): Promise<string> {
    const directory = join(this.directory, `download-${++this.#layouts}`)
    await this.skopeo('copy', '--all', '--preserve-digests', ...options, `docker://${reference}`, `oci:${directory}:x`)
    return directory
  }

  /** Forgets all images. */
  async emptyStore(): Promise<void> {
    await rm(this.#store, { recursive: true, force: true, maxRetries: 3 })
  }

  async dispose(): Promise<void> {
    await this.#workplace.dispose()
  }

  /** How to run a command that reads this home. */
  options(): RunOptions {
    return this.#workplace.in(
      this.directory,
      { timeout: 120_000 },
      {
        CONTAINERS_CONF: join(this.directory, 'containers.conf'),
        CONTAINERS_STORAGE_CONF: join(this.directory, 'storage.conf'),
        REGISTRY_AUTH_FILE: join(this.directory, 'auth.json'),
        XDG_RUNTIME_DIR: join(this.directory, 'xdg'),
        TMPDIR: this.directory,
      },
    )
  }

  get #store(): string {
    return join(this.directory, 'store')
  }

  async #write(name: string, text: string): Promise<void> {
    const path = join(this.directory, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
}
