import type { ServerResponse } from 'node:http'
import type { ByteSource } from '../storage/byte-source.ts'
import { noteSent } from '../upstream/client-request.ts'
import { giveBuffer, takeBuffer } from './send-buffers.ts'

const IDLE_MS = 60_000

/** The part of a source that is sent; `length` in bytes, null for all there is. */
export interface Span {
  readonly start: number
  readonly length: number | null
}

/**
 * How a transfer ended: all sent; the client left or took nothing for a minute; or the source failed after the first
 * byte and the connection was reset, so that the client cannot mistake what it got for the whole.
 */
export type Ending = { how: 'sent' | 'left' } | { how: 'broken'; error: Error }

/**
 * Copies a source to a response through one buffer, refilled when the socket has taken it. `begin` is called with the
 * first bytes in hand and writes the head; a source that fails before rejects, and nothing was sent. Closes the source,
 * at once when the client leaves.
 */
export async function transfer(
  response: ServerResponse,
  source: ByteSource,
  span: Span,
  begin: () => void,
): Promise<Ending> {
  const client = new Client(response, () => source.close())
  const buffer = takeBuffer(span.length)
  let begun = false
  try {
    for (let sent = 0; ; ) {
      if (client.gone) return { how: 'left' }
      const room = span.length === null ? buffer.length : Math.min(buffer.length, span.length - sent)
      const bytes = room === 0 ? 0 : await source.read(buffer.subarray(0, room), span.start + sent)
      if (client.gone) return { how: 'left' }
      if (bytes === 0 && span.length !== null && sent < span.length) throw new Error('the source ended early')
      if (!begun) begin()
      begun = true
      sent += bytes
      noteSent(bytes)
      const last = bytes === 0 || sent === span.length
      await client.take(buffer.subarray(0, bytes), last)
      if (last && !client.gone) return { how: 'sent' }
    }
  } catch (error) {
    if (client.gone) return { how: 'left' }
    if (!begun) throw error
    reset(response)
    return { how: 'broken', error: error as Error }
  } finally {
    giveBuffer(buffer, !client.gone)
    client.forget()
    source.close()
  }
}

/** The receiving end: hands over one chunk at a time and notices when nobody takes it. */
class Client {
  gone: boolean
  readonly #response: ServerResponse
  readonly #onGone: () => void
  #taken: (() => void) | null = null

  constructor(response: ServerResponse, onGone: () => void) {
    this.#response = response
    this.#onGone = onGone
    this.gone = response.destroyed
    response.on('close', this.#leave)
    response.on('timeout', this.#checkStalled)
    response.socket?.setTimeout?.(IDLE_MS)
  }

  /** Resolves when the socket has taken `chunk` or is gone. */
  take(chunk: Buffer, last: boolean): Promise<void> {
    return new Promise((resolve) => {
      const taken = () => {
        this.#taken = null
        // The close of a finished response, which comes before the promise is seen, is not the client leaving.
        if (last) this.forget()
        resolve()
      }
      this.#taken = taken
      if (last) this.#response.end(chunk, taken)
      else this.#response.write(chunk, taken)
    })
  }

  forget(): void {
    this.#response.off('close', this.#leave)
    this.#response.off('timeout', this.#checkStalled)
  }

  readonly #leave = () => {
    this.gone = true
    this.#onGone()
    this.#taken?.()
  }

  // Node's socket timeout restarts whenever a part of a chunk leaves, so only a client that takes nothing runs into it.
  readonly #checkStalled = () => {
    if (this.#taken !== null) this.#response.socket?.destroy()
  }
}

/** Ends the connection so that no client takes it for a clean end. */
function reset(response: ServerResponse): void {
  try {
    response.socket?.resetAndDestroy()
  } catch {
    // TLS and local sockets cannot be reset; their abrupt end is as visible.
  }
  response.destroy()
}
