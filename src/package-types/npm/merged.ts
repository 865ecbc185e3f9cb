import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Owner } from '../../auth/owner.ts'
import { NotFound, UpstreamUnavailable } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { type RenderedDocument, renderDocument } from '../../http/send-document.ts'
import type { Services } from '../../services.ts'
import { joinHeaders } from '../../upstream/cache-headers.ts'
import { type MergedPackument, mergePackuments } from './merged-packument.ts'
import type { MirroredDocuments } from './mirrored.ts'
import { tarballFileName, versionOfFile } from './names.ts'
import { contentTypes, type Form, renderManifest, renderPackument } from './packument.ts'
import { restrictPackument, restrictTags } from './restricted-packument.ts'
import type { DocumentAnswer, MergeableNpm, NpmSource, PackageShare, TarballAnswer } from './source.ts'

/** Contradictions that are remembered, so that each is told once. */
const MOST_TOLD = 10_000

/** Tells the log, once each, of versions that two sources of one name have with different bytes. */
export class NameConflicts {
  readonly #services: Services
  readonly #told = new LRUCache<string, true>({ max: MOST_TOLD })

  constructor(services: Services) {
    this.#services = services
  }

  /** `what`: name and version; `served` and `other` are labels of sources. */
  tell(owner: Owner, what: string, served: string, other: string): void {
    const key = `${owner.id}:${served}:${other}:${what}`
    if (this.#told.has(key)) return
    this.#told.set(key, true)
    this.#services.metrics.nameConflicts.inc({ type: 'npm' })
    this.#services.log.warn(
      { event: 'upstream.name_conflict', organization: owner.name, type: 'npm', what, served, other },
      'two sources of a merged name have different files of one version',
    )
  }
}

/** Whose versions make one package, for whom. */
export interface MergedPackage {
  readonly owner: Owner
  /** In the order in which they count. */
  readonly sources: readonly MergeableNpm[]
  readonly isPublic: boolean
  readonly conflicts: NameConflicts
}

/** What of a package its sources have, and which of them they are. */
interface Shares {
  readonly shares: readonly PackageShare[]
  readonly labels: readonly string[]
}

/**
 * A package that an organization's own versions and those of upstreams make together (pull-through.md §7). A version is
 * the first source's that has it, in documents as in files; while one that must be asked does not answer, none after it
 * is believed.
 */
export class MergedNpm implements NpmSource {
  readonly #services: Services
  readonly #documents: MirroredDocuments
  readonly #merged: MergedPackage

  constructor(services: Services, documents: MirroredDocuments, merged: MergedPackage) {
    this.#services = services
    this.#documents = documents
    this.#merged = merged
  }

