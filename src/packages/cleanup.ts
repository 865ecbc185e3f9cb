import { QueryTypes, type Transaction } from 'sequelize'
import type { Owner } from '../auth/owner.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Unprocessable } from '../errors.ts'
import { candidatesOf, packagesOf, readVersion, type VersionCandidate } from './cleanup-candidates.ts'
import { type CleanupPolicy, createDecision } from './cleanup-decision.ts'
import type { PackageRow } from './package-info.ts'
import type { PackageRemoval } from './package-removal.ts'
import type { RulesByType } from './package-rules.ts'

/** What one preview looks at, at most; of its last package at all versions. */
const PREVIEWED = { packages: 500, versions: 20_000 }

/** A version that a rule removes. */
export interface Removal {
  readonly package: PackageRow
  readonly version: string
  /** Of its files; bytes. */
  readonly size: number
  readonly reason: string
}

/** What Cleanup works on. */
export interface CleanupParts {
  readonly db: Database
  readonly clock: Clock
  readonly removal: PackageRemoval
  readonly rules: RulesByType
}

/** Removes versions as the rules of their owners say (gitea-model.md §11). */
export class Cleanup {
  readonly #parts: CleanupParts

  constructor(parts: CleanupParts) {
    this.#parts = parts
  }

  /** Throws Unprocessable for a pattern that is none, and for an unknown type. */
  check(type: string, policy: CleanupPolicy): void {
    if (!this.#parts.rules.has(type)) throw new Unprocessable(`[Type]: there are no packages of type ${type}`)
    createDecision(policy)
  }

  /**
   * What the policy would remove now, of the packages after the id `after`; `check` it before. It ends when it has looked
   * at enough, and then tells the id to go on after.
   */
  async *preview(owner: Owner, type: string, policy: CleanupPolicy, after = 0): AsyncGenerator<Removal, number | null> {
    const decide = createDecision(policy)
    let packages = 0
    let versions = 0
    let last = after
    for await (const row of packagesOf(this.#parts.db, owner.id, type, after)) {
      if (packages >= PREVIEWED.packages || versions >= PREVIEWED.versions) return last
      const candidates = await this.#candidates(row)
      for (const { candidate, reason } of await decide(row.lowerName, candidates, this.#parts.clock.now())) {
        yield { package: row, version: candidate.version, size: candidate.size, reason }
      }
      packages += 1
      versions += candidates.length
      last = row.id
    }
    return null
  }

  /** Removes it; how many versions went. What changed since it was looked at stays. */
  async run(owner: Owner, type: string, policy: CleanupPolicy): Promise<number> {
    const { db, clock } = this.#parts
    const decide = createDecision(policy)
    let removed = 0
    for await (const row of packagesOf(db, owner.id, type)) {
      // What goes may leave more that nobody needs: a tag, its index, the index's manifests, their signatures.
      for (let before = -1; before < removed; ) {
        before = removed
        const candidates = await this.#candidates(row)
        for (const { candidate } of await decide(row.lowerName, candidates, clock.now())) {
          if (await this.#remove(owner, row, candidate)) removed += 1
        }
      }
    }
    return removed
  }

  async #candidates(row: PackageRow): Promise<VersionCandidate[]> {
    const kept = await this.#keptVersions(row, null)
    return (await candidatesOf(this.#parts.db, row.id)).filter(({ versionId }) => !kept.has(versionId))
  }

  async #remove(owner: Owner, row: PackageRow, { versionId, changedAt }: VersionCandidate): Promise<boolean> {
    const version = await readVersion(this.#parts.db, versionId)
    if (version === null) return false
    return this.#parts.removal.removePackageVersion({ owner, package: row, version }, null, async (transaction) => {
      const kept = await this.#keptVersions(row, transaction)
      return kept.has(versionId) || (await this.#lastChange(versionId, transaction)) > changedAt
    })
  }

  async #keptVersions(row: PackageRow, transaction: Transaction | null): Promise<ReadonlySet<number>> {
    const { rules, db } = this.#parts
    return (await rules.get(row.type)?.versionsKeptByCleanup?.(db, row.id, transaction)) ?? new Set()
  }

  async #lastChange(versionId: number, transaction: Transaction): Promise<number> {
    const rows = await this.#parts.db.sequelize.query<{ at: number | null }>(
      'SELECT MAX(f.created_at) AS at FROM package_file f WHERE f.version_id = $1',
      { type: QueryTypes.SELECT, bind: [versionId], transaction },
    )
    return Number(rows[0]?.at ?? 0)
  }
}
