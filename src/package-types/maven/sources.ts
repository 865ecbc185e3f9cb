import type { Doer } from '../../auth/authenticator.ts'
import type { Owner } from '../../auth/owner.ts'
import { NotFound } from '../../errors.ts'
import type { Target } from '../../http/decorate.ts'
import { isPublicPackage } from '../../http/package-visibility.ts'
import type { Services } from '../../services.ts'
import type { MirrorSource } from '../../upstream/resolution.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import { groupOf, MAVEN, packageName, type RepositoryPath } from './coordinates.ts'
import { HostedGroups } from './groups.ts'
import { type FindGroup, HostedMaven } from './hosted.ts'
import { MergedMaven } from './merged.ts'
import { MirroredMaven } from './mirrored.ts'
import { MirroredDocuments } from './mirrored-documents.ts'
import type { MavenSource, MergeableMaven } from './source.ts'

type Method = 'GET' | 'HEAD'

/** Which source answers a request: the owner's own packages, or the upstream that has the name. */
export class Sources {
  readonly #services: Services
  readonly #groups: HostedGroups
  readonly #documents: MirroredDocuments

  constructor(services: Services) {
    this.#services = services
    const { config, db, notices, packages } = services
    this.#groups = new HostedGroups(db, notices, packages.events)
    this.#documents = new MirroredDocuments(config.cache.renderedDocuments, notices)
  }

  /** Whose answer a path gets; UpstreamUnavailable when an upstream that must be asked does not answer. */
  async find(doer: Doer, target: Target, path: RepositoryPath, method: Method): Promise<MavenSource> {
    const { owner } = target
    const name = packageName(path)
    if (name === null || (await this.#isOwnGroup(owner, path))) return this.#withoutName(doer, target, path, method)
    const { upstream: engine } = this.#services
    const resolution = await engine.resolve(doer, owner, MAVEN, name, (upstream) => this.#has(upstream, path))
    if (resolution.kind === 'hosted') return this.#hosted(doer, target)
    const mirrored = (source: MirrorSource) => new MirroredMaven(this.#services, this.#documents, { ...source, method })
    if (resolution.kind === 'mirror') return mirrored(resolution)
    const [, ...mirrors] = resolution.sources
    const isPublic = resolution.isPublic && (await isPublicPackage(this.#services, owner, MAVEN, name))
    const others = mirrors.map((source) => mirrored({ ...source, isPublic }))
    return new MergedMaven(this.#documents, { owner, isPublic, sources: [this.#hosted(doer, target), ...others] })
  }

  #hosted(doer: Doer, { owner, hiddenOwner = owner }: Target): MergeableMaven {
    return new HostedMaven(this.#services, (group) => this.#findGroup(doer, hiddenOwner, group), owner)
  }

  /** The metadata of a group names all plugins in it that the doer may know of. */
  async #findGroup(doer: Doer, owner: Owner, name: string): ReturnType<FindGroup> {
    const { permissions } = this.#services
    const { restriction } = doer
    if (restriction !== null && !restriction.allowsAll(owner.lowerName, MAVEN)) return null
    const group = await this.#groups.find(owner.id, name)
    const isSameToAll = group.document === group.publicDocument
    const document =
      isSameToAll || (await permissions.readsPrivate(doer, owner)) ? group.document : group.publicDocument
    if (document === null) return null
    return { document, isPublic: document === group.publicDocument && permissions.isPublic(owner) }
  }

  /** A path that names no package says nothing of who might have it: it goes nowhere but to where it was sent. */
  async #withoutName(doer: Doer, target: Target, path: RepositoryPath, method: Method): Promise<MavenSource> {
    const { owner } = target
    if (owner.kind !== 'mirror') return this.#hosted(doer, target)
    const { upstream: engine, permissions } = this.#services
    // The metadata of a group with one component: the group may be reserved all the same.
    if (path.kind === 'metadata' && (await engine.reservesAny(owner, MAVEN, [groupOf(path)]))) {
      throw new NotFound('package', groupOf(path))
    }
    const upstream = engine.forOwner(owner.id, MAVEN)
    if (upstream === null) throw new NotFound('package', `of type ${MAVEN} in the mirror ${owner.name}`)
    const isPublic = permissions.isPublic(owner)
    return new MirroredMaven(this.#services, this.#documents, { upstream, isPublic, policy: null, method })
  }

  /**
   * Whether metadata is asked for that would be a package's nobody here has, but for a group's that is the owner's: its
   * name must not leave the server.
   */
  async #isOwnGroup(owner: Owner, path: RepositoryPath): Promise<boolean> {
    if (path.kind !== 'metadata' || owner.kind === 'mirror') return false
    if (!(await this.#groups.find(owner.id, groupOf(path))).isOurs) return false
    return (await this.#services.packages.lookup.findPackage(owner.id, MAVEN, packageName(path)!)) === null
  }

  /** Whether an upstream has the very thing, where it has no metadata of the name. */
  async #has(upstream: Upstream, path: RepositoryPath): Promise<boolean> {
    if (path.kind === 'metadata') return false
    const source = new MirroredMaven(this.#services, this.#documents, {
      upstream,
      isPublic: false,
      policy: null,
      method: 'HEAD',
    })
    try {
      if (path.kind !== 'file') await source.document(path)
      else {
        const answer = await source.file(path)
        if (typeof answer.source !== 'function') answer.source.close()
      }
      return true
    } catch (error) {
      if (error instanceof NotFound) return false
      throw error
    }
  }
}
