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
import type { CacheSpace } from './cache-space.ts'
import { noteTaken } from './client-request.ts'
import { Confirmations } from './confirmations.ts'
import type { Coordination } from './coordination.ts'
import { BroughtElsewhere, Departures } from './departures.ts'
import { DirectSource } from './direct-source.ts'
import { Uncacheable } from './flight-plan.ts'
import { HeldArtifacts } from './held-artifacts.ts'
import { Inquiries } from './inquiries.ts'
import { Shunned } from './shunned.ts'
import type { Upstream } from './upstreams.ts'
import type { Uses } from './uses.ts'

export type { ArtifactRequest, OpenedArtifact } from './artifact-request.ts'

/** Replicas tell each other by it that what is believed of an upstream, by its id, is worth nothing any more. */
const FORGET = 'artifacts-forget'

/** What Artifacts is built from. */
export interface ArtifactsParts {
  db: Database
  packages: Packages
  notices: Notices
  clock: Clock
  config: Config
  log: Log
  metrics: Metrics
  coordination: Coordination
  space: CacheSpace
  uses: Uses
}

/** Immutable files of upstreams: held, in flight, or to be fetched (pull-through.md §4, §5). */
export class Artifacts {
  readonly #parts: ArtifactsParts
  readonly #held: HeldArtifacts
  readonly #departures: Departures
  readonly #shunned: Shunned
  readonly #filing: ArtifactFiling
  readonly #confirmations: Confirmations
  readonly #absences: Absences
  readonly #inquiries: Inquiries

  constructor(parts: ArtifactsParts) {
    this.#parts = parts
    const { clock, notices, packages, config } = parts
    const store = new ArtifactStore(parts.db, clock)
    this.#shunned = new Shunned(clock)
    this.#held = new HeldArtifacts(store, { notices, events: packages.events })
    this.#filing = new ArtifactFiling(store, clock, parts.log)
    this.#confirmations = new Confirmations(config.mirrors, clock)
    this.#absences = new Absences(clock, notices)
    this.#inquiries = new Inquiries(config.mirrors, this.#absences)
    this.#departures = new Departures({
      ...{ ...parts, store, held: this.#held, filing: this.#filing },
      ...{ absences: this.#absences, shunned: this.#shunned },
    })
    notices.subscribe(FORGET, (id) => this.forgetBeliefs(Number(id)))
  }

  /** How many fetches are running. */
  get flights(): number {
    return this.#departures.size
  }

  /** Fetches for one upstream, and those among them that nobody waits for. */
  flightsOf(upstreamId: number): { active: number; orphaned: number } {
    return this.#departures.countOf(upstreamId)
  }

  /**
   * Opens an artifact. Throws NotFound when the upstream definitely has none, UpstreamUnavailable when it fails, lies
   * or changed what it once published, Blocked when the upstream is switched off.
   */
  async open(upstream: Upstream, request: ArtifactRequest): Promise<OpenedArtifact> {
    const opened = await this.#open(upstream, request)
    noteTaken('artifact', opened.status)
    return opened
  }

