import picomatch from 'picomatch'
import { Op } from 'sequelize'
import type { Accounts } from '../auth/accounts.ts'
import type { Doer } from '../auth/authenticator.ts'
import type { Owner } from '../auth/owner.ts'
import type { Permissions } from '../auth/permissions.ts'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { NotFound, UpstreamUnavailable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { PackageEvents } from '../packages/events.ts'
import type { Documents } from './documents.ts'
import type { Upstream, Upstreams } from './upstreams.ts'

/** Who answers for a name: rows of the owner itself, or one upstream, to everybody alike or not. */
export type Resolution =
  | { readonly kind: 'hosted' }
  | { readonly kind: 'mirror'; readonly upstream: Upstream; readonly isPublic: boolean }

/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000

const HOSTED: Resolution = Object.freeze({ kind: 'hosted' })

interface Attachment {
  readonly upstream: Upstream
  readonly accepts: (name: string) => boolean
}

/** What Resolver is built from. */
export interface ResolverParts {
  db: Database
  models: Models
  notices: Notices
  clock: Clock
  accounts: Accounts
  permissions: Permissions
  documents: Documents
  upstreams: Upstreams
  events: PackageEvents
}

/** Which source answers for (owner, type, name): one, decided once and remembered (pull-through.md §7). */
export class Resolver {
  readonly #parts: ResolverParts
  readonly #attachments: Cache<Attachment[]>
  readonly #bindings: Cache<{ upstreamId: number | null }>

  constructor(parts: ResolverParts) {
    this.#parts = parts
    this.#attachments = new Cache({ name: 'attachments', max: 10_000, ttl: NOTICE_LOST }, parts.notices)
    this.#bindings = new Cache({ name: 'bindings', max: 100_000, ttl: NOTICE_LOST }, parts.notices)
    // The first version of a name binds it to its owner for ever, in the transaction that created it.
    parts.events.on((event) => {
      if (event.action === 'changed') this.#bindings.invalidate(bindingKey(event.ownerId, event.type, event.lowerName))
    })
  }

  /**
   * The source of a name. Mirrors answer for themselves. An organization's own names are hosted, for ever; another name
   * belongs to the first attached upstream that definitely has it, and stays there. Throws UpstreamUnavailable 503 when
   * an upstream that must be asked does not answer: asking the next instead would be an attack window. Upstreams that
   * the doer may not read are passed over; what then answers is for him alone, and binds nothing.
   */
  async resolve(doer: Doer, owner: Owner, type: string, name: string): Promise<Resolution> {
    if (owner.kind === 'mirror') return this.#mirror(owner, type)
    const attachments = await this.#attachmentsOf(owner, type)
    if (attachments.length === 0) return HOSTED
    const lowerName = name.toLowerCase()
    const key = bindingKey(owner.id, type, lowerName)
    const { upstreamId } = await this.#bindings.get(key, () => this.#findBinding(owner, type, lowerName))
    if (upstreamId === 0) return HOSTED
    const candidates = attachments.filter(({ accepts }) => accepts(name))
    let offline: Upstream | null = null
    let isPassedOver = false
    for (const { upstream } of candidates) {
      if (upstreamId !== null && upstream.id !== upstreamId) continue
      // Read anew: the owner in the upstream is as it was at the start.
      const mirror = await this.#parts.accounts.findById(upstream.owner.id)
      if (mirror === null || (await this.#parts.permissions.accessMode(doer, mirror)) < 1) {
        isPassedOver = true
        continue
      }
      const isPublic =
        !isPassedOver && this.#parts.permissions.isPublic(owner) && this.#parts.permissions.isPublic(mirror)
      if (upstreamId === upstream.id) return { kind: 'mirror', upstream, isPublic }
      // What an offline upstream does not hold it may have all the same: the name must not go to the next one for ever.
      if (offline !== null) throw cannotSay(offline, name)
      if (await this.#has(upstream, name)) {
        // Who may read the upstream before this one may be answered by that: this is no answer for everybody.
        if (isPassedOver) return { kind: 'mirror', upstream, isPublic }
        await this.#bind(owner, type, lowerName, upstream)
        return this.resolve(doer, owner, type, name)
      }
      if (upstream.mode === 'offline') offline = upstream
    }
    return HOSTED
  }

  /** The upstreams an owner's requests without a name may go to (search, audit), in order; hosted ones have none. */
  async upstreamsOf(owner: Owner, type: string): Promise<Upstream[]> {
    if (owner.kind === 'mirror') {
      const resolution = await this.#mirror(owner, type)
      return resolution.kind === 'mirror' ? [resolution.upstream] : []
    }
    return (await this.#attachmentsOf(owner, type)).map(({ upstream }) => upstream)
  }

  /** The names among `names` that are the owner's own, so that they never leave the server. */
  async hostedNames(owner: Owner, type: string, names: readonly string[]): Promise<Set<string>> {
    const rows = await this.#parts.models.nameBinding.findAll({
      where: { type, upstreamId: 0, lowerName: { [Op.in]: names.map((name) => name.toLowerCase()) } },
      attributes: ['lowerName'],
      raw: true,
    })
    const hosted = new Set(rows.map(({ lowerName }) => lowerName))
    const attachments = owner.kind === 'mirror' ? null : await this.#attachmentsOf(owner, type)
    const stays = (name: string) => attachments !== null && !attachments.some(({ accepts }) => accepts(name))
    return new Set(names.filter((name) => hosted.has(name.toLowerCase()) || stays(name)))
  }

  /** Call after the commit that changed what an organization attaches. */
  attachmentsChanged(orgId: number, type: string): void {
    this.#attachments.invalidate(`${orgId}:${type}`)
  }

  async #mirror(owner: Owner, type: string): Promise<Resolution> {
    const upstream = this.#parts.upstreams.forOwner(owner.id, type)
    if (upstream === null) throw new NotFound('package', `of type ${type} in the mirror ${owner.name}`)
    return { kind: 'mirror', upstream, isPublic: this.#parts.permissions.isPublic(owner) }
  }

  async #has(upstream: Upstream, name: string): Promise<boolean> {
    try {
      await this.#parts.documents.get(upstream, upstream.adapter.nameDocument(name))
      return true
    } catch (error) {
      if (error instanceof NotFound) return false
      throw cannotSay(upstream, name, error)
    }
  }

  async #bind(owner: Owner, type: string, lowerName: string, upstream: Upstream): Promise<void> {
    const { db, models, clock } = this.#parts
    const where = { ownerId: owner.id, type, lowerName }
    await db.inTransaction(async (transaction) => {
      if ((await models.nameBinding.count({ where, transaction })) > 0) return
      await models.nameBinding.create({ ...where, upstreamId: upstream.id, createdAt: clock.now() }, { transaction })
    })
    this.#bindings.invalidate(bindingKey(owner.id, type, lowerName))
  }

  async #findBinding(owner: Owner, type: string, lowerName: string): Promise<{ upstreamId: number | null }> {
    const row = await this.#parts.models.nameBinding.findOne({
      where: { ownerId: owner.id, type, lowerName },
      attributes: ['upstreamId'],
      raw: true,
    })
    return { upstreamId: row?.upstreamId ?? null }
  }

  #attachmentsOf(owner: Owner, type: string): Promise<Attachment[]> {
    return this.#attachments.get(`${owner.id}:${type}`, async () => {
      const rows = await this.#parts.models.upstreamAttachment.findAll({
        where: { orgId: owner.id, type },
        order: [['position', 'ASC']],
        raw: true,
      })
      return rows.flatMap((row) => {
        const upstream = this.#parts.upstreams.findById(row.upstreamId)
        if (upstream === null) return []
        return [
          { upstream, accepts: matcher(JSON.parse(row.include) as string[], JSON.parse(row.exclude) as string[]) },
        ]
      })
    })
  }
}

function cannotSay(upstream: Upstream, name: string, cause?: unknown): UpstreamUnavailable {
  const message = `upstream ${upstream.settings.name} could not say whether it has ${name}`
  const retryAfter = cause instanceof UpstreamUnavailable ? cause.retryAfter : undefined
  return new UpstreamUnavailable(message, { status: 503, retryAfter: retryAfter ?? 5, cause })
}

function matcher(include: string[], exclude: string[]): (name: string) => boolean {
  const isIncluded = include.length === 0 ? () => true : picomatch(include, { nonegate: true, nobrace: true })
  const isExcluded = exclude.length === 0 ? () => false : picomatch(exclude, { nonegate: true, nobrace: true })
  return (name) => isIncluded(name) && !isExcluded(name)
}

function bindingKey(ownerId: number, type: string, lowerName: string): string {
  return `${ownerId}:${type}:${lowerName}`
}
