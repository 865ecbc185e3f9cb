import { QueryTypes, type Transaction } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import type { Digests } from '../storage/digest.ts'
import type { SpoolEntry } from '../storage/spool.ts'
import { hashKey } from './document-store.ts'

/** An artifact that the blob store has. */
export interface HeldArtifact {
  readonly digests: Digests
  /** Bytes. */
  readonly size: number
  readonly versionId: number
  readonly fileId: number
  /** The upstream's, or when it was fetched; ms. */
  readonly lastModified: number
}

type HeldRow = Omit<HeldArtifact, 'digests'> & Digests & { property: string | null }

/** Name of the file property with the upstream's Last-Modified, in ms. */
export const LAST_MODIFIED = 'upstream.last-modified'

/** Rows of `upstream_digest`: what was published first, and which package file holds it. */
export class ArtifactStore {
  readonly #db: Database
  readonly #clock: Clock

  constructor(db: Database, clock: Clock) {
    this.#db = db
    this.#clock = clock
  }

  /** What is held under a key; null once its package file is removed. */
  async find(upstreamId: number, key: string): Promise<HeldArtifact | null> {
    const [row] = await this.#db.sequelize.query<HeldRow>(
      `SELECT b.hash_md5 AS md5, b.hash_sha1 AS sha1, b.hash_sha256 AS sha256, b.hash_sha512 AS sha512, b.size, f.version_id AS versionId, f.id AS fileId, f.created_at AS lastModified, p.value AS property
         FROM upstream_digest d
         JOIN package_file f ON f.id = d.file_id
         JOIN package_blob b ON b.id = f.blob_id
         LEFT JOIN package_property p ON p.ref_type = 1 AND p.ref_id = f.id AND p.name = '${LAST_MODIFIED}'
        WHERE d.upstream_id = ? AND d.key_sha256 = ?`,
      { replacements: [upstreamId, hashKey(key)], type: QueryTypes.SELECT },
    )
    if (row === undefined) return null
    const { property, md5, sha1, sha256, sha512, ...held } = row
    return { ...held, digests: { md5, sha1, sha256, sha512 }, lastModified: Number(property ?? held.lastModified) }
  }

  /** The SHA-256 that the artifact had when it was first seen; null when it never was. */
  async firstDigest(upstreamId: number, key: string): Promise<string | null> {
    const [row] = await this.#db.sequelize.query<{ sha256: string }>(
      'SELECT sha256 FROM upstream_digest WHERE upstream_id = ? AND key_sha256 = ?',
      { replacements: [upstreamId, hashKey(key)], type: QueryTypes.SELECT },
    )
    return row?.sha256 ?? null
  }

  /** Remembers the first digest for ever, and which file holds the bytes now. */
  async record(
    upstreamId: number,
    key: string,
    content: SpoolEntry,
    fileId: number,
    transaction: Transaction,
  ): Promise<void> {
    const onConflict =
      this.#db.dialect === 'sqlite'
        ? 'ON CONFLICT (upstream_id, key_sha256) DO UPDATE SET file_id = excluded.file_id, last_used_at = excluded.last_used_at'
        : 'ON DUPLICATE KEY UPDATE file_id = VALUES(file_id), last_used_at = VALUES(last_used_at)'
    const { digests, size } = content
    const now = this.#clock.now()
    await this.#db.sequelize.query(
      `INSERT INTO upstream_digest (upstream_id, artifact_key, key_sha256, sha256, size, first_seen, last_used_at, file_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?) ${onConflict}`,
      { replacements: [upstreamId, key, hashKey(key), digests.sha256, size, now, now, fileId], transaction },
    )
  }
}
