import type { Transaction } from 'sequelize'
import type { Owner } from '../auth/owner.ts'
import { Conflict, MethodNotAllowed, NotFound } from '../errors.ts'
import type { BlobRows } from './blob-rows.ts'
import type { PackageEvents } from './events.ts'
import { uploadKeys } from './keys.ts'
import { refType } from './package-descriptor.ts'
import type {
  AlsoInTransaction,
  BlobRow,
  CachedFileInfo,
  ExistingBlobFile,
  FileRecord,
  PackageCreationInfo,
  PackageFileCreationInfo,
  PackageInfo,
} from './package-info.ts'
import type { PackageLookup } from './package-lookup.ts'
import type { PrivatePackages } from './private-packages.ts'
import type { Quota } from './quota.ts'
import { type PropertyValues, propertiesOf, type Upload, type UploadRows, type UploadState } from './upload-rows.ts'

/** Finds or makes the row of the bytes, from the row that was found. */
type KeepBlob = (held: BlobRow | null, transaction: Transaction) => Promise<BlobRow>

/** What a hosted upload expects of its version; `cached` expects nothing and is checked for nothing. */
type Mode = 'new-version' | 'any-version' | 'existing-version' | 'cached'

interface Filed {
  readonly record: FileRecord
  readonly versionIsNew: boolean
  readonly removedFileId: number | null
  /** The upstream whose name it was so far, or null. */
  readonly shadows: string | null
  /** Whether a row may have been written. */
  readonly changed: boolean
}

/** Creates packages, versions and files (gitea-model.md §3). */
export class PackageService {
  readonly #blobRows: BlobRows
  readonly #rows: UploadRows
  readonly #quota: Quota
  readonly #lookup: PackageLookup
  readonly #privatePackages: PrivatePackages
  readonly #events: PackageEvents

  constructor(parts: {
    blobRows: BlobRows
    rows: UploadRows
    quota: Quota
    lookup: PackageLookup
    privatePackages: PrivatePackages
    events: PackageEvents
  }) {
    this.#blobRows = parts.blobRows
    this.#rows = parts.rows
    this.#quota = parts.quota
    this.#lookup = parts.lookup
    this.#privatePackages = parts.privatePackages
    this.#events = parts.events
  }

  /** See Packages. */
  createPackageAndAddFile(
    info: PackageCreationInfo,
    file: PackageFileCreationInfo,
    also?: AlsoInTransaction,
  ): Promise<FileRecord> {
    return this.#uploadHosted(info, file, 'new-version', also)
  }

  /** See Packages. */
  createPackageOrAddFileToExisting(
    info: PackageCreationInfo,
    file: PackageFileCreationInfo,
    also?: AlsoInTransaction,
  ): Promise<FileRecord> {
    return this.#uploadHosted(info, file, 'any-version', also)
  }

  /** See Packages. */
  addFileToExistingPackage(
    info: PackageInfo & { creator?: Owner | null },
    file: PackageFileCreationInfo,
    also?: AlsoInTransaction,
  ): Promise<FileRecord> {
    return this.#uploadHosted(info, file, 'existing-version', also)
  }

