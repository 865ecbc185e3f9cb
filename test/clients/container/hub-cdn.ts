import { createHmac, randomBytes } from 'node:crypto'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'

/** ms that a signed address is good for. */
const LIFETIME = 20_000

/** What goes wrong with the bodies of blobs. */
export interface BodyFaults {
  /** So many bytes of a body are sent, the rest when `until` resolves. */
  holdBlobs: { readonly after: number; readonly until: Promise<void> } | null
  /** The connection is cut after about so many bytes of a body. */
  cutBlobsAt: number | null
}

/** Addresses that say by themselves what they open and until when, as object stores sign them. */
export class SignedAddresses {
  readonly #secret = randomBytes(16)

  /** Path and query for a target such as `library/alpine/sha256:…`. */
  sign(target: string): string {
    const expires = String(Date.now() + LIFETIME)
    return `/${target}?expires=${expires}&signature=${this.#signatureOf(target, expires)}`
  }

  /** The target of an address that is still good, else null. */
  open(url: URL): string | null {
    const target = decodeURIComponent(url.pathname.slice(1))
    const expires = url.searchParams.get('expires') ?? ''
    const isSigned = url.searchParams.get('signature') === this.#signatureOf(target, expires)
    return isSigned && Number(expires) > Date.now() ? target : null
  }

  #signatureOf(target: string, expires: string): string {
    return createHmac('sha256', this.#secret).update(`${target}\n${expires}`).digest('hex')
  }
}

/** Asks `url` as the client asked us, without its credentials, and passes the answer on; bodies with their faults. */
export function forward(incoming: IncomingMessage, response: ServerResponse, url: string, faults?: BodyFaults): void {
  const { authorization: _token, host: _host, ...headers } = incoming.headers
  const asking = httpRequest(url, { method: incoming.method, headers, agent: false }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    pipeline(answer, (body) => spoil(body, faults), response).catch(() => asking.destroy())
  })
  asking.on('error', () => response.destroy())
  asking.end()
}

async function* spoil(body: AsyncIterable<Buffer>, faults?: BodyFaults): AsyncIterable<Buffer> {
  let sent = 0
  for await (const chunk of body) {
    sent += chunk.length
    if (faults?.cutBlobsAt != null && sent > faults.cutBlobsAt) throw new Error('cut')
    yield chunk
    if (faults?.holdBlobs != null && sent >= faults.holdBlobs.after) await faults.holdBlobs.until
  }
}
