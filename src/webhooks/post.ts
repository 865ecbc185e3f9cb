import { Agent, request } from 'undici'
import { type AddressGuard, AddressRefused } from '../outbound/address-guard.ts'
import { oneByOne } from '../outbound/one-by-one.ts'

/** Bytes of an answer's body that are kept. */
const KEPT_BODY = 64 * 1024

/** What a receiver answered, or why it did not; ms that it took. */
export type PostResult = { readonly duration: number } & (Answer | Failure)

/** The first 64 KiB of the body as text; names of headers are in lower case. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** `isFinal`: trying again makes no sense. */
export interface Failure {
  readonly status: 0
  readonly error: string
  readonly isFinal: boolean
}

/**
 * POSTs to receivers. Redirects are not followed, and addresses are checked when the socket connects (security.md S40);
 * therefore no HTTP proxy is used, which would look the names up itself.
 */
export class Poster {
  readonly #agent: Agent
  readonly #guard: AddressGuard
  readonly #timeout: number

  /** `timeout` ms for everything, from the look-up of the name to the end of the answer. */
  constructor(guard: AddressGuard, timeout: number) {
    this.#guard = guard
    this.#timeout = timeout
    this.#agent = new Agent({
      allowH2: false,
      pipelining: 1,
      keepAliveTimeout: 4_000,
      connect: { timeout, lookup: oneByOne(guard.lookup) as never },
    })
  }

  /** Never throws. `signal` ends it early. */
  async post(
    url: string,
    headers: Readonly<Record<string, string>>,
    body: string,
    signal: AbortSignal,
  ): Promise<PostResult> {
    const start = performance.now()
    const late = AbortSignal.timeout(this.#timeout)
    const outcome = await this.#exchange(url, headers, body, AbortSignal.any([signal, late])).catch((error: unknown) =>
      this.#failureOf(error, { isLate: late.aborted, isStopped: signal.aborted }),
    )
    return { ...outcome, duration: Math.round(performance.now() - start) }
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  async #exchange(
    url: string,
    headers: Readonly<Record<string, string>>,
    body: string,
    signal: AbortSignal,
  ): Promise<Answer> {
    this.#guard.checkUrl(new URL(url))
    const response = await request(url, { dispatcher: this.#agent, method: 'POST', headers, body, signal })
    return {
      status: response.statusCode,
      headers: Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, String(value)])),
      body: await readStart(response.body),
    }
  }

  #failureOf(error: unknown, { isLate, isStopped }: { isLate: boolean; isStopped: boolean }): Failure {
    if (error instanceof AddressRefused) return { status: 0, error: error.message, isFinal: true }
    const { code: known } = error as { code?: unknown }
    const code = typeof known === 'string' ? known : ''
    const isSlow = isLate || code.includes('TIMEOUT')
    // Messages of others may quote what was sent.
    const reason = isSlow ? `no answer within ${this.#timeout} ms` : isStopped ? 'the server was stopped' : code
    return { status: 0, error: reason || 'the connection failed', isFinal: false }
  }
}

/** The status says how it went: a body that breaks off or never ends is as good as what has come. */
async function readStart(body: AsyncIterable<Buffer> & { destroy(): unknown }): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of body) {
      chunks.push(chunk)
      size += chunk.length
      if (size >= KEPT_BODY) break
    }
  } catch {
    // What has come is kept.
  }
  return Buffer.concat(chunks).subarray(0, KEPT_BODY).toString('utf8')
}
