import { QueryTypes } from 'sequelize'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Database } from '../db/connect.ts'
import type { Upstream } from '../upstream/upstreams.ts'

/** ms for which sums are remembered: they read every row of the mirror. */
const KEPT = 60_000

/** What the cache of an upstream holds. */
export interface CacheUsage {
  /** Of files and metadata, equal ones counted each time. */
  readonly bytes: number
  /** That a purge would free: nobody else has the same. */
  readonly exclusiveBytes: number
  readonly files: number
  readonly versions: number
  readonly documents: number
}

/** Sums of what upstreams hold, at most a minute old (pull-through.md §9). */
export class Accounting {
  readonly #db: Database
  readonly #known: Cache<CacheUsage>

  constructor({ db, notices }: { db: Database; notices: Notices }) {
    this.#db = db
    this.#known = new Cache({ name: 'cache-usage', max: 1_000, ttl: KEPT }, notices)
  }

  /** Asked by many at once it is added up once. */
  of(upstream: Upstream): Promise<CacheUsage> {
    return this.#known.get(String(upstream.id), () => this.#sum(upstream))
  }

  async #sum({ id, owner, settings }: Upstream): Promise<CacheUsage> {
    const replacements = { id, ownerId: owner.id, type: settings.type }
    const ask = async (sql: string) => {
      const [row] = await this.#db.sequelize.query<Record<string, number | string | null>>(sql, {
        type: QueryTypes.SELECT,
        replacements,
      })
      return (name: string) => Number(row?.[name] ?? 0)
    }
    const files = await ask(`SELECT COUNT(*) AS files, SUM(b.size) AS bytes ${FILES}`)
    const versions = await ask(`SELECT COUNT(*) AS versions FROM package p
      JOIN package_version v ON v.package_id = p.id AND v.is_internal = 0 WHERE p.owner_id = :ownerId AND p.type = :type`)
    const documents = await ask(`SELECT COUNT(*) AS documents, SUM(b.size) AS bytes
      FROM upstream_document d JOIN package_blob b ON b.id = d.blob_id WHERE d.upstream_id = :id`)
    const exclusive = await ask(`SELECT SUM(b.size) AS bytes FROM package_blob b
      JOIN (SELECT f.blob_id AS id ${FILES} UNION SELECT blob_id FROM upstream_document WHERE upstream_id = :id) mine
        ON mine.id = b.id
      WHERE NOT EXISTS (SELECT 1 FROM package_file o JOIN package_version ov ON ov.id = o.version_id
          JOIN package op ON op.id = ov.package_id
          WHERE o.blob_id = b.id AND NOT (op.owner_id = :ownerId AND op.type = :type))
        AND NOT EXISTS (SELECT 1 FROM upstream_document od WHERE od.blob_id = b.id AND od.upstream_id <> :id)`)
    return {
      bytes: files('bytes') + documents('bytes'),
      exclusiveBytes: exclusive('bytes'),
      files: files('files'),
      versions: versions('versions'),
      documents: documents('documents'),
    }
  }
}

const FILES = `FROM package p JOIN package_version v ON v.package_id = p.id JOIN package_file f ON f.version_id = v.id
  JOIN package_blob b ON b.id = f.blob_id WHERE p.owner_id = :ownerId AND p.type = :type`
