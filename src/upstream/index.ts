import type { RedisClientType } from '@keyv/redis'
import type { Accounts } from '../auth/accounts.ts'
import type { Doer } from '../auth/authenticator.ts'
import type { Owner } from '../auth/owner.ts'
import type { Permissions } from '../auth/permissions.ts'
import type { SecretBox } from '../auth/secret-box.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import type { Database } from '../db/connect.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Models } from '../models/index.ts'
import type { Packages } from '../packages/index.ts'
import type { Policies } from '../policies/index.ts'
import type { UpstreamAdapter } from './adapter.ts'
import { Artifacts } from './artifacts.ts'
import { CacheSpace } from './cache-space.ts'
import type { ClientReport, UpstreamClient } from './client.ts'
import { Coordination } from './coordination.ts'
import { DocumentStore } from './document-store.ts'
import { Documents } from './documents.ts'
import { Loops } from './loops.ts'
import { addMirrorGauges } from './mirror-gauges.ts'
import type { NameBindings } from './name-bindings.ts'
import { ReservedNames } from './reserved-names.ts'
import { type HasName, type Resolution, Resolver, type Survey } from './resolution.ts'
import type { RestUpstream, UpstreamChanges } from './rest-upstream.ts'
import { RestUpstreams } from './rest-upstreams.ts'
import type { UpstreamSettings } from './upstream-settings.ts'
import type { UpstreamState } from './upstream-state.ts'
import { type Trial, tryUpstream } from './upstream-trial.ts'
import { type Upstream, type UpstreamMode, Upstreams } from './upstreams.ts'
import { Uses } from './uses.ts'

const MINUTE = 60_000
const HALF_DAY = 720 * MINUTE

/** What the engine is built from. */
export interface EngineParts {
  db: Database
  models: Models
  notices: Notices
  clock: Clock
  config: Config
  log: Log
  metrics: Metrics
  accounts: Accounts
  permissions: Permissions
  packages: Packages
  policies: Policies
  box: SecretBox
  version: string
}

/** The pull-through engine as slices and the REST API see it. */
export class UpstreamEngine {
  readonly documents: Documents
  readonly artifacts: Artifacts
  readonly loops = new Loops()
  readonly space: CacheSpace
  readonly #artifactUses: Uses
  readonly #documentUses: Uses
  readonly #upstreams: Upstreams
  readonly #rest: RestUpstreams
  readonly #reserved: ReservedNames
  readonly #resolver: Resolver
  readonly #packages: Packages
  readonly #accounts: Accounts
  readonly #coordination: Coordination
  readonly #behind = new Set<Promise<void>>()

