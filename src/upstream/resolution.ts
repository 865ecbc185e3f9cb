import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Accounts } from '../auth/accounts.ts'
import type { Doer } from '../auth/authenticator.ts'
import type { Owner } from '../auth/owner.ts'
import type { Permissions } from '../auth/permissions.ts'
import { Cache } from '../cache/cache.ts'
import { NotFound, UpstreamUnavailable } from '../errors.ts'
import type { Policies } from '../policies/index.ts'
import type { NamePolicy } from '../policies/name-policy.ts'
import type { Documents } from './documents.ts'
import { NameBindings, type NameBindingsParts } from './name-bindings.ts'
import { compilePatterns, MAX_NAME, type NameMatcher } from './name-patterns.ts'
import type { ReservedNames } from './reserved-names.ts'
import type { Upstream, Upstreams } from './upstreams.ts'

/** Who answers for a name: rows of the owner itself, or one upstream, to everybody alike or not, within a policy. */
export type Resolution =
  | { readonly kind: 'hosted' }
  | {
      readonly kind: 'mirror'
      readonly upstream: Upstream
      readonly isPublic: boolean
      /** What rules say of the name; null: nothing. */
      readonly policy: NamePolicy | null
    }

/** Another proof than the name document that an upstream has a name; rejects when the upstream cannot say. */
export type HasName = (upstream: Upstream) => Promise<boolean>

/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000

/** Names in a row between two looks at what else there is to do: a thousand patterns may take 0.2 s over one. */
const AT_A_TIME = 5

const HOSTED: Resolution = Object.freeze({ kind: 'hosted' })

interface Attachment {
  readonly upstream: Upstream
  readonly accepts: NameMatcher
}

/** What Resolver is built from. */
export interface ResolverParts extends NameBindingsParts {
  accounts: Accounts
  permissions: Permissions
  documents: Documents
  policies: Policies
  upstreams: Upstreams
  reserved: ReservedNames
}

/** Which source answers for (owner, type, name): one, decided once and remembered (pull-through.md §7). */
export class Resolver {
  readonly #parts: ResolverParts
  readonly #attachments: Cache<Attachment[]>
  readonly #bindings: NameBindings

  constructor(parts: ResolverParts) {
    this.#parts = parts
    this.#attachments = new Cache({ name: 'attachments', max: 10_000, ttl: NOTICE_LOST }, parts.notices)
    this.#bindings = new NameBindings(parts)
  }

