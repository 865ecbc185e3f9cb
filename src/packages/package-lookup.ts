import { QueryTypes } from 'sequelize'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Database } from '../db/connect.ts'
import type { Models } from '../models/index.ts'
import type { Downloads } from './downloads.ts'
import { isPossibleKey } from './keys.ts'
import { describeVersions } from './package-descriptor.ts'
import type { FileRecord, PackageDescriptor, PackageRow, VersionRow } from './package-info.ts'
import type { RulesByType } from './package-rules.ts'
import { type SearchQuery, type SearchResult, searchVersions } from './package-search.ts'
import { blobTable, fileTable, packageTable, type Raw, versionTable } from './rows.ts'

/** A notice that is lost (Notices promises nothing) hides a change for this long, ms. */
const TTL = 60_000
const GENERATIONS = 50_000
/** Bytes of rows kept, roughly. */
const ANSWERS_SIZE = 64 * 1024 * 1024
const VERSION_LISTS_SIZE = 32 * 1024 * 1024

/** An answer and, when there is none, that there is none. */
interface Answer {
  readonly value: unknown
  /** Characters of text in it. */
  readonly weight: number
}

/**
 * Finds packages, versions and files by name; names in any case for hosted owners, exactly for mirrors; versions in any
 * case unless their type tells cases apart. Internal rows
 * are never found. Answers are frozen and cached: a warm look-up runs no SQL (performance.md §3.10, §3.16).
 *
 * All answers about one package belong to a generation, and a change of the package ends it: so one notice suffices,
 * and an answer that was read before the commit and arrives after it lands where nobody looks.
 */
export class PackageLookup {
  readonly #db: Database
  readonly #models: Models
  readonly #downloads: Downloads
  readonly #rules: RulesByType
  readonly #generations: Cache<{ id: number }>
  readonly #answers: Cache<Answer>
  readonly #versionLists: Cache<readonly VersionRow[]>
  #lastGeneration = 0

