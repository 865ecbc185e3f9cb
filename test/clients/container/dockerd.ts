import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RunOptions, run, runFailing, tryRun } from '../run.ts'
import { Workplace } from '../workplace.ts'
import { Daemon } from './daemon.ts'

/** A Docker daemon of its own, without networks, with everything it keeps in a temporary directory; needs root. */
export class Dockerd {
  readonly directory: string
  readonly #workplace: Workplace
  #daemon: Daemon | null = null

  private constructor(workplace: Workplace) {
    this.#workplace = workplace
    this.directory = workplace.directory
  }

  /** Starts a daemon without images; `mirrors` are its registry-mirrors. */
  static async start(mirrors: readonly string[] = []): Promise<Dockerd> {
    const dockerd = new Dockerd(await Workplace.create())
    const configuration = join(dockerd.directory, 'daemon.json')
    await writeFile(configuration, JSON.stringify({ 'registry-mirrors': mirrors }))
    await mkdir(join(dockerd.directory, 'exec'))
    const args = [
      ...['--config-file', configuration, '--host', dockerd.#socket, '--pidfile', join(dockerd.directory, 'pid')],
      ...['--data-root', join(dockerd.directory, 'data'), '--exec-root', join(dockerd.directory, 'exec')],
      ...['--storage-driver', 'vfs', '--bridge', 'none', '--iptables=false', '--ip6tables=false'],
      ...['--ip-forward=false', '--ip-masq=false'],
    ]
    dockerd.#daemon = await Daemon.start('dockerd', args, {
      env: dockerd.#options().env,
      isReady: async () => (await tryRun('docker', ['version'], dockerd.#options())).code === 0,
    })
    return dockerd
  }

  /** What the daemon printed so far. */
  get log(): string {
    return this.#daemon?.log ?? ''
  }

  /** Runs the docker command; it must succeed. Resolves to its standard output. */
  docker(...args: string[]): Promise<string> {
    return run('docker', args, this.#options())
  }

  /** Runs the docker command; it must fail. Resolves to all that it printed. */
  failing(...args: string[]): Promise<string> {
    return runFailing('docker', args, this.#options())
  }

  /** Signs in as users do in scripts, the password from standard input. */
  async login(host: string, username: string, password: string): Promise<void> {
    const command = 'printf %s "$PASSWORD" | docker login --username "$0" --password-stdin "$1"'
    const { cwd, env } = this.#options()
    await run('sh', ['-c', command, username, host], { cwd, env: { ...env, PASSWORD: password } })
  }

  /** Writes a login as if it had been checked. */
  async rememberLogin(registry: string, username: string, password: string): Promise<void> {
    const auth = Buffer.from(`${username}:${password}`).toString('base64')
    await mkdir(join(this.directory, 'config'), { recursive: true })
    await writeFile(join(this.directory, 'config/config.json'), JSON.stringify({ auths: { [registry]: { auth } } }))
  }

  /** Removes an image, so that it must be pulled again. */
  async forget(...references: string[]): Promise<void> {
    await this.docker('image', 'rm', '--force', ...references)
    expectEmpty(await this.docker('image', 'ls', '--all', '--quiet'))
  }

  async dispose(): Promise<void> {
    await this.#daemon?.stop()
    await unmountBelow(this.directory)
    await this.#workplace.dispose()
  }

  get #socket(): string {
    return `unix://${join(this.directory, 'docker.sock')}`
  }

  #options(): RunOptions {
    const more = { DOCKER_HOST: this.#socket, DOCKER_CONFIG: join(this.directory, 'config'), DOCKER_CONTEXT: undefined }
    return this.#workplace.in(this.directory, { timeout: 120_000 }, more)
  }
}

function expectEmpty(images: string): void {
  if (images.trim() !== '') throw new Error(`there are still images: ${images}`)
}

/** Unmounts what a daemon that was killed left mounted. */
async function unmountBelow(directory: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '')
  const ours = mounts.filter((path) => path.startsWith(`${directory}/`)).reverse()
  for (const path of ours) await tryRun('umount', ['--lazy', path], { cwd: '/', env: process.env })
}
