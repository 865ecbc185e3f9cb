import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { makeTemporaryDirectory, plainEnvironment } from './run.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const START_LIMIT = 60_000
const STOP_LIMIT = 30_000

export const admin = { username: 'root-admin', password: 'correct horse battery staple 1' } as const

/** An answer of the REST API; `body` is parsed JSON, or null. */
export interface RestAnswer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: the tests name the fields they expect
  readonly body: any
}

/**
 * A server process as a user would start it: `node dist/main.js serve`, configured by its environment, with a data
 * directory of its own. It keeps port and data over `restart()`, so that lock files stay true.
 */
export class ServerProcess {
  readonly port: number
  readonly dataDirectory: string
  #environment: NodeJS.ProcessEnv
  #process: ChildProcess | null = null
  #log = ''
  #removeData: () => Promise<void>

  private constructor(
    port: number,
    data: { path: string; remove: () => Promise<void> },
    environment: NodeJS.ProcessEnv,
  ) {
    this.port = port
    this.dataDirectory = data.path
    this.#removeData = data.remove
    this.#environment = environment
  }

  /** Starts a server and resolves when `/readyz` says yes. `environment` is added to the minimal one. */
  static async start(environment: NodeJS.ProcessEnv = {}): Promise<ServerProcess> {
    const server = new ServerProcess(await findFreePort(), await makeTemporaryDirectory(), environment)
    await server.restart()
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** `127.0.0.1:PORT`, as container images are named. */
  get host(): string {
    return `127.0.0.1:${this.port}`
  }

  /** The npm registry of an owner, with the slash at its end. */
  npm(owner: string): string {
    return `${this.url}/api/packages/${owner}/npm/`
  }

  /** What the processes printed so far, all starts together. */
  get log(): string {
    return this.#log
  }

  /** Starts again on the same port and data, after `stop()` or `kill()`; `environment` is added to what was given before. */
  async restart(environment: NodeJS.ProcessEnv = {}): Promise<void> {
    if (this.#process !== null) throw new Error('the server still runs')
    Object.assign(this.#environment, environment)
    const child = spawn(process.execPath, ['dist/main.js', 'serve'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: plainEnvironment({
        ENTREPOT_PORT: String(this.port),
        ENTREPOT_DATA_DIR: this.dataDirectory,
        ENTREPOT_ADMIN_USERNAME: admin.username,
        ENTREPOT_ADMIN_PASSWORD: admin.password,
        ...this.#environment,
      }),
    })
    this.#process = child
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#log += text
      })
    }
    await this.#waitUntilReady(child)
  }

  /** SIGTERM: the server must drain and exit with 0 within 30 s. */
  async stop(): Promise<void> {
    const { code, signal } = await this.#end('SIGTERM')
    if (code !== 0) throw new Error(`the server ended with ${code ?? signal} on SIGTERM\n${this.#log}`)
  }

  /** SIGKILL: nothing in the process can react. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Ends the process if it runs, and removes its data. */
  async dispose(): Promise<void> {
    if (this.#process !== null) await this.kill()
    await this.#removeData()
  }

  /** Calls the REST API; as the first administrator unless other credentials (`null`: none) are given. */
  async rest(
    method: string,
    path: string,
    body?: unknown,
    credentials: { username: string; password: string } | null = admin,
  ): Promise<RestAnswer> {
    const headers: Record<string, string> = {}
    if (credentials !== null) headers['authorization'] = basic(credentials.username, credentials.password)
    if (body !== undefined) headers['content-type'] = 'application/json'
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = (response.headers.get('content-type') ?? '').includes('json') && text !== ''
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : null }
  }

  /** An organization that belongs to the user (the first administrator unless told). */
  async createOrganization(name: string, owner: { username: string; password: string } = admin): Promise<void> {
    await this.#expect(201, 'POST', '/orgs', { username: name }, owner)
  }

  /** A user who can work at once. */
  async createUser(username: string, password: string): Promise<void> {
    const email = `${username}@example.org`
    await this.#expect(201, 'POST', '/admin/users', { username, password, email, must_change_password: false })
  }

  /** The secret of a new token of the user (the first administrator unless told). */
  async createToken(
    scopes: readonly string[],
    user: { username: string; password: string } = admin,
    name = `token ${scopes.join(' ')}`,
  ): Promise<string> {
    const answer = await this.#expect(201, 'POST', `/users/${user.username}/tokens`, { name, scopes }, user)
    return answer.body.sha1
  }

  async #expect(
    status: number,
    method: string,
    path: string,
    body: unknown,
    credentials: { username: string; password: string } = admin,
  ): Promise<RestAnswer> {
    const answer = await this.rest(method, path, body, credentials)
    if (answer.status === status) return answer
    throw new Error(`${method} ${path} answered ${answer.status} ${JSON.stringify(answer.body)}\n${this.#log}`)
  }

  async #waitUntilReady(child: ChildProcess): Promise<void> {
    const deadline = Date.now() + START_LIMIT
    while (Date.now() < deadline) {
      if (child.exitCode !== null || child.signalCode !== null) {
        this.#process = null
        throw new Error(`the server ended with ${child.exitCode ?? child.signalCode} while it started\n${this.#log}`)
      }
      try {
        if ((await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(2000) })).status === 200) return
      } catch {
        // Not listening yet.
      }
      await sleep(50)
    }
    await this.kill()
    throw new Error(`the server was not ready within ${START_LIMIT / 1000} s\n${this.#log}`)
  }

  async #end(signal: NodeJS.Signals): Promise<{ code: number | null; signal: string | null }> {
    const child = this.#process
    if (child === null) throw new Error('the server does not run')
    this.#process = null
    if (child.exitCode !== null || child.signalCode !== null) return { code: child.exitCode, signal: child.signalCode }
    const exited = once(child, 'exit') as Promise<[number | null, string | null]>
    const limit = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT)
    child.kill(signal)
    const [code, by] = await exited
    clearTimeout(limit)
    return { code, signal: by }
  }
}

/** `Basic …` of a name and a password. */
export function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/** A port of 127.0.0.1 on which nothing listens now. */
export async function findFreePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

/** Environment that points the npmjs mirror at a registry on this machine. */
export function upstreamAt(url: string): NodeJS.ProcessEnv {
  return { ENTREPOT_UPSTREAM_NPMJS_URL: url, ENTREPOT_UPSTREAM_NPMJS_ALLOW_PRIVATE_NETWORK: 'true' }
}

/** Environment that points the npmjs mirror at a port where nothing listens. */
export async function upstreamGone(): Promise<NodeJS.ProcessEnv> {
  return upstreamAt(`http://127.0.0.1:${await findFreePort()}/`)
}
