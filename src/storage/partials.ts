import { randomUUID } from 'node:crypto'
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { uptime } from 'node:os'
import { join } from 'node:path'
import type { SpoolLimit } from './spool-entry.ts'
import { SpoolEntry } from './spool-entry.ts'

/** ms for which the beginning of a file waits for somebody who wants the rest (pull-through.md §4.2). */
const KEPT_FOR = 3_600_000
const MOST = 100
const SIDECAR = '.json'

/** What a file in the spool is the beginning of. */
export interface PartialLabel {
  /** Tells it from everything else that is ever spooled. */
  readonly of: string
  /** Strong, or empty. */
  readonly etag: string
  /** `<algorithm>:<hex>` of the whole; empty: unknown. */
  readonly digest: string
}

/** The beginning of a file: `entry.kept` bytes of it, to be read back before more is appended. */
export interface Partial {
  readonly entry: SpoolEntry
  readonly label: PartialLabel
}

interface Kept {
  readonly path: string
  readonly label: PartialLabel
  readonly timer: NodeJS.Timeout
}

/**
 * Beginnings of files whose transfer ended too early, kept for an hour. Each is a spool file and beside it, as
 * `<name>.json`, what it is a part of: written while it still grows, so that a crash leaves something to go on with.
 */
export class Partials {
  readonly #newPath: () => string
  readonly #kept = new Map<string, Kept>()

  /** `newPath` names a file that does not exist, in the folder of the spool. */
  constructor(newPath: () => string) {
    this.#newPath = newPath
  }

  /** Notes beside a growing entry what it is; whatever happens to this note costs a later transfer only. */
  async note(entry: SpoolEntry, label: PartialLabel): Promise<void> {
    await writeFile(entry.path + SIDECAR, JSON.stringify(label), { mode: 0o600 }).catch(() => {})
  }

  /** Ends a noted entry and keeps its file for `take`, if it has one. */
  async keep(entry: SpoolEntry, label: PartialLabel): Promise<void> {
    if (await entry.keep()) await this.#add(entry.path, label, Date.now())
    else await this.forget(entry)
  }

  /** The entry needs no note any more. */
  async forget(entry: SpoolEntry): Promise<void> {
    await remove(entry.path + SIDECAR)
  }

  /** The beginning of something, which is the caller's to discard and to `forget`; null: there is none. */
  async take(of: string, limit: SpoolLimit): Promise<Partial | null> {
    const kept = this.#kept.get(of)
    if (kept === undefined) return null
    this.#kept.delete(of)
    clearTimeout(kept.timer)
    const entry = await SpoolEntry.reopen(kept.path, limit).catch(() => null)
    if (entry === null) await removeBoth(kept.path)
    return entry && { entry, label: kept.label }
  }

  /** Deletes them all, for the room they take. */
  async clear(): Promise<void> {
    await Promise.all([...this.#kept.keys()].map((of) => this.#drop(of)))
  }

  /**
   * Takes over the file of a process that is gone if it is worth it, under a name of this one, and deletes it otherwise.
   * What was written before the machine last started is not trusted: a power cut leaves files of zeros.
   */
  async adopt(directory: string, name: string): Promise<void> {
    const old = join(directory, name)
    const label = await readLabel(old + SIDECAR)
    const { mtimeMs, size } = await stat(old).catch(() => ({ mtimeMs: 0, size: 0 }))
    const bornAt = Date.now() - uptime() * 1_000
    if (label === null || size === 0 || mtimeMs < Math.max(bornAt, Date.now() - KEPT_FOR)) return removeBoth(old)
    const path = this.#newPath()
    try {
      await rename(old + SIDECAR, path + SIDECAR)
      await rename(old, path)
    } catch {
      // Another process that starts just now was faster.
      return
    }
    await this.#add(path, label, mtimeMs)
  }

  async #add(path: string, label: PartialLabel, since: number): Promise<void> {
    await this.#drop(label.of)
    const timer = setTimeout(() => void this.#drop(label.of), since + KEPT_FOR - Date.now()).unref()
    this.#kept.set(label.of, { path, label, timer })
    if (this.#kept.size > MOST) await this.#drop(this.#kept.keys().next().value!)
  }

  async #drop(of: string): Promise<void> {
    const kept = this.#kept.get(of)
    if (kept === undefined) return
    this.#kept.delete(of)
    clearTimeout(kept.timer)
    await removeBoth(kept.path)
  }
}

/** A name for a file beside `directory`'s others that belongs to this process. */
export function nameFile(directory: string, prefix: string): string {
  return join(directory, `${prefix}-${randomUUID()}`)
}

/** The file that a name in the spool is a note about, or is itself. */
export function fileOf(name: string): string {
  return name.endsWith(SIDECAR) ? name.slice(0, -SIDECAR.length) : name
}

async function removeBoth(path: string): Promise<void> {
  await Promise.all([path, path + SIDECAR].map(remove))
}

/** What cannot be removed now is found again when the server starts; whoever has better things to do is not troubled. */
async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(() => {})
}

async function readLabel(path: string): Promise<PartialLabel | null> {
  try {
    const { of, etag, digest } = JSON.parse(await readFile(path, 'utf8')) as PartialLabel
    return [of, etag, digest].every((one) => typeof one === 'string') ? { of, etag, digest } : null
  } catch {
    return null
  }
}
