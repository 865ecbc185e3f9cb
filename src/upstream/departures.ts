import type { Config } from '../config/config.ts'
import { UpstreamUnavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Packages } from '../packages/index.ts'
import type { Absences } from './absences.ts'
import { ArtifactAbsent } from './arrived-headers.ts'
import type { ArtifactFiling } from './artifact-filing.ts'
import type { ArtifactRequest } from './artifact-request.ts'
import type { ArtifactStore } from './artifact-store.ts'
import type { CacheSpace } from './cache-space.ts'
import type { Coordination } from './coordination.ts'
import { Flight } from './flight.ts'
import { type FlightPlan, Uncacheable } from './flight-plan.ts'
import type { HeldArtifacts } from './held-artifacts.ts'
import { Observation } from './observation.ts'
import { Orphans } from './orphans.ts'
import type { Shunned } from './shunned.ts'
import { Slots, type SlotUse } from './slots.ts'
import type { Upstream } from './upstreams.ts'

/** Fetches at once (pull-through.md §4.2). */
const FLIGHTS = 128
const FLIGHTS_OF_UPSTREAM = 32
const PATIENCE = 30_000
/** Failures that say something about the bytes, and not about the upstream. */
const INTEGRITY = new Set(['BAD_DIGEST', 'REPUBLISHED'])

/** A flight from the moment that somebody wants it. */
export interface Departure {
  /** Rejects when it does not take off; with BroughtElsewhere when another replica has brought the artifact meanwhile. */
  readonly flight: Promise<Flight>
  readonly within: string | undefined
  /** See Absences. */
  readonly epoch: number
}

/** Another replica has fetched it: it is held. */
export class BroughtElsewhere extends Error {}

/** What Departures is built from. */
export interface DeparturesParts {
  packages: Packages
  config: Config
  log: Log
  metrics: Metrics
  store: ArtifactStore
  held: HeldArtifacts
  filing: ArtifactFiling
  absences: Absences
  shunned: Shunned
  coordination: Coordination
  space: CacheSpace
}

/** The fetches that run: one per artifact, in turn where there are too many (pull-through.md §4). */
export class Departures {
  readonly #parts: DeparturesParts
  readonly #running = new Map<string, Departure>()
  readonly #observation: Observation
  readonly #all = new Slots(FLIGHTS)
  readonly #byUpstream = new Map<number, { slots: Slots; orphans: Orphans }>()

  constructor(parts: DeparturesParts) {
    this.#parts = parts
    this.#observation = new Observation(parts)
  }

  get size(): number {
    return this.#running.size
  }

