import { mkdir, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ByteSource } from './byte-source.ts'
import { Descriptor } from './descriptor.ts'
import { syncFile, writeEntry } from './entry-file.ts'
import { SpoolEntry } from './spool-entry.ts'
import { storageError } from './storage-error.ts'
import type { StoredPart, UploadParts } from './upload-parts.ts'

const UPLOAD = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const PART = /^[0-9a-z-]{1,100}$/

/**
 * Parts as files `<directory>/<upload>/<part>`. On the file system of the spool and of the blobs they come and go
 * without being copied.
 */
export class FilesystemUploadParts implements UploadParts {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  async put(upload: string, name: string, entry: SpoolEntry): Promise<void> {
    const path = this.#path(upload, name)
    try {
      await this.#put(entry, path)
    } catch (error) {
      throw storageError(error)
    }
  }

  async open(upload: string, name: string): Promise<ByteSource | null> {
    const file = await Descriptor.open(this.#path(upload, name), 'r').catch(nullIfMissing)
    if (file === null) return null
    const size = await file.size()
    return {
      size,
      read: (buffer, position) => file.read(buffer, buffer.length, position),
      close: () => file.retire(),
    }
  }

  async adopt(upload: string, { name, size, digests }: StoredPart): Promise<SpoolEntry | null> {
    return SpoolEntry.adopt(this.#path(upload, name), size, digests).catch(nullIfMissing)
  }

  async remove(upload: string, name: string): Promise<void> {
    // The folder stays, even when it is empty: another part may be on its way into it.
    await rm(this.#path(upload, name), { force: true })
  }

  async removeAll(upload: string): Promise<void> {
    await rm(this.#folder(upload), { recursive: true, force: true, maxRetries: 3 })
  }

  async list(): Promise<string[]> {
    const names = await readdir(this.#directory).catch(nullIfMissing)
    return (names ?? []).filter((name) => UPLOAD.test(name))
  }

  async #put(entry: SpoolEntry, path: string): Promise<void> {
    const folder = dirname(path)
    const made = await mkdir(folder, { recursive: true })
    if (!(await entry.moveTo(path, true))) await writeEntry(entry, path, true)
    await syncFile(folder)
    if (made !== undefined) await syncFile(this.#directory)
    // The folder of all uploads is made once.
    if (made === this.#directory) await syncFile(dirname(this.#directory))
  }

  #path(upload: string, name: string): string {
    if (!PART.test(name)) throw new Error('a part of an upload is known by a plain name only')
    return join(this.#folder(upload), name)
  }

  #folder(upload: string): string {
    if (!UPLOAD.test(upload)) throw new Error('an upload is known by its id only')
    return join(this.#directory, upload)
  }
}

function nullIfMissing(error: NodeJS.ErrnoException): null {
  if (error.code !== 'ENOENT') throw error
  return null
}
