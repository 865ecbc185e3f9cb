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
import { type ArrivedHeaders, ArtifactAbsent, describe, refusalOf } from './arrived-headers.ts'
import { ArtifactStore, type HeldArtifact, LAST_MODIFIED } from './artifact-store.ts'
import type { CacheStatus } from './cache-status.ts'
import { Confirmations } from './confirmations.ts'
import { HEAD_UNSUPPORTED } from './exchange.ts'
import { Flight } from './flight.ts'
import { Shunned } from './shunned.ts'
import type { Upstream } from './upstreams.ts'

/** Failures that say something about the bytes, and not about the upstream. */
const INTEGRITY = new Set(['BAD_DIGEST', 'REPUBLISHED'])
/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000

/** What a slice wants of one artifact. */
export interface ArtifactRequest {
  /** Its identity below the upstream: `lodash/-/lodash-4.17.21.tgz`. */
  readonly key: string
  /**
   * The part of the upstream that `locate` names, where several have the same artifact (a repository, and a layer that
   * others have too): when a fetch finds nothing there, only those who named it too are told so.
   */
  readonly within?: string
  readonly method: 'GET' | 'HEAD'
  /** Whether reading it counts as a download of its version; true by default. */
  readonly isLead?: boolean
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
  /** What the upstream called it just now; null for what is held. */
  readonly contentType: string | null
  readonly status: CacheStatus
}

/** A flight from the moment that somebody wants it. */
interface Departure {
  readonly flight: Promise<Flight>
  readonly within: string | undefined
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
  /** By upstream: how often what is held of it was deleted. */
  readonly #purges = new Map<number, number>()
  readonly #filing = new Set<Promise<void>>()
  readonly #departures = new Map<string, Departure>()
  readonly #shunned: Shunned
  readonly #store: ArtifactStore
  readonly #confirmations: Confirmations

  constructor(parts: ArtifactsParts) {
    this.#parts = parts
    this.#shunned = new Shunned(parts.clock)
    this.#store = new ArtifactStore(parts.db, parts.clock)
    this.#confirmations = new Confirmations(parts.config.mirrors, parts.clock)
    this.#held = new Cache({ name: 'artifacts', max: 200_000, ttl: NOTICE_LOST }, parts.notices)
    // Removal is rare and a look-up cheap: forgetting all is simpler than remembering which file is whose.
    parts.packages.events.on((event) => {
      if (event.action === 'file-removed') this.#held.clear()
    })
  }

  /** How many fetches are running. */
  get flights(): number {
    return this.#departures.size
  }

  /**
   * Opens an artifact. Throws NotFound when the upstream definitely has none, UpstreamUnavailable when it fails, lies
   * or changed what it once published, Blocked when the upstream is switched off.
   */
  async open(upstream: Upstream, request: ArtifactRequest): Promise<OpenedArtifact> {
    requireNotBlocked(upstream)
    const cacheKey = `${upstream.id}:${request.key}`
    const held = await this.#findHeld(upstream, request.key)
    if (held !== null) {
      this.#count(upstream, 'hit')
      return this.#openHeld(upstream, request, held)
    }
    if (upstream.mode === 'offline') {
      throw new NotFound('file', `${request.key} (the mirror is offline and does not hold it)`)
    }
    return request.method === 'HEAD' && !this.#departures.has(cacheKey)
      ? this.#ask(upstream, request)
      : this.#openFlight(upstream, request, cacheKey)
  }

  /** Bytes of an artifact that is held; null when it is not. Throws Blocked when the upstream is switched off. */
  async heldSize(upstream: Upstream, key: string): Promise<number | null> {
    requireNotBlocked(upstream)
    return (await this.#findHeld(upstream, key))?.size ?? null
  }

  /**
   * Whether the upstream has something at this path below its URL, without fetching it: what one repository may show
   * of the bytes that all share. Throws UpstreamUnavailable when it cannot say, Blocked when it is switched off.
   */
  async confirm(upstream: Upstream, { path }: { path: string }): Promise<boolean> {
    requireNotBlocked(upstream)
    return upstream.mode === 'online' && this.#confirmations.confirm(upstream, path)
  }

  /**
   * Before what is held of an upstream is deleted: what is being fetched is delivered, and no longer stored. Resolves
   * when nothing is being stored any more.
   */
  async forsake(upstreamId: number): Promise<void> {
    this.#purges.set(upstreamId, this.#purgesOf(upstreamId) + 1)
    this.invalidate(upstreamId)
    await Promise.all(this.#filing)
  }

  /** Asks again what an upstream has. */
  invalidate(upstreamId: number): void {
    this.#confirmations.clear(upstreamId)
  }

  /** Waits until nothing is being fetched or stored. */
  async settle(): Promise<void> {
    await Promise.all(
      [...this.#departures.values()].map(({ flight }) => flight.then(({ settled }) => settled).catch(() => {})),
    )
  }

  async #findHeld({ id }: Upstream, key: string): Promise<HeldArtifact | null> {
    const { held } = await this.#held.get(`${id}:${key}`, async () => ({ held: await this.#store.find(id, key) }))
    return held
  }

  #openHeld(upstream: Upstream, request: ArtifactRequest, held: HeldArtifact): OpenedArtifact {
    return {
      source: async () => {
        const source = await this.#parts.packages.blobs.open(held.sha256)
        if (request.isLead !== false) this.#parts.packages.downloads.count(held.versionId)
        if (source !== null) return source
        this.#parts.log.error({ sha256: held.sha256, key: request.key }, 'blob lost, fetched again')
        return (await this.#openFlight(upstream, request, `${upstream.id}:${request.key}`)).source()
      },
      size: held.size,
      sha256: held.sha256,
      isVerified: true,
      lastModified: held.lastModified,
      contentType: null,
      status: { hit: true },
    }
  }

  async #openFlight(upstream: Upstream, request: ArtifactRequest, cacheKey: string): Promise<OpenedArtifact> {
    this.#shunned.refuse(cacheKey)
    const joined = this.#departures.get(cacheKey)
    const departure = joined ?? this.#start(upstream, request, cacheKey)
    try {
      const flight = await departure.flight
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
        contentType: arrived.contentType,
        status: { hit: false, fwd: 'uri-miss', fwdStatus: 200, stored: true, collapsed: joined !== undefined },
      }
    } catch (error) {
      const failure = absence(error, request.key)
      if (failure instanceof NotFound && departure.within !== request.within) {
        this.#forget(cacheKey, departure)
        return this.#openFlight(upstream, request, cacheKey)
      }
      this.#count(upstream, 'error')
      throw failure
    }
  }

