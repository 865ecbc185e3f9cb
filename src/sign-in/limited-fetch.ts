import { EnvHttpProxyAgent, fetch, type RequestInit } from 'undici'

/** ms for one exchange, from the look-up of the name to the last byte. */
const TIMEOUT = 10_000
/** Bytes; keys, tokens and claims are a few KiB. */
const LARGEST = 1024 * 1024

/** An answer that is larger than anybody's keys or claims. */
export class AnswerTooLarge extends Error {}

/**
 * `fetch` for identity providers, which administrators name: private addresses are fine, and HTTP_PROXY and NO_PROXY are
 * honoured. Ten seconds and 1 MiB each; redirects are answers like others.
 */
export class LimitedFetch {
  readonly #agent = new EnvHttpProxyAgent({ connect: { timeout: TIMEOUT }, keepAliveTimeout: 4_000 })

  /** Rejects with AnswerTooLarge, with a TimeoutError, or as `fetch` does. */
  readonly fetch = async (url: string, options: object): Promise<Response> => {
    const { signal: given, ...rest } = options as RequestInit
    const signal = AbortSignal.any([AbortSignal.timeout(TIMEOUT), ...(given ? [given] : [])])
    const answer = await fetch(url, { ...rest, signal, dispatcher: this.#agent, redirect: 'manual' })
    const bytes = await readAll(answer.body)
    const hasBody = ![101, 204, 205, 304].includes(answer.status)
    return new Response(hasBody ? bytes : null, { status: answer.status, headers: [...answer.headers] })
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}

async function readAll(body: AsyncIterable<Uint8Array> | null): Promise<Buffer<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body ?? []) {
    size += chunk.length
    if (size > LARGEST) throw new AnswerTooLarge(`more than ${LARGEST} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