  /** Bytes of an artifact that is held; null when it is not. Throws Blocked when the upstream is switched off. */
  async heldSize(upstream: Upstream, key: string): Promise<number | null> {
    requireNotBlocked(upstream)
    return (await this.#held.find(upstream.id, key))?.size ?? null
  }

  /**
   * A digest of an artifact, lower-case hex: of one that is held, or in flight; there the published one if it is of this
   * algorithm, else when all bytes are there. null when it is neither. Throws Blocked when the upstream is switched off.
   */
  async digestOf(upstream: Upstream, key: string, algorithm: Algorithm): Promise<string | null> {
    requireNotBlocked(upstream)
    const held = await this.#held.find(upstream.id, key)
    if (held !== null) return held.digests[algorithm]
    const flight = await this.#departures.find(upstream.id, key)?.flight.catch(() => null)
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

  /** Asks again what an upstream has, and for what it got wrong; so do the other replicas. */
  invalidate(upstreamId: number): void {
    this.forgetBeliefs(upstreamId)
    this.#parts.notices.publish(FORGET, String(upstreamId))
  }

  /** Waits until nothing is being fetched or stored. */
  settle(): Promise<void> {
    return this.#departures.settle()
  }

  /** Believes nothing of an upstream any more that it was once said not to have, or to have got wrong; here alone. */
  forgetBeliefs(upstreamId: number): void {
    this.#shunned.clear(upstreamId)
    this.#confirmations.clear(upstreamId)
    this.#absences.clear(upstreamId)
    this.#inquiries.clear(upstreamId)
  }

  async #open(upstream: Upstream, request: ArtifactRequest): Promise<OpenedArtifact> {
    requireNotBlocked(upstream)
    const held = await this.#held.find(upstream.id, request.key)
    if (held !== null) {
      this.#count(upstream, 'hit')
      return this.#openHeld(upstream, request, held)
    }
    if (upstream.mode === 'offline') {
      noteTaken('artifact', { hit: false, detail: 'OFFLINE' })
      throw new NotFound('file', `${request.key} (the mirror is offline and does not hold it)`)
    }
    if (request.onlyIfCached === true) {
      throw new UpstreamUnavailable(`${request.key} is not held, and nobody was to be asked`, { status: 504 })
    }
    if (this.#departures.find(upstream.id, request.key) !== undefined) return this.#openFlight(upstream, request)
    if (this.#absences.has(upstream.id, request)) {
      noteTaken('artifact', { hit: true, detail: 'NEGATIVE' })
      this.#count(upstream, 'negative')
      throw new NotFound('file', request.key)
    }
    return request.method === 'HEAD' ? this.#ask(upstream, request) : this.#openFlight(upstream, request)
  }

  #openHeld(upstream: Upstream, request: ArtifactRequest, held: HeldArtifact): OpenedArtifact {
    return {
      source: async () => {
        const source = await this.#parts.packages.blobs.open(held.digests.sha256)
        this.#parts.uses.note({ upstreamId: upstream.id }, request.key)
        if (request.isLead !== false) this.#parts.packages.downloads.count(held.versionId)
        if (source !== null) return source
        this.#parts.log.error({ sha256: held.digests.sha256, key: request.key }, 'blob lost, fetched again')
        return (await this.#openFlight(upstream, request)).source()
      },
      size: held.size,
      sha256: held.digests.sha256,
      digests: held.digests,
      isVerified: true,
      lastModified: held.lastModified,
      contentType: null,
      // Its bytes are what was published: it is as right now as when it came, and shared caches may count from now.
      status: { hit: true, age: 0 },
    }
  }

  async #openFlight(upstream: Upstream, request: ArtifactRequest): Promise<OpenedArtifact> {
    const { id } = upstream
    this.#shunned.refuse(`${id}:${request.key}`)
    const epoch = this.#absences.epoch(id)
    const joined = this.#departures.find(id, request.key)
    if (joined !== undefined) this.#parts.metrics.joinedFlights.inc(labelsOf(upstream))
    const departure = joined ?? this.#departures.start(upstream, request)
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
      if (error instanceof Uncacheable) return this.#openDirect(upstream, request, error)
      if (error instanceof BroughtElsewhere) return this.open(upstream, request)
      const failure = absence(error, request.key)
      const isAnswer = departure.within === request.within && departure.epoch >= epoch
      if (failure instanceof NotFound && !isAnswer) {
        this.#departures.forget(id, request.key, departure)
        return this.#openFlight(upstream, request)
      }
      this.#count(upstream, failure instanceof NotFound ? 'negative' : 'error')
      throw failure
    }
  }

  /** What is not to be stored comes from the upstream for every client anew. */
  #openDirect(upstream: Upstream, request: ArtifactRequest, { arrived, digest }: Uncacheable): OpenedArtifact {
    this.#count(upstream, 'bypass')
    return {
      source: async () => new DirectSource({ ...(await this.#departures.plan(upstream, request)), arrived, digest }),
      size: arrived.size,
      sha256: null,
      digests: digest === null ? {} : { [digest.algorithm]: digest.hex },
      isVerified: digest !== null,
      lastModified: arrived.lastModified,
      contentType: arrived.contentType,
      status: { hit: false, fwd: 'uri-miss', fwdStatus: 200, detail: 'BYPASS' },
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

  #count(upstream: Upstream, result: string): void {
    this.#parts.metrics.mirrorRequests.inc({ ...labelsOf(upstream), class: 'artifact', result })
  }
}

function requireNotBlocked({ mode, settings }: Upstream): void {
  if (mode === 'blocked') throw new Blocked(`upstream ${settings.name} is blocked`, 'upstream')
}

function absence(error: unknown, key: string): unknown {
  if (!(error instanceof ArtifactAbsent)) return error
  noteTaken('artifact', { hit: false, fwd: 'uri-miss', fwdStatus: 404 })
  return new NotFound('file', key)
}

function labelsOf({ settings }: Upstream): { upstream: string; type: string } {
  return { upstream: settings.name, type: settings.type }
}
