import { rm } from 'node:fs/promises'
import { Descriptor } from './descriptor.ts'
import type { SpoolEntry } from './spool-entry.ts'

const COPY_BYTES = 1024 * 1024

/** Copies a finished entry to `path`, a new file; with `durable` it is forced to disk. What fails leaves no file. */
export async function writeEntry(entry: SpoolEntry, path: string, durable: boolean): Promise<void> {
  const source = entry.source()
  try {
    const file = await Descriptor.open(path, 'wx')
    try {
      const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(COPY_BYTES, entry.size)))
      for (let position = 0; position < entry.size; ) {
        const bytes = await source.read(buffer, position)
        if (bytes === 0) throw new Error('the spool entry is shorter than its size')
        await file.write([buffer.subarray(0, bytes)], position)
        position += bytes
      }
      if (durable) await file.sync()
    } finally {
      file.retire()
    }
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    source.close()
  }
}

/** Forces the content of a file, or the entries of a folder, to disk. Rejects as `fs.open` does. */
export async function syncFile(path: string): Promise<void> {
  const file = await Descriptor.open(path, 'r')
  await file.sync().finally(() => file.retire())
}
