import type { Transaction } from 'sequelize'
import type { Database } from '../db/connect.ts'
import type { VersionRow } from './package-info.ts'

/** What holds for the packages of one type, where the parts that know no type have to know. */
export interface PackageRules {
  /** `V1` is another version than `v1`; false unless told. */
  readonly hasCaseSensitiveVersions?: boolean
  /** Absent: a version goes alone. */
  readonly versionsRemovedWith?: VersionsRemovedWith
  /** Absent: cleanup rules alone decide. */
  readonly versionsKeptByCleanup?: VersionsKeptByCleanup
}

/** By type. */
export type RulesByType = ReadonlyMap<string, PackageRules>

/**
 * The other versions of the package that mean nothing without this one. Called when a version is deleted, in that
 * transaction and before, while its rows are locked; they are deleted with it.
 */
export type VersionsRemovedWith = (
  db: Database,
  version: VersionRow,
  transaction: Transaction,
) => Promise<readonly VersionRow[]>

/** Ids of the versions of a package that no cleanup rule may remove now, and that do not count for any. */
export type VersionsKeptByCleanup = (
  db: Database,
  packageId: number,
  transaction: Transaction | null,
) => Promise<ReadonlySet<number>>