  async packument(name: string, form: Form): Promise<DocumentAnswer> {
    const { baseUrl } = this.#services.config
    const shares = await this.#shares(name)
    return this.#render(name, shares, form, contentTypes[form], ({ document, refused }, revision) =>
      renderPackument(
        { document: restrictPackument(document, refused), revision },
        form,
        baseUrl,
        this.#merged.owner.name,
      ),
    )
  }

  async distTags(name: string): Promise<DocumentAnswer> {
    return this.#render(name, await this.#shares(name), 'dist-tags', contentTypes.full, ({ document, refused }) =>
      Buffer.from(JSON.stringify(restrictTags(document, refused))),
    )
  }

  async manifest(name: string, versionOrTag: string): Promise<DocumentAnswer> {
    let found = await this.#findVersion(name, versionOrTag)
    if (found === null) {
      await this.#holderOf(name, versionOrTag)
      found = await this.#findVersion(name, versionOrTag)
    }
    if (found === null) throw new NotFound('version', `${name}@${versionOrTag}`)
    const { shares, merged, version } = found
    const tags = restrictTags(merged.document, merged.refused)
    const shown = Object.hasOwn(tags, versionOrTag) ? tags[versionOrTag]! : version
    const refusal = merged.refused.get(shown)
    if (refusal !== undefined) shares.shares[merged.holders.get(shown)!]!.policy!.enforce(refusal)
    const bytes = renderManifest(merged.document, shown, this.#services.config.baseUrl, this.#merged.owner.name)
    return this.#answer(shares, await renderDocument(bytes, { contentType: contentTypes.full, lastModified: null }))
  }

  async tarball(name: string, file: string): Promise<TarballAnswer> {
    const version = versionOfFile(name, file)
    // The documents name files of the standard form only.
    if (version === null) throw new NotFound('file', file)
    const holder = await this.#holderOf(name, version)
    return holder.tarball(name, tarballFileName(name, version))
  }

  /** The first source that has a version. Throws NotFound; UpstreamUnavailable when one before it cannot say. */
  async #holderOf(name: string, version: string): Promise<MergeableNpm> {
    for (const revalidate of [false, true]) {
      let offline: MergeableNpm | null = null
      for (const source of this.#merged.sources) {
        if (offline !== null) throw cannotSay(offline)
        const isHolder = await source.holds(name, version, revalidate).catch(orAbsent(source))
        if (isHolder === true) return source
        if (isHolder === null && source.isOffline) offline = source
      }
    }
    throw new NotFound('version', `${name}@${version}`)
  }

  /** What the sources have that have the name. Throws like `#holderOf`. */
  async #shares(name: string): Promise<Shares> {
    const { sources } = this.#merged
    const all = await Promise.all(sources.map((source) => source.share(name).catch(orAbsent(source))))
    const unsure = sources.findIndex((source, index) => source.isOffline && all[index] === null)
    if (unsure !== -1 && unsure < sources.length - 1) throw cannotSay(sources[unsure]!)
    const shares = all.filter((share) => share !== null)
    if (shares.length === 0) throw new NotFound('package', name)
    const labels = sources.flatMap(({ label }, index) => (all[index] === null ? [] : [label]))
    return { shares, labels }
  }

  async #findVersion(name: string, versionOrTag: string) {
    const shares = await this.#shares(name)
    const merged = await this.#load(name, shares)
    const tags = merged.document['dist-tags']
    const version = Object.hasOwn(tags, versionOrTag) ? tags[versionOrTag]! : versionOrTag
    return merged.holders.has(version) ? { shares, merged, version } : null
  }

  async #load(name: string, { shares, labels }: Shares): Promise<MergedPackument> {
    const loaded = await Promise.all(shares.map(async ({ load, refused }) => ({ document: await load(), refused })))
    const merged = mergePackuments(name, loaded)
    for (const { version, other } of merged.conflicts) {
      const served = labels[merged.holders.get(version)!]!
      this.#merged.conflicts.tell(this.#merged.owner, `${name}@${version}`, served, labels[other]!)
    }
    return merged
  }

  async #render(
    name: string,
    shares: Shares,
    kind: string,
    contentType: string,
    toBytes: (merged: MergedPackument, revision: string) => Buffer,
  ): Promise<DocumentAnswer> {
    const { id, name: ownerName } = this.#merged.owner
    const stamps = shares.shares.map(({ stamp }) => stamp).join()
    const document = await this.#documents.get(`merged:${id}:${ownerName}:${kind}:${name}:${stamps}`, async () => {
      const revision = `1-${createHash('sha256').update(stamps).digest('hex').slice(0, 32)}`
      return renderDocument(toBytes(await this.#load(name, shares), revision), { contentType, lastModified: null })
    })
    return this.#answer(shares, document)
  }

  #answer({ shares }: Shares, document: RenderedDocument): DocumentAnswer {
    const headers = joinHeaders(shares.map((share) => share.headers))
    return { document, headers, cacheControl: cacheControl.hosted(this.#merged.isPublic) }
  }
}

function cannotSay({ label }: MergeableNpm, cause?: unknown): UpstreamUnavailable {
  const retryAfter = cause instanceof UpstreamUnavailable ? cause.retryAfter : undefined
  const message = `upstream ${label} could not say what it has of a merged package`
  return new UpstreamUnavailable(message, { status: 503, retryAfter: retryAfter ?? 5, cause })
}

/** Makes null of absence; anything else that is thrown is no answer, and the next source must not give it. */
function orAbsent(source: MergeableNpm): (error: unknown) => null {
  return (error) => {
    if (error instanceof NotFound) return null
    throw cannotSay(source, error)
  }
}
