import { QueryTypes, type Sequelize } from 'sequelize'
import type { NameRule } from '../auth/restriction.ts'
import { matchesAnyRule } from './name-rules.ts'

/** What to list. Empty texts and what is left out select nothing away. */
export interface SearchQuery {
  readonly ownerId?: number
  readonly type?: string
  /** Any part of the package's name, in any case. */
  readonly q?: string
  /** Only packages that any of these means; null: all. */
  readonly rules?: readonly NameRule[] | null
  /** Those of private packages too. */
  readonly showsPrivate?: boolean
  /** The id of one package. */
  readonly packageId?: number
  /** Only the latest version of each package. */
  readonly latestOnly?: boolean
  /** From 1. */
  readonly page: number
  /** Versions per page; the caller bounds it. */
  readonly limit: number
}

/** One page of a search. */
export interface SearchResult {
  /** On all pages together. */
  readonly total: number
  /** Newest first. */
  readonly versionIds: number[]
}

const MAX_NAME = 255

/** Finds non-internal versions, in the order of creation, newest first, then of ids (rest-api.md §3). */
export async function searchVersions(sequelize: Sequelize, query: SearchQuery): Promise<SearchResult> {
  const {
    ownerId,
    type = '',
    q = '',
    rules = null,
    showsPrivate = false,
    packageId,
    latestOnly = false,
    page,
    limit,
  } = query
  const offset = (page - 1) * limit
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(limit) || limit < 0) {
    throw new Error(`page ${page} of ${limit} cannot be listed`)
  }
  // No name is longer, and SQLite refuses patterns of more than 50,000 bytes.
  if (q.length > MAX_NAME) return { total: 0, versionIds: [] }
  const conditions = ['p.is_internal = 0', 'v.is_internal = 0', ...(showsPrivate ? [] : ['p.is_private = 0'])]
  const bind: unknown[] = []
  const add = (condition: (place: string) => string, value: unknown) => {
    bind.push(value)
    conditions.push(condition(`$${bind.length}`))
  }
  if (ownerId !== undefined) add((place) => `p.owner_id = ${place}`, ownerId)
  if (type !== '') add((place) => `p.type = ${place}`, type)
  if (packageId !== undefined) add((place) => `p.id = ${place}`, packageId)
  // LOWER for the names of mirrors, which keep their case.
  if (q !== '') add((place) => `LOWER(p.lower_name) LIKE ${place} ESCAPE '!'`, `%${escapeLike(q.toLowerCase())}%`)
  if (rules !== null) conditions.push(matchesAnyRule(rules, (value) => `$${bind.push(value)}`))
  if (latestOnly) {
    conditions.push(
      'v.id = (SELECT MAX(newest.id) FROM package_version newest WHERE newest.package_id = p.id AND newest.is_internal = 0)',
    )
  }
  const from = `FROM package p JOIN package_version v ON v.package_id = p.id WHERE ${conditions.join(' AND ')}`
  const options = { type: QueryTypes.SELECT as const, bind }
  const [counted, rows] = await Promise.all([
    sequelize.query<{ total: number }>(`SELECT COUNT(*) AS total ${from}`, options),
    // Numbers in the text: a prepared statement of MySQL takes no placeholder of type DOUBLE there.
    sequelize.query<{ id: number }>(
      `SELECT v.id AS id ${from} ORDER BY v.created_at DESC, v.id DESC LIMIT ${limit} OFFSET ${offset}`,
      options,
    ),
  ])
  return { total: Number(counted[0]!.total), versionIds: rows.map(({ id }) => Number(id)) }
}

/** For `LIKE … ESCAPE '!'`: with an escape of our own the backslash is an ordinary character in both databases. */
function escapeLike(text: string): string {
  return text.replace(/[!%_]/g, '!$&')
}
