import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import type { Database } from '../db/connect.ts'
import { Blocked, NotFound, UpstreamUnavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Packages } from '../packages/index.ts'
import type { AlsoInTransaction, Property } from '../packages/package-info.ts'
import type { ByteSource } from '../storage/blob-store.ts'
import type { SpoolEntry } from '../storage/spool.ts'
import type { ArtifactLocation } from './adapter.ts'
import { type ArrivedHeaders, ArtifactAbsent, describe, statusError } from './arrived-headers.ts'
import { ArtifactStore, type HeldArtifact, LAST_MODIFIED } from './artifact-store.ts'
import type { CacheStatus } from './cache-status.ts'
import { Flight } from './flight.ts'
import { Shunned } from './shunned.ts'
import type { Upstream } from './upstreams.ts'

/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000

/** What a slice wants of one artifact. */
export interface ArtifactRequest {
  /** Its identity below the upstream: `lodash/-/lodash-4.17.21.tgz`. */
  readonly key: string
  readonly method: 'GET' | 'HEAD'
  /** Asked on a miss only, once however many wait. Throws NotFound when the upstream has no such artifact. */
  locate(): Promise<ArtifactLocation>
  /** Lists the verified bytes as a package file with these properties; `also` belongs into the same transaction. */
  file(content: SpoolEntry, properties: Property[], also: AlsoInTransaction): Promise<void>
}

/** An artifact that can be sent, while it is held or while it arrives. */
export interface OpenedArtifact {
  readonly source: () => Promise<ByteSource>
  /** Bytes; null while unknown. */
  readonly size: number | null
  /** null while the bytes are still arriving. */
  readonly sha256: string | null
  /** Whether a wrong body could never end well: a digest is known, or the bytes were checked already. */
  readonly isVerified: boolean
  readonly lastModified: number | null
  readonly status: CacheStatus
}

/** What Artifacts is built from. */
export interface ArtifactsParts {
  db: Database
  packages: Packages
  notices: Notices
  clock: Clock
  config: Config
  log: Log
  metrics: Metrics
}

/** Immutable files of upstreams: held, in flight, or to be fetched (pull-through.md §4, §5). */
export class Artifacts {
  readonly #parts: ArtifactsParts
  readonly #held: Cache<{ held: HeldArtifact | null }>
  readonly #flights = new Map<string, Promise<Flight>>()
  readonly #shunned: Shunned
  readonly #store: ArtifactStore

  constructor(parts: ArtifactsParts) {
    this.#parts = parts
    this.#shunned = new Shunned(parts.clock)
    this.#store = new ArtifactStore(parts.db, parts.clock)
    this.#held = new Cache({ name: 'artifacts', max: 200_000, ttl: NOTICE_LOST }, parts.notices)
    // Removal is rare and a look-up cheap: forgetting all is simpler than remembering which file is whose.
    parts.packages.events.on((event) => {
      if (event.action === 'file-removed') this.#held.clear()
    })
  }

  /** How many fetches are running. */
  get flights(): number {
    return this.#flights.size
  }

