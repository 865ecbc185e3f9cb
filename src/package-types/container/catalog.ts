import type { Doer } from '../../auth/doer.ts'
import type { Owner } from '../../auth/owner.ts'
import type { Services } from '../../services.ts'
import { type ListedOwner, readImageOwners, readOwners, readRepositories } from './list-queries.ts'
import { CONTAINER } from './names.ts'

/** Owners per query: enough for most pages, few enough for a database to sort all that they have. */
const BATCH = 200

/** Which page of the catalog is wanted, and by whom. */
export interface CatalogQuery {
  readonly doer: Doer
  /** Only what this owner has, named without him; null: what everybody has. */
  readonly mirror: Owner | null
  /** Null: from the first. */
  readonly last: string | null
  readonly limit: number
}

/**
 * Repositories that the doer may read, as clients call them, in byte order: `limit` at most, all after `last`
 * (container.md §6). The database is asked for the repositories of many owners at a time, in the order of their names,
 * until the page is full.
 */
export async function listRepositories(services: Services, query: CatalogQuery): Promise<string[]> {
  const { mirror, limit } = query
  if (mirror !== null) {
    const prefix = `${mirror.lowerName}/`
    const readable = await findReadable(services, query.doer, [mirror.id])
    const paths = await readRepositories(services.db, readable, prefix + (query.last ?? ''), limit)
    return paths.map((path) => path.slice(prefix.length))
  }
  const last = query.last ?? ''
  const owners = (await readImageOwners(services.db))
    .filter(({ prefix }) => prefix > last || last.startsWith(prefix))
    // With the slash: `a-b/x` comes before `a/x`.
    .sort((a, b) => (a.prefix < b.prefix ? -1 : 1))
  const paths: string[] = []
  for (let start = 0; start < owners.length && paths.length < limit; start += BATCH) {
    const ids = owners.slice(start, start + BATCH).map(({ id }) => id)
    const readable = await findReadable(services, query.doer, ids)
    paths.push(...(await readRepositories(services.db, readable, last, limit - paths.length)))
  }
  return paths
}

async function findReadable(
  { models, permissions }: Services,
  doer: Doer,
  ids: readonly number[],
): Promise<ListedOwner[]> {
  const readable: ListedOwner[] = []
  for (const owner of await readOwners(models, ids)) {
    if (doer.restriction?.allowsSome(owner.lowerName, CONTAINER) === false) continue
    const rules = doer.restriction?.of(owner.lowerName) ?? null
    if ((await permissions.accessMode(doer, owner)) < 1) continue
    readable.push({ id: owner.id, rules, showsPrivate: await permissions.readsPrivate(doer, owner) })
  }
  return readable
}
