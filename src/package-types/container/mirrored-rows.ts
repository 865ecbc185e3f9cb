import { lockPackage, lockVersion } from '../../packages/locks.ts'
import type { AlsoInTransaction, FileRecord, Property } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import type { SpoolEntry } from '../../storage/spool-entry.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import { readAll } from './bytes.ts'
import { blobsOf, type ManifestDocument, parseManifest } from './manifest-document.ts'
import { isManifestType, mediaTypeOf, OCI_INDEX, OCI_MANIFEST } from './media-types.ts'
import { type ConfigFacts, MAX_CONFIG, metadataOfManifest, metadataOfTag, readImageConfig } from './metadata.ts'
import type { ManifestFacts, MirrorMemory, NamedBy } from './mirror-memory.ts'
import { addConfigFacts, findManifestNaming } from './mirror-queries.ts'
import { CONTAINER, MANIFEST_FILE, property, UPLOADS } from './names.ts'
import { fileTag } from './queries.ts'

/** Bytes of a manifest that is passed on (pull-through.md §3.1); from publishers we take less. */
export const LARGEST_MANIFEST = 8 * 1024 * 1024

/** The rows of one upstream's images, and what is remembered of them (pull-through.md §1.3). */
export class MirroredRows {
  readonly #services: Services
  readonly #memory: MirrorMemory
  readonly #upstream: Upstream

  constructor(services: Services, memory: MirrorMemory, upstream: Upstream) {
    this.#services = services
    this.#memory = memory
    this.#upstream = upstream
  }

  /** What the manifest's bytes said when they passed; null before that. */
  factsOf(name: string, digest: string): ManifestFacts | null {
    return this.#memory.facts.get(this.#key(name, digest)) ?? null
  }

  /** Remembers what a manifest's verified bytes say, above all which blobs its repository may show. */
  learn(name: string, digest: string, bytes: Buffer): ManifestFacts {
    const document = read(bytes)
    const facts = { mediaType: typeOf(bytes), config: document?.config ?? null }
    this.#memory.facts.set(this.#key(name, digest), facts)
    if (document === null) return facts
    for (const { digest: blob, size } of blobsOf(document)) {
      this.#memory.named.set(this.#key(name, blob), { manifest: digest, size })
    }
    return facts
  }

  /** Which manifest of the repository, of those that passed here, names a blob; null when none did. */
  namedBy(name: string, blob: string): NamedBy | null {
    return this.#memory.named.get(this.#key(name, blob)) ?? null
  }

