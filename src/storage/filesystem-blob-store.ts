import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { LRUCache } from 'lru-cache'
import type { BlobStore, StoredBlob } from './blob-store.ts'
import type { ByteSource } from './byte-source.ts'
import { Descriptor } from './descriptor.ts'
import { syncFile, writeEntry } from './entry-file.ts'
import type { SpoolEntry } from './spool-entry.ts'
import { storageError } from './storage-error.ts'

const SHA256 = /^[0-9a-f]{64}$/
const FOLDER = /^[0-9a-f]{2}$/
const OPEN_FILES = 512
/** ms for which a file that nobody reads stays open: one that another process has deleted takes space until then. */
const IDLE = 10_000
const ABANDONED_MS = 24 * 60 * 60 * 1000

/** A blob that is open, with its size in bytes. */
interface OpenBlob {
  file: Descriptor
  size: number
}

/**
 * Blobs as files `<directory>/aa/bb/<sha256>`. A file appears under its name by rename, so it is whole or not there.
 * The last 512 that were read stay open for some seconds, since opening costs as much as all the rest of a small answer.
 */
export class FilesystemBlobStore implements BlobStore {
  readonly #directory: string
  readonly #open = new LRUCache<string, OpenBlob>({
    max: OPEN_FILES,
    ttl: IDLE,
    ttlResolution: IDLE / 10,
    updateAgeOnGet: true,
    dispose: ({ file }) => file.retire(),
  })
  #closing: NodeJS.Timeout | null = null

  /** Folders whose own entries are known to be on disk. */
  readonly #synced = new Set<string>()
  #sweeping: Promise<void> | null = null

  constructor(directory: string) {
    this.#directory = directory
  }

  async put(entry: SpoolEntry, { durable }: { durable: boolean }): Promise<void> {
    try {
      await this.#put(entry, durable)
    } catch (error) {
      throw storageError(error)
    }
  }

  async open(sha256: string): Promise<ByteSource | null> {
    const blob = this.#holdOpen(sha256) ?? (await this.#openFile(sha256))
    if (blob === null) return null
    const { file, size } = blob
    let open = true
    return {
      size,
      read: (buffer, position) => {
        if (!open) return Promise.reject(new Error('the blob was closed'))
        return file.read(buffer, buffer.length, position)
      },
      close: () => {
        if (open) file.release()
        open = false
      },
    }
  }

  async has(sha256: string): Promise<boolean> {
    return (await sizeOf(this.#path(sha256))) !== null
  }

  async sync(sha256: string): Promise<boolean> {
    const path = this.#path(sha256)
    if (!(await syncIfThere(path))) return false
    await this.#syncFolders(path)
    return true
  }

  async delete(sha256: string): Promise<number> {
    const path = this.#path(sha256)
    this.#open.delete(sha256)
    const size = await sizeOf(path)
    await unlink(path).catch(ignoreMissing)
    return size ?? 0
  }

  async *list(): AsyncGenerator<StoredBlob> {
    for (const first of await listNames(this.#directory, FOLDER)) {
      for (const second of await listNames(join(this.#directory, first), FOLDER)) {
        const folder = join(this.#directory, first, second)
        for (const sha256 of await listNames(folder, SHA256)) {
          const stats = await stat(join(folder, sha256)).catch(ignoreMissing)
          if (stats !== undefined) yield { sha256, size: stats.size, storedAt: stats.mtimeMs }
        }
      }
    }
  }

  async check(): Promise<void> {
    const path = await this.#temporaryPath()
    try {
      const file = await Descriptor.open(path, 'wx')
      await file.write([Buffer.from('check')], 0).finally(() => file.retire())
    } finally {
      await rm(path, { force: true })
    }
  }

  /** Closes the files that are kept open. */
  close(): void {
    if (this.#closing !== null) clearInterval(this.#closing)
    this.#closing = null
    this.#open.clear()
  }

  async #put(entry: SpoolEntry, durable: boolean): Promise<void> {
    const { sha256 } = entry.digests
    const target = this.#path(sha256)
    const held = await sizeOf(target)
    // It may have come as a cached artifact, which nobody forced to disk; and garbage collection may take it just now.
    if (held !== entry.size || (durable && !(await syncIfThere(target)))) {
      // A wrong size is what a power cut leaves of a blob that was not forced to disk.
      if (held !== null) this.#open.delete(sha256)
      await mkdir(dirname(target), { recursive: true })
      if (!(await entry.moveTo(target, durable))) await this.#copy(entry, target, durable)
    }
    if (durable) await this.#syncFolders(target)
  }

  #holdOpen(sha256: string): OpenBlob | null {
    const blob = this.#open.get(sha256) ?? null
    blob?.file.hold()
    return blob
  }

  async #openFile(sha256: string): Promise<OpenBlob | null> {
    const file = await Descriptor.open(this.#path(sha256), 'r').catch(ignoreMissing)
    if (file === undefined) return null
    const blob = { file, size: await file.size() }
    const other = this.#holdOpen(sha256)
    if (other !== null) {
      file.retire()
      return other
    }
    file.hold()
    this.#open.set(sha256, blob)
    this.#closing ??= setInterval(() => this.#closeIdle(), IDLE).unref()
    return blob
  }

  #closeIdle(): void {
    this.#open.purgeStale()
    if (this.#open.size > 0 || this.#closing === null) return
    clearInterval(this.#closing)
    this.#closing = null
  }

  async #copy(entry: SpoolEntry, target: string, durable: boolean): Promise<void> {
    const temporary = await this.#temporaryPath()
    await writeEntry(entry, temporary, durable)
    try {
      await rename(temporary, target)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  }

  /** A fresh name on the file system of the blobs. The first call removes what crashed processes have left there. */
  async #temporaryPath(): Promise<string> {
    const folder = join(this.#directory, 'incoming')
    // Others that come meanwhile wait for the same promise: the folder has to be there for them too.
    this.#sweeping ??= sweep(folder)
    await this.#sweeping.catch((error: unknown) => {
      this.#sweeping = null
      throw error
    })
    return join(folder, randomUUID())
  }

  /** A rename, and a folder made for it, are on disk only when the folders they were written to are. */
  async #syncFolders(target: string): Promise<void> {
    const folder = dirname(target)
    await syncFile(folder)
    if (this.#synced.has(folder)) return
    await syncFile(dirname(folder))
    await syncFile(this.#directory)
    this.#synced.add(folder)
  }

  #path(sha256: string): string {
    if (!SHA256.test(sha256)) throw new Error('a blob is known by its SHA-256 only')
    return join(this.#directory, sha256.slice(0, 2), sha256.slice(2, 4), sha256)
  }
}

/** Those that match, in order; none when the folder is not there. */
async function listNames(folder: string, pattern: RegExp): Promise<string[]> {
  const names = (await readdir(folder).catch(ignoreMissing)) ?? []
  return names.filter((name) => pattern.test(name)).sort()
}

async function sweep(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const name of await readdir(folder)) await removeAbandoned(join(folder, name))
}

/** By age: on a shared volume the names of other replicas' files say nothing about whether they are still wanted. */
async function removeAbandoned(path: string): Promise<void> {
  const stats = await stat(path).catch(ignoreMissing)
  if (stats !== undefined && Date.now() - stats.mtimeMs > ABANDONED_MS) await rm(path, { force: true })
}

async function syncIfThere(path: string): Promise<boolean> {
  return (await syncFile(path).then(() => true, ignoreMissing)) ?? false
}

async function sizeOf(path: string): Promise<number | null> {
  const stats = await stat(path).catch(ignoreMissing)
  return stats?.size ?? null
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
  return undefined
}