  constructor(parts: EngineParts) {
    this.#packages = parts.packages
    this.#accounts = parts.accounts
    this.#upstreams = new Upstreams({ ...parts, loops: this.loops })
    this.#reserved = new ReservedNames(parts)
    this.#coordination = new Coordination({
      notices: parts.notices,
      onError: (err) => parts.log.warn({ err }, 'Redis is away: every replica fetches for itself'),
    })
    const onError = (err: unknown, message: string) => parts.log.error({ err }, message)
    this.space = new CacheSpace({ ...parts, onError })
    this.#artifactUses = new Uses({ ...parts, onError }, 'upstream_digest', MINUTE)
    this.#documentUses = new Uses({ ...parts, onError }, 'upstream_document', HALF_DAY)
    this.documents = new Documents({
      ...parts,
      uses: this.#documentUses,
      coordination: this.#coordination,
      sightings: parts.policies.sightings,
      store: new DocumentStore(parts.db, parts.models, parts.packages),
    })
    this.artifacts = new Artifacts({
      ...parts,
      coordination: this.#coordination,
      space: this.space,
      uses: this.#artifactUses,
    })
    this.#rest = new RestUpstreams({
      ...parts,
      upstreams: this.#upstreams,
      onChanged: (id) => this.#disbelieve(id),
      purge: (row) => this.#purgeGone(row),
      runBehind: (work) => this.runBehind(work),
    })
    this.#resolver = new Resolver({
      ...parts,
      events: parts.packages.events,
      documents: this.documents,
      upstreams: this.#upstreams,
      reserved: this.#reserved,
    })
    addMirrorGauges({
      ...{ metrics: parts.metrics, artifacts: this.artifacts, space: parts.packages.spool.space },
      upstreams: () => this.#upstreams.all(),
    })
    parts.metrics.gauge('entrepot_coordination_degraded', 'Whether Redis did not answer when it was last asked', () =>
      Number(this.#coordination.isDegraded),
    )
  }

  /** Makes the declared upstreams ready; to be called once, after the migrations. Throws ConfigError. */
  async declare(settings: readonly UpstreamSettings[], adapters: ReadonlyMap<string, UpstreamAdapter>): Promise<void> {
    this.#reserved.declare(adapters)
    await this.#upstreams.declare(settings, adapters)
    await this.#resolver.releaseReserved()
  }

  /**
   * Puts to work the upstreams that were made over REST; to be called once, after `declare`. `globalCa`: see readNetwork.
   */
  open(globalCa: string): Promise<void> {
    return this.#rest.open(globalCa)
  }

  /** Makes sure that changes of upstreams that another replica made are seen; it never rejects. */
  refresh(): Promise<void> {
    return this.#rest.refresh()
  }

  /** From now on the replicas of the installation agree on who fetches what. */
  share(redis: RedisClientType, installation: string): void {
    this.#coordination.share(redis, installation)
  }

  /** Which source answers for a name; see Resolver. */
  resolve(doer: Doer, owner: Owner, type: string, name: string, has?: HasName): Promise<Resolution> {
    return this.#resolver.resolve(doer, owner, type, name, has)
  }

  /** How a name would be resolved, as far as it is known; asks no upstream. */
  survey(doer: Doer, owner: Owner, type: string, name: string): Promise<Survey> {
    return this.#resolver.survey(doer, owner, type, name)
  }

  /** Where names come from, once that is decided. */
  get bindings(): NameBindings {
    return this.#resolver.bindings
  }

  /** The upstreams behind an owner, for requests that name no package. */
  upstreamsOf(owner: Owner, type: string): Promise<Upstream[]> {
    return this.#resolver.upstreamsOf(owner, type)
  }

  /** Which of the names must not leave the server. */
  hostedNames(owner: Owner, type: string, names: readonly string[]): Promise<Set<string>> {
    return this.#resolver.hostedNames(owner, type, names)
  }

  /** Whether any of the names is reserved, by the site or by the owner: it is not for upstreams to hear. */
  reservesAny(owner: Owner, type: string, names: readonly string[]): Promise<boolean> {
    return this.#resolver.reservesAny(owner, type, names)
  }

  /** Throws Invalid for what is no pattern of the type's names, and for a type without upstreams. */
  checkPatterns(type: string, patterns: readonly string[]): void {
    this.#reserved.compile(type, patterns)
  }

  /** Call after the commit that changed what an organization reserves. */
  reservedNamesChanged(organization: Owner, type: string): Promise<void> {
    return this.#resolver.reservedNamesChanged(organization, type)
  }

  /** Call after the commit that changed what an organization attaches. */
  attachmentsChanged(orgId: number, type: string): void {
    this.#resolver.attachmentsChanged(orgId, type)
  }

  /** The upstream behind a mirror owner, or null. */
  forOwner(ownerId: number, type: string): Upstream | null {
    return this.#upstreams.forOwner(ownerId, type)
  }

  /** The connections of the upstream at this origin, for requests that are passed through. Throws NotFound. */
  dispatcherOf(origin: string): ReturnType<UpstreamClient['dispatcherFor']> {
    return this.#upstreams.atOrigin(origin).client.dispatcherFor(new URL(origin))
  }

  /** The mirror owner that has this alias, in any case, or null. */
  ownerCalled(alias: string): Owner | null {
    return this.#upstreams.ownerCalled(alias)
  }

  /** The upstream of a type behind the mirror owner of this name or alias, in any case, or null. */
  mirrorCalled(type: string, name: string): Upstream | null {
    return this.#upstreams.mirrorCalled(type, name)
  }

  /** The upstream of a type that serves this registry host (containerd's `ns`), or null. */
  serving(type: string, host: string): Upstream | null {
    return this.#upstreams.serving(type, host)
  }

  /** The upstream of a type whose mirror has a host name of its own, and this is it; or null. */
  mountedAt(type: string, hostname: string): Upstream | null {
    return this.#upstreams.mountedAt(type, hostname)
  }

  /** The upstream of that number, or null. */
  findById(id: number): Upstream | null {
    return this.#upstreams.findById(id)
  }

  /** The declared upstream of that name, or null. */
  find(name: string): Upstream | null {
    return this.#upstreams.find(name)
  }

  /** Every declared upstream. */
  all(): Upstream[] {
    return this.#upstreams.all()
  }

  list(): UpstreamState[] {
    return [...this.#upstreams.list(), ...this.#rest.broken()]
  }

  /** Throws NotFound. */
  get(name: string): UpstreamState {
    return this.#rest.broken().find((one) => one.name === name) ?? this.#upstreams.get(name)
  }

  /** How an upstream is doing, as this replica knows. Throws NotFound. */
  health(name: string): ClientReport {
    return this.#upstreams.getUpstream(name).client.report()
  }

  /** Makes an upstream; see RestUpstreams. */
  async create(name: string, input: RestUpstream, confirmsExposure: boolean): Promise<UpstreamState> {
    await this.#rest.create(name, input, { confirmsExposure })
    return this.get(name)
  }

  /** Changes one that was made over REST, and asks it again whatever it said; see RestUpstreams. */
  async update(name: string, changes: UpstreamChanges, confirmsExposure: boolean): Promise<UpstreamState> {
    await this.#rest.update(name, changes, { confirmsExposure })
    const upstream = this.#upstreams.find(name)
    if (upstream !== null) await this.documents.invalidate(upstream)
    return this.get(name)
  }

  /** Deletes one that was made over REST; see RestUpstreams. */
  remove(name: string): Promise<void> {
    return this.#rest.remove(name)
  }

  /** Tries whether an upstream answers, by a package or by what most of its type have; it never rejects for that. */
  async try(name: string, packageName?: string): Promise<Trial> {
    const { settings, adapter } = this.#upstreams.getUpstream(name)
    return tryUpstream(this.#upstreams.clientFor(settings), settings, adapter, packageName)
  }

  /** The same for one that is not there yet. Unprocessable for what could not be made. */
  async tryInput(input: RestUpstream, packageName?: string): Promise<Trial> {
    const settings = this.#rest.read('trial', input)
    const adapter = this.#upstreams.adapters.get(settings.type)!
    return tryUpstream(this.#upstreams.clientFor(settings), settings, adapter, packageName)
  }

  /** Throws NotFound. */
  setMode(name: string, mode: UpstreamMode): Promise<void> {
    return this.#upstreams.setMode(name, mode)
  }

  /** Makes documents stale, all or those of one package name; deletes nothing. Throws NotFound. */
  async invalidate(name: string, packageName?: string): Promise<void> {
    const upstream = this.#upstreams.getUpstream(name)
    upstream.client.resetHealth()
    this.artifacts.invalidate(upstream.id)
    await this.documents.invalidate(upstream, packageName)
  }

  /** Forgets what is held of one package, or of all; digests are remembered. Throws NotFound. */
  async purge(name: string, packageName?: string): Promise<void> {
    const { id, owner, settings } = this.#upstreams.getUpstream(name)
    await this.artifacts.forsake(id)
    await Promise.all(this.#behind)
    await this.documents.purge(id, packageName)
    await this.#packages.removal.removeAll(owner, settings.type, packageName)
  }

  #disbelieve(id: number): void {
    this.artifacts.forgetBeliefs(id)
    this.documents.forgetBeliefs(id)
  }

  async #purgeGone({ id, ownerId, type }: { id: number; ownerId: number; type: string }): Promise<void> {
    const running = [...this.#behind]
    const owner = await this.#accounts.findById(ownerId)
    await this.artifacts.forsake(id)
    await Promise.all(running)
    await this.documents.purge(id)
    if (owner !== null) await this.#packages.removal.removeAll(owner, type)
  }

  /** Has `settle` and `close` wait for work that no answer waits for; it must not reject. */
  runBehind(work: Promise<void>): void {
    this.#behind.add(work)
    void work.then(() => this.#behind.delete(work))
  }

  /** Writes which cached files and documents were used, as far as that is not written yet. */
  async flushUses(): Promise<void> {
    await Promise.all([this.#artifactUses.flush(), this.#documentUses.flush()])
  }

  /** Waits until nothing is being fetched or stored. */
  async settle(): Promise<void> {
    await Promise.all([this.documents.settle(), this.artifacts.settle(), this.space.settle()])
    await Promise.all(this.#behind)
  }

  /** Gives up what is being fetched, and waits for what is being stored. */
  async close(): Promise<void> {
    await this.#upstreams.close()
    await this.settle()
    await this.flushUses()
  }
}