  /**
   * The source of a name. Mirrors answer for themselves, but have no name that the site reserves (NotFound, whatever is
   * held). An organization's reserved names are hosted, whatever they were bound to, and its own names, for ever;
   * another name belongs to the first attached upstream that definitely has it, and stays there. Throws
   * UpstreamUnavailable 503 when an upstream that must be asked does not answer: asking the next instead would be an
   * attack window. Upstreams that the doer may not read are passed over; what then answers is for him alone, and binds
   * nothing. `has` may still prove that an upstream has a name whose document it definitely has not.
   */
  async resolve(doer: Doer, owner: Owner, type: string, name: string, has?: HasName): Promise<Resolution> {
    if (owner.kind === 'mirror') {
      if (this.#parts.reserved.bySite(type, name)) throw new NotFound('package', name)
      return this.#answer(this.#mirrorOf(owner, type), type, name, null, this.#parts.permissions.isPublic(owner))
    }
    // No row can have a longer one, and a thousand patterns would take minutes over it.
    if (name.length > MAX_NAME) return HOSTED
    const attachments = await this.#attachmentsOf(owner, type)
    if (attachments.length === 0 || (await this.#isReserved(owner, type, name))) return HOSTED
    const lowerName = name.toLowerCase()
    const upstreamId = await this.#bindings.find(owner.id, type, lowerName)
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
      if (upstreamId === upstream.id) return this.#answer(upstream, type, name, owner, isPublic)
      // What an offline upstream does not hold it may have all the same: the name must not go to the next one for ever.
      if (offline !== null) throw cannotSay(offline, name)
      if (await this.#has(upstream, name, has)) {
        // Who may read the upstream before this one may be answered by that: this is no answer for everybody.
        if (isPassedOver) return this.#answer(upstream, type, name, owner, isPublic)
        // Reserved meanwhile: what is reserved is bound to nothing.
        if (await this.#isReserved(owner, type, name)) return HOSTED
        await this.#bindings.bind(owner.id, type, lowerName, upstream.id)
        return this.resolve(doer, owner, type, name, has)
      }
      if (upstream.mode === 'offline') offline = upstream
    }
    return HOSTED
  }

  /** The upstreams an owner's requests without a name may go to (search, audit), in order; hosted ones have none. */
  async upstreamsOf(owner: Owner, type: string): Promise<Upstream[]> {
    if (owner.kind === 'mirror') return [this.#mirrorOf(owner, type)]
    return (await this.#attachmentsOf(owner, type)).map(({ upstream }) => upstream)
  }

  /** Whether any of the names is reserved, by the site or by the owner. */
  async reservesAny(owner: Owner, type: string, names: readonly string[]): Promise<boolean> {
    return names.some(await this.#parts.reserved.of(owner, type))
  }

  /**
   * The names among `names` that never leave the server: what is reserved, what is hosted, what no attachment lets
   * through, and what is too long for any package.
   */
  async hostedNames(owner: Owner, type: string, names: readonly string[]): Promise<Set<string>> {
    const isReserved = await this.#parts.reserved.of(owner, type)
    const attachments = owner.kind === 'mirror' ? null : await this.#attachmentsOf(owner, type)
    const stays: NameMatcher = (name) =>
      name.length > MAX_NAME ||
      isReserved(name) ||
      (attachments !== null && !attachments.some(({ accepts }) => accepts(name)))
    const kept = new Set<string>()
    for (const [index, name] of names.entries()) {
      if (index % AT_A_TIME === AT_A_TIME - 1) await nextTurn()
      if (stays(name)) kept.add(name)
    }
    const others = names.filter((name) => !kept.has(name))
    const hosted = await this.#bindings.hostedAmong(type, others)
    for (const name of others) if (hosted.has(name.toLowerCase())) kept.add(name)
    return kept
  }

  /** Call after the commit that changed what an organization reserves. */
  async reservedNamesChanged(organization: Owner, type: string): Promise<void> {
    this.#parts.reserved.changed(organization.id, type)
    await this.#bindings.release(type, await this.#parts.reserved.of(organization, type), organization.id)
  }

  /** Frees the names that the site reserves from upstreams that they were bound to before; once, at the start. */
  async releaseReserved(): Promise<void> {
    const { reserved } = this.#parts
    for (const type of reserved.typesOfSite) await this.#bindings.release(type, (name) => reserved.bySite(type, name))
  }

  /** Call after the commit that changed what an organization attaches. */
  attachmentsChanged(orgId: number, type: string): void {
    this.#attachments.invalidate(`${orgId}:${type}`)
  }

  #mirrorOf(owner: Owner, type: string): Upstream {
    const upstream = this.#parts.upstreams.forOwner(owner.id, type)
    if (upstream === null) throw new NotFound('package', `of type ${type} in the mirror ${owner.name}`)
    return upstream
  }

  /** `organization`: whose view it is; null: the mirror's own address. */
  async #answer(
    upstream: Upstream,
    type: string,
    name: string,
    organization: Owner | null,
    isPublic: boolean,
  ): Promise<Resolution> {
    const { id, settings } = upstream
    const policy = await this.#parts.policies.of({
      ...{ type, name, upstream: { id, isTrusted: settings.trust === 'trusted' } },
      organizationId: organization?.id ?? null,
    })
    return { kind: 'mirror', upstream, isPublic, policy }
  }

  async #has(upstream: Upstream, name: string, has?: HasName): Promise<boolean> {
    try {
      await this.#parts.documents.get(upstream, upstream.adapter.nameDocument(name))
      return true
    } catch (error) {
      if (!(error instanceof NotFound)) throw cannotSay(upstream, name, error)
    }
    // An offline upstream has said nothing definite.
    if (has === undefined || upstream.mode === 'offline') return false
    try {
      return await has(upstream)
    } catch (error) {
      throw cannotSay(upstream, name, error)
    }
  }

  async #isReserved(owner: Owner, type: string, name: string): Promise<boolean> {
    return (await this.#parts.reserved.of(owner, type))(name)
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
        const include = JSON.parse(row.include) as string[]
        const exclude = JSON.parse(row.exclude) as string[]
        return [{ upstream, accepts: matcher(upstream, include, exclude) }]
      })
    })
  }
}

function cannotSay(upstream: Upstream, name: string, cause?: unknown): UpstreamUnavailable {
  const message = `upstream ${upstream.settings.name} could not say whether it has ${name}`
  const retryAfter = cause instanceof UpstreamUnavailable ? cause.retryAfter : undefined
  return new UpstreamUnavailable(message, { status: 503, retryAfter: retryAfter ?? 5, cause })
}

/** `exclude` keeps names in, so case does not count there. */
function matcher({ adapter }: Upstream, include: string[], exclude: string[]): NameMatcher {
  const compile = adapter.compilePattern?.bind(adapter)
  const isIncluded = include.length === 0 ? () => true : compilePatterns(include, compile)
  const lowerCase = exclude.map((pattern) => pattern.toLowerCase())
  const isExcluded = compilePatterns(lowerCase, compile)
  return (name) => isIncluded(name) && !isExcluded(name.toLowerCase())
}
