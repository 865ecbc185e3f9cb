import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { PackageEvents } from '../packages/events.ts'
import type { ArtifactStore, HeldArtifact } from './artifact-store.ts'

const MOST = 200_000
/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000
const TRIES = 3

/** What is held of upstreams, found without SQL the second time. */
export class HeldArtifacts {
  readonly #store: ArtifactStore
  readonly #known: Cache<{ held: HeldArtifact | null }>
  /** By the id of the package file: the key it is known under. Entries may outlive what they name. */
  readonly #byFile = new Map<number, string>()
  #removals = 0

  constructor(store: ArtifactStore, { notices, events }: { notices: Notices; events: PackageEvents }) {
    this.#store = store
    this.#known = new Cache({ name: 'artifacts', max: MOST, ttl: NOTICE_LOST }, notices)
    events.on((event) => {
      if (event.action === 'file-removed') this.#forgetFile(event.fileId)
    })
  }

  /** null: it is not held. */
  async find(upstreamId: number, key: string): Promise<HeldArtifact | null> {
    const cacheKey = `${upstreamId}:${key}`
    const { held } = await this.#known.get(cacheKey, async () => ({
      held: await this.#load(upstreamId, key, cacheKey),
    }))
    return held
  }

  /** Looks it up again at its next use, here and on the other replicas. */
  invalidate(upstreamId: number, key: string): void {
    this.#known.invalidate(`${upstreamId}:${key}`)
  }

  /** Again while files are being removed: what was read may be older than that, and nobody knows yet whose file it is. */
  async #load(upstreamId: number, key: string, cacheKey: string): Promise<HeldArtifact | null> {
    for (let tries = 1; ; tries += 1) {
      const before = this.#removals
      const held = await this.#store.find(upstreamId, key)
      if (held !== null) this.#remember(held.fileId, cacheKey)
      if (held === null || before === this.#removals || tries === TRIES) return held
    }
  }

  #remember(fileId: number, cacheKey: string): void {
    this.#byFile.delete(fileId)
    this.#byFile.set(fileId, cacheKey)
    if (this.#byFile.size > MOST) this.#byFile.delete(this.#byFile.keys().next().value!)
  }

  #forgetFile(fileId: number): void {
    this.#removals += 1
    const cacheKey = this.#byFile.get(fileId)
    if (cacheKey === undefined) return
    this.#byFile.delete(fileId)
    this.#known.invalidate(cacheKey)
  }
}