  /**
   * Opens an artifact. Throws NotFound when the upstream definitely has none, UpstreamUnavailable when it fails, lies
   * or changed what it once published, Blocked when the upstream is switched off.
   */
  async open(upstream: Upstream, request: ArtifactRequest): Promise<OpenedArtifact> {
    if (upstream.mode === 'blocked') throw new Blocked(`upstream ${upstream.settings.name} is blocked`, 'upstream')
    const cacheKey = `${upstream.id}:${request.key}`
    const { held } = await this.#held.get(cacheKey, async () => ({
      held: await this.#store.find(upstream.id, request.key),
    }))
    if (held !== null) {
      this.#count(upstream, 'hit')
      return this.#openHeld(upstream, request, held)
    }
    if (upstream.mode === 'offline') {
      throw new NotFound('file', `${request.key} (the mirror is offline and does not hold it)`)
    }
    return request.method === 'HEAD' && !this.#flights.has(cacheKey)
      ? this.#ask(upstream, request)
      : this.#openFlight(upstream, request, cacheKey)
  }

  /** Waits until nothing is being fetched or stored. */
  async settle(): Promise<void> {
    await Promise.all(
      [...this.#flights.values()].map((flight) => flight.then(({ settled }) => settled).catch(() => {})),
    )
  }

  #openHeld(upstream: Upstream, request: ArtifactRequest, held: HeldArtifact): OpenedArtifact {
    return {
      source: async () => {
        const source = await this.#parts.packages.blobs.open(held.sha256)
        this.#parts.packages.downloads.count(held.versionId)
        if (source !== null) return source
        this.#parts.log.error({ sha256: held.sha256, key: request.key }, 'blob lost, fetched again')
        return (await this.#openFlight(upstream, request, `${upstream.id}:${request.key}`)).source()
      },
      size: held.size,
      sha256: held.sha256,
      isVerified: true,
      lastModified: held.lastModified,
      status: { hit: true },
    }
  }

  async #openFlight(upstream: Upstream, request: ArtifactRequest, cacheKey: string): Promise<OpenedArtifact> {
    this.#shunned.refuse(cacheKey)
    const collapsed = this.#flights.has(cacheKey)
    try {
      const flight = await (this.#flights.get(cacheKey) ?? this.#start(upstream, request, cacheKey))
      const arrived = await flight.opened
      this.#count(upstream, 'miss')
      return {
        source: async () => {
          if (!flight.isOver) return flight.source()
          // It may have let its bytes go: what it left is in the store, or must be fetched again.
          await flight.settled
          return (await this.open(upstream, request)).source()
        },
        size: arrived.size,
        sha256: flight.sha256,
        isVerified: flight.isGuarded,
        lastModified: arrived.lastModified,
        status: { hit: false, fwd: 'uri-miss', fwdStatus: 200, stored: true, collapsed },
      }
    } catch (error) {
      this.#count(upstream, 'error')
      throw absence(error, request.key)
    }
  }

  /** HEAD of what is not held asks the upstream the same; it starts no transfer. */
  async #ask(upstream: Upstream, request: ArtifactRequest): Promise<OpenedArtifact> {
    const location = await request.locate()
    const { mirrors } = this.#parts.config
    const response = await upstream.client.send({
      url: new URL(location.url, upstream.settings.url),
      method: 'HEAD',
      headers: { accept: '*/*', 'accept-encoding': 'identity' },
      use: 'document',
      headersTimeout: mirrors.artifactTimeout,
      signal: AbortSignal.timeout(mirrors.fetchTimeout),
    })
    response.body.destroy()
    // Some places answer GET only. The document lists the file, so it is there; its size is not known.
    if (response.status !== 200 && response.status !== 405)
      throw absence(statusError(response.status, upstream.settings.name, response.url), request.key)
    const { size, lastModified } = response.status === 200 ? describe(response) : { size: null, lastModified: null }
    const status = { hit: false, fwd: 'uri-miss', fwdStatus: 200 } as const
    const source = async () => {
      throw new UpstreamUnavailable('HEAD has no body')
    }
    return { source, size, sha256: null, isVerified: location.digest !== null, lastModified, status }
  }

  #start(upstream: Upstream, request: ArtifactRequest, cacheKey: string): Promise<Flight> {
    const starting = this.#locateAndFly(upstream, request, cacheKey)
    this.#flights.set(cacheKey, starting)
    starting.then(
      (flight) => void flight.settled.then(() => this.#flights.delete(cacheKey)),
      () => this.#flights.delete(cacheKey),
    )
    return starting
  }

  async #locateAndFly(upstream: Upstream, request: ArtifactRequest, cacheKey: string): Promise<Flight> {
    const location = await request.locate()
    const url = new URL(location.url, upstream.settings.url)
    const { packages, config } = this.#parts
    const flight = new Flight({
      client: upstream.client,
      spool: packages.spool,
      upstreamName: upstream.settings.name,
      url,
      expected: location.digest,
      headersTimeout: config.mirrors.artifactTimeout,
      limit: config.mirrors.maxArtifactSize === -1 ? Number.MAX_SAFE_INTEGER : config.mirrors.maxArtifactSize,
      verify: (entry) => this.#compareWithFirst(upstream, request.key, entry),
      commit: (entry, arrived) => this.#commit(upstream, request, cacheKey, entry, arrived),
    })
    void flight.settled.then((failure) => this.#failed(upstream, cacheKey, failure))
    return flight
  }

  /** Trust on first use: what was published once must not change (pull-through.md §5.4). */
  async #compareWithFirst(upstream: Upstream, key: string, entry: SpoolEntry): Promise<void> {
    const first = await this.#store.firstDigest(upstream.id, key)
    if (first === null || first === entry.digests.sha256) return
    throw new UpstreamUnavailable(
      `upstream ${upstream.settings.name} published ${key} again with other bytes; an administrator must look at this`,
      { detail: 'REPUBLISHED' },
    )
  }

  async #commit(
    upstream: Upstream,
    request: ArtifactRequest,
    cacheKey: string,
    entry: SpoolEntry,
    arrived: ArrivedHeaders,
  ): Promise<void> {
    this.#parts.metrics.fetchedBytes.inc({ upstream: upstream.settings.name }, entry.size)
    try {
      const now = this.#parts.clock.now()
      const properties = [
        { name: 'upstream.id', value: String(upstream.id) },
        { name: 'upstream.url', value: `${arrived.url.origin}${arrived.url.pathname}` },
        { name: 'upstream.etag', value: arrived.etag },
        { name: LAST_MODIFIED, value: String(arrived.lastModified ?? now) },
        { name: 'upstream.fetched', value: new Date(now).toISOString() },
      ]
      await request.file(entry, properties, ({ file, transaction }) =>
        this.#store.record(upstream.id, request.key, entry, file.id, transaction),
      )
      this.#held.invalidate(cacheKey)
    } catch (error) {
      // Full disk or database away: clients have their bytes, the next one fetches again.
      this.#parts.log.error({ err: error, upstream: upstream.settings.name, key: request.key }, 'artifact not stored')
    }
  }

  #failed(upstream: Upstream, cacheKey: string, error: Error | null): void {
    if (!(error instanceof UpstreamUnavailable) || error.detail === undefined) return
    this.#parts.log.error({ err: error, upstream: upstream.settings.name, key: cacheKey }, 'artifact refused')
    if (error.detail === 'TRUNCATED') return
    this.#parts.metrics.integrityFailures.inc({ upstream: upstream.settings.name })
    this.#shunned.add(cacheKey, error)
  }

  #count(upstream: Upstream, result: string): void {
    this.#parts.metrics.mirrorRequests.inc({ upstream: upstream.settings.name, class: 'artifact', result })
  }
}

function absence(error: unknown, key: string): unknown {
  return error instanceof ArtifactAbsent && [404, 410].includes(error.upstreamStatus)
    ? new NotFound('file', key)
    : error
}
