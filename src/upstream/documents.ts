import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import { Blocked, LegallyUnavailable, NotFound, UpstreamUnavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Sightings } from '../policies/sightings.ts'
import type { DocumentRequest } from './adapter.ts'
import type { CacheStatus } from './cache-status.ts'
import { noteTaken } from './client-request.ts'
import type { Coordination, Lease } from './coordination.ts'
import { DocumentFetcher, type Fetched } from './document-fetcher.ts'
import { type DocumentIdentity, type DocumentRecord, type DocumentStore, identityKey } from './document-store.ts'
import { type FreshnessTimes, freshnessOf, staleSince, timesOf } from './freshness.ts'
import { NegativeEntries } from './negative-entries.ts'
import { Observation } from './observation.ts'
import { ParsedDocuments } from './parsed-documents.ts'
import type { Upstream } from './upstreams.ts'
import type { Uses } from './uses.ts'

const gunzipAsync = promisify(gunzip)

/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000
const FORCED_INTERVAL = 10_000
const SLOW_SPELL = 10_000
const SPARING = 6 * 3_600_000
/** Replicas tell each other by it that what is believed of an upstream, by its id, is worth nothing any more. */
const FORGET = 'documents-forget'

/** A document as it is served: its parsed form, its version, and how it came about. */
export interface HeldDocument<Accepted> {
  /** Changes with the body, and only with it. */
  readonly version: string
  /** The upstream's own, in ms; null when it sent none. */
  readonly lastModified: number | null
  /** When this body came, ms since the epoch. */
  readonly fetchedAt: number
  readonly status: CacheStatus
  /** Parses at the first call; later calls are cheap while memory lasts. */
  accepted(): Promise<Accepted>
}

/** Why a caller wants more than the usual. */
export interface DocumentOptions {
  /** Ask the upstream even if the document is fresh, unless it was verified within the last 10 s. */
  readonly revalidate?: boolean
  /** Do not ask the upstream: what is held, however old it is, or UpstreamUnavailable 504 (RFC 9111 §5.2.1.7). */
  readonly onlyIfCached?: boolean
}

interface Refresh {
  readonly outcome: Promise<Fetched>
  /** Resolves, whatever happened, when the outcome is stored too. */
  readonly settled: Promise<void>
  readonly identity: DocumentIdentity
  /** The document was invalidated or purged meanwhile: the answer is older than the wish to have it asked for. */
  isOutdated: boolean
}

/** What Documents is built from. */
export interface DocumentsParts {
  store: DocumentStore
  sightings: Sightings
  notices: Notices
  clock: Clock
  config: Config
  log: Log
  metrics: Metrics
  coordination: Coordination
  uses: Uses
}

/**
 * Mutable metadata of upstreams: fresh, stale-while-revalidate, stale-on-slow, stale-if-error, gone
 * (pull-through.md §3). A failing upstream is answered from what is held, and never by NotFound.
 */
export class Documents {
  readonly #parts: DocumentsParts
  readonly #observation: Observation
  readonly #records: Cache<{ record: DocumentRecord | null }>
  readonly #parsed: ParsedDocuments
  readonly #fetcher: DocumentFetcher
  readonly #refreshes = new Map<string, Refresh>()
  readonly #negative: NegativeEntries
  /** What is held and was denied less than its fresh time ago; it stays unconfirmed, and is not asked for. */
  readonly #denied: NegativeEntries
  readonly #slowUntil = new Map<number, number>()

  constructor(parts: DocumentsParts) {
    this.#parts = parts
    this.#observation = new Observation(parts)
    this.#records = new Cache({ name: 'documents', max: 100_000, ttl: NOTICE_LOST }, parts.notices)
    this.#parsed = new ParsedDocuments(parts.config.cache.parsedDocuments)
    this.#fetcher = new DocumentFetcher({ ...parts, parsed: this.#parsed })
    this.#negative = new NegativeEntries(parts.clock, { notices: parts.notices, topic: 'documents-absent' })
    this.#denied = new NegativeEntries(parts.clock)
    parts.notices.subscribe(FORGET, (id) => this.forgetBeliefs(Number(id)))
  }