  constructor(db: Database, models: Models, notices: Notices, downloads: Downloads, rules: RulesByType) {
    this.#db = db
    this.#models = models
    this.#downloads = downloads
    this.#rules = rules
    this.#generations = new Cache({ name: 'package-generations', max: GENERATIONS, ttl: TTL }, notices)
    this.#answers = new Cache(
      { name: 'package-answers', maxSize: ANSWERS_SIZE, sizeOf: ({ weight }) => 1_000 + 2 * weight },
      notices,
    )
    this.#versionLists = new Cache(
      { name: 'package-versions', maxSize: VERSION_LISTS_SIZE, sizeOf: sizeOfVersions, ttl: TTL },
      notices,
    )
  }

  findPackage(ownerId: number, type: string, name: string): Promise<PackageRow | null> {
    return this.#answer<PackageRow>('package', ownerId, type, name, [], async () => {
      const rows = await this.#select(
        `SELECT ${packageTable.columns} FROM package p
         WHERE p.owner_id = $1 AND p.type = $2 AND p.lower_name IN ($3, $4) AND p.is_internal = 0`,
        [ownerId, type, name, name.toLowerCase()],
      )
      const found = rows.map((raw) => packageTable.read(raw)!)
      return bestMatch(found, ({ lowerName }) => [[lowerName, name]])
    })
  }

  findVersion(ownerId: number, type: string, name: string, version: string): Promise<VersionRow | null> {
    return this.#answer<VersionRow>('version', ownerId, type, name, [version], async () => {
      const rows = await this.#select(
        `SELECT ${packageTable.columns}, ${versionTable.columns} FROM package p
         JOIN package_version v ON v.package_id = p.id AND v.lower_version IN ($5, $6) AND v.is_internal = 0
         WHERE p.owner_id = $1 AND p.type = $2 AND p.lower_name IN ($3, $4) AND p.is_internal = 0`,
        [ownerId, type, name, name.toLowerCase(), version, this.#foldVersion(type, version)],
      )
      const found = rows.map((raw) => ({ package: packageTable.read(raw)!, version: versionTable.read(raw)! }))
      const best = bestMatch(found, (row) => [
        [row.package.lowerName, name],
        [row.version.lowerVersion, version],
      ])
      return best?.version ?? null
    })
  }

  /** One file with its version, package and blob. */
  findFile(
    ownerId: number,
    type: string,
    name: string,
    version: string,
    filename: string,
    compositeKey = '',
  ): Promise<FileRecord | null> {
    return this.#answer<FileRecord>('file', ownerId, type, name, [version, filename, compositeKey], async () => {
      const rows = await this.#select(
        `SELECT ${packageTable.columns}, ${versionTable.columns}, ${fileTable.columns}, ${blobTable.columns}
         FROM package p
         JOIN package_version v ON v.package_id = p.id AND v.lower_version IN ($5, $6) AND v.is_internal = 0
         JOIN package_file f ON f.version_id = v.id AND f.lower_name IN ($7, $8) AND f.composite_key = $9
         JOIN package_blob b ON b.id = f.blob_id
         WHERE p.owner_id = $1 AND p.type = $2 AND p.lower_name IN ($3, $4) AND p.is_internal = 0`,
        [
          ...[ownerId, type, name, name.toLowerCase(), version, this.#foldVersion(type, version)],
          ...[filename, filename.toLowerCase(), compositeKey],
        ],
      )
      return bestMatch(rows.map(toFileRecord), (row) => [
        [row.package.lowerName, name],
        [row.version.lowerVersion, version],
        [row.file.lowerName, filename],
        [row.file.compositeKey, compositeKey],
      ])
    })
  }

  /** The version inserted last, whatever its number (gitea-model.md §2). */
  latest(ownerId: number, type: string, name: string): Promise<VersionRow | null> {
    return this.#answer<VersionRow>('latest', ownerId, type, name, [], async () => {
      const found = await this.findPackage(ownerId, type, name)
      if (found === null) return null
      const rows = await this.#select(
        `SELECT ${versionTable.columns} FROM package_version v
         WHERE v.package_id = $1 AND v.is_internal = 0 ORDER BY v.id DESC LIMIT 1`,
        [found.id],
      )
      return rows[0] === undefined ? null : versionTable.read(rows[0])
    })
  }

  /** All versions of a package in the order of their insertion. */
  findVersions(packageId: number): Promise<readonly VersionRow[]> {
    return this.#versionLists.get(String(packageId), async () => {
      const rows = await this.#select(
        `SELECT ${versionTable.columns} FROM package_version v
         WHERE v.package_id = $1 AND v.is_internal = 0 ORDER BY v.id`,
        [packageId],
      )
      return Object.freeze(rows.map((raw) => versionTable.read(raw)!))
    })
  }

  /**
   * What a slice has found out about one package, remembered until anything of the package changes. `what` names the
   * question and `rest` what was asked; the answer must not change otherwise. What `find` rejects with is passed on and
   * not remembered. `weight`: its characters of text, where it has many.
   */
  async remember<T extends object>(
    { ownerId, type, name }: Pick<PackageRow, 'ownerId' | 'type' | 'name'>,
    what: string,
    rest: readonly string[],
    find: () => Promise<T>,
    weight: (value: T) => number = weightOf,
  ): Promise<T> {
    if (![name, ...rest].every(isPossibleKey)) return find()
    // The type keeps the questions of slices apart from those of this class.
    const answer = await this.#answer<T>(`${type}.${what}`, ownerId, type, name, rest, find, (value) => weight(value!))
    return answer!
  }

  /** Ids of versions, newest first, one page of them; not cached. */
  search(query: SearchQuery): Promise<SearchResult> {
    return searchVersions(this.#db.sequelize, query)
  }

  /**
   * Descriptors in the order of the ids; versions that are gone are left out. Always the same few queries, however many
   * ids; download counts are up to date.
   */
  async describe(versionIds: readonly number[]): Promise<PackageDescriptor[]> {
    await this.#downloads.flush()
    return describeVersions(this.#db.sequelize, this.#models, versionIds)
  }

  /** To be called after the commit that changed anything of the package. */
  forget({ id, ownerId, type, lowerName }: Pick<PackageRow, 'id' | 'ownerId' | 'type' | 'lowerName'>): void {
    this.#generations.invalidate(generationKey(ownerId, type, lowerName))
    this.#versionLists.invalidate(String(id))
  }

  async #answer<T>(
    what: string,
    ownerId: number,
    type: string,
    name: string,
    rest: readonly string[],
    find: () => Promise<T | null>,
    weight: (value: T | null) => number = weightOf,
  ): Promise<T | null> {
    if (!isPossibleKey(name) || !rest.every(isPossibleKey)) return null
    const generation = this.#generation(generationKey(ownerId, type, name))
    // Possible keys contain no line feed.
    const answer = await this.#answers.get(`${generation}\n${what}\n${name}\n${rest.join('\n')}`, async () => {
      const value = await find()
      return { value, weight: weight(value) }
    })
    return answer.value as T | null
  }

  /** The other key under which a version may be filed. */
  #foldVersion(type: string, version: string): string {
    return this.#rules.get(type)?.hasCaseSensitiveVersions === true ? version : version.toLowerCase()
  }

  #generation(key: string): number {
    const held = this.#generations.peek(key)
    if (held !== undefined) return held.id
    this.#lastGeneration += 1
    this.#generations.set(key, { id: this.#lastGeneration })
    return this.#lastGeneration
  }

  #select(sql: string, bind: unknown[]): Promise<Raw[]> {
    return this.#db.sequelize.query<Raw>(sql, { type: QueryTypes.SELECT, bind })
  }
}

/** One key for all spellings of a name, so that a change reaches whoever asked in which case ever. */
function generationKey(ownerId: number, type: string, name: string): string {
  return `${ownerId}/${type}/${name.toLowerCase()}`
}

function toFileRecord(raw: Raw): FileRecord {
  return Object.freeze({
    package: packageTable.read(raw)!,
    version: versionTable.read(raw)!,
    file: fileTable.read(raw)!,
    blob: blobTable.read(raw)!,
  })
}

/**
 * The row whose keys are exactly what was asked, else the one whose keys are that or that in lower case. A row that only the
 * database holds for equal (MariaDB ignores blanks at the end) is none.
 */
function bestMatch<T>(rows: readonly T[], pairs: (row: T) => [key: string, asked: string][]): T | null {
  const exact = rows.find((row) => pairs(row).every(([key, asked]) => key === asked))
  const isFolded = ([key, asked]: [string, string]) => key === asked || key === asked.toLowerCase()
  return exact ?? rows.find((row) => pairs(row).every(isFolded)) ?? null
}

function weightOf(value: unknown): number {
  if (value === null) return 0
  const version = 'metadataJson' in (value as object) ? (value as VersionRow) : (value as Partial<FileRecord>).version
  return version?.metadataJson.length ?? 0
}

function sizeOfVersions(versions: readonly VersionRow[]): number {
  return versions.reduce((size, { metadataJson }) => size + 1_000 + 2 * metadataJson.length, 100)
}
