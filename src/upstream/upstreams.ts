import type { Accounts } from '../auth/accounts.ts'
import type { Owner, Visibility } from '../auth/owner.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import { type Config, ConfigError } from '../config/config.ts'
import type { Database } from '../db/connect.ts'
import { NotFound, UpstreamUnavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Models } from '../models/index.ts'
import type { UpstreamAdapter } from './adapter.ts'
import { UpstreamClient } from './client.ts'
import type { HealthNews } from './health.ts'
import type { Loops } from './loops.ts'
import { Observation } from './observation.ts'
import { UpstreamRows } from './upstream-rows.ts'
import type { UpstreamSettings } from './upstream-settings.ts'
import { describe, type UpstreamMode, type UpstreamState } from './upstream-state.ts'

export type { UpstreamMode } from './upstream-state.ts'

/** ms for which what began with a client that was replaced may still send requests by it. */
const LAST_REQUESTS = 60_000
const STRICTEST_FIRST = ['private', 'limited', 'public'] as const

/** One upstream at work. Of one that was made over REST all but id, owner and adapter may change while it runs. */
export interface Upstream {
  readonly id: number
  readonly settings: UpstreamSettings
  /** The mirror owner that serves it, as it was at the start: its id and name do not change. */
  readonly owner: Owner
  readonly adapter: UpstreamAdapter
  readonly client: UpstreamClient
  readonly mode: UpstreamMode
  /** Where it is declared. */
  readonly origin: 'file' | 'rest'
}

/** What an upstream is put to work with. */
export type ReadyUpstream = Pick<Upstream, 'id' | 'settings' | 'owner' | 'mode' | 'origin'>

/** What the upstreams are made from. */
export interface UpstreamsParts {
  db: Database
  models: Models
  accounts: Accounts
  notices: Notices
  clock: Clock
  config: Config
  log: Log
  metrics: Metrics
  version: string
  loops: Loops
}

/** Replicas tell each other by it how origins are doing. */
const HEALTH = 'origin-health'

/** The declared upstreams, by name, by mirror owner, by id. */
export class Upstreams {
  readonly rows: UpstreamRows
  readonly #parts: UpstreamsParts
  readonly #observation: Observation
  readonly #byName = new Map<string, { -readonly [K in keyof Upstream]: Upstream[K] }>()
  readonly #replaced = new Map<UpstreamClient, NodeJS.Timeout>()
  /** Of those that cannot be put to work, and why. */
  readonly #unusable = new Map<number, { ownerId: number; type: string; name: string; problem: string }>()
  #adapters: ReadonlyMap<string, UpstreamAdapter> = new Map()

  constructor(parts: UpstreamsParts) {
    this.#parts = parts
    this.#observation = new Observation(parts)
    this.rows = new UpstreamRows(parts)
    // The notice says that something changed, the row says what: a strange message cannot switch anything.
    parts.notices.subscribe('upstream-mode', (name) => void this.#reread(name))
    parts.notices.subscribe(HEALTH, (notice) => {
      const { name, origin, news } = JSON.parse(notice) as { name: string; origin: string; news: HealthNews }
      this.find(name)?.client.hear(origin, news)
    })
  }

  /**
   * Brings the rows in line with the files: owner and its visibility, row, and stale validators when the URL changed.
   * Throws ConfigError for an alias that is somebody's name.
   */
  async declare(settings: readonly UpstreamSettings[], adapters: ReadonlyMap<string, UpstreamAdapter>): Promise<void> {
    this.#adapters = adapters
    await this.#reserveAliases(settings)
    for (const one of settings) {
      const owner = await this.ensureOwner(one, settings)
      const { id, mode } = await this.#parts.db.inTransaction((transaction) =>
        this.rows.ofFile(one, owner.id, transaction),
      )
      this.put({ id, settings: one, owner, mode, origin: 'file' })
    }
  }

  /** By package type. */
  get adapters(): ReadonlyMap<string, UpstreamAdapter> {
    return this.#adapters
  }