  /**
   * The document, from the upstream if it must be. Throws NotFound when the upstream definitely has none,
   * UpstreamUnavailable when it fails and nothing is held, Blocked when the upstream is switched off.
   */
  async get<A extends NonNullable<unknown>>(
    upstream: Upstream,
    request: DocumentRequest<A>,
    options: DocumentOptions = {},
  ): Promise<HeldDocument<A>> {
    if (upstream.mode === 'blocked') throw new Blocked(`upstream ${upstream.settings.name} is blocked`, 'upstream')
    const identity = { upstreamId: upstream.id, kind: request.kind, key: request.key }
    const { record } = await this.#records.get(identityKey(identity), async () => ({
      record: await this.#parts.store.find(identity),
    }))
    const held = await this.#serve(upstream, request, identity, record, options).catch((error: unknown) => {
      this.#count(upstream, error instanceof NotFound ? 'negative' : 'error')
      throw error
    })
    this.#parts.uses.note(identity, request.key)
    this.#note(upstream, held.status)
    return held
  }

  /** Asks the upstream about the key, or every key, at its next use, whatever was believed. */
  async invalidate(upstream: Upstream, key?: string): Promise<void> {
    const { id } = upstream
    this.#outdate(id, key)
    await this.#parts.store.expire(id, this.#staleSince(upstream), key)
    this.#forget(id)
  }

  /** Forgets the documents of a key, or of all keys. */
  async purge(upstreamId: number, key?: string): Promise<void> {
    this.#outdate(upstreamId, key)
    await this.#parts.store.remove(upstreamId, key)
    this.#forget(upstreamId)
  }

  /** Forgets what was last read before `before`, ms since the epoch, and the upstream still has; how many there were. */
  async forgetUnused(upstreamId: number, before: number): Promise<number> {
    let forgotten = 0
    for (;;) {
      const identities = await this.#parts.store.removeUnused(upstreamId, before)
      if (identities.length === 0) return forgotten
      forgotten += identities.length
      for (const identity of identities) this.#records.invalidate(identityKey(identity))
    }
  }

  /** Waits until nothing is being fetched or stored. */
  async settle(): Promise<void> {
    await Promise.all([...this.#refreshes.values()].map(({ settled }) => settled))
  }

  async #serve<A extends NonNullable<unknown>>(
    upstream: Upstream,
    request: DocumentRequest<A>,
    identity: DocumentIdentity,
    record: DocumentRecord | null,
    options: DocumentOptions,
  ): Promise<HeldDocument<A>> {
    const hold = (from: DocumentRecord, status: CacheStatus) => this.#hold(upstream, request, identity, from, status)
    if (upstream.mode === 'offline') {
      if (record === null) {
        noteTaken('document', { hit: false, detail: 'OFFLINE' })
        throw new NotFound(`package`, `${request.key} (the mirror is offline and does not hold it)`)
      }
      return hold(record, { hit: true, detail: 'OFFLINE' })
    }
    if (options.onlyIfCached === true) {
      if (record === null) throw notHeld(request.key)
      return hold(record, { hit: true })
    }
    if (record === null) {
      if (this.#negative.has(identity, options.revalidate === true)) {
        noteTaken('document', { hit: true, detail: 'NEGATIVE' })
        throw new NotFound('package', request.key)
      }
      noteTaken('document', { hit: false, fwd: 'uri-miss', fwdStatus: 404 })
      const collapsed = this.#refreshes.has(identityKey(identity))
      const outcome = await this.#refresh(upstream, request, identity, null).outcome
      return hold(outcome.record, { hit: false, fwd: 'uri-miss', fwdStatus: outcome.status, stored: true, collapsed })
    }
    const times = this.#timesOf(upstream, request)
    const age = this.#parts.clock.now() - record.verifiedAt
    const ttl = Math.round((times.fresh - age) / 1_000)
    const isForced = options.revalidate === true && age > FORCED_INTERVAL
    const state = freshnessOf(age, times)
    if (state === 'fresh' && !isForced) return hold(record, { hit: true, ttl })
    if (this.#denied.has(identity, options.revalidate === true)) {
      if (state === 'expired') throw new NotFound('package', request.key)
      return hold(record, { hit: true, ttl })
    }
    const { outcome } = this.#refresh(upstream, request, identity, record)
    if (state === 'revalidate-behind' && !isForced) return hold(record, { hit: true, ttl, detail: 'SWR' })
    try {
      const result = state === 'expired' ? await outcome : await this.#within(upstream, times.staleWait, outcome)
      if (result === 'slow') return hold(record, { hit: true, ttl, detail: 'STALE_SLOW' })
      return hold(result.record, { hit: false, fwd: 'stale', fwdStatus: result.status })
    } catch (error) {
      if (state === 'expired' || error instanceof LegallyUnavailable) throw error
      return hold(record, { hit: true, ttl, detail: 'STALE_ERROR' })
    }
  }

  #hold<A extends NonNullable<unknown>>(
    upstream: Upstream,
    request: DocumentRequest<A>,
    identity: DocumentIdentity,
    record: DocumentRecord,
    status: CacheStatus,
  ): HeldDocument<A> {
    const lastModified = Date.parse(record.lastModified)
    return {
      version: record.bodySha256,
      lastModified: Number.isNaN(lastModified) ? null : lastModified,
      fetchedAt: record.fetchedAt,
      status: {
        ...status,
        ...(record.goneAt > 0 && status.detail === undefined ? { detail: 'GONE' } : {}),
        ...(status.hit ? { age: Math.max(0, Math.floor((this.#parts.clock.now() - record.verifiedAt) / 1_000)) } : {}),
      },
      accepted: () => this.#accepted(upstream, request, identity, record),
    }
  }

  async #accepted<A extends NonNullable<unknown>>(
    upstream: Upstream,
    request: DocumentRequest<A>,
    identity: DocumentIdentity,
    record: DocumentRecord,
  ): Promise<A> {
    return this.#parsed.load(identity, record.bodySha256, async () => {
      const compressed = await this.#parts.store.read(record)
      if (compressed !== null)
        return this.#parsed.parse(request, identity, record.bodySha256, await gunzipAsync(compressed))
      // The blob store has lost the body: what is believed of the document is worth nothing without it.
      const { record: again } = await this.#refresh(upstream, request, identity, null).outcome
      const refetched = await this.#parts.store.read(again)
      if (refetched === null) throw new UpstreamUnavailable(`the document ${request.key} is lost`)
      return this.#parsed.parse(request, identity, again.bodySha256, await gunzipAsync(refetched))
    })
  }

  /** The outcome, or `slow` after `wait` ms; while an upstream is known to be slow, nobody waits for it again. */
  async #within(upstream: Upstream, wait: number, outcome: Promise<Fetched>): Promise<Fetched | 'slow'> {
    const now = this.#parts.clock.now()
    const isSlow = now < (this.#slowUntil.get(upstream.id) ?? 0)
    const timer = new AbortController()
    const slow = sleep(isSlow ? 0 : wait, 'slow' as const, { signal: timer.signal })
    slow.catch(() => {})
    try {
      const result = await Promise.race([outcome, slow])
      // Who did not wait has not learnt that it still is slow: the spell ends for somebody to find out.
      if (result !== 'slow') this.#slowUntil.delete(upstream.id)
      else if (!isSlow) this.#slowUntil.set(upstream.id, now + SLOW_SPELL)
      return result
    } finally {
      timer.abort()
    }
  }

  /** One refresh per document at a time; callers share its outcome and its failure. */
  #refresh<A extends NonNullable<unknown>>(
    upstream: Upstream,
    request: DocumentRequest<A>,
    identity: DocumentIdentity,
    held: DocumentRecord | null,
  ): Refresh {
    const key = identityKey(identity)
    const running = this.#refreshes.get(key)
    if (running !== undefined && !running.isOutdated) return running
    const { fresh } = this.#timesOf(upstream, request)
    let store: () => Promise<void> = async () => {}
    let lease: Lease | null = null
    const fetching = this.#fetch(upstream, request, identity, held, (got) => {
      lease = got
    })
    const outcome = fetching.then((fetched) => {
      if (fetched.record.goneAt > 0 && held?.goneAt === 0) {
        this.#observation.event(upstream.settings, 'withdrawn', { document: `${identity.kind}:${identity.key}` })
      }
      if (refresh.isOutdated) return fetched
      this.#records.set(key, { record: fetched.record })
      if (fetched.isDenied) this.#denied.add(identity, fresh)
      if (fetched.isStored) return fetched
      store = async () => {
        await this.#persist(identity, held, fetched)
        if (!refresh.isOutdated) return
        await this.#parts.store.expire(identity.upstreamId, this.#staleSince(upstream), identity.key)
        this.#records.invalidate(key)
      }
      return fetched
    })
    const settled = outcome
      .then(() => store())
      .catch((error: unknown) => {
        if (error instanceof NotFound) {
          if (refresh.isOutdated) return
          if (held === null) this.#negative.add(identity)
          else this.#denied.add(identity, fresh)
        } else this.#parts.log.warn({ err: error, ...identity }, 'document not refreshed')
      })
      .then(() => {
        lease?.end()
        if (this.#refreshes.get(key) === refresh) this.#refreshes.delete(key)
        return running?.settled
      })
    const refresh: Refresh = { outcome, settled, identity, isOutdated: false }
    this.#refreshes.set(key, refresh)
    return refresh
  }

  /** Asks the upstream, unless another replica does just now and stores what it hears. */
  async #fetch<A extends NonNullable<unknown>>(
    upstream: Upstream,
    request: DocumentRequest<A>,
    identity: DocumentIdentity,
    held: DocumentRecord | null,
    onLease: (lease: Lease) => void,
  ): Promise<Fetched> {
    let brought: DocumentRecord | null = null
    const lease = await this.#parts.coordination.lead(`document:${identityKey(identity)}`, async () => {
      const found = await this.#parts.store.find(identity)
      if (found !== null && found.verifiedAt > (held?.verifiedAt ?? 0)) brought = found
      return brought !== null || (held === null && this.#negative.has(identity, false))
    })
    if (lease !== null) {
      onLease(lease)
      return this.#fetcher.fetch({ upstream, request, identity, held })
    }
    if (brought === null) throw new NotFound('package', request.key)
    return { record: brought, status: 200, isStored: true }
  }

  #forget(upstreamId: number): void {
    this.forgetBeliefs(upstreamId)
    this.#records.clear()
    this.#parts.notices.publish(FORGET, String(upstreamId))
  }

  /** Believes nothing of an upstream any more that it was once said not to have, or to have got wrong; here alone. */
  forgetBeliefs(upstreamId: number): void {
    this.#negative.clear(upstreamId)
    this.#denied.clear(upstreamId)
  }

  #outdate(upstreamId: number, key?: string): void {
    for (const refresh of this.#refreshes.values()) {
      const { identity } = refresh
      if (identity.upstreamId === upstreamId && (key === undefined || identity.key === key)) refresh.isOutdated = true
    }
  }

  /** Where hardly any requests are left, tags are asked for four times a day only (§6.3). */
  #timesOf({ settings, client }: Upstream, request: DocumentRequest<NonNullable<unknown>>): FreshnessTimes {
    const times = timesOf(settings, request, this.#parts.config.mirrors)
    return request.describe !== undefined && client.isScarce
      ? { ...times, fresh: Math.max(times.fresh, SPARING) }
      : times
  }

  #staleSince({ settings }: Upstream): number {
    return staleSince(this.#parts.clock.now(), settings, this.#parts.config.mirrors)
  }

  /** Stores an outcome; a store that fails (a full disk) costs the next reader a fetch, and nobody an answer. */
  async #persist(identity: DocumentIdentity, held: DocumentRecord | null, { record }: Fetched): Promise<void> {
    const key = identityKey(identity)
    try {
      const { store } = this.#parts
      const isNew = record.body !== null && record.bodySha256 !== held?.bodySha256
      const stored = isNew ? await store.save(identity, record, held?.seq ?? null) : record
      const isTrue = stored !== null && (isNew || (await store.touch(identity, stored)))
      if (isTrue) this.#records.replace(key, { record: stored })
      else this.#records.invalidate(key)
    } catch (error) {
      this.#records.invalidate(key)
      this.#parts.log.error({ err: error, ...identity }, 'document not stored')
    }
  }

  #count({ settings: { name, type } }: Upstream, result: string): void {
    this.#parts.metrics.mirrorRequests.inc({ upstream: name, type, class: 'document', result })
  }

  #note(upstream: Upstream, status: CacheStatus): void {
    const result = status.detail?.startsWith('STALE') === true ? 'stale' : status.hit ? 'hit' : 'miss'
    this.#count(upstream, result)
    const { name, type } = upstream.settings
    this.#parts.metrics.documentAge.observe({ upstream: name, type }, status.age ?? 0)
    noteTaken('document', status)
  }
}

function notHeld(key: string): UpstreamUnavailable {
  return new UpstreamUnavailable(`${key} is not held, and nobody was to be asked`, { status: 504 })
}
