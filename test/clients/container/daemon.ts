import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

const START_LIMIT = 30_000
const STOP_LIMIT = 20_000

const running = new Set<ChildProcess>()
// Whatever way the tests end, what they started ends with them.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A program that runs until it is told to end. */
export class Daemon {
  readonly #child: ChildProcess
  #log = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    running.add(child)
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#log += text
      })
    }
  }

  /** Starts a program and resolves when `isReady` says so; throws with all that it printed if it ends, or 30 s pass. */
  static async start(
    command: string,
    args: readonly string[],
    options: { env: NodeJS.ProcessEnv; isReady: () => Promise<boolean> },
  ): Promise<Daemon> {
    const child = spawn(command, args, { env: options.env, stdio: ['ignore', 'pipe', 'pipe'] })
    const daemon = new Daemon(child)
    await once(child, 'spawn')
    const deadline = Date.now() + START_LIMIT
    while (!(await options.isReady())) {
      if (daemon.#hasEnded || Date.now() > deadline) {
        await daemon.stop()
        throw new Error(`${command} ${args.join(' ')} did not start\n${daemon.log}`)
      }
      await sleep(50)
    }
    return daemon
  }

  /** What it printed so far. */
  get log(): string {
    return this.#log
  }

  /** SIGTERM, and SIGKILL for who does not listen. */
  async stop(): Promise<void> {
    if (!this.#hasEnded) {
      const ended = once(this.#child, 'exit')
      const limit = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT)
      this.#child.kill('SIGTERM')
      await ended
      clearTimeout(limit)
    }
    running.delete(this.#child)
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }
}