  /** Fetches for an upstream that run, and those among them that nobody waits for. */
  countOf(upstreamId: number): { active: number; orphaned: number } {
    const prefix = `${upstreamId}:`
    const active = [...this.#running.keys()].filter((key) => key.startsWith(prefix)).length
    return { active, orphaned: this.#byUpstream.get(upstreamId)?.orphans.size ?? 0 }
  }

  /** The one that brings this artifact just now. */
  find(upstreamId: number, key: string): Departure | undefined {
    return this.#running.get(`${upstreamId}:${key}`)
  }

  /** Fetches an artifact. */
  start(upstream: Upstream, request: ArtifactRequest): Departure {
    const { absences } = this.#parts
    const departure = {
      flight: this.#takeOff(upstream, request),
      within: request.within,
      epoch: absences.epoch(upstream.id),
    }
    this.#running.set(`${upstream.id}:${request.key}`, departure)
    departure.flight.then(
      (flight) => void flight.settled.then(() => this.forget(upstream.id, request.key, departure)),
      () => this.forget(upstream.id, request.key, departure),
    )
    return departure
  }

  /** Nobody joins it any more. */
  forget(upstreamId: number, key: string, departure: Departure): void {
    const cacheKey = `${upstreamId}:${key}`
    if (this.#running.get(cacheKey) === departure) this.#running.delete(cacheKey)
  }

  /** What a fetch of the artifact is made of, for who does it without a flight. */
  async plan(upstream: Upstream, request: ArtifactRequest): Promise<Omit<FlightPlan, 'commit' | 'failed'>> {
    const location = await request.locate()
    const { packages, config } = this.#parts
    const { maxArtifactSize, artifactTimeout } = config.mirrors
    const url = new URL(location.url, upstream.settings.url)
    return {
      client: upstream.client,
      spool: packages.spool,
      upstreamName: upstream.settings.name,
      url,
      identity: JSON.stringify([upstream.id, request.key, url.origin, url.pathname]),
      accept: location.accept ?? '*/*',
      use: location.use ?? 'artifact',
      digest: location.digest,
      publishedDigest: async (headers) => (await location.publishedDigest?.(headers)) ?? null,
      headersTimeout: artifactTimeout,
      limit: maxArtifactSize === -1 ? Number.MAX_SAFE_INTEGER : maxArtifactSize,
      verify: (sha256) => this.#compareWithFirst(upstream, request.key, sha256),
      orphans: this.#limitsOf(upstream).orphans,
    }
  }

  /** Waits until nothing is being fetched or stored. */
  async settle(): Promise<void> {
    await Promise.all(
      [...this.#running.values()].map(({ flight }) => flight.then(({ settled }) => settled).catch(() => {})),
    )
  }

  async #takeOff(upstream: Upstream, request: ArtifactRequest): Promise<Flight> {
    const { absences, coordination, filing, store } = this.#parts
    const witness = absences.witness(upstream.id, request)
    const plan = await this.plan(upstream, request)
    const largest = await this.#parts.space.largestFor(upstream)
    const isThere = async () => {
      const found = await store.find(upstream.id, request.key)
      // Whose blob is lost is listed all the same, until somebody brings it.
      return found !== null && (await this.#parts.packages.blobs.has(found.digests.sha256))
    }
    const lease = await coordination.lead(`artifact:${upstream.id}:${request.key}`, isThere)
    if (lease === null) {
      this.#parts.held.invalidate(upstream.id, request.key)
      throw new BroughtElsewhere()
    }
    const land = await this.#takeTurn(upstream, plan.use).catch((error: unknown) => {
      lease.end()
      throw error
    })
    const fileIt = filing.begin(upstream, request)
    const flight = new Flight({
      ...plan,
      limit: Math.min(plan.limit, largest),
      commit: async (entry, arrived) => {
        if (!(await fileIt(entry, arrived))) return
        this.#parts.held.invalidate(upstream.id, request.key)
        this.#parts.space.add(upstream.id, entry.size)
      },
      failed: (failure) => this.#failed(upstream, request.key, failure),
    })
    flight.begun.then(
      ({ size }) => {
        witness(false)
        lease.announce(size)
      },
      (failure: Error) => failure instanceof ArtifactAbsent && witness(true),
    )
    void flight.settled.then(() => {
      lease.end()
      land()
    })
    return flight
  }

  /** Waits for a turn among the upstream's fetches, then among all. Throws UpstreamUnavailable 503 without one. */
  async #takeTurn(upstream: Upstream, use: SlotUse): Promise<() => void> {
    const { name, type } = upstream.settings
    const since = performance.now()
    const ofUpstream = await this.#limitsOf(upstream).slots.take(use, PATIENCE)
    try {
      const ofAll = await this.#all.take(use, PATIENCE)
      const waited = (performance.now() - since) / 1_000
      this.#parts.metrics.queueSeconds.observe({ upstream: name, type, class: 'flight' }, waited)
      return () => {
        ofAll()
        ofUpstream()
      }
    } catch (error) {
      ofUpstream()
      throw error
    }
  }

  #limitsOf({ id }: Upstream): { slots: Slots; orphans: Orphans } {
    const known = this.#byUpstream.get(id) ?? { slots: new Slots(FLIGHTS_OF_UPSTREAM), orphans: new Orphans() }
    this.#byUpstream.set(id, known)
    return known
  }

  /** Trust on first use: what was published once must not change (pull-through.md §5.4). */
  async #compareWithFirst(upstream: Upstream, key: string, sha256: string): Promise<void> {
    const first = await this.#parts.store.firstDigest(upstream.id, key)
    if (first === null || first === sha256) return
    throw new UpstreamUnavailable(
      `upstream ${upstream.settings.name} published ${key} again with other bytes; an administrator must look at this`,
      { detail: 'REPUBLISHED' },
    )
  }

  #failed({ id, settings }: Upstream, key: string, error: Error): void {
    const { log, metrics, shunned } = this.#parts
    if (error instanceof Uncacheable) {
      log.warn({ err: error, upstream: settings.name, key }, 'artifact passed on without being stored')
      return
    }
    if (!(error instanceof UpstreamUnavailable)) {
      log.error({ err: error, upstream: settings.name, key }, 'artifact not stored')
      return
    }
    if (error.detail === undefined) return
    log.error({ err: error, upstream: settings.name, key }, 'artifact refused')
    if (!INTEGRITY.has(error.detail)) return
    metrics.integrityFailures.inc({ upstream: settings.name })
    this.#observation.event(settings, error.detail === 'REPUBLISHED' ? 'republished' : 'integrity', { key })
    shunned.add(`${id}:${key}`, error)
  }
}
