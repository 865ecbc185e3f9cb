import type { Owner } from '../../auth/owner.ts'
import { Cache } from '../../cache/cache.ts'
import type { Notices } from '../../cache/notices.ts'
import { NotFound, UpstreamUnavailable } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { type RenderedDocument, renderDocument } from '../../http/send-document.ts'
import type { AlsoInTransaction, Property } from '../../packages/package-info.ts'
import type { NamePolicy } from '../../policies/name-policy.ts'
import { secondsLeft, type Verdicts } from '../../policies/verdicts.ts'
import type { Services } from '../../services.ts'
import type { SpoolEntry } from '../../storage/spool-entry.ts'
import type { ArtifactLocation } from '../../upstream/adapter.ts'
import { cacheHeaders } from '../../upstream/cache-headers.ts'
import type { DocumentOptions, HeldDocument } from '../../upstream/documents.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import { toNotice } from './errors.ts'
import { tarballFileName, versionOfFile } from './names.ts'
import { contentTypes, type Form, renderManifest, renderPackument } from './packument.ts'
import { restrictPackument, restrictTags } from './restricted-packument.ts'
import type { DocumentAnswer, MergeableNpm, PackageShare, TarballAnswer } from './source.ts'
import { listingOf, locateTarball, packumentRequest, type UpstreamPackument } from './upstream-packument.ts'

/** Bytes that a document in memory costs beside its buffers. */
const OVERHEAD = 500

/** The rendered documents of mirrors: each of one version of the upstream's document, as one owner shows it. */
export class MirroredDocuments {
  readonly #cache: Cache<RenderedDocument>

  /** `maxSize` is in bytes. */
  constructor(maxSize: number, notices: Notices) {
    const sizeOf = ({ gzip, identity }: RenderedDocument) => OVERHEAD + gzip.length + (identity?.length ?? 0)
    this.#cache = new Cache({ name: 'npm-mirrored-documents', maxSize, sizeOf }, notices)
  }

  /** The document held, or what `render` makes; documents of versions that are gone leave when space is needed. */
  get(key: string, render: () => Promise<RenderedDocument>): Promise<RenderedDocument> {
    return this.#cache.get(key, render)
  }
}

/** Which package of which upstream, for whom. */
export interface MirroredPackage {
  readonly upstream: Upstream
  /** What rules say of its name; null: nothing. */
  readonly policy: NamePolicy | null
  readonly isPublic: boolean
  readonly owner: Owner
  readonly method: 'GET' | 'HEAD'
  /** What the client wants of the cache. */
  readonly wishes: DocumentOptions
}

/** A package of one upstream, as `owner` (the mirror, or an organization that attaches it) shows it. */
export class MirroredNpm implements MergeableNpm {
  readonly #services: Services
  readonly #documents: MirroredDocuments
  readonly #upstream: Upstream
  readonly #owner: Owner
  readonly #isPublic: boolean
  readonly #policy: NamePolicy | null
  readonly #method: 'GET' | 'HEAD'
  readonly #wishes: DocumentOptions

  constructor(services: Services, documents: MirroredDocuments, source: MirroredPackage) {
    this.#services = services
    this.#documents = documents
    this.#upstream = source.upstream
    this.#owner = source.owner
    this.#isPublic = source.isPublic
    this.#policy = source.policy
    this.#method = source.method
    this.#wishes = source.wishes
  }

