import type { Readable } from 'node:stream'
import type { Owner } from '../auth/owner.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import type { Spool, SpoolEntry } from '../storage/spool.ts'
import type { UploadParts } from '../storage/upload-parts.ts'
import { BlobRows } from './blob-rows.ts'
import { CachedFiles } from './cached-files.ts'
import { Cleanup } from './cleanup.ts'
import { CleanupRules } from './cleanup-rules.ts'
import { Downloads } from './downloads.ts'
import { PackageEvents } from './events.ts'
import { collectBlobs, collectGarbage, type Freed, type GarbageOptions, type GarbageParts } from './garbage.ts'
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
import { PackageLookup } from './package-lookup.ts'
import { PackageRemoval } from './package-removal.ts'
import type { RulesByType } from './package-rules.ts'
import { PackageService } from './package-service.ts'
import { PrivatePackages } from './private-packages.ts'
import { Quota } from './quota.ts'
import { OwnerLimits, type QuotaLimits } from './quota-limits.ts'
import { receiveUpload, type UploadTarget } from './receive-upload.ts'
import { Repositories } from './repositories.ts'
import { UploadRows } from './upload-rows.ts'
import { UploadSessions } from './upload-sessions.ts'

/** What packages are made from. */
export interface PackagesParts {
  readonly db: Database
  readonly models: Models
  readonly notices: Notices
  readonly clock: Clock
  /** Opened by the caller. */
  readonly spool: Spool
  readonly blobs: BlobStore
  readonly uploadParts: UploadParts
  /** `config.packages`. */
  readonly limits: QuotaLimits
  /** What the types say of their packages. */
  readonly rules: RulesByType
  /** For what fails where nobody waits for an answer. */
  readonly onError: (error: unknown, message: string) => void
}

/**
 * Everything about packages that is the same for all types. Uploads are all or nothing: the content is put into the
 * blob store, then all rows are written in one transaction, then events are sent. They throw Invalid for keys that no
 * row can hold and QuotaExceeded, besides what each says; two at the same time end as if one had come first.
 */
export class Packages {
  readonly spool: Spool
  readonly blobs: BlobStore
  readonly quota: Quota
  readonly events: PackageEvents
  readonly downloads: Downloads
  readonly lookup: PackageLookup
  readonly removal: PackageRemoval
  readonly uploads: UploadSessions
  readonly cleanup: Cleanup
  readonly cleanupRules: CleanupRules
  readonly repositories: Repositories
  readonly privatePackages: PrivatePackages
  readonly #blobRows: BlobRows
  readonly #service: PackageService
  readonly #cachedFiles: CachedFiles
  readonly #garbage: GarbageParts