  /** See Packages; CachedFiles is quicker when there are many at once. */
  async addCachedFile(
    info: CachedFileInfo,
    file: PackageFileCreationInfo,
    also?: AlsoInTransaction,
  ): Promise<FileRecord> {
    const upload = toUpload(info, file)
    const filed = await this.#blobRows.withContent(file.content, { durable: false }, (transaction) =>
      this.#file(upload, 'cached', this.#keeping(file), transaction, also),
    )
    this.#lookup.forget(filed.record.package)
    if (filed.removedFileId !== null) this.#events.emit({ action: 'file-removed', fileId: filed.removedFileId })
    return filed.record
  }

  /** See Packages. */
  async addFileOfExistingBlob(
    info: PackageCreationInfo,
    file: ExistingBlobFile,
    also?: AlsoInTransaction,
  ): Promise<FileRecord | null> {
    refuseMirror(info.owner)
    const { hashSha256: sha256, size } = file.blob
    const upload: Upload = { info, file, keys: uploadKeys(info, file), sha256, size }
    const filed = await this.#blobRows.withExisting(sha256, (transaction) =>
      this.#file(upload, 'any-version', (held) => this.#blobRows.keepExisting(held), transaction, also),
    )
    if (filed === null) return null
    if (filed.changed) this.#announce(upload, filed)
    return filed.record
  }

  async #uploadHosted(
    info: CachedFileInfo,
    file: PackageFileCreationInfo,
    mode: Mode,
    also: AlsoInTransaction | undefined,
  ): Promise<FileRecord> {
    refuseMirror(info.owner)
    const upload = toUpload(info, file)
    // What is refused anyway must not take disk space until garbage collection comes.
    await this.#check(upload, mode, await this.#rows.readState(upload, null), null)
    const filed = await this.#blobRows.withContent(file.content, { durable: true }, (transaction) =>
      this.#file(upload, mode, this.#keeping(file), transaction, also),
    )
    if (filed.changed) this.#announce(upload, filed)
    return filed.record
  }

  #keeping({ content }: PackageFileCreationInfo): KeepBlob {
    return (held, transaction) => this.#blobRows.keep(content, held, transaction)
  }

  /** Writes the rows. All that it knows it reads in the transaction, which may be repeated. */
  async #file(
    upload: Upload,
    mode: Mode,
    keepBlob: KeepBlob,
    transaction: Transaction,
    also: AlsoInTransaction | undefined,
  ): Promise<Filed> {
    const { info, file } = upload
    const rows = this.#rows
    if (mode !== 'cached') await this.#quota.lock(info.creator ?? null, info.owner, transaction)
    const state = await rows.readState(upload, transaction)
    if (mode !== 'cached') await this.#check(upload, mode, state, transaction)

    const properties: PropertyValues[] = []
    const packageRow = state.package ?? (await rows.insertPackage(upload, transaction))
    if (state.package === null) properties.push(...propertiesOf(refType.package, packageRow.id, info.packageProperties))
    const version = state.version ?? (await rows.insertVersion(upload, packageRow.id, transaction))
    if (state.version === null) {
      properties.push(...propertiesOf(refType.version, version.id, info.versionProperties))
      if (mode !== 'cached' && state.binding === null && info.isInternal !== true)
        await rows.bindName(upload, transaction)
    }
    const shadows = info.confirmsShadow === true && state.binding ? state.binding : null
    if (shadows !== null) await rows.rebindName(upload, transaction)
    const blob = await keepBlob(state.blob, transaction)
    const kept = state.file?.blobId === blob.id ? state.file : null
    const removed = kept === null ? state.file : null
    if (removed !== null) await rows.deleteFile(removed, transaction)
    // Files of internal versions expire, counted from when they were last uploaded.
    const renewed = kept !== null && info.isInternal === true ? await rows.renewFile(kept, transaction) : kept
    const fileRow = renewed ?? (await rows.insertFile(upload, version.id, blob.id, transaction))
    if (kept === null) properties.push(...propertiesOf(refType.file, fileRow.id, file.properties))
    await rows.insertProperties(properties, transaction)

    const record: FileRecord = Object.freeze({ package: packageRow, version, file: fileRow, blob })
    await also?.({ ...record, transaction })
    return {
      record,
      versionIsNew: state.version === null,
      removedFileId: removed?.id ?? null,
      shadows: shadows === null ? null : await rows.findUpstreamName(shadows, transaction),
      changed: kept === null || also !== undefined,
    }
  }

  /** Throws for what a hosted upload must not do. Without a transaction: as far as it can be seen beforehand. */
  async #check(
    { info, file, size }: Upload,
    mode: Mode,
    state: UploadState,
    transaction: Transaction | null,
  ): Promise<void> {
    const creator = info.creator ?? null
    if (mode === 'new-version' && state.version !== null) {
      throw new Conflict('version', 'package version already exists')
    }
    if (mode === 'existing-version' && state.version === null) {
      throw new NotFound('package', `${info.name} ${info.version}`)
    }
    if (state.file !== null && file.overwrite !== true) throw new Conflict('file', 'package file already exists')
    if (state.version === null) {
      if (state.binding !== null && state.binding !== 0 && info.confirmsShadow !== true) {
        throw refuseShadow(info, await this.#rows.findUpstreamName(state.binding, transaction))
      }
      if (info.isInternal !== true) await this.#quota.checkCount(creator, info.owner, transaction)
    }
    const addsNothing = state.file !== null && state.file.blobId === state.blob?.id
    if (!addsNothing) await this.#quota.checkFile(creator, info.owner, info.type, size, transaction)
  }

  #announce({ info }: Upload, { record, versionIsNew, removedFileId, shadows }: Filed): void {
    const { ownerId, type, name, lowerName, isPrivate } = record.package
    // It may be new.
    if (isPrivate) this.#privatePackages.changed(ownerId)
    this.#lookup.forget(record.package)
    if (removedFileId !== null) this.#events.emit({ action: 'file-removed', fileId: removedFileId })
    this.#events.emit({ action: 'changed', ownerId, type, lowerName })
    const { owner, creator: doer = null } = info
    if (shadows !== null) this.#events.emit({ action: 'shadowed', owner, type, name, upstream: shadows, doer })
    if (!versionIsNew || info.isInternal === true) return
    const rows = { package: record.package, version: record.version }
    this.#events.emit({ action: 'created', owner, type, name, version: record.version.version, doer, rows })
  }
}

function toUpload(info: CachedFileInfo, file: PackageFileCreationInfo): Upload {
  const { size, digests } = file.content
  return { info, file, keys: uploadKeys(info, file), sha256: digests.sha256, size }
}

function refuseMirror(owner: Owner): void {
  if (owner.kind === 'mirror') throw new MethodNotAllowed('nothing can be published to a mirror', 'package')
}

/** What every client shows its user, who can add no query to what npm or mvn sends. */
function refuseShadow({ owner, type, name, confirmsShadow }: CachedFileInfo, upstream: string): Conflict {
  const binding = `/api/v1/orgs/${owner.name}/bindings/${type}/${encodeURIComponent(name)}`
  const alternative = confirmsShadow === undefined ? '' : ', or by ?confirm_shadow=true'
  return new Conflict(
    'package',
    `${name} comes from the upstream ${upstream}; to shadow it, confirm by PUT ${binding} {"source":"hosted"}${alternative}`,
  )
}
