import type { AlsoInTransaction, Property } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import type { Digest } from '../../storage/digest.ts'
import type { SpoolEntry } from '../../storage/spool-entry.ts'
import type { ArtifactLocation } from '../../upstream/adapter.ts'
import type { ArtifactRequest } from '../../upstream/artifacts.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import { type FilePath, formatPath, MAVEN, packageName } from './coordinates.ts'
import { isPom } from './files.ts'
import type { MavenMetadata } from './pom.ts'
import { readPomFile } from './pom-file.ts'
import { writeMetadata } from './queries.ts'
import { optionsOf } from './upstream.ts'
import { digestInHeaders, findSidecar } from './upstream-checksums.ts'

/** Files as small as documents, for which nobody should wait behind long downloads. */
const SMALL = /\.(pom|module|asc)$/

/** How the engine gets one file of an upstream, and what becomes of it here. */
export class MirroredFile implements ArtifactRequest {
  readonly key: string
  readonly method: 'GET' | 'HEAD'
  readonly isLead: boolean
  readonly remembersAbsence = true
  readonly #services: Services
  readonly #upstream: Upstream
  readonly #path: FilePath
  /** What was published where the bytes are taken all the same. */
  #unheeded: Promise<Digest | null> = Promise.resolve(null)

  /** `state` tells apart what follows each other under one name; null for files that never change. */
  constructor(
    services: Services,
    upstream: Upstream,
    wanted: { path: FilePath; state: string | null; method: 'GET' | 'HEAD' },
  ) {
    const { path, state, method } = wanted
    this.#services = services
    this.#upstream = upstream
    this.#path = path
    this.method = method
    // An at sign in a name is encoded.
    this.key = state === null ? formatPath(path) : `${formatPath(path)}@${state}`
    this.isLead = isPom(path)
  }

  async locate(): Promise<ArtifactLocation> {
    return {
      url: formatPath(this.#path),
      digest: null,
      publishedDigest: (headers) => this.#published(headers),
      use: SMALL.test(this.#path.filename) ? 'document' : 'artifact',
    }
  }

  /** Lists the file; a POM tells about its version, whether that is listed already or not. */
  async file(content: SpoolEntry, properties: Property[], also: AlsoInTransaction): Promise<void> {
    const { packages, db } = this.#services
    const { version, filename } = this.#path
    await this.#warnOfOther(content)
    const metadata = this.isLead ? await this.#readPom(content) : null
    const info = { owner: this.#upstream.owner, type: MAVEN, name: packageName(this.#path)!, version, metadata }
    const file = { filename, content, isLead: this.isLead, overwrite: true, properties }
    const record = await packages.addCachedFile(info, file, async (created) => {
      await also(created)
      if (metadata !== null) await writeMetadata(db, created.version.id, metadata, created.transaction)
    })
    if (metadata !== null) packages.lookup.forget(record.package)
  }

  /**
   * What the bytes must be: as the answer says, else as a checksum beside the file does (maven.md §6.2). Where the
   * upstream's word is not to be relied on it only serves for a warning, and trust on first use decides.
   */
  async #published(headers: Readonly<Record<string, string>>): Promise<Digest | null> {
    const claimed = digestInHeaders(headers)
    const find = async () => claimed ?? (await findSidecar(this.#upstream, formatPath(this.#path), this.#limits))
    if (optionsOf(this.#upstream).isStrict(decodeURIComponent(formatPath(this.#path)))) return find()
    this.#unheeded = find().catch(() => null)
    return null
  }

  async #warnOfOther({ digests }: SpoolEntry): Promise<void> {
    const published = await this.#unheeded
    if (published === null || digests[published.algorithm] === published.hex) return
    const { name } = this.#upstream.settings
    this.#services.log.warn(
      { upstream: name, key: this.key, published, got: digests[published.algorithm] },
      'the file contradicts its published checksum, which is not heeded here',
    )
  }

  /** null for one that cannot be read: it is passed on as it is. */
  async #readPom(content: SpoolEntry): Promise<MavenMetadata | null> {
    try {
      return (await readPomFile(content)).metadata
    } catch (err) {
      this.#services.log.info({ err, upstream: this.#upstream.settings.name, key: this.key }, 'POM not read')
      return null
    }
  }

  get #limits() {
    return this.#services.config.mirrors
  }
}