  async packument(name: string, form: Form): Promise<DocumentAnswer> {
    const held = await this.#held(name)
    const verdicts = await this.#verdicts(name, held)
    const rendered = await this.#render(held, verdicts, name, form, contentTypes[form], ({ document }) =>
      renderPackument(
        {
          document: verdicts === null ? document : restrictPackument(document, verdicts.refused),
          revision: `1-${held.version.slice(0, 32)}`,
        },
        form,
        this.#baseUrl,
        this.#owner.name,
      ),
    )
    return this.#answer(held, rendered, verdicts)
  }

  async distTags(name: string): Promise<DocumentAnswer> {
    const held = await this.#held(name)
    const verdicts = await this.#verdicts(name, held)
    const rendered = await this.#render(held, verdicts, name, 'dist-tags', contentTypes.full, ({ document }) =>
      Buffer.from(JSON.stringify(verdicts === null ? document['dist-tags'] : restrictTags(document, verdicts.refused))),
    )
    return this.#answer(held, rendered, verdicts)
  }

  async manifest(name: string, versionOrTag: string): Promise<DocumentAnswer> {
    const { held, accepted, version } = await this.#findVersion(name, ({ document }) => {
      const tags = document['dist-tags']
      const wanted = Object.hasOwn(tags, versionOrTag) ? tags[versionOrTag]! : versionOrTag
      return Object.hasOwn(document.versions, wanted) ? wanted : null
    })
    if (version === null) throw new NotFound('version', `${name}@${versionOrTag}`)
    const verdicts = await this.#verdicts(name, held)
    const tags = verdicts === null ? {} : restrictTags(accepted.document, verdicts.refused)
    const shown = Object.hasOwn(tags, versionOrTag) ? tags[versionOrTag]! : version
    const refusal = verdicts?.refused.get(shown)
    if (refusal !== undefined) this.#policy!.enforce(refusal)
    const bytes = renderManifest(accepted.document, shown, this.#baseUrl, this.#owner.name)
    const rendered = await renderDocument(bytes, { contentType: contentTypes.full, lastModified: held.lastModified })
    const answer = this.#answer(held, rendered, verdicts)
    return { ...answer, headers: { ...answer.headers, ...this.#notice(shown) } }
  }

  async tarball(name: string, file: string): Promise<TarballAnswer> {
    // A file of the standard form names its version; any other must be looked for in the document.
    let version = versionOfFile(name, file)
    if (version === null) ({ version } = await this.#findVersion(name, (accepted) => accepted.versionOfFile(file)))
    if (version === null) throw new NotFound('file', file)
    const standard = tarballFileName(name, version)
    if (this.#policy !== null) await this.#requireServed(this.#policy, name, version)
    let location: (ArtifactLocation & { metadata: unknown }) | null = null
    const opened = await this.#services.upstream.artifacts.open(this.#upstream, {
      key: `${name}/-/${standard}`,
      method: this.#method,
      onlyIfCached: this.#wishes.onlyIfCached === true,
      locate: async () => {
        location = await this.#locate(name, version)
        return location
      },
      file: (content, properties, also) =>
        this.#file(name, version, standard, content, location?.metadata, properties, also),
    })
    return {
      source: opened.source,
      size: opened.size,
      etag: opened.sha256 === null ? null : `"sha256:${opened.sha256}"`,
      lastModified: opened.lastModified,
      fileName: standard,
      versionId: null,
      headers: { ...cacheHeaders(opened.status, this.#upstream.owner.name), ...this.#notice(version) },
      cacheControl: opened.isVerified ? cacheControl.artifact(this.#isPublic) : cacheControl.noStore,
    }
  }

  get label(): string {
    return this.#upstream.settings.name
  }

  get isOffline(): boolean {
    return this.#upstream.mode === 'offline'
  }

  async share(name: string): Promise<PackageShare> {
    const held = await this.#held(name)
    const verdicts = await this.#verdicts(name, held)
    return {
      stamp: `${this.#upstream.id}.${held.version}.${verdicts?.stamp ?? ''}`,
      lastModified: held.lastModified,
      load: async () => (await held.accepted()).document,
      refused: verdicts?.refused ?? new Map(),
      policy: this.#policy,
      headers: cacheHeaders(held.status, this.#upstream.owner.name),
    }
  }

  async holds(name: string, version: string, revalidate: boolean): Promise<boolean> {
    const held = await this.#held(name, revalidate)
    const { versions } = (await held.accepted()).document
    const lower = version.toLowerCase()
    const isHeld = Object.hasOwn(versions, version) || Object.keys(versions).some((one) => one.toLowerCase() === lower)
    if (!isHeld && revalidate) this.#requireDefinite(name, held)
    return isHeld
  }

  get #baseUrl(): string {
    return this.#services.config.baseUrl
  }

  #held(name: string, revalidate = false): Promise<HeldDocument<UpstreamPackument>> {
    const wishes = revalidate ? { ...this.#wishes, revalidate } : this.#wishes
    return this.#services.upstream.documents.get(this.#upstream, packumentRequest(name), wishes)
  }

  /** What the policy makes of a document's versions; null: there is no policy. */
  async #verdicts(name: string, held: HeldDocument<UpstreamPackument>): Promise<Verdicts | null> {
    if (this.#policy === null) return null
    return this.#services.policies.verdicts.get(this.#policy, name, {
      upstreamId: this.#upstream.id,
      version: held.version,
      listing: async () => listingOf(await held.accepted()),
    })
  }

  /**
   * Throws Blocked unless the policy lets a version through, whether its file is held or not (security.md S28). Where
   * it depends on the age, the same document decides that hides the version; NotFound for what is in none.
   */
  async #requireServed(policy: NamePolicy, name: string, version: string): Promise<void> {
    if (!policy.asksForTimes) return policy.enforce(policy.decide(version, null))
    const isListed = ({ document }: UpstreamPackument) => (Object.hasOwn(document.versions, version) ? version : null)
    const first = await this.#held(name)
    if (isListed(await first.accepted()) === null) {
      const seen = await this.#services.policies.sightings.timeOf(this.#upstream.id, name, version)
      if (seen !== null) return policy.enforce(policy.decide(version, seen.publishedAt))
    }
    const { held, version: found } = await this.#findVersion(name, isListed)
    if (found === null) throw new NotFound('version', `${name}@${version}`)
    const refusal = (await this.#verdicts(name, held))!.refused.get(version)
    if (refusal !== undefined) policy.enforce(refusal)
  }

  #notice(version: string): Record<string, string> {
    const warnings = this.#policy?.warningsOf(version) ?? []
    return warnings.length === 0 ? {} : { 'npm-notice': toNotice(warnings.join('; ')) }
  }

  /**
   * What `find` sees in the held document, or else in one asked for anew: a version may be younger than what is held.
   * UpstreamUnavailable when it is in neither, because the upstream did not answer: that is no absence.
   */
  async #findVersion(name: string, find: (accepted: UpstreamPackument) => string | null) {
    for (const revalidate of [false, true]) {
      const held = await this.#held(name, revalidate)
      const accepted = await held.accepted()
      const version = find(accepted)
      if (version === null && (revalidate || this.#wishes.onlyIfCached === true)) this.#requireDefinite(name, held)
      if (version !== null || revalidate) return { held, accepted, version }
    }
    throw new NotFound('package', name)
  }

  /** Throws UpstreamUnavailable when a document that was to be asked for anew says nothing of what it does not list. */
  #requireDefinite(name: string, held: HeldDocument<UpstreamPackument>): void {
    if (this.#wishes.onlyIfCached === true) {
      throw new UpstreamUnavailable(`what is held of ${name} has not this version`, { status: 504 })
    }
    if (held.status.detail?.startsWith('STALE') !== true) return
    const message = `upstream ${this.#upstream.settings.name} could not say whether ${name} has this version`
    throw new UpstreamUnavailable(message, { status: 503, retryAfter: 5 })
  }

  async #locate(name: string, version: string): Promise<ArtifactLocation & { metadata: unknown }> {
    const { accepted } = await this.#findVersion(name, ({ document }) =>
      Object.hasOwn(document.versions, version) ? version : null,
    )
    const manifest = Object.hasOwn(accepted.document.versions, version)
      ? accepted.document.versions[version]
      : undefined
    if (manifest === undefined) throw new NotFound('version', `${name}@${version}`)
    const { readme, ...metadata } = manifest
    return { ...locateTarball(this.#upstream, name, version, manifest), metadata }
  }

  async #file(
    name: string,
    version: string,
    filename: string,
    content: SpoolEntry,
    metadata: unknown,
    properties: Property[],
    also: AlsoInTransaction,
  ): Promise<void> {
    const info = { owner: this.#upstream.owner, type: 'npm', name, version, metadata }
    await this.#services.packages.addCachedFile(
      info,
      { filename, content, isLead: true, overwrite: true, properties },
      also,
    )
  }

  #render(
    held: HeldDocument<UpstreamPackument>,
    verdicts: Verdicts | null,
    name: string,
    kind: string,
    contentType: string,
    toBytes: (accepted: UpstreamPackument) => Buffer,
  ): Promise<RenderedDocument> {
    const key = `${this.#upstream.id}:${this.#owner.id}:${this.#owner.name}:${kind}:${name}:${held.version}:${verdicts?.stamp ?? ''}`
    return this.#documents.get(key, async () =>
      renderDocument(toBytes(await held.accepted()), { contentType, lastModified: held.lastModified }),
    )
  }

  #answer(
    held: HeldDocument<UpstreamPackument>,
    document: RenderedDocument,
    verdicts: Verdicts | null,
  ): DocumentAnswer {
    return {
      document,
      headers: cacheHeaders(held.status, this.#upstream.owner.name),
      cacheControl: cacheControl.document(this.#isPublic, secondsLeft(verdicts, this.#services.clock.now())),
    }
  }
}
