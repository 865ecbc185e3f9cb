import { mkdir, readdir, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { Invalid } from '../errors.ts'
import { fileOf, nameFile, Partials } from './partials.ts'
import { SpoolEntry, type SpoolLimit } from './spool-entry.ts'
import { SpoolSpace } from './spool-space.ts'

export { SpoolEntry, type SpoolLimit } from './spool-entry.ts'

// A client may be slow as long as it sends something.
const IDLE_MS = 60_000
/** A file of another host that nobody has written to for so long is nobody's. */
const ABANDONED_MS = 86_400_000
const HOST = encodeURIComponent(hostname())

/**
 * The place every byte passes on its way in: local files that live as long as their entry, and beginnings of files that
 * outlive this process for an hour.
 */
export class Spool {
  readonly partials: Partials
  readonly space: SpoolSpace
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
    this.partials = new Partials(() => this.#newPath())
    this.space = new SpoolSpace(directory, () => this.partials.clear())
  }

  /** Makes the folder; of what processes that are gone have left in it, beginnings of files are kept. */
  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    for (const name of new Set((await readdir(this.#directory)).map(fileOf))) {
      if (!(await belongsToAnother(this.#directory, name))) await this.partials.adopt(this.#directory, name)
    }
  }

  /** An empty entry, for a caller that gets its bytes in its own way. The disk is not touched yet. */
  create(limit: SpoolLimit = {}): SpoolEntry {
    return new SpoolEntry(this.#newPath(), limit)
  }

  /**
   * A finished entry with all bytes of `body`. Over `limit` bytes TooLarge; a body that breaks off, or from which
   * nothing comes for a minute, is Invalid; in both cases nothing is left. After TooLarge the rest of the body is read
   * and dropped, since most clients look at the answer only when they have sent everything.
   */
  async receive(body: AsyncIterable<Buffer>, limit: SpoolLimit & { limit: number }): Promise<SpoolEntry> {
    const { entry, failure } = await this.receiveSome(body, limit)
    if (failure === null) return entry
    await entry.discard()
    throw failure
  }

  /** Like `receive`, but a body that breaks off is kept as far as it came; `failure` is then what is wrong with it. */
  async receiveSome(
    body: AsyncIterable<Buffer>,
    limit: SpoolLimit & { limit: number },
  ): Promise<{ entry: SpoolEntry; failure: Invalid | null }> {
    let failure: Invalid | null = null
    const entry = this.create(limit)
    try {
      try {
        for await (const chunk of withIdleLimit(body)) {
          const wait = entry.append(chunk)
          if (wait !== undefined) await wait
        }
      } catch (error) {
        // Whatever else goes wrong here goes wrong with the entry.
        if (!(error instanceof Invalid)) throw error
        failure = error
      }
      await entry.finish()
      return { entry, failure }
    } catch (error) {
      if (body instanceof Readable && !body.destroyed) body.resume()
      await entry.discard()
      throw error
    }
  }

  #newPath(): string {
    return nameFile(this.#directory, `${HOST}.${process.pid}`)
  }
}

/**
 * The pieces of a request's body for who spools them in his own way. Invalid when the body breaks off or nothing comes
 * for a minute. Leaving the loop early does not destroy the request: read the rest with `resume()`.
 */
export async function* withIdleLimit(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  // Leaving the loop early must not destroy a request: its socket still has to carry the answer.
  const chunks = body instanceof Readable ? body.iterator({ destroyOnReturn: false }) : body
  const iterator = chunks[Symbol.asyncIterator]()
  const stalled = new Invalid(`the body stopped for ${IDLE_MS / 1000} s`, 'body')
  let waiting = false
  const timer = setTimeout(() => {
    // A disk that is behind is not the sender's fault.
    if (!waiting) timer.refresh()
    else if (body instanceof Readable) body.destroy(stalled)
  }, IDLE_MS)
  try {
    for (;;) {
      waiting = true
      timer.refresh()
      const { done, value } = await iterator.next().catch((error: unknown) => {
        throw error instanceof Invalid ? error : new Invalid('the body broke off', 'body', error)
      })
      waiting = false
      if (done) return
      yield value
    }
  } finally {
    clearTimeout(timer)
    await iterator.return?.()
  }
}

/**
 * Whether a file belongs to another process that still runs: workers share the folder, and servers in containers may,
 * which all have the same process id. Of another host only the age of a file tells.
 */
async function belongsToAnother(directory: string, name: string): Promise<boolean> {
  const match = /^(.*)\.(\d+)-[^.]+$/.exec(name)
  if (match === null) return false
  if (match[1] !== HOST) {
    const { mtimeMs } = await stat(join(directory, name)).catch(() => ({ mtimeMs: 0 }))
    return Date.now() - mtimeMs < ABANDONED_MS
  }
  const pid = Number(match[2])
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it runs, under another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
