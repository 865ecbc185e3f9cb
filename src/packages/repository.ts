import type { Doer } from '../auth/doer.ts'
import type { AccessMode } from '../auth/memberships.ts'
import { Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { Repository } from '../models/repository.ts'

/** A row of `repository`; times in ms. */
export interface RepositoryRow {
  readonly id: number
  readonly ownerId: number
  readonly name: string
  readonly lowerName: string
  /** Of the real repository; empty: not known. */
  readonly url: string
  readonly description: string
  readonly isPrivate: boolean
  readonly createdAt: number
  readonly updatedAt: number
}

const READ = 1
const WRITE = 2
const LONGEST_NAME = 100
const NAME = /^[-.\w]+$/
const reservedNames = ['.', '..', '-']
const reservedEndings = ['.git', '.wiki', '.rss', '.atom']

/** Whether a repository could have this name; look-ups need not ask the database otherwise. */
export function isPossibleRepositoryName(name: string): boolean {
  return name.length <= LONGEST_NAME && NAME.test(name)
}

/** Unprocessable for a name that no repository may have. */
export function checkRepositoryName(name: string): void {
  if (!isPossibleRepositoryName(name)) {
    throw new Unprocessable(`[Name]: must be up to ${LONGEST_NAME} letters, digits, -, . and _`)
  }
  const lower = name.toLowerCase()
  if (reservedNames.includes(lower) || reservedEndings.some((ending) => lower.endsWith(ending))) {
    throw new Unprocessable(`the repository's name is reserved [name: ${name}]`)
  }
}

/**
 * Whether a caller with that access to the owner's packages may know of the repository: of a private one only who may
 * write them, and not with a `public-only` token.
 */
export function isRepositoryVisible(
  { isPrivate }: Pick<RepositoryRow, 'isPrivate'>,
  doer: Doer,
  mode: AccessMode,
): boolean {
  return isPrivate ? mode >= WRITE && doer.scopes?.publicOnly !== true : mode >= READ
}

/** A plain row of a model. */
export function toRepositoryRow(row: Repository): RepositoryRow {
  return Object.freeze({
    id: Number(row.id),
    ownerId: Number(row.ownerId),
    name: row.name,
    lowerName: row.lowerName,
    url: row.url,
    description: row.description,
    isPrivate: Boolean(row.isPrivate),
    createdAt: Number(row.createdAt),
    updatedAt: Number(row.updatedAt),
  })
}

/** By id; 0 and those that are gone are left out. */
export async function readRepositories(models: Models, ids: readonly number[]): Promise<Map<number, RepositoryRow>> {
  const id = [...new Set(ids)].filter((linked) => linked !== 0)
  if (id.length === 0) return new Map()
  const rows = await models.repository.findAll({ where: { id } })
  return new Map(rows.map((row) => [Number(row.id), toRepositoryRow(row)]))
}
