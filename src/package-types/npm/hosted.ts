import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { Owner } from '../../auth/owner.ts'
import { Cache } from '../../cache/cache.ts'
import type { Notices } from '../../cache/notices.ts'
import { NotFound } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { isPublicPackage } from '../../http/package-visibility.ts'
import { type RenderedDocument, renderDocument } from '../../http/send-document.ts'
import type { PackageEvents } from '../../packages/events.ts'
import type { PackageRow } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import { tarballFileName, versionOfFile } from './names.ts'
import { contentTypes, type Form, type Packument, renderManifest, renderPackument } from './packument.ts'
import { type PackageRows, readPackage, readReadme } from './queries.ts'
import type { DocumentAnswer, MergeableNpm, PackageShare, TarballAnswer } from './source.ts'
import { findVersion, modifiedAt, toDistTags, toPackument } from './stored-packument.ts'

const gunzipAsync = promisify(gunzip)
const JSON_TYPE = contentTypes.full
/** Bytes that a document in memory costs beside its buffers. */
const OVERHEAD = 500

/** What is cached per package; one key each, so that a change can drop them all. */
const kinds = ['full', 'abbreviated', 'dist-tags'] as const
type Kind = (typeof kinds)[number]

/** The rendered documents of hosted packages: one cache for all owners, dropped package by package as they change. */
export class HostedDocuments {
  readonly #cache: Cache<RenderedDocument>

  /** `maxSize` is in bytes. */
  constructor(maxSize: number, notices: Notices, events: PackageEvents) {
    this.#cache = new Cache({ name: 'npm-hosted-documents', maxSize, sizeOf }, notices)
    events.on((event) => {
      if (event.action !== 'changed' || event.type !== 'npm') return
      for (const kind of kinds) this.#cache.invalidate(toKey(event.ownerId, event.lowerName, kind))
    })
  }

  /** The document held, or what `render` makes. `name` in any case; NotFound is not remembered. */
  get(ownerId: number, name: string, kind: Kind, render: () => Promise<RenderedDocument>): Promise<RenderedDocument> {
    return this.#cache.get(toKey(ownerId, name.toLowerCase(), kind), render)
  }
}

/** The packages that an owner has published here. A warm answer runs no SQL and parses nothing. */
export class HostedNpm implements MergeableNpm {
  readonly isOffline = false
  readonly #services: Services
  readonly #documents: HostedDocuments
  readonly #owner: Owner

  constructor(services: Services, documents: HostedDocuments, owner: Owner) {
    this.#services = services
    this.#documents = documents
    this.#owner = owner
  }

  packument(name: string, form: Form): Promise<DocumentAnswer> {
    return this.#answer(name, form, async (row, rows) => {
      const latest = findVersion(rows, 'latest')
      const readme = latest === null || form === 'abbreviated' ? '' : await readReadme(this.#services.db, latest.id)
      const input = toPackument(row, rows, readme)
      if (input === null) throw new NotFound('package', name)
      return renderDocument(renderPackument(input, form, this.#services.config.baseUrl, this.#owner.name), {
        contentType: contentTypes[form],
        lastModified: modifiedAt(rows),
      })
    })
  }

  distTags(name: string): Promise<DocumentAnswer> {
    return this.#answer(name, 'dist-tags', async (_row, rows) => {
      if (rows.versions.length === 0) throw new NotFound('package', name)
      return renderDocument(Buffer.from(JSON.stringify(toDistTags(rows))), {
        contentType: JSON_TYPE,
        lastModified: modifiedAt(rows),
      })
    })
  }

  async manifest(name: string, versionOrTag: string): Promise<DocumentAnswer> {
    const { row, rows } = await this.#read(name)
    const version = findVersion(rows, versionOrTag)
    const input = toPackument(row, rows, '')
    if (version === null || input === null) throw new NotFound('version', `${name}@${versionOrTag}`)
    const { baseUrl } = this.#services.config
    const bytes = renderManifest(input.document, version.version, baseUrl, this.#owner.name)
    const document = await renderDocument(bytes, { contentType: JSON_TYPE, lastModified: modifiedAt(rows) })
    return this.#withHeaders(name, document)
  }

  async tarball(name: string, file: string): Promise<TarballAnswer> {
    const { packages } = this.#services
    const version = versionOfFile(name, file)
    const found = version === null ? null : await packages.lookup.findFile(this.#owner.id, 'npm', name, version, file)
    if (found === null) throw new NotFound('file', file)
    const { blob, version: row } = found
    return {
      source: async () => {
        const source = await packages.blobs.open(blob.hashSha256)
        if (source === null) throw new Error(`blob ${blob.hashSha256} is missing in the blob store`)
        return source
      },
      size: blob.size,
      etag: `"sha256:${blob.hashSha256}"`,
      lastModified: found.file.createdAt,
      fileName: tarballFileName(found.package.name, row.version),
      versionId: found.file.isLead ? row.id : null,
      headers: {},
      cacheControl: cacheControl.artifact(await this.#isPublic(name)),
    }
  }

  get label(): string {
    return this.#owner.name
  }

  async share(name: string): Promise<PackageShare> {
    const { document } = await this.packument(name, 'full')
    return {
      ...{ stamp: document.etag, lastModified: document.lastModified, refused: new Map(), policy: null, headers: {} },
      load: async () => JSON.parse(String(document.identity ?? (await gunzipAsync(document.gzip)))) as Packument,
    }
  }

  async holds(name: string, version: string): Promise<boolean> {
    return (await this.#services.packages.lookup.findVersion(this.#owner.id, 'npm', name, version)) !== null
  }

  #isPublic(name: string): Promise<boolean> {
    return isPublicPackage(this.#services, this.#owner, 'npm', name)
  }

  async #answer(
    name: string,
    kind: Kind,
    render: (row: PackageRow, rows: PackageRows) => Promise<RenderedDocument>,
  ): Promise<DocumentAnswer> {
    const document = await this.#documents.get(this.#owner.id, name, kind, async () => {
      const { row, rows } = await this.#read(name)
      return render(row, rows)
    })
    return this.#withHeaders(name, document)
  }

  async #read(name: string): Promise<{ row: PackageRow; rows: PackageRows }> {
    const { packages, db } = this.#services
    const row = await packages.lookup.findPackage(this.#owner.id, 'npm', name)
    if (row === null) throw new NotFound('package', name)
    return { row, rows: await readPackage(db, row.id) }
  }

  async #withHeaders(name: string, document: RenderedDocument): Promise<DocumentAnswer> {
    return { document, headers: {}, cacheControl: cacheControl.hosted(await this.#isPublic(name)) }
  }
}

function toKey(ownerId: number, lowerName: string, kind: Kind): string {
  return `${ownerId}/${lowerName}/${kind}`
}

function sizeOf({ gzip, identity }: RenderedDocument): number {
  return gzip.length + (identity?.length ?? 0) + OVERHEAD
}
