import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Accounts } from '../auth/accounts.ts'
import type { Doer } from '../auth/authenticator.ts'
import type { Owner } from '../auth/owner.ts'
import type { Permissions } from '../auth/permissions.ts'
import { NotFound, UpstreamUnavailable } from '../errors.ts'
import type { Policies } from '../policies/index.ts'
import type { NamePolicy } from '../policies/name-policy.ts'
import { type Attachment, Attachments, type AttachmentsParts } from './attachments.ts'
import { noteSource } from './client-request.ts'
import type { Documents } from './documents.ts'
import { type Binding, NameBindings, type NameBindingsParts } from './name-bindings.ts'
import { MAX_NAME, type NameMatcher } from './name-patterns.ts'
import type { ReservedNames } from './reserved-names.ts'
import type { Upstream } from './upstreams.ts'

/** Rows of the owner itself answer. */
export interface HostedSource {
  readonly kind: 'hosted'
}

/** One upstream answers, to everybody alike or not, within a policy. */
export interface MirrorSource {
  readonly kind: 'mirror'
  readonly upstream: Upstream
  readonly isPublic: boolean
  /** What rules say of the name; null: nothing. */
  readonly policy: NamePolicy | null
}

/** Several answer together: of a version that more than one has, the first one's is served. */
export interface MergedSources {
  readonly kind: 'merged'
  /** The owner's own rows first. */
  readonly sources: readonly [HostedSource, ...MirrorSource[]]
  /** Whether that is everybody's answer. */
  readonly isPublic: boolean
}

/** Who answers for a name. */
export type Resolution = HostedSource | MirrorSource | MergedSources

/**
 * Why a name has the source that it has: its owner is a mirror; it is longer than any; nothing is attached; it is
 * reserved; it is the owner's own, also when its packages are gone; it is an upstream's; sources share it; or nobody
 * has been found to have it yet.
 */
export type Reason = 'mirror' | 'too-long' | 'unattached' | 'reserved' | 'hosted' | 'bound' | 'merged' | 'unbound'

/** What is known of an attached upstream as the source of one name. */
export interface Candidate {
  readonly upstream: Upstream
  /** Whether its patterns let the name through. */
  readonly isIncluded: boolean
  /** Whether the name is bound to it. */
  readonly isBound: boolean
}

/** How a name is resolved, as far as it is known without asking anybody. */
export interface Survey {
  readonly reason: Reason
  /** In the order in which they are asked; those that the doer may not read are left out. */
  readonly candidates: readonly Candidate[]
}

/** Another proof than the name document that an upstream has a name; rejects when the upstream cannot say. */
export type HasName = (upstream: Upstream) => Promise<boolean>

/** Names in a row between two looks at what else there is to do: a thousand patterns may take 0.2 s over one. */
const AT_A_TIME = 5

const HOSTED: HostedSource = Object.freeze({ kind: 'hosted' })

/** What Resolver is built from. */
export interface ResolverParts extends NameBindingsParts, AttachmentsParts {
  accounts: Accounts
  permissions: Permissions
  documents: Documents
  policies: Policies
  reserved: ReservedNames
}

/** Which source answers for (owner, type, name): one, decided once and remembered (pull-through.md §7). */
export class Resolver {
  readonly bindings: NameBindings
  readonly #parts: ResolverParts
  readonly #attachments: Attachments

  constructor(parts: ResolverParts) {
    this.#parts = parts
    this.#attachments = new Attachments(parts)
    this.bindings = new NameBindings(parts)
  }

