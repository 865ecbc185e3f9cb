import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { SpoolEntry } from '../storage/spool.ts'
import type { ArrivedHeaders } from './arrived-headers.ts'
import type { ArtifactRequest } from './artifact-request.ts'
import { type ArtifactStore, LAST_MODIFIED } from './artifact-store.ts'
import type { Upstream } from './upstreams.ts'

/** Lists verified bytes as package files, and no longer those of an upstream of which everything is being deleted. */
export class ArtifactFiling {
  readonly #store: ArtifactStore
  readonly #clock: Clock
  readonly #log: Log
  /** By upstream: how often what is held of it was deleted. */
  readonly #purges = new Map<number, number>()
  readonly #running = new Set<Promise<boolean>>()

  constructor(store: ArtifactStore, clock: Clock, log: Log) {
    this.#store = store
    this.#clock = clock
    this.#log = log
  }

  /**
   * Call it when a fetch begins; what it returns takes the bytes and tells whether they are listed now. It does not
   * reject.
   */
  begin(
    upstream: Upstream,
    request: ArtifactRequest,
  ): (entry: SpoolEntry, arrived: ArrivedHeaders) => Promise<boolean> {
    const purges = this.#purgesOf(upstream.id)
    return async (entry, arrived) => {
      if (purges !== this.#purgesOf(upstream.id)) return false
      const filing = this.#file(upstream, request, entry, arrived)
      this.#running.add(filing)
      return filing.finally(() => this.#running.delete(filing))
    }
  }

  /** What is being fetched of the upstream is not listed any more. Resolves when nothing is being listed. */
  async forsake(upstreamId: number): Promise<void> {
    this.#purges.set(upstreamId, this.#purgesOf(upstreamId) + 1)
    await Promise.all(this.#running)
  }

  async #file(
    { id, settings }: Upstream,
    request: ArtifactRequest,
    entry: SpoolEntry,
    arrived: ArrivedHeaders,
  ): Promise<boolean> {
    try {
      const now = this.#clock.now()
      const properties = [
        { name: 'upstream.id', value: String(id) },
        { name: 'upstream.url', value: `${arrived.url.origin}${arrived.url.pathname}` },
        { name: 'upstream.etag', value: arrived.etag },
        { name: LAST_MODIFIED, value: String(arrived.lastModified ?? now) },
        { name: 'upstream.fetched', value: new Date(now).toISOString() },
      ]
      await request.file(entry, properties, ({ file, transaction }) =>
        this.#store.record(id, request.key, entry, file.id, transaction),
      )
      return true
    } catch (error) {
      // Full disk or database away: clients have their bytes, the next one fetches again.
      this.#log.error({ err: error, upstream: settings.name, key: request.key }, 'artifact not stored')
      return false
    }
  }

  #purgesOf(upstreamId: number): number {
    return this.#purges.get(upstreamId) ?? 0
  }
}
