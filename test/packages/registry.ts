import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Model, ModelStatic } from 'sequelize'
import { afterAll } from 'vitest'
import { type Owner, toOwner } from '../../src/auth/owner.ts'
import { Notices } from '../../src/cache/notices.ts'
import { Database } from '../../src/db/connect.ts'
import { initModels } from '../../src/models/index.ts'
import type { PackageEvent } from '../../src/packages/events.ts'
import { Packages, type PackagesParts } from '../../src/packages/index.ts'
import type { PackageCreationInfo, PackageFileCreationInfo } from '../../src/packages/package-info.ts'
import type { RulesByType } from '../../src/packages/package-rules.ts'
import type { QuotaLimits } from '../../src/packages/quota-limits.ts'
import type { BlobStore } from '../../src/storage/blob-store.ts'
import { FilesystemBlobStore } from '../../src/storage/filesystem-blob-store.ts'
import { FilesystemUploadParts } from '../../src/storage/filesystem-upload-parts.ts'
import { Spool, type SpoolEntry } from '../../src/storage/spool.ts'
import { openTestDatabase, type TestDatabase } from '../support/test-database.ts'

export const unlimited: QuotaLimits = { limitTotalOwnerCount: -1, limitTotalOwnerSize: -1, limits: {} }
export const DAY = 86_400_000

/** Notices that reach other replicas in this process at once, as Redis would soon. */
class LinkedNotices extends Notices {
  readonly #listeners = new Map<string, (key: string) => void>()
  peers: LinkedNotices[] = []

  override subscribe(topic: string, listener: (key: string) => void): void {
    this.#listeners.set(topic, listener)
  }

  override publish(topic: string, key: string): void {
    for (const peer of this.peers) peer.#listeners.get(topic)?.(key)
  }
}

/** One database per dialect and test file, emptied after each test: making one costs MariaDB a second. */
const databases = new Map<Database['dialect'], Promise<TestDatabase>>()

afterAll(async () => {
  for (const opening of databases.values()) await (await opening).close()
  databases.clear()
})

async function shared(dialect: Database['dialect']): Promise<TestDatabase> {
  const database = databases.get(dialect) ?? openTestDatabase(dialect)
  databases.set(dialect, database)
  return database
}

/** Packages over a database and a blob store of their own, with owners to publish for. */
export class Registry {
  readonly parts: PackagesParts
  readonly packages: Packages
  readonly store: FilesystemBlobStore
  readonly folder: string
  readonly events: PackageEvent[] = []
  readonly errors: unknown[] = []
  now = Date.UTC(2031, 4, 5)
  readonly #test: TestDatabase
  readonly #replicas: Registry[] = []

  private constructor(test: TestDatabase, folder: string, options: RegistryOptions, db = test.db) {
    this.#test = test
    this.folder = folder
    this.store = new FilesystemBlobStore(join(folder, 'blobs'))
    this.parts = {
      db,
      models: db === test.db ? test.models : initModels(db.sequelize),
      notices: new LinkedNotices(),
      clock: { now: () => this.now },
      spool: new Spool(join(folder, 'spool')),
      blobs: options.wrapStore?.(this.store) ?? this.store,
      uploadParts: new FilesystemUploadParts(join(folder, 'uploads')),
      limits: { ...unlimited, ...options.limits },
      rules: options.rules ?? new Map(),
      onError: (error) => this.errors.push(error),
    }
    this.packages = new Packages(this.parts)
    this.packages.events.on((event) => this.events.push(event))
  }

  static async open(dialect: Database['dialect'], options: RegistryOptions = {}): Promise<Registry> {
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-packages-'))
    const registry = new Registry(await shared(dialect), folder, options)
    await registry.parts.spool.open()
    return registry
  }

  /** A second process on the same database and blob store, told by notices. */
  replica(): Registry {
    const replica = new Registry(this.#test, this.folder, {}, new Database(this.#test.url))
    const [mine, its] = [this.parts.notices, replica.parts.notices] as [LinkedNotices, LinkedNotices]
    mine.peers.push(its)
    its.peers.push(mine)
    this.#replicas.push(replica)
    return replica
  }

  async close(): Promise<void> {
    await this.packages.close()
    for (const replica of this.#replicas) await replica.parts.db.close()
    for (const model of Object.values(this.#test.models)) await (model as ModelStatic<Model>).destroy({ where: {} })
    this.store.close()
    await rm(this.folder, { recursive: true, force: true })
  }

  async owner(name: string, kind: Owner['kind'] = 'user', isAdmin = false): Promise<Owner> {
    const row = await this.parts.models.user.create({
      kind,
      name,
      lowerName: name.toLowerCase(),
      isAdmin,
      createdAt: this.now,
      updatedAt: this.now,
    })
    return toOwner(row)
  }

  async content(bytes: string | Buffer): Promise<SpoolEntry> {
    const entry = this.parts.spool.create()
    await entry.append(Buffer.from(bytes as string))
    await entry.finish()
    return entry
  }

  async file(
    filename: string,
    bytes: string | Buffer,
    more: Partial<PackageFileCreationInfo> = {},
  ): Promise<PackageFileCreationInfo> {
    return { filename, content: await this.content(bytes), isLead: true, ...more }
  }

  /** How many rows each table of packages has. */
  async counts(): Promise<Record<'packages' | 'versions' | 'files' | 'blobs' | 'properties' | 'bindings', number>> {
    const { models } = this.parts
    return {
      packages: await models.package.count(),
      versions: await models.packageVersion.count(),
      files: await models.packageFile.count(),
      blobs: await models.packageBlob.count(),
      properties: await models.packageProperty.count(),
      bindings: await models.nameBinding.count(),
    }
  }

  /** SHA-256 of all contents in the blob store. */
  async contents(): Promise<string[]> {
    const entries = await readdir(join(this.folder, 'blobs'), { recursive: true, withFileTypes: true }).catch(() => [])
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
  }

  /** What the blob store answers, as text; null when it has nothing. */
  async read(sha256: string): Promise<string | null> {
    const source = await this.store.open(sha256)
    if (source === null) return null
    const buffer = Buffer.alloc(source.size!)
    for (let position = 0; position < buffer.length; ) {
      position += await source.read(buffer.subarray(position), position)
    }
    source.close()
    return buffer.toString()
  }

  /** The statements that `work` sends. */
  async queriesOf(work: () => Promise<unknown>): Promise<number> {
    const before = this.parts.db.queries
    await work()
    return this.parts.db.queries - before
  }
}

export interface RegistryOptions {
  limits?: Partial<QuotaLimits>
  rules?: RulesByType
  /** What packages use instead of the store itself. */
  wrapStore?: (store: BlobStore) => BlobStore
}

/** What a publisher says of `name` in `version`. */
export function info(
  owner: Owner,
  name: string,
  version: string,
  more: Partial<PackageCreationInfo> = {},
): PackageCreationInfo {
  return { owner, type: 'generic', name, version, creator: owner, semverCompatible: false, metadata: null, ...more }
}

/** How a number of attempts ended: what came back, and the errors of the rest. */
export async function settle<T>(attempts: Promise<T>[]): Promise<{ values: T[]; errors: Error[] }> {
  const results = await Promise.allSettled(attempts)
  return {
    values: results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
    errors: results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : [])),
  }
}

/** A moment that one side waits for and the other declares. */
export class Gate {
  readonly opened: Promise<void>
  open!: () => void

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve
    })
  }
}