  /**
   * The source of a name. Mirrors answer for themselves, but have no name that the site reserves (NotFound, whatever is
   * held). An organization's reserved names are hosted, whatever they were bound to, and its own names, for ever;
   * another name belongs to the first attached upstream that definitely has it, and stays there; where its binding says
   * so, all sources share it. Throws UpstreamUnavailable 503 when an upstream that must be asked does not answer: asking
   * the next instead would be an attack window. Upstreams that the doer may not read are passed over; what then answers
   * is for him alone, and binds nothing. `has` may still prove that an upstream has a name whose document it definitely has not.
   */
  async resolve(doer: Doer, owner: Owner, type: string, name: string, has?: HasName): Promise<Resolution> {
    if (owner.kind === 'mirror') {
      if (this.#parts.reserved.bySite(type, name)) throw new NotFound('package', name)
      return this.#answer(this.#mirrorOf(owner, type), type, name, null, this.#parts.permissions.isPublic(owner))
    }
    const { reason, binding, attachments } = await this.#decide(owner, type, name)
    if (reason !== 'bound' && reason !== 'unbound' && reason !== 'merged') return HOSTED
    const candidates = attachments.filter(({ accepts }) => accepts(name))
    if (reason === 'merged') return this.#merge(doer, owner, type, name, candidates)
    const upstreamId = binding?.upstreamId ?? null
    let offline: Upstream | null = null
    let isPassedOver = false
    for (const { upstream } of candidates) {
      if (upstreamId !== null && upstream.id !== upstreamId) continue
      const mirror = await this.#readable(doer, upstream)
      if (mirror === null) {
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
        await this.bindings.bind({ ownerId: owner.id, type, lowerName: name.toLowerCase() }, upstream.id)
        return this.resolve(doer, owner, type, name, has)
      }
      if (upstream.mode === 'offline') offline = upstream
    }
    return HOSTED
  }

  /** How a name would be resolved; asks no upstream and binds nothing. */
  async survey(doer: Doer, owner: Owner, type: string, name: string): Promise<Survey> {
    if (owner.kind === 'mirror') {
      if (this.#parts.reserved.bySite(type, name)) return { reason: 'reserved', candidates: [] }
      return {
        reason: 'mirror',
        candidates: [{ upstream: this.#mirrorOf(owner, type), isIncluded: true, isBound: true }],
      }
    }
    const { reason, binding, attachments } = await this.#decide(owner, type, name)
    const readable = await Promise.all(attachments.map(({ upstream }) => this.#readable(doer, upstream)))
    const candidates = attachments
      .filter((_attachment, index) => readable[index] !== null)
      .map(({ upstream, accepts }) => ({
        ...{ upstream, isIncluded: accepts(name) },
        isBound: binding?.upstreamId === upstream.id,
      }))
    return { reason, candidates }
  }

  /** The upstreams an owner's requests without a name may go to (search, audit), in order; hosted ones have none. */
  async upstreamsOf(owner: Owner, type: string): Promise<Upstream[]> {
    if (owner.kind === 'mirror') return [this.#mirrorOf(owner, type)]
    return (await this.#attachments.of(owner, type)).map(({ upstream }) => upstream)
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
    const attachments = owner.kind === 'mirror' ? null : await this.#attachments.of(owner, type)
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
    const hosted = await this.bindings.hostedAmong(type, others)
    for (const name of others) if (hosted.has(name.toLowerCase())) kept.add(name)
    return kept
  }

  /** Call after the commit that changed what an organization reserves. */
  async reservedNamesChanged(organization: Owner, type: string): Promise<void> {
    this.#parts.reserved.changed(organization.id, type)
    await this.bindings.release(type, await this.#parts.reserved.of(organization, type), organization.id)
  }

  /** Frees the names that the site reserves from upstreams that they were bound to before; once, at the start. */
  async releaseReserved(): Promise<void> {
    const { reserved } = this.#parts
    for (const type of reserved.typesOfSite) await this.bindings.release(type, (name) => reserved.bySite(type, name))
  }

  /** Call after the commit that changed what an organization attaches. */
  attachmentsChanged(orgId: number, type: string): void {
    this.#attachments.changed(orgId, type)
  }

  /** What is known of a name of an owner that is no mirror, in the order in which it matters. */
  async #decide(
    owner: Owner,
    type: string,
    name: string,
  ): Promise<{ reason: Exclude<Reason, 'mirror'>; binding: Binding | null; attachments: Attachment[] }> {
    const nothing = { binding: null, attachments: [] }
    // No row can have a longer one, and a thousand patterns would take minutes over it.
    if (name.length > MAX_NAME) return { reason: 'too-long', ...nothing }
    const attachments = await this.#attachments.of(owner, type)
    if (attachments.length === 0) return { reason: 'unattached', ...nothing }
    if (await this.#isReserved(owner, type, name)) return { reason: 'reserved', ...nothing }
    const binding = await this.bindings.find({ ownerId: owner.id, type, lowerName: name.toLowerCase() })
    if (binding === null) return { reason: 'unbound', binding, attachments }
    if (binding.merge) return { reason: 'merged', binding, attachments }
    return { reason: binding.upstreamId === 0 ? 'hosted' : 'bound', binding, attachments }
  }

  /** The mirror of an upstream as it is now, if the doer may read it. */
  async #readable(doer: Doer, upstream: Upstream): Promise<Owner | null> {
    // Read anew: the owner in the upstream is as it was at the start.
    const mirror = await this.#parts.accounts.findById(upstream.owner.id)
    return mirror !== null && (await this.#parts.permissions.accessMode(doer, mirror)) >= 1 ? mirror : null
  }

  /** Upstreams that the doer may not read are passed over, and what is left is no answer for everybody (S3). */
  async #merge(
    doer: Doer,
    owner: Owner,
    type: string,
    name: string,
    candidates: readonly Attachment[],
  ): Promise<Resolution> {
    const { permissions } = this.#parts
    const mirrors = await Promise.all(candidates.map(({ upstream }) => this.#readable(doer, upstream)))
    const isPublic =
      permissions.isPublic(owner) && mirrors.every((mirror) => mirror !== null && permissions.isPublic(mirror))
    const read = candidates.filter((_candidate, index) => mirrors[index] !== null)
    const sources = await Promise.all(read.map(({ upstream }) => this.#answer(upstream, type, name, owner, isPublic)))
    return { kind: 'merged', sources: [HOSTED, ...sources], isPublic }
  }

  #mirrorOf(owner: Owner, type: string): Upstream {
    const upstream = this.#parts.upstreams.forOwner(owner.id, type)
    if (upstream === null) this.#parts.upstreams.requireUsable({ ownerId: owner.id, type })
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
  ): Promise<MirrorSource> {
    const { id, settings } = upstream
    noteSource({ upstreamId: id, upstream: settings.name, type, owner: upstream.owner.name, packageName: name })
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
}

function cannotSay(upstream: Upstream, name: string, cause?: unknown): UpstreamUnavailable {
  const message = `upstream ${upstream.settings.name} could not say whether it has ${name}`
  const retryAfter = cause instanceof UpstreamUnavailable ? cause.retryAfter : undefined
  return new UpstreamUnavailable(message, { status: 503, retryAfter: retryAfter ?? 5, cause })
}
