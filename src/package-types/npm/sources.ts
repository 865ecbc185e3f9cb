import type { Doer } from '../../auth/authenticator.ts'
import type { Owner } from '../../auth/owner.ts'
import { isPublicPackage } from '../../http/package-visibility.ts'
import type { Services } from '../../services.ts'
import type { DocumentOptions } from '../../upstream/documents.ts'
import type { MirrorSource } from '../../upstream/resolution.ts'
import { HostedDocuments, HostedNpm } from './hosted.ts'
import { MergedNpm, NameConflicts } from './merged.ts'
import { MirroredDocuments, MirroredNpm } from './mirrored.ts'
import type { NpmSource } from './source.ts'

/** Which source answers a request: the owner's own packages, or the upstream that has the name. */
export class Sources {
  readonly #services: Services
  readonly #hosted: HostedDocuments
  readonly #mirrored: MirroredDocuments
  readonly #conflicts: NameConflicts

  constructor(services: Services) {
    this.#services = services
    this.#conflicts = new NameConflicts(services)
    const { config, notices, packages } = services
    this.#hosted = new HostedDocuments(config.cache.renderedDocuments, notices, packages.events)
    this.#mirrored = new MirroredDocuments(config.cache.renderedDocuments, notices)
  }

  /** Whose answer `name` gets; UpstreamUnavailable when an upstream that must be asked does not answer. */
  async find(
    doer: Doer,
    owner: Owner,
    name: string,
    how: { method: 'GET' | 'HEAD'; wishes: DocumentOptions },
  ): Promise<NpmSource> {
    const resolution = await this.#services.upstream.resolve(doer, owner, 'npm', name)
    const hosted = () => new HostedNpm(this.#services, this.#hosted, owner)
    const mirrored = (source: MirrorSource) =>
      new MirroredNpm(this.#services, this.#mirrored, { ...source, ...how, owner })
    if (resolution.kind === 'hosted') return hosted()
    if (resolution.kind === 'mirror') return mirrored(resolution)
    const [, ...mirrors] = resolution.sources
    const isPublic = resolution.isPublic && (await isPublicPackage(this.#services, owner, 'npm', name))
    return new MergedNpm(this.#services, this.#mirrored, {
      ...{ owner, isPublic, conflicts: this.#conflicts },
      sources: [hosted(), ...mirrors.map((source) => mirrored({ ...source, isPublic }))],
    })
  }
}
