import type { Transaction } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import { type BlobRows, newBlob } from './blob-rows.ts'
import type { PackageEvents } from './events.ts'
import { uploadKeys } from './keys.ts'
import { forUpdate } from './locks.ts'
import { refType } from './package-descriptor.ts'
import type { AlsoInTransaction, CachedFileInfo, FileRecord, FileRow, PackageFileCreationInfo } from './package-info.ts'
import type { PackageLookup } from './package-lookup.ts'
import type { PackageService } from './package-service.ts'
import { blobTable, fileTable, packageTable, type RowTable, versionTable } from './rows.ts'
import { newFile, newPackage, newVersion, type PropertyValues, propertiesOf, type Upload } from './upload-rows.ts'

/** Uploads per transaction. */
const BATCH = 32

interface Waiting {
  readonly upload: Upload<PackageFileCreationInfo>
  readonly also: AlsoInTransaction | undefined
  readonly resolve: (record: FileRecord) => void
  readonly reject: (error: unknown) => void
}

/** What CachedFiles works on. */
export interface CachedFilesParts {
  readonly db: Database
  readonly models: Models
  readonly clock: Clock
  readonly blobs: BlobStore
  readonly blobRows: BlobRows
  readonly service: PackageService
  readonly lookup: PackageLookup
  readonly events: PackageEvents
}

/**
 * Files artifacts of upstreams. One install asks for hundreds at once and a statement costs more than a row, so what
 * comes while a transaction runs is filed by the next one together, a statement per table. Whatever goes wrong there
 * goes wrong for one of them: then each is filed alone, by PackageService.
 */
export class CachedFiles {
  readonly #parts: CachedFilesParts
  #waiting: Waiting[] = []
  #isRunning = false

  constructor(parts: CachedFilesParts) {
    this.#parts = parts
  }

  /** See Packages.addCachedFile. */
  async add(info: CachedFileInfo, file: PackageFileCreationInfo, also?: AlsoInTransaction): Promise<FileRecord> {
    const { size, digests } = file.content
    const upload = { info, file, keys: uploadKeys(info, file), sha256: digests.sha256, size }
    // The bytes may have to be put twice; after the first time they belong to the store.
    const release = file.content.hold()
    try {
      return await new Promise<FileRecord>((resolve, reject) => {
        this.#waiting.push({ upload, also, resolve, reject })
        if (!this.#isRunning) void this.#run()
      })
    } finally {
      release()
    }
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#waiting.length > 0) await this.#fileBatch(this.#takeBatch())
    this.#isRunning = false
  }

  /** The next ones, no two of which are the same file. */
  #takeBatch(): Waiting[] {
    const batch = new Map<string, Waiting>()
    const rest: Waiting[] = []
    for (const waiting of this.#waiting) {
      const { info, keys } = waiting.upload
      const key = JSON.stringify([info.owner.id, info.type, ...Object.values(keys)])
      if (batch.size < BATCH && !batch.has(key)) batch.set(key, waiting)
      else rest.push(waiting)
    }
    this.#waiting = rest
    return [...batch.values()]
  }

  /** Never rejects: each upload hears of its own end. */
  async #fileBatch(batch: Waiting[]): Promise<void> {
    if (batch.length > 1) {
      try {
        const { db, blobs } = this.#parts
        await Promise.all(batch.map(({ upload }) => blobs.put(upload.file.content, { durable: false })))
        const filed = await db.inTransaction((transaction) => this.#file(batch, transaction))
        this.#announce(filed.records, filed.removed)
        for (const [index, { resolve }] of batch.entries()) resolve(filed.records[index]!)
        return
      } catch {
        // The one that is to blame fails again below, and says why.
      }
    }
    const { service } = this.#parts
    await Promise.all(
      batch.map(({ upload, also, resolve, reject }) =>
        service.addCachedFile(upload.info, upload.file, also).then(resolve, reject),
      ),
    )
  }

  async #file(batch: Waiting[], transaction: Transaction): Promise<{ records: FileRecord[]; removed: FileRow[] }> {
    const now = this.#parts.clock.now()
    const uploads = batch.map(({ upload }) => upload)
    const properties: PropertyValues[] = []

