import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'

const CHUNK = 16 * 1024

/** One request as it arrived; headers lower-cased by Node, body still encoded as sent. */
export interface RecordedRequest {
  readonly method: string
  /** As sent, without the query: `/@scope%2fname`. */
  readonly path: string
  /** Without the question mark; empty when there is none. */
  readonly query: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** What an upstream answers, and how badly. Everything is optional: `{}` is an empty 200. */
export interface Answer {
  status?: number
  headers?: Record<string, string>
  body?: Buffer | string | AsyncIterable<Buffer>
  /** `true`: a strong one made from the body; a string is sent as it is. Either makes If-None-Match work. */
  etag?: true | string
  /** Sent as Last-Modified, in ms; makes If-Modified-Since work while no ETag is sent. */
  lastModified?: number
  /** `'accepted'`: gzip when the client offers it; `'always'`: offered or not. */
  gzip?: 'accepted' | 'always'
  /** No Content-Length. */
  chunked?: boolean
  /** Answers a single Range with 206 and names Accept-Ranges; If-Range is honoured. */
  ranges?: boolean
  /** Nothing is sent before this resolves; a promise that never does is an upstream that never answers. */
  before?: Promise<unknown>
  /** ms to wait before the header. */
  delay?: number
  /** The body stops after so many bytes until `resume` resolves; without `resume`, for ever. */
  pauseAt?: number
  resume?: Promise<unknown>
  /** The connection is cut after so many bytes of the body (0: after the header). */
  cutAt?: number
  /** The byte at this place is wrong; the length stays right. */
  corruptAt?: number
  /** The connection is cut instead of any answer. */
  refuse?: boolean
}

/** `attempt` counts the requests for this path from 1, so `(_, n) => (n === 1 ? { status: 503 } : good)` recovers. */
export type Script = Answer | ((request: RecordedRequest, attempt: number) => Answer | Promise<Answer>)

/** An answer that never comes. */
export const silence: Answer = { before: new Promise(() => undefined) }

/** A promise that opens by hand: the tests' substitute for a clock. */
export interface Gate {
  readonly opened: Promise<void>
  open(): void
}

export function createGate(): Gate {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

/**
 * A scripted HTTP server on 127.0.0.1 that counts what it is asked, stalls, breaks and lies. Everything can be changed
 * while it runs. Paths are compared after percent-decoding, so `/@a%2fb` and `/@a/b` are one path.
 */
export class FakeUpstream {
  readonly requests: RecordedRequest[] = []
  /** Sockets that were opened to it. */
  connections = 0
  /** What answers a path nobody scripted; 404 at first. */
  fallback: Script = { status: 404, headers: { 'content-type': 'application/json' }, body: '{"error":"not found"}' }
  #scripts = new Map<string, Script>()
  #everything: Script | null = null
  readonly #server: Server
  #port = 0
  #isDown = false

  private constructor() {
    this.#server = this.#createServer()
  }

  static async start(): Promise<FakeUpstream> {
    const upstream = new FakeUpstream()
    upstream.#server.listen(0, '127.0.0.1')
    await once(upstream.#server, 'listening')
    upstream.#port = (upstream.#server.address() as AddressInfo).port
    return upstream
  }

  /** `http://127.0.0.1:PORT`, the same after `down()` and `up()`. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Answers this path by the script from now on. */
  on(path: string, script: Script): void {
    this.#scripts.set(decode(path), script)
  }

  /** Forgets the script of a path. */
  off(path: string): void {
    this.#scripts.delete(decode(path))
  }

  /** Answers every path by the script, whatever else is scripted; `null` ends that. */
  everything(script: Script | null): void {
    this.#everything = script
  }

  /** How often a path was asked for, by any method or by the given one. */
  count(path: string, method?: string): number {
    const wanted = decode(path)
    return this.requests.filter((r) => decode(r.path) === wanted && (method === undefined || r.method === method))
      .length
  }

  /** The requests for one path, oldest first. */
  asked(path: string): RecordedRequest[] {
    const wanted = decode(path)
    return this.requests.filter((r) => decode(r.path) === wanted)
  }

  forget(): void {
    this.requests.length = 0
  }

  /**
   * Every connection is cut from now on. The port stays ours: another test's server that got it would answer in our
   * place.
   */
  async down(): Promise<void> {
    this.#isDown = true
    this.#server.closeAllConnections()
  }

  /** Answers again. */
  async up(): Promise<void> {
    this.#isDown = false
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  #createServer(): Server {
    const server = createServer((incoming, response) => {
      response.on('error', () => undefined)
      this.#answer(incoming, response).catch(() => response.destroy())
    })
    server.on('connection', (socket) => {
      this.connections += 1
      if (this.#isDown) socket.resetAndDestroy()
    })
    return server
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '/', query = ''] = splitQuery(incoming.url ?? '/')
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const request: RecordedRequest = {
      method: incoming.method ?? 'GET',
      path,
      query,
      headers: incoming.headers,
      body: Buffer.concat(chunks),
    }
    this.requests.push(request)
    const script = this.#everything ?? this.#scripts.get(decode(path)) ?? this.fallback
    await play(typeof script === 'function' ? await script(request, this.count(path)) : script, request, response)
  }
}

async function play(answer: Answer, request: RecordedRequest, response: ServerResponse): Promise<void> {
  if (answer.refuse) {
    response.socket?.destroy()
    return
  }
  if (answer.before !== undefined) await answer.before
  if (answer.delay) await sleep(answer.delay)
  if (answer.body !== undefined && typeof answer.body !== 'string' && !Buffer.isBuffer(answer.body)) {
    response.writeHead(answer.status ?? 200, answer.headers)
    for await (const chunk of answer.body) await write(response, chunk)
    response.end()
    return
  }

  let body = Buffer.from(answer.body ?? '')
  const headers: Record<string, string> = { ...answer.headers }
  let status = answer.status ?? 200
  if (answer.etag) headers['etag'] = answer.etag === true ? strongEtag(body) : answer.etag
  if (answer.lastModified !== undefined) headers['last-modified'] = new Date(answer.lastModified).toUTCString()
  if (status === 200 && isNotModified(headers, request.headers)) {
    response.writeHead(304, headers).end()
    return
  }

  if (answer.corruptAt !== undefined) {
    body = Buffer.from(body)
    body[answer.corruptAt] = (body[answer.corruptAt] ?? 0) ^ 0xff
  }
  const offersGzip = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
  if (answer.gzip === 'always' || (answer.gzip === 'accepted' && offersGzip)) {
    body = gzipSync(body)
    headers['content-encoding'] = 'gzip'
  }
  if (answer.ranges) {
    headers['accept-ranges'] = 'bytes'
    const first = rangeStart(request.headers, headers)
    if (first !== null && first < body.length) {
      status = 206
      headers['content-range'] = `bytes ${first}-${body.length - 1}/${body.length}`
      body = body.subarray(first)
    }
  }
  if (!answer.chunked) headers['content-length'] = String(body.length)
  response.writeHead(status, headers)
  if (request.method === 'HEAD') response.end()
  else await sendBody(response, body, answer)
}

async function sendBody(response: ServerResponse, body: Buffer, answer: Answer): Promise<void> {
  const cutAt = answer.cutAt ?? Number.POSITIVE_INFINITY
  let pauseAt = answer.pauseAt ?? Number.POSITIVE_INFINITY
  let position = 0
  // Headers go out by themselves, so that a client sees them before a pause at 0.
  response.flushHeaders()
  while (position < body.length) {
    if (position >= cutAt) break
    if (position >= pauseAt) {
      await (answer.resume ?? silence.before)
      pauseAt = Number.POSITIVE_INFINITY
    }
    const end = Math.min(position + CHUNK, pauseAt, cutAt, body.length)
    await write(response, body.subarray(position, end))
    position = end
  }
  if (position >= cutAt) response.socket?.destroy()
  else response.end()
}

/** Resolves when the chunk has left for the kernel, so that a cut loses nothing that was sent before it. */
function write(response: ServerResponse, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    response.write(chunk, (error) => (error ? reject(error) : resolve()))
  })
}

function isNotModified(headers: Record<string, string>, asked: IncomingHttpHeaders): boolean {
  const noneMatch = asked['if-none-match']
  if (noneMatch !== undefined) {
    const weak = (tag: string): string => tag.trim().replace(/^W\//, '')
    return (
      headers['etag'] !== undefined && noneMatch.split(',').some((tag) => weak(tag) === weak(headers['etag'] ?? ''))
    )
  }
  const since = asked['if-modified-since']
  return (
    since !== undefined &&
    headers['last-modified'] !== undefined &&
    Date.parse(headers['last-modified']) <= Date.parse(since)
  )
}

function rangeStart(asked: IncomingHttpHeaders, headers: Record<string, string>): number | null {
  const match = /^bytes=(\d+)-$/.exec(asked.range ?? '')
  if (!match) return null
  const condition = asked['if-range']
  if (condition !== undefined && condition !== headers['etag'] && condition !== headers['last-modified']) return null
  return Number(match[1])
}

/** `"<first 32 hex of the sha256>"`. */
export function strongEtag(body: Buffer): string {
  return `"${createHash('sha256').update(body).digest('hex').slice(0, 32)}"`
}

function splitQuery(url: string): [string, string] {
  const mark = url.indexOf('?')
  return mark === -1 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)]
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