  constructor(parts: PackagesParts) {
    const { db, models, notices, clock, spool, blobs, limits, rules, onError } = parts
    this.spool = spool
    this.blobs = blobs
    this.quota = new Quota(db, new OwnerLimits(db, models, notices, clock, limits), rules)
    this.events = new PackageEvents(notices, onError)
    this.downloads = new Downloads(db, clock, onError)
    this.lookup = new PackageLookup(db, models, notices, this.downloads, rules)
    this.removal = new PackageRemoval(db, models, this.lookup, this.events, rules)
    this.uploads = new UploadSessions(parts)
    this.cleanup = new Cleanup({ db, clock, removal: this.removal, rules })
    this.cleanupRules = new CleanupRules({ db, models, clock, cleanup: this.cleanup, onError })
    const { lookup, events, uploads } = this
    this.repositories = new Repositories({ db, models, clock, lookup })
    this.privatePackages = new PrivatePackages({ db, models, notices, lookup, events })
    this.#garbage = { db, models, clock, blobs, lookup, events, uploads, onError }
    this.#blobRows = new BlobRows(db, blobs, clock, onError)
    this.#service = new PackageService({
      blobRows: this.#blobRows,
      rows: new UploadRows(db, models, clock),
      quota: this.quota,
      lookup: this.lookup,
      privatePackages: this.privatePackages,
      events: this.events,
    })
    this.#cachedFiles = new CachedFiles({
      ...{ db, models, clock, blobs, blobRows: this.#blobRows },
      ...{ service: this.#service, lookup: this.lookup, events: this.events },
    })
  }

  /** The bytes of a file to be; see receive-upload.ts. */
  receive(target: UploadTarget, body: Readable, length: number | null): Promise<SpoolEntry> {
    return receiveUpload(this, target, body, length)
  }

  /**
   * A new version with its first file. Conflict('version') when the version exists, Conflict('package') when the name
   * is bound to an upstream.
   */
  createPackageAndAddFile(
    info: PackageCreationInfo,
    file: PackageFileCreationInfo,
    alsoInTransaction?: AlsoInTransaction,
  ): Promise<FileRecord> {
    return this.#service.createPackageAndAddFile(info, file, alsoInTransaction)
  }

  /**
   * A file of a version, which is made if it does not exist and otherwise keeps its metadata and properties.
   * Conflict('file') when the file exists and is not to be overwritten, Conflict('package') as above.
   */
  createPackageOrAddFileToExisting(
    info: PackageCreationInfo,
    file: PackageFileCreationInfo,
    alsoInTransaction?: AlsoInTransaction,
  ): Promise<FileRecord> {
    return this.#service.createPackageOrAddFileToExisting(info, file, alsoInTransaction)
  }

  /** A file of a version that exists, else NotFound('package'). Conflict('file') as above. */
  addFileToExistingPackage(
    info: PackageInfo & { creator?: Owner | null },
    file: PackageFileCreationInfo,
    alsoInTransaction?: AlsoInTransaction,
  ): Promise<FileRecord> {
    return this.#service.addFileToExistingPackage(info, file, alsoInTransaction)
  }

  /**
   * A file of a version, which is made if need be, over a blob that is there already; null when the blob is gone. Fails
   * as createPackageOrAddFileToExisting does.
   */
  addFileOfExistingBlob(
    info: PackageCreationInfo,
    file: ExistingBlobFile,
    alsoInTransaction?: AlsoInTransaction,
  ): Promise<FileRecord | null> {
    return this.#service.addFileOfExistingBlob(info, file, alsoInTransaction)
  }

  /**
   * An artifact of an upstream, filed under its mirror (pull-through.md §1.3): no quota, no binding, nothing forced to
   * disk. Twice is harmless: rows that exist are used, and a file with other bytes is replaced, which alone is an event
   * ('file-removed').
   */
  addCachedFile(
    info: CachedFileInfo,
    file: PackageFileCreationInfo,
    alsoInTransaction?: AlsoInTransaction,
  ): Promise<FileRecord> {
    return this.#cachedFiles.add(info, file, alsoInTransaction)
  }

  /**
   * Puts bytes that no package file refers to, such as a document of an upstream, and returns their row. Garbage
   * collection leaves 24 h to refer to it; `alsoInTransaction` does so in the same transaction.
   */
  storeBlob(
    entry: SpoolEntry,
    options: { durable: boolean },
    alsoInTransaction?: AlsoInTransaction<{ blob: BlobRow }>,
  ): Promise<BlobRow> {
    return this.#blobRows.store(entry, options, alsoInTransaction)
  }

  /** Deletes what nothing refers to; see collectGarbage in garbage.ts. */
  collectGarbage(options?: GarbageOptions): Promise<Freed> {
    return collectGarbage(this.#garbage, options)
  }

  /** Deletes what nothing refers to of some blobs, by id, at once; see collectBlobs in garbage.ts. */
  collectBlobs(ids: readonly number[]): Promise<number> {
    return collectBlobs(this.#garbage, ids)
  }

  /** Writes what is counted and not yet written. */
  close(): Promise<void> {
    return this.downloads.close()
  }
}
