import type { Doer } from '../../auth/authenticator.ts'
import type { Owner } from '../../auth/owner.ts'
import type { Services } from '../../services.ts'
import type { DocumentOptions } from '../../upstream/documents.ts'
import { HostedDocuments, HostedNpm } from './hosted.ts'
import { MirroredDocuments, MirroredNpm } from './mirrored.ts'
import type { NpmSource } from './source.ts'

/** Which source answers a request: the owner's own packages, or the upstream that has the name. */
export class Sources {
  readonly #services: Services
  readonly #hosted: HostedDocuments
  readonly #mirrored: MirroredDocuments

  constructor(services: Services) {
    this.#services = services
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
    if (resolution.kind === 'hosted') return new HostedNpm(this.#services, this.#hosted, owner)
    return new MirroredNpm(this.#services, this.#mirrored, { ...resolution, ...how, owner })
  }
}
