import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { debianRepository } from './debian.ts'

const CHECKSUM = /\.(md5|sha1)$/
/** When all files of the tree were made: Debian's have one time for all anyway. */
const MADE = new Date('2021-03-04T05:06:07Z').toUTCString()

/** One request as it arrived. */
export interface TreeRequest {
  readonly method: string
  /** Decoded, without a leading slash. */
  readonly path: string
  readonly status: number
}

/** What goes wrong; nothing unless told. */
export interface TreeFaults {
  /** Connections are cut. */
  down: boolean
  /** Everything is answered with it: 429, 503. */
  status: number | null
  /** Paths of files of which one byte is not what their checksums say. */
  corrupt: ReadonlySet<string>
  /** Whether answers carry `X-Checksum-*`, as Central's do; if not, there are only the `.sha1` files. */
  checksumHeaders: boolean
}

const healthy: TreeFaults = { down: false, status: null, corrupt: new Set(), checksumHeaders: true }

/** A repository as Maven Central is one, over all that Debian has of Java, and over files of the test's own. */
export class MavenTree {
  readonly faults: TreeFaults = { ...healthy }
  requests: TreeRequest[] = []
  readonly #files = new Map<string, Buffer>()
  readonly #versions = new Map<string, string[]>()
  readonly #holdsDebian: boolean
  readonly #server: Server

  private constructor(holds: 'debian' | 'nothing') {
    this.#holdsDebian = holds === 'debian'
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy())
    })
  }

  /** With all that Debian has, unless told to begin with nothing. */
  static async start(holds: 'debian' | 'nothing' = 'debian'): Promise<MavenTree> {
    const tree = new MavenTree(holds)
    tree.#server.listen(0, '127.0.0.1')
    await once(tree.#server, 'listening')
    return tree
  }

  /** Without a slash at its end. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Adds or replaces a file. */
  add(path: string, content: Buffer | string): void {
    this.#files.set(path, Buffer.from(content))
  }

  /** Publishes a jar that holds no classes, with its POM and the metadata; resolves to the jar's path. */
  publish(group: string, artifact: string, version: string): string {
    const folder = `${group.replaceAll('.', '/')}/${artifact}`
    const coordinates = `<groupId>${group}</groupId><artifactId>${artifact}</artifactId>`
    const versions = [...(this.#versions.get(folder) ?? []), version]
    this.#versions.set(folder, versions)
    const jar = `${folder}/${version}/${artifact}-${version}.jar`
    this.add(jar, emptyJar(`${group}:${artifact}:${version} ${'.'.repeat(2000)}`))
    this.add(
      jar.replace(/jar$/, 'pom'),
      `<project><modelVersion>4.0.0</modelVersion>${coordinates}<version>${version}</version></project>`,
    )
    const list = versions.map((each) => `<version>${each}</version>`).join('')
    const versioning = `<release>${version}</release><versions>${list}</versions><lastUpdated>20210304050607</lastUpdated>`
    this.add(
      `${folder}/maven-metadata.xml`,
      `<metadata>${coordinates}<versioning>${versioning}</versioning></metadata>`,
    )
    return jar
  }

  /** How many requests there were for paths that contain the text. */
  count(text = ''): number {
    return this.requests.filter(({ path }) => path.includes(text)).length
  }

  /** Forgets the requests so far. */
  forget(): void {
    this.requests = []
  }

  /** Nothing goes wrong any more. */
  heal(): void {
    Object.assign(this.faults, healthy)
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET' } = request
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://tree').pathname).slice(1)
    const note = (status: number): number => {
      this.requests.push({ method, path, status })
      return status
    }
    if (this.faults.down) {
      note(0)
      request.socket.destroy()
      return
    }
    const end = (status: number, headers: Record<string, string> = {}): void => {
      request.resume()
      response.writeHead(note(status), { 'content-length': '0', ...headers }).end()
    }
    if (this.faults.status !== null) return end(this.faults.status)
    if (method !== 'GET' && method !== 'HEAD') return end(405)
    // Central refuses callers that do not say who they are (maven.md §6).
    if (request.headers['user-agent'] === undefined) return end(403)
    const bytes = await this.#read(path)
    if (bytes === null) return end(404)
    const etag = `"${hash('sha1', bytes)}"`
    if (request.headers['if-none-match'] === etag) return end(304, { etag })
    response.writeHead(note(200), {
      'content-type': path.endsWith('.jar') ? 'application/java-archive' : 'text/xml',
      'content-length': bytes.length,
      'last-modified': MADE,
      etag,
      ...(this.faults.checksumHeaders && {
        'x-checksum-sha1': hash('sha1', bytes),
        'x-checksum-md5': hash('md5', bytes),
      }),
    })
    response.end(method === 'HEAD' ? undefined : this.faults.corrupt.has(path) ? spoil(bytes) : bytes)
  }

  async #read(path: string): Promise<Buffer | null> {
    const algorithm = CHECKSUM.exec(path)?.[1]
    if (algorithm === undefined) return this.#readFile(path)
    const bytes = await this.#readFile(path.slice(0, -algorithm.length - 1))
    return bytes && Buffer.from(hash(algorithm, bytes))
  }

  async #readFile(path: string): Promise<Buffer | null> {
    const own = this.#files.get(path)
    if (own !== undefined || !this.#holdsDebian) return own ?? null
    const file = join(debianRepository, path)
    if (!file.startsWith(`${debianRepository}/`) || !(await isFile(file))) return null
    return readFile(file)
  }
}

/** A jar without entries; its bytes differ by the text. */
export function emptyJar(text: string): Buffer {
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(text.length, 20)
  return Buffer.concat([end, Buffer.from(text, 'latin1')])
}

/** Lower-case hex. */
export function hash(algorithm: string, bytes: Buffer | string): string {
  return createHash(algorithm).update(bytes).digest('hex')
}

function spoil(bytes: Buffer): Buffer {
  const spoilt = Buffer.from(bytes)
  spoilt[spoilt.length - 1]! ^= 0xff
  return spoilt
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  )
}
