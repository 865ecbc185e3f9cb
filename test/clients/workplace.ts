import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeTemporaryDirectory, plainEnvironment, type RunOptions } from './run.ts'

/** A person's machine for one test file: a home with its configuration and caches, and projects beside it. */
export class Workplace {
  readonly directory: string
  readonly dispose: () => Promise<void>
  #projects = 0

  private constructor(directory: string, remove: () => Promise<void>) {
    this.directory = directory
    this.dispose = remove
  }

  static async create(): Promise<Workplace> {
    const { path, remove } = await makeTemporaryDirectory()
    const workplace = new Workplace(path, remove)
    await mkdir(workplace.home)
    await workplace.emptyCaches()
    return workplace
  }

  get home(): string {
    return join(this.directory, 'home')
  }

  get caches(): string {
    return join(this.directory, 'caches')
  }

  /** Writes `~/.npmrc`, which npm, pnpm and yarn classic read. */
  async npmrc(...lines: string[]): Promise<void> {
    await writeFile(join(this.home, '.npmrc'), `${lines.join('\n')}\n`, { mode: 0o600 })
  }

  /** A new directory with the given files; objects become JSON. */
  async project(files: Record<string, string | object>): Promise<string> {
    const path = join(this.directory, `project-${++this.#projects}`)
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(path, name)), { recursive: true })
      await writeFile(join(path, name), typeof content === 'string' ? content : JSON.stringify(content, null, 2))
    }
    return path
  }

  /** Forgets what any client ever downloaded. */
  async emptyCaches(): Promise<void> {
    await rm(this.caches, { recursive: true, force: true, maxRetries: 3 })
    await mkdir(this.caches)
  }

  /** How to run a client in a project of this workplace. */
  in(
    cwd: string,
    more: Omit<Partial<RunOptions>, 'cwd' | 'env'> = {},
    environment: NodeJS.ProcessEnv = {},
  ): RunOptions {
    return {
      cwd,
      ...more,
      env: plainEnvironment({
        HOME: this.home,
        XDG_CACHE_HOME: join(this.caches, 'xdg'),
        XDG_CONFIG_HOME: join(this.home, 'config'),
        XDG_DATA_HOME: join(this.caches, 'data'),
        XDG_STATE_HOME: join(this.caches, 'state'),
        npm_config_userconfig: join(this.home, '.npmrc'),
        npm_config_cache: join(this.caches, 'npm'),
        npm_config_update_notifier: 'false',
        npm_config_fund: 'false',
        ...environment,
      }),
    }
  }
}