  /** The digest of a manifest that is held of the repository and names the blob; null when there is none. */
  findManifestNaming(name: string, blob: string): Promise<string | null> {
    return findManifestNaming(this.#services.db, this.#upstream.owner, name, blob)
  }

  /** The digest that the row of a tag names; null when nobody has pulled the tag yet. */
  async findTagged(name: string, tag: string): Promise<string | null> {
    const record = await this.#findManifest(name, tag)
    return record === null ? null : `sha256:${record.blob.hashSha256}`
  }

  /** Files the verified bytes of a manifest as a version of its own. */
  async fileManifest(
    name: string,
    digest: string,
    content: SpoolEntry,
    upstreamProperties: Property[],
    also: AlsoInTransaction,
  ): Promise<void> {
    const key = this.#key(name, digest)
    const filing = this.#fileManifest(name, digest, content, upstreamProperties, also)
    this.#memory.filing.set(key, filing)
    await filing.finally(() => this.#memory.filing.delete(key))
  }

  /** Files the verified bytes of a blob with the manifest that names it; a config tells what the image is. */
  async fileBlob(
    name: string,
    digest: string,
    manifest: string | null,
    content: SpoolEntry,
    upstreamProperties: Property[],
    also: AlsoInTransaction,
  ): Promise<void> {
    const { packages, db } = this.#services
    const info = { owner: this.#upstream.owner, type: CONTAINER, name }
    const filename = digest.replace(':', '_')
    const properties = [...upstreamProperties, { name: property.digest, value: digest }]
    // The version must be there with all that the manifest says before anything is added to it.
    if (manifest !== null) await this.#memory.filing.get(this.#key(name, manifest))?.catch(() => {})
    // It is not if it could not be stored, or was purged after the client got it.
    if (manifest === null || (await this.#findManifest(name, manifest)) === null) {
      const version = { ...info, version: UPLOADS, isInternal: true }
      await packages.addCachedFile(version, { filename, content, isLead: false, overwrite: true, properties }, also)
      return
    }
    const facts = await this.#readConfig(name, digest, manifest, content)
    await packages.addCachedFile(
      { ...info, version: manifest },
      { filename, compositeKey: digest, content, isLead: false, overwrite: true, properties },
      async (created) => {
        await also(created)
        if (facts !== null) await addConfigFacts(db, created.version.id, facts, created.transaction)
      },
    )
  }

  /** Lists the tag, behind the answer: it has no part in what is served unless the upstream fails. */
  fileTag(name: string, tag: string, digest: string): void {
    const key = this.#key(name, `${tag}\n${digest}`)
    if (this.#memory.filing.has(key)) return
    const work = this.#fileTag(name, tag, digest)
      .catch((err: unknown) => this.#services.log.error({ err, name, tag }, 'tag not listed'))
      .finally(() => this.#memory.filing.delete(key))
    this.#memory.filing.set(key, work)
    this.#services.upstream.runBehind(work)
  }

  async #fileManifest(
    name: string,
    digest: string,
    content: SpoolEntry,
    upstreamProperties: Property[],
    also: AlsoInTransaction,
  ): Promise<void> {
    const bytes = await readAll(content.source(), LARGEST_MANIFEST)
    const document = read(bytes)
    await this.#services.packages.addCachedFile(
      {
        owner: this.#upstream.owner,
        type: CONTAINER,
        name,
        version: digest,
        metadata: document === null ? null : metadataOfManifest(document, null, false, content.size),
        packageProperties: [{ name: property.repository, value: `${this.#upstream.owner.lowerName}/${name}` }],
        versionProperties: document === null ? [] : propertiesOf(document),
      },
      {
        filename: MANIFEST_FILE,
        content,
        isLead: true,
        overwrite: true,
        properties: [
          ...upstreamProperties,
          { name: property.digest, value: digest },
          { name: property.mediaType, value: typeOf(bytes) },
        ],
      },
      also,
    )
  }

  async #fileTag(name: string, tag: string, digest: string): Promise<void> {
    await this.#memory.filing.get(this.#key(name, digest))?.catch(() => {})
    const { db, models, clock, packages } = this.#services
    const held = await this.#findManifest(name, digest)
    const mediaType = this.factsOf(name, digest)?.mediaType
    // A manifest that could not be stored is served all the same; its tag is listed when it is.
    if (held === null || mediaType === undefined) return
    const filed = await db.inTransaction(async (transaction) => {
      // Purged meanwhile.
      if (!(await lockPackage(db, held.package, transaction))) return null
      if (!(await lockVersion(db, held.version, transaction))) return null
      const { metadataJson } = (await models.packageVersion.findByPk(held.version.id, { raw: true, transaction }))!
      const metadata = metadataOfTag(JSON.parse(metadataJson) as object | null)
      const target = { packageId: held.package.id, creatorId: 0, blobId: held.blob.id, digest, mediaType, metadata }
      return fileTag({ db, models, transaction, now: clock.now() }, tag, target)
    })
    if (filed === null) return
    packages.lookup.forget(held.package)
    if (filed.removedFileId !== null) packages.events.emit({ action: 'file-removed', fileId: filed.removedFileId })
  }

  /** The file of a tag's or a digest's manifest; null when it is not held. */
  #findManifest(name: string, reference: string): Promise<FileRecord | null> {
    const { owner } = this.#upstream
    return this.#services.packages.lookup.findFile(owner.id, CONTAINER, name, reference, MANIFEST_FILE)
  }

  /** What a blob tells if it is the config of the manifest; null otherwise. */
  async #readConfig(name: string, digest: string, manifest: string, content: SpoolEntry): Promise<ConfigFacts | null> {
    const config = this.factsOf(name, manifest)?.config
    if (config?.digest !== digest || content.size > MAX_CONFIG) return null
    return readImageConfig(config.mediaType, await readAll(content.source(), MAX_CONFIG))
  }

  #key(name: string, which: string): string {
    return `${this.#upstream.id}\n${name}\n${which}`
  }
}

/** A manifest that is served as it is, even if it has flaws for which we would refuse it from a publisher: then null. */
function read(bytes: Buffer): ManifestDocument | null {
  try {
    return parseManifest(bytes, typeOf(bytes))
  } catch {
    return null
  }
}

/** OCI manifests need not say what they are. */
function typeOf(bytes: Buffer): string {
  const claimed = mediaTypeOf(bytes)
  if (claimed !== null && isManifestType(claimed)) return claimed
  return bytes.includes('"manifests"') ? OCI_INDEX : OCI_MANIFEST
}

function propertiesOf(document: ManifestDocument): Property[] {
  return [
    ...blobsOf(document).map(({ digest }) => ({ name: property.blob, value: digest })),
    ...document.manifests.map(({ digest }) => ({ name: property.reference, value: digest })),
    ...(document.subject === null ? [] : [{ name: property.subject, value: document.subject.digest }]),
  ]
}
