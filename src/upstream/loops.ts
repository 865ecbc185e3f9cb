import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'
import { LoopDetected } from '../errors.ts'

const OURS = /^entrepot-[0-9a-f]{16}$/
/** Servers that a request may have come through, and characters that they may need. */
const MOST = 10
const LONGEST = 1_000

/**
 * Notices requests that came from here: servers that mirror each other would wait for each other (RFC 8586). Every
 * server on the way adds its name, so what a request makes us ask of upstreams carries the names that it came with:
 * those of servers like this one. By others any client could have an upstream's network refuse us as a circle.
 */
export class Loops {
  /** Of this server, as long as it runs. */
  readonly #id = `entrepot-${randomBytes(8).toString('hex')}`
  readonly #inbound = new AsyncLocalStorage<string>()

  /** Calls `next` for a request with this `CDN-Loop`: with LoopDetected when it has been here, or goes too far. */
  enter(header: string | undefined, next: (error?: Error) => void): void {
    if (header === undefined) {
      next()
      return
    }
    const ids = header.split(',').map((one) => one.split(';', 1)[0]!.trim())
    if (ids.includes(this.#id)) {
      next(new LoopDetected('this request came from this server: its mirrors go in a circle'))
    } else if (ids.length > MOST || header.length > LONGEST) {
      next(new LoopDetected('this request came through too many servers'))
    } else {
      this.#inbound.run(ids.filter((id) => OURS.test(id)).join(', '), next)
    }
  }

  /** The value of `CDN-Loop` for what is asked just now. */
  get outbound(): string {
    const inbound = this.#inbound.getStore() ?? ''
    return inbound === '' ? this.#id : `${inbound}, ${this.#id}`
  }
}
