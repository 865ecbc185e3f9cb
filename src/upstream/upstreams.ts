import { Op } from 'sequelize'
import type { Accounts } from '../auth/accounts.ts'
import type { Owner, Visibility } from '../auth/owner.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import { type Config, ConfigError } from '../config/config.ts'
import type { Database } from '../db/connect.ts'
import { NotFound } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Models } from '../models/index.ts'
import type { UpstreamAdapter } from './adapter.ts'
import { type OriginState, UpstreamClient } from './client.ts'
import { staleSince } from './freshness.ts'
import type { HealthNews } from './health.ts'
import type { Loops } from './loops.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

const STRICTEST_FIRST = ['private', 'limited', 'public'] as const

/** Whether an upstream is asked; `blocked` also keeps what is held to itself (pull-through.md §3.4). */
export type UpstreamMode = 'online' | 'offline' | 'blocked'

/** One upstream at work. `mode` may change while it runs. */
export interface Upstream {
  readonly id: number
  readonly settings: UpstreamSettings
  /** The mirror owner that serves it, as it was at the start: its id and name do not change. */
  readonly owner: Owner
  readonly adapter: UpstreamAdapter
  readonly client: UpstreamClient
  readonly mode: UpstreamMode
}

/** What administrators see of an upstream. */
export interface UpstreamState {
  readonly name: string
  readonly type: string
  readonly owner: string
  readonly url: string
  readonly mode: UpstreamMode
  readonly origins: OriginState[]
}

/** What the upstreams are made from. */
export interface UpstreamsParts {
  db: Database
  models: Models
  accounts: Accounts
  notices: Notices
  clock: Clock
  config: Config
  log: Log
  version: string
  loops: Loops
}

/** Replicas tell each other by it how origins are doing. */
const HEALTH = 'origin-health'

/** The declared upstreams, by name, by mirror owner, by id. */
export class Upstreams {
  readonly #parts: UpstreamsParts
  readonly #byName = new Map<string, Upstream & { mode: UpstreamMode }>()

  constructor(parts: UpstreamsParts) {
    this.#parts = parts
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
    await this.#reserveAliases(settings)
    for (const one of settings) {
      const visibility = visibilityOf(one.owner, settings)
      const owner = await this.#parts.accounts.ensureMirror(one.owner, `Mirror of ${one.url.host}`, visibility)
      if (visibility !== 'private' && one.auth?.credentials) {
        this.#parts.log.warn(
          { upstream: one.name, visibility },
          'readers of the mirror may read whatever its credentials open',
        )
      }
      const { id, mode } = await this.#declareRow(one, owner)
      const adapter = adapters.get(one.type)!
      const { config, clock, version, loops, notices, log } = this.#parts
      const client = new UpstreamClient({
        ...{ settings: one, adapter, config: config.mirrors, clock, version, loop: () => loops.outbound },
        onHealth: (origin, news) => notices.publish(HEALTH, JSON.stringify({ name: one.name, origin, news })),
      })
      if (one.network?.insecureTls === true) {
        log.warn({ upstream: one.name }, 'insecureTls: whoever answers is believed to be the upstream')
      }
      this.#byName.set(one.name, { id, settings: one, owner, adapter, client, mode })
    }
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
    const { id } = this.getUpstream(name)
    await this.#parts.models.upstream.update({ mode, updatedAt: this.#parts.clock.now() }, { where: { id } })
    this.#switch(name, mode)
    this.#parts.notices.publish('upstream-mode', name)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#byName.values()].map(({ client }) => client.close()))
  }

  #first(matches: (upstream: Upstream) => boolean): Upstream | null {
    for (const upstream of this.#byName.values()) if (matches(upstream)) return upstream
    return null
  }

  async #reread(name: string): Promise<void> {
    try {
      const row = await this.#parts.models.upstream.findOne({ where: { name }, attributes: ['mode'], raw: true })
      if (row !== null && row.mode !== this.find(name)?.mode) this.#switch(name, row.mode)
    } catch (err) {
      this.#parts.log.warn({ err, upstream: name }, 'mode of the upstream not read again')
    }
  }

  #switch(name: string, mode: UpstreamMode): void {
    const upstream = this.#byName.get(name)
    if (upstream === undefined) return
    upstream.mode = mode
    upstream.client.resetHealth()
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

  async #declareRow(settings: UpstreamSettings, owner: Owner): Promise<{ id: number; mode: UpstreamMode }> {
    const { db, models, clock } = this.#parts
    const { name, type } = settings
    const baseUrl = settings.url.href
    const now = clock.now()
    return db.inTransaction(async (transaction) => {
      const row = await models.upstream.findOne({ where: { name }, transaction })
      if (row === null) {
        const values = { name, type, ownerId: owner.id, baseUrl, createdAt: now, updatedAt: now }
        const { id, mode } = await models.upstream.create(values, { transaction })
        return { id, mode }
      }
      if (row.baseUrl !== baseUrl) {
        // Validators of another server mean nothing, and what it said must be asked again; what is held stays held.
        const where = { upstreamId: row.id }
        await models.upstreamDocument.update({ etag: '', lastModified: '' }, { where, transaction })
        const verifiedAt = staleSince(now, settings, this.#parts.config.mirrors)
        const later = { ...where, verifiedAt: { [Op.gt]: verifiedAt } }
        await models.upstreamDocument.update({ verifiedAt }, { where: later, transaction })
      }
      await row.update({ type, ownerId: owner.id, baseUrl, updatedAt: now }, { transaction })
      return { id: row.id, mode: row.mode }
    })
  }
}

/** The strictest that any upstream of the mirror asks for. */
function visibilityOf(owner: string, all: readonly UpstreamSettings[]): Visibility {
  const wanted = all.filter((one) => one.owner.toLowerCase() === owner.toLowerCase()).map((one) => one.visibility)
  return STRICTEST_FIRST.find((visibility) => wanted.includes(visibility)) ?? 'public'
}

function describe(upstream: Upstream): UpstreamState {
  const { name, type, owner, url } = upstream.settings
  return { name, type, owner, url: url.href, mode: upstream.mode, origins: upstream.client.states() }
}
