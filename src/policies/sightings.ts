import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import type { Listing, TagListing, VersionListing, VersionTime } from './listing.ts'

const CHUNK = 500
/** Characters that a column holds. What is longer has no rows anywhere. */
const LONGEST = 255
/** Of one tag or digest: more than anybody looks back. */
const MOST_TAGS = 1_000

/** What is read of a row. */
interface SeenVersion {
  readonly version: string
  readonly firstSeen: number
  readonly publishedAt: number | null
}

/** A tag as it once was; `firstSeen` in ms since the epoch. */
export interface SeenTag {
  readonly tag: string
  readonly digest: string
  readonly firstSeen: number
}

/** What Sightings is built from. */
export interface SightingsParts {
  readonly db: Database
  readonly models: Models
  readonly clock: Clock
}

/** When versions and tags of upstreams were first seen (pull-through.md §8.2): the clock that no upstream can set back. */
export class Sightings {
  readonly #parts: SightingsParts

  constructor(parts: SightingsParts) {
    this.#parts = parts
  }

  /**
   * Notes what a new document has that the one before had not; to be called before the new one is used. `former` was
   * last confirmed at `verifiedAt`; null: there was none, and what is listed counts as old as the upstream says.
   */
  async note(
    upstreamId: number,
    listing: Listing,
    former: { readonly listing: Listing; readonly verifiedAt: number } | null,
  ): Promise<void> {
    if (listing.name.length > LONGEST) return
    if (listing.kind === 'tag') return this.#noteTag(upstreamId, listing)
    if (former === null || former.listing.kind === 'tag') return
    const { published } = former.listing
    const added = [...listing.published].filter(([version]) => !published.has(version) && version.length <= LONGEST)
    if (added.length > 0) await this.#noteVersions(upstreamId, listing.name, added, former.verifiedAt)
  }

  /** When the versions of a document were published, each in the order of the rules of pull-through.md §8.2. */
  async timesOf(upstreamId: number, { name, published, modified }: VersionListing): Promise<Map<string, VersionTime>> {
    const rows = new Map((await this.#rowsOf(upstreamId, name)).map((row) => [row.version, row]))
    return new Map(
      [...published].map(([version, stated]) => {
        const row = rows.get(version)
        if (row !== undefined) return [version, timeOf(row)]
        return [version, { publishedAt: stated ?? modified, isBound: stated === null }]
      }),
    )
  }

  /** The same for a version that no document lists; null: it was never seen to appear. */
  async timeOf(upstreamId: number, name: string, version: string): Promise<VersionTime | null> {
    const where = { upstreamId, name, version }
    const row = await this.#parts.models.upstreamVersion.findOne({ where, raw: true })
    return row === null ? null : timeOf(row)
  }

  /**
   * Keeps what the upstream said of a version's publication when it was asked, ms since the epoch, and tells what is
   * true now: a time before the version was known to be absent is made up, and null is no time; then it was when it
   * was first seen.
   */
  async learn(upstreamId: number, name: string, version: string, stated: number | null): Promise<number | null> {
    const { db, models, clock } = this.#parts
    const where = { upstreamId, name, version }
    if (name.length > LONGEST || version.length > LONGEST) return stated
    return db.inTransaction(async (transaction) => {
      const row = await models.upstreamVersion.findOne({ where, transaction })
      if (row === null) {
        if (stated === null) return null
        const values = { ...where, firstSeen: clock.now(), absentAt: 0, publishedAt: stated }
        await models.upstreamVersion.create(values, { transaction })
        return stated
      }
      const publishedAt = stated !== null && stated > row.absentAt ? stated : row.firstSeen
      await row.update({ publishedAt }, { transaction })
      return publishedAt
    })
  }

  /** What a tag has named, newest first. */
  async digestsOf(upstreamId: number, name: string, tag: string): Promise<SeenTag[]> {
    return this.#findTags({ upstreamId, name, tag })
  }

  /** The tags that have named a digest. */
  async tagsOf(upstreamId: number, name: string, digest: string): Promise<SeenTag[]> {
    return this.#findTags({ upstreamId, name, digest })
  }

  #findTags(where: { upstreamId: number; name: string } & ({ tag: string } | { digest: string })): Promise<SeenTag[]> {
    return this.#parts.models.upstreamTag.findAll({
      where,
      order: [
        ['firstSeen', 'DESC'],
        ['id', 'DESC'],
      ],
      limit: MOST_TAGS,
      raw: true,
    })
  }

  #rowsOf(upstreamId: number, name: string): Promise<SeenVersion[]> {
    return this.#parts.models.upstreamVersion.findAll({
      where: { upstreamId, name },
      attributes: ['version', 'firstSeen', 'publishedAt'],
      raw: true,
    })
  }

  async #noteTag(upstreamId: number, { name, tag, digest }: TagListing): Promise<void> {
    const { db, models, clock } = this.#parts
    const where = { upstreamId, name, tag, digest }
    await db.inTransaction(async (transaction) => {
      if ((await models.upstreamTag.count({ where, transaction })) > 0) return
      await models.upstreamTag.create({ ...where, firstSeen: clock.now() }, { transaction })
    })
  }

  async #noteVersions(
    upstreamId: number,
    name: string,
    added: readonly (readonly [string, number | null])[],
    absentAt: number,
  ): Promise<void> {
    const { db, models, clock } = this.#parts
    const firstSeen = clock.now()
    const rows = added.map(([version, stated]) => ({
      ...{ upstreamId, name, version, firstSeen, absentAt },
      publishedAt: stated === null || stated > absentAt ? stated : firstSeen,
    }))
    await db.inTransaction(async (transaction) => {
      // Who noted it before, here or on another replica, was right.
      for (let start = 0; start < rows.length; start += CHUNK) {
        const some = rows.slice(start, start + CHUNK)
        await models.upstreamVersion.bulkCreate(some, { ignoreDuplicates: true, transaction })
      }
    })
  }
}

function timeOf({ publishedAt, firstSeen }: Omit<SeenVersion, 'version'>): VersionTime {
  return { publishedAt: publishedAt ?? firstSeen, isBound: publishedAt === null }
}