    const packages = await this.#ensure(packageTable, PACKAGE_KEY, uploads.map(newPackage), transaction)
    const versions = await this.#ensure(
      versionTable,
      VERSION_KEY,
      uploads.map((upload, index) => newVersion(upload, packages.rows[index]!.id, now)),
      transaction,
    )
    const blobs = await this.#ensure(
      blobTable,
      BLOB_KEY,
      uploads.map(({ file }) => newBlob(file.content, now)),
      transaction,
    )
    await Promise.all(blobs.rows.map((row) => this.#parts.blobRows.requireContent(row)))
    const newFiles = uploads.map((upload, index) =>
      newFile(upload, versions.rows[index]!.id, blobs.rows[index]!.id, now),
    )
    const removed = await this.#deleteOthers(newFiles, transaction)
    const files = await this.#ensure(fileTable, FILE_KEY, newFiles, transaction)

    for (const index of packages.created) {
      properties.push(
        ...propertiesOf(refType.package, packages.rows[index]!.id, uploads[index]!.info.packageProperties),
      )
    }
    for (const index of versions.created) {
      properties.push(
        ...propertiesOf(refType.version, versions.rows[index]!.id, uploads[index]!.info.versionProperties),
      )
    }
    for (const index of files.created) {
      properties.push(...propertiesOf(refType.file, files.rows[index]!.id, uploads[index]!.file.properties))
    }
    if (properties.length > 0) await this.#parts.models.packageProperty.bulkCreate(properties, { transaction })

    const records: FileRecord[] = []
    for (const [index, { also }] of batch.entries()) {
      const record = Object.freeze({
        package: packages.rows[index]!,
        version: versions.rows[index]!,
        file: files.rows[index]!,
        blob: blobs.rows[index]!,
      })
      records.push(record)
      await also?.({ ...record, transaction })
    }
    return { records, removed }
  }

  /**
   * The rows with the keys of `wanted`, in that order, locked; those that are missing are inserted. `created` holds
   * the indexes of the wanted rows that were.
   */
  async #ensure<Row extends { readonly id: number }>(
    table: RowTable<Row>,
    fields: readonly (keyof Row & string)[],
    wanted: readonly Omit<Row, 'id'>[],
    transaction: Transaction,
  ): Promise<{ rows: Row[]; created: number[] }> {
    const { db } = this.#parts
    const keys = wanted.map((row) => toKey(row, fields))
    const held = new Map<string, Row>()
    const read = async (rows: readonly Omit<Row, 'id'>[], suffix: string) => {
      for (const row of await table.find(db.sequelize, fields, rows, suffix, transaction)) {
        held.set(toKey(row, fields), row)
      }
    }
    await read(wanted, forUpdate(db))
    const created = keys.flatMap((key, index) => (held.has(key) || keys.indexOf(key) < index ? [] : [index]))
    if (created.length > 0) {
      const missing = created.map((index) => wanted[index]!)
      await table.insertMany(db.sequelize, missing, transaction)
      await read(missing, '')
    }
    return { rows: keys.map((key) => held.get(key)!), created }
  }

  /** Deletes files of these names that have other bytes. */
  async #deleteOthers(wanted: Omit<FileRow, 'id'>[], transaction: Transaction): Promise<FileRow[]> {
    const { db, models } = this.#parts
    const blobIds = new Map(wanted.map((file) => [toKey(file, FILE_KEY), file.blobId]))
    const held = await fileTable.find(db.sequelize, FILE_KEY, wanted, forUpdate(db), transaction)
    const others = held.filter((file) => blobIds.get(toKey(file, FILE_KEY)) !== file.blobId)
    if (others.length > 0) {
      const id = others.map((file) => file.id)
      await models.packageProperty.destroy({ where: { refType: refType.file, refId: id }, transaction })
      await models.packageFile.destroy({ where: { id }, transaction })
    }
    return others
  }

  #announce(records: FileRecord[], removed: FileRow[]): void {
    const { lookup, events } = this.#parts
    for (const row of new Set(records.map((record) => record.package))) lookup.forget(row)
    for (const { id } of removed) events.emit({ action: 'file-removed', fileId: id })
  }
}

const PACKAGE_KEY = ['ownerId', 'type', 'lowerName'] as const
const VERSION_KEY = ['packageId', 'lowerVersion'] as const
const FILE_KEY = ['versionId', 'lowerName', 'compositeKey'] as const
const BLOB_KEY = ['hashSha256'] as const

function toKey(row: object, fields: readonly string[]): string {
  return JSON.stringify(fields.map((field) => (row as Record<string, unknown>)[field]))
}