  /** HEAD of what is not held asks the upstream the same; it starts no transfer. */
  async #ask(upstream: Upstream, request: ArtifactRequest): Promise<OpenedArtifact> {
    const location = await request.locate()
    const { mirrors } = this.#parts.config
    const url = new URL(location.url, upstream.settings.url)
    const response = await upstream.client.send({
      url,
      method: 'HEAD',
      headers: { accept: location.accept ?? '*/*', 'accept-encoding': 'identity' },
      use: 'document',
      headersTimeout: mirrors.artifactTimeout,
      signal: AbortSignal.timeout(mirrors.fetchTimeout),
    })
    response.body.destroy()
    // What is listed somewhere is there, of unknown size, where HEAD is not known; as are addresses that the upstream has
    // just made, and signed for GET alone.
    const isElsewhere = response.url.origin !== url.origin && [401, 403].includes(response.status)
    if (response.status !== 200 && !HEAD_UNSUPPORTED.has(response.status) && !isElsewhere) {
      throw absence(refusalOf(response, upstream.settings.name), request.key)
    }
    const unknown = { size: null, lastModified: null, contentType: null }
    const { size, lastModified, contentType } = response.status === 200 ? describe(response) : unknown
    const status = { hit: false, fwd: 'uri-miss', fwdStatus: 200 } as const
    const source = async () => {
      throw new UpstreamUnavailable('HEAD has no body')
    }
    return { source, size, sha256: null, isVerified: location.digest !== null, lastModified, contentType, status }
  }

  #start(upstream: Upstream, request: ArtifactRequest, cacheKey: string): Departure {
    const departure = { flight: this.#locateAndFly(upstream, request, cacheKey), within: request.within }
    this.#departures.set(cacheKey, departure)
    departure.flight.then(
      (flight) => void flight.settled.then(() => this.#forget(cacheKey, departure)),
      () => this.#forget(cacheKey, departure),
    )
    return departure
  }

  #forget(cacheKey: string, departure: Departure): void {
    if (this.#departures.get(cacheKey) === departure) this.#departures.delete(cacheKey)
  }

  async #locateAndFly(upstream: Upstream, request: ArtifactRequest, cacheKey: string): Promise<Flight> {
    const location = await request.locate()
    const url = new URL(location.url, upstream.settings.url)
    const { packages, config } = this.#parts
    const purges = this.#purgesOf(upstream.id)
    const flight = new Flight({
      client: upstream.client,
      spool: packages.spool,
      upstreamName: upstream.settings.name,
      url,
      accept: location.accept ?? '*/*',
      use: location.use ?? 'artifact',
      expected: location.digest,
      headersTimeout: config.mirrors.artifactTimeout,
      limit: config.mirrors.maxArtifactSize === -1 ? Number.MAX_SAFE_INTEGER : config.mirrors.maxArtifactSize,
      verify: (sha256) => this.#compareWithFirst(upstream, request.key, sha256),
      commit: async (entry, arrived) => {
        if (purges !== this.#purgesOf(upstream.id)) return
        const filing = this.#commit(upstream, request, cacheKey, entry, arrived)
        this.#filing.add(filing)
        await filing.finally(() => this.#filing.delete(filing))
      },
    })
    void flight.settled.then((failure) => this.#failed(upstream, cacheKey, failure))
    return flight
  }

  /** Trust on first use: what was published once must not change (pull-through.md §5.4). */
  async #compareWithFirst(upstream: Upstream, key: string, sha256: string): Promise<void> {
    const first = await this.#store.firstDigest(upstream.id, key)
    if (first === null || first === sha256) return
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
    if (error !== null && !(error instanceof UpstreamUnavailable)) {
      this.#parts.log.error({ err: error, upstream: upstream.settings.name, key: cacheKey }, 'artifact not stored')
    }
    if (!(error instanceof UpstreamUnavailable) || error.detail === undefined) return
    this.#parts.log.error({ err: error, upstream: upstream.settings.name, key: cacheKey }, 'artifact refused')
    if (!INTEGRITY.has(error.detail)) return
    this.#parts.metrics.integrityFailures.inc({ upstream: upstream.settings.name })
    this.#shunned.add(cacheKey, error)
  }

  #purgesOf(upstreamId: number): number {
    return this.#purges.get(upstreamId) ?? 0
  }

  #count(upstream: Upstream, result: string): void {
    this.#parts.metrics.mirrorRequests.inc({ upstream: upstream.settings.name, class: 'artifact', result })
  }
}

function requireNotBlocked({ mode, settings }: Upstream): void {
  if (mode === 'blocked') throw new Blocked(`upstream ${settings.name} is blocked`, 'upstream')
}

function absence(error: unknown, key: string): unknown {
  return error instanceof ArtifactAbsent ? new NotFound('file', key) : error
}
