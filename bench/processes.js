import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const START_LIMIT = 60_000
const STOP_LIMIT = 15_000
const SETTLE_LIMIT = 20_000
/** CPU seconds per second of a process that only waits. */
const AT_REST = 0.03
/** Linux counts CPU time in these for every program, whatever the kernel's own tick is. */
const TICKS_PER_SECOND = 100

/** @type {Set<ServerProcess>} */
const running = new Set()
/** @type {Set<string>} */
const directories = new Set()

// Whatever way this process ends, what it started ends with it.
process.on('exit', () => {
  for (const server of running) server.kill()
})

/** A server under measurement: a process of its own that listens on a port of 127.0.0.1. */
export class ServerProcess {
  /** Seconds from the start of the process to its first good answer. */
  startSeconds = 0
  #child
  #log

  /**
   * @param {import('node:child_process').ChildProcess} child
   * @param {number} port
   * @param {string} log
   */
  constructor(child, port, log) {
    this.#child = child
    this.#log = log
    this.port = port
    this.origin = `http://127.0.0.1:${port}`
  }

  /**
   * Starts a program and resolves when `readyPath` answers 200. What it prints goes to `<directory>/server.log`.
   *
   * @param {object} options
   * @param {string} [options.program] Node, if not said otherwise
   * @param {string} options.directory where the log goes
   * @param {number} options.port
   * @param {string[]} options.args
   * @param {string} options.readyPath
   * @param {Record<string, string>} [options.environment]
   * @returns {Promise<ServerProcess>}
   */
  static async start({ program = process.execPath, directory, port, args, readyPath, environment = {} }) {
    const log = join(directory, 'server.log')
    const output = openSync(log, 'a')
    const startedAt = performance.now()
    const child = spawn(program, args, {
      stdio: ['ignore', output, output],
      env: { PATH: process.env['PATH'], HOME: directory, NODE_ENV: 'production', ...environment },
    })
    closeSync(output)
    const server = new ServerProcess(child, port, log)
    running.add(server)
    while (!(await server.#answers(readyPath))) {
      const isLate = performance.now() - startedAt > START_LIMIT
      if (isLate || server.#hasEnded) throw new Error(`${args.join(' ')} did not start\n${server.tail()}`)
      await sleep(5)
    }
    server.startSeconds = (performance.now() - startedAt) / 1_000
    return server
  }

  /** CPU seconds of all threads since the process started. */
  cpuSeconds() {
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8')
    // The second field is the program's name, which may hold spaces; utime and stime are the 14th and 15th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  }

  /** Resolves when the process hardly works any more: answers can leave before all work for them is done. */
  async settle() {
    const limit = performance.now() + SETTLE_LIMIT
    for (let spent = Number.POSITIVE_INFINITY; spent > AT_REST && performance.now() < limit; ) {
      const before = this.cpuSeconds()
      await sleep(1_000)
      spent = this.cpuSeconds() - before
    }
  }

  /** Resident memory in MB. */
  async residentMegabytes() {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8')
    return (Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1_024) / 1e6
  }

  /** The end of what it printed. */
  tail() {
    return this.lines().join('\n').slice(-2_000)
  }

  /** What it printed. */
  lines() {
    return readFileSync(this.#log, 'utf8').split('\n')
  }

  kill() {
    this.#child.kill('SIGKILL')
  }

  /** SIGTERM, and SIGKILL for who does not listen. */
  async stop() {
    if (!this.#hasEnded) {
      const ended = once(this.#child, 'exit')
      const limit = setTimeout(() => this.kill(), STOP_LIMIT)
      this.#child.kill('SIGTERM')
      await ended
      clearTimeout(limit)
    }
    running.delete(this)
  }

  get #hasEnded() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /**
   * @param {string} path
   * @returns {Promise<boolean>}
   */
  #answers(path) {
    return new Promise((resolve) => {
      const request = get(`${this.origin}${path}`, { agent: false, timeout: 1_000 }, (response) => {
        response.resume()
        resolve(response.statusCode === 200)
      })
      request.on('timeout', () => request.destroy()).on('error', () => resolve(false))
    })
  }
}

/** Ends all servers and removes all directories, in the order that loses nothing to a process still writing. */
export async function cleanUp() {
  await Promise.all([...running].map((server) => server.stop()))
  for (const directory of directories) await rm(directory, { recursive: true, force: true, maxRetries: 3 })
}

/** A new directory below the system's temporary one; `cleanUp` removes it. */
export async function makeDirectory() {
  const directory = await mkdtemp(join(tmpdir(), 'entrepot-bench-'))
  directories.add(directory)
  return directory
}

/** A port of 127.0.0.1 on which nothing listens now. */
export async function findFreePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address())
  probe.close()
  await once(probe, 'close')
  return port
}