  /** The mirror of an upstream, as visible as the strictest of `all` that it serves; see Accounts.ensureMirror. */
  async ensureOwner(one: UpstreamSettings, all: readonly UpstreamSettings[]): Promise<Owner> {
    const visibility = visibilityOf(one.owner, all)
    if (visibility !== 'private' && one.auth?.credentials) {
      this.#parts.log.warn(
        { upstream: one.name, visibility },
        'readers of the mirror may read whatever its credentials open',
      )
    }
    return this.#parts.accounts.ensureMirror(one.owner, `Mirror of ${one.url.host}`, visibility)
  }

  /** Puts an upstream to work, or a changed one, whose requests that run go on as they began. */
  put({ id, settings, owner, mode, origin }: ReadyUpstream): void {
    this.#unusable.delete(id)
    const before = this.findById(id)
    if (settings.network?.insecureTls === true) {
      this.#parts.log.warn({ upstream: settings.name }, 'insecureTls: whoever answers is believed to be the upstream')
    }
    const adapter = this.#adapters.get(settings.type)!
    const upstream = { id, settings, owner, adapter, client: this.clientFor(settings), mode, origin }
    if (before === null) {
      this.#byName.set(settings.name, upstream)
      return
    }
    this.#replace(before.client)
    // In place: what holds the upstream sees it as it is now.
    this.#byName.delete(before.settings.name)
    this.#byName.set(settings.name, Object.assign(before, upstream))
  }

  /** Takes an upstream out of work; with `unusable`, because it cannot be. */
  remove(id: number, unusable?: { ownerId: number; type: string; name: string; problem: string }): void {
    if (unusable === undefined) this.#unusable.delete(id)
    else this.#unusable.set(id, unusable)
    const upstream = this.findById(id)
    if (upstream === null) return
    this.#byName.delete(upstream.settings.name)
    this.#replace(upstream.client)
  }

  /** A client that nothing was asked by; what it learns of origins it tells the other replicas once it is at work. */
  clientFor(settings: UpstreamSettings): UpstreamClient {
    const { config, clock, version, loops, notices } = this.#parts
    const client: UpstreamClient = new UpstreamClient({
      ...{ settings, adapter: this.#adapters.get(settings.type)!, config: config.mirrors, clock, version },
      loop: () => loops.outbound,
      observation: this.#observation,
      onHealth: (origin, news) => {
        if (this.find(settings.name)?.client !== client) return
        notices.publish(HEALTH, JSON.stringify({ name: settings.name, origin, news }))
      },
    })
    return client
  }

  /** The upstream behind a mirror owner, or null. */
  forOwner(ownerId: number, type: string): Upstream | null {
    for (const upstream of this.#byName.values()) {
      if (upstream.owner.id === ownerId && upstream.settings.type === type) return upstream
    }
    return null
  }

  /** The mirror owner with this alias, in any case, or null. */
  ownerCalled(alias: string): Owner | null {
    return this.#first(({ settings }) => settings.aliases.includes(alias.toLowerCase()))?.owner ?? null
  }

  /** The upstream of a type behind the mirror owner of this name or alias, or null. */
  mirrorCalled(type: string, name: string): Upstream | null {
    const lowerName = name.toLowerCase()
    return this.#first(
      ({ owner, settings }) =>
        settings.type === type && (owner.lowerName === lowerName || settings.aliases.includes(lowerName)),
    )
  }

  /** The upstream of a type that serves this registry host, or null. */
  serving(type: string, host: string): Upstream | null {
    return this.#first(({ settings }) => settings.type === type && settings.serves.includes(host.toLowerCase()))
  }

  /** The upstream of a type that is mounted at this host name, or null. */
  mountedAt(type: string, hostname: string): Upstream | null {
    return this.#first(({ settings }) => settings.type === type && settings.hosts.includes(hostname.toLowerCase()))
  }

  find(name: string): Upstream | null {
    return this.#byName.get(name) ?? null
  }

  findById(id: number): Upstream | null {
    for (const upstream of this.#byName.values()) if (upstream.id === id) return upstream
    return null
  }

  /**
   * Throws UpstreamUnavailable when there is an upstream with this id, or of this owner and type, that cannot be put to
   * work: nobody knows then what it has, and no other answers in its place.
   */
  requireUsable(which: { id: number } | { ownerId: number; type: string }): void {
    for (const [id, { ownerId, type, name, problem }] of this.#unusable) {
      const isMeant = 'id' in which ? id === which.id : ownerId === which.ownerId && type === which.type
      if (isMeant) throw new UpstreamUnavailable(`upstream ${name} cannot be used: ${problem}`, { status: 503 })
    }
  }

  /** The first upstream at an origin. Throws NotFound. */
  atOrigin(origin: string): Upstream {
    for (const upstream of this.#byName.values()) if (upstream.settings.url.origin === origin) return upstream
    throw new NotFound('upstream', origin)
  }

  all(): Upstream[] {
    return [...this.#byName.values()]
  }

  list(): UpstreamState[] {
    return [...this.#byName.values()].map(describe)
  }

  /** Throws NotFound. */
  get(name: string): UpstreamState {
    return describe(this.getUpstream(name))
  }

  /** Throws NotFound. */
  getUpstream(name: string): Upstream {
    const upstream = this.find(name)
    if (upstream === null) throw new NotFound('upstream', name)
    return upstream
  }

  /** Switches an upstream for all replicas and forgets its failures. Throws NotFound. */
  async setMode(name: string, mode: UpstreamMode): Promise<void> {
    const { id, client } = this.getUpstream(name)
    await this.#parts.models.upstream.update({ mode, updatedAt: this.#parts.clock.now() }, { where: { id } })
    this.switch(name, mode)
    client.resetHealth()
    this.#parts.notices.publish('upstream-mode', name)
  }

  /** Has an upstream in the mode that its row says, here; one that was in it already goes on undisturbed. */
  switch(name: string, mode: UpstreamMode): void {
    const upstream = this.#byName.get(name)
    if (upstream === undefined || upstream.mode === mode) return
    upstream.mode = mode
    upstream.client.resetHealth()
  }

  async close(): Promise<void> {
    for (const timer of this.#replaced.values()) clearTimeout(timer)
    const clients = [...this.all().map(({ client }) => client), ...this.#replaced.keys()]
    await Promise.all(clients.map((client) => client.close()))
  }

  /** Idle connections end by themselves; those in use are waited for, and cut at the end only. */
  #replace(client: UpstreamClient): void {
    const finish = async () => {
      await client.finish().catch(() => {})
      this.#replaced.delete(client)
    }
    this.#replaced.set(client, setTimeout(() => void finish(), LAST_REQUESTS).unref())
  }

  #first(matches: (upstream: Upstream) => boolean): Upstream | null {
    for (const upstream of this.#byName.values()) if (matches(upstream)) return upstream
    return null
  }

  async #reread(name: string): Promise<void> {
    try {
      const row = await this.#parts.models.upstream.findOne({ where: { name }, attributes: ['mode'], raw: true })
      if (row !== null) this.switch(name, row.mode)
    } catch (err) {
      this.#parts.log.warn({ err, upstream: name }, 'mode of the upstream not read again')
    }
  }

  /** An account of that name would answer in place of the mirror. */
  async #reserveAliases(settings: readonly UpstreamSettings[]): Promise<void> {
    const { accounts } = this.#parts
    accounts.reserve(settings.flatMap(({ aliases }) => aliases))
    for (const { name, owner, aliases } of settings) {
      for (const alias of aliases) {
        const holder = await accounts.find(alias)
        if (holder === null || holder.lowerName === owner.toLowerCase()) continue
        throw new ConfigError(`${name}.yaml: aliases: ${alias} is the name of another account (${holder.kind})`)
      }
    }
  }
}

/** The strictest that any upstream of the mirror asks for. */
function visibilityOf(owner: string, all: readonly UpstreamSettings[]): Visibility {
  const wanted = all.filter((one) => one.owner.toLowerCase() === owner.toLowerCase()).map((one) => one.visibility)
  return STRICTEST_FIRST.find((visibility) => wanted.includes(visibility)) ?? 'public'
}
