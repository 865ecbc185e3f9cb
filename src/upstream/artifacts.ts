import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import type { Database } from '../db/connect.ts'
import { Blocked, NotFound, UpstreamUnavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Packages } from '../packages/index.ts'
import type { Algorithm } from '../storage/digest.ts'
import { Absences } from './absences.ts'
import { ArtifactAbsent } from './arrived-headers.ts'
import { ArtifactFiling } from './artifact-filing.ts'
import type { ArtifactRequest, OpenedArtifact } from './artifact-request.ts'
import { ArtifactStore, type HeldArtifact } from './artifact-store.ts'
import { Confirmations } from './confirmations.ts'
import { Flight } from './flight.ts'
import { Inquiries } from './inquiries.ts'
import { Shunned } from './shunned.ts'
import type { Upstream } from './upstreams.ts'

export type { ArtifactRequest, OpenedArtifact } from './artifact-request.ts'

/** Failures that say something about the bytes, and not about the upstream. */
const INTEGRITY = new Set(['BAD_DIGEST', 'REPUBLISHED'])
/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000

/** A flight from the moment that somebody wants it. */
interface Departure {
  readonly flight: Promise<Flight>
  readonly within: string | undefined
  /** See Absences. */
  readonly epoch: number
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
  readonly #departures = new Map<string, Departure>()
  readonly #shunned: Shunned
  readonly #store: ArtifactStore
  readonly #filing: ArtifactFiling
  readonly #confirmations: Confirmations
  readonly #absences: Absences
  readonly #inquiries: Inquiries

  constructor(parts: ArtifactsParts) {
    this.#parts = parts
    this.#shunned = new Shunned(parts.clock)
    this.#store = new ArtifactStore(parts.db, parts.clock)
    this.#filing = new ArtifactFiling(this.#store, parts.clock, parts.log)
    this.#confirmations = new Confirmations(parts.config.mirrors, parts.clock)
    this.#absences = new Absences(parts.clock)
    this.#inquiries = new Inquiries(parts.config.mirrors, this.#absences)
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
    if (this.#departures.has(cacheKey)) return this.#openFlight(upstream, request, cacheKey)
    if (this.#absences.has(upstream.id, request)) throw new NotFound('file', request.key)
    return request.method === 'HEAD' ? this.#ask(upstream, request) : this.#openFlight(upstream, request, cacheKey)
  }

  /** Bytes of an artifact that is held; null when it is not. Throws Blocked when the upstream is switched off. */
  async heldSize(upstream: Upstream, key: string): Promise<number | null> {
    requireNotBlocked(upstream)
    return (await this.#findHeld(upstream, key))?.size ?? null
  }

  /**
   * A digest of an artifact, lower-case hex: of one that is held, or in flight; there the published one if it is of this
   * algorithm, else when all bytes are there. null when it is neither. Throws Blocked when the upstream is switched off.
   */
  async digestOf(upstream: Upstream, key: string, algorithm: Algorithm): Promise<string | null> {
    requireNotBlocked(upstream)
    const held = await this.#findHeld(upstream, key)
    if (held !== null) return held.digests[algorithm]
    const flight = await this.#departures.get(`${upstream.id}:${key}`)?.flight.catch(() => null)
    return (await flight?.digestOf(algorithm)) ?? null
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
    this.invalidate(upstreamId)
    await this.#filing.forsake(upstreamId)
  }

  /** Asks again what an upstream has, and for what it got wrong. */
  invalidate(upstreamId: number): void {
    this.#shunned.clear(upstreamId)
    this.#confirmations.clear(upstreamId)
    this.#absences.clear(upstreamId)
    this.#inquiries.clear(upstreamId)
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
        const source = await this.#parts.packages.blobs.open(held.digests.sha256)
        if (request.isLead !== false) this.#parts.packages.downloads.count(held.versionId)
        if (source !== null) return source
        this.#parts.log.error({ sha256: held.digests.sha256, key: request.key }, 'blob lost, fetched again')
        return (await this.#openFlight(upstream, request, `${upstream.id}:${request.key}`)).source()
      },
      size: held.size,
      sha256: held.digests.sha256,
      digests: held.digests,
      isVerified: true,
      lastModified: held.lastModified,
      contentType: null,
      status: { hit: true },
    }
  }

  async #openFlight(upstream: Upstream, request: ArtifactRequest, cacheKey: string): Promise<OpenedArtifact> {
    this.#shunned.refuse(cacheKey)
    const epoch = this.#absences.epoch(upstream.id)
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
        digests: flight.digests,
        isVerified: flight.isGuarded,
        lastModified: arrived.lastModified,
        contentType: arrived.contentType,
        status: { hit: false, fwd: 'uri-miss', fwdStatus: 200, stored: true, collapsed: joined !== undefined },
      }
    } catch (error) {
      const failure = absence(error, request.key)
      const isAnswer = departure.within === request.within && departure.epoch >= epoch
      if (failure instanceof NotFound && !isAnswer) {
        this.#forget(cacheKey, departure)
        return this.#openFlight(upstream, request, cacheKey)
      }
      this.#count(upstream, 'error')
      throw failure
    }
  }

  /** HEAD of what is not held asks the upstream the same; it starts no transfer. */
  async #ask(upstream: Upstream, request: ArtifactRequest): Promise<OpenedArtifact> {
    const { described, digest } = await this.#inquiries.ask(upstream, request).catch((error: unknown) => {
      throw absence(error, request.key)
    })
    return {
      source: async () => {
        throw new UpstreamUnavailable('HEAD has no body')
      },
      size: described?.size ?? null,
      sha256: null,
      digests: digest === null ? {} : { [digest.algorithm]: digest.hex },
      isVerified: digest !== null,
      lastModified: described?.lastModified ?? null,
      contentType: described?.contentType ?? null,
      status: { hit: false, fwd: 'uri-miss', fwdStatus: 200 },
    }
  }

  #start(upstream: Upstream, request: ArtifactRequest, cacheKey: string): Departure {
    const departure = {
      flight: this.#locateAndFly(upstream, request, cacheKey),
      within: request.within,
      epoch: this.#absences.epoch(upstream.id),
    }
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
    const witness = this.#absences.witness(upstream.id, request)
    const location = await request.locate()
    const url = new URL(location.url, upstream.settings.url)
    const { packages, config } = this.#parts
    const fileIt = this.#filing.begin(upstream, request)
    const flight = new Flight({
      client: upstream.client,
      spool: packages.spool,
      upstreamName: upstream.settings.name,
      url,
      accept: location.accept ?? '*/*',
      use: location.use ?? 'artifact',
      publishedDigest: async (headers) => location.digest ?? (await location.publishedDigest?.(headers)) ?? null,
      headersTimeout: config.mirrors.artifactTimeout,
      limit: config.mirrors.maxArtifactSize === -1 ? Number.MAX_SAFE_INTEGER : config.mirrors.maxArtifactSize,
      verify: (sha256) => this.#compareWithFirst(upstream, request.key, sha256),
      commit: async (entry, arrived) => {
        this.#parts.metrics.fetchedBytes.inc({ upstream: upstream.settings.name }, entry.size)
        if (await fileIt(entry, arrived)) this.#held.invalidate(cacheKey)
      },
    })
    flight.opened.then(
      () => witness(false),
      (failure: Error) => failure instanceof ArtifactAbsent && witness(true),
    )
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
