import type { Doer } from '../auth/authenticator.ts'
import type { AccessMode } from '../auth/memberships.ts'
import type { Owner } from '../auth/owner.ts'
import { Forbidden, NotFound } from '../errors.ts'
import { isRepositoryVisible, type RepositoryRow } from '../packages/repository.ts'
import type { Services } from '../services.ts'

/** Of access modes, see gitea-model.md §10. */
const ADMIN = 3

/** The repository that a route is about, found once; the guard and the handler read the same object (security.md S32). */
export interface RepositoryTarget {
  readonly owner: Owner
  readonly row: RepositoryRow
  /** The caller's access to the owner's packages. */
  readonly mode: AccessMode
}

/**
 * The repository of that owner and name. NotFound, in the same words, when there is none and when the caller may not know
 * of it or of its owner (security.md S4); Forbidden when only the token's `public-only` stands in the way.
 */
export async function findRepository(
  { accounts, permissions, packages }: Services,
  doer: Doer,
  params: { readonly owner: string; readonly repository: string },
): Promise<RepositoryTarget> {
  const owner = await accounts.find(params.owner)
  const row = owner === null ? null : await packages.repositories.find(owner, params.repository)
  const absence = new NotFound('repository', `${params.owner}/${params.repository}`)
  if (owner === null || row === null) throw absence
  const mode = await permissions.accessMode(doer, owner)
  if (isRepositoryVisible(row, doer, mode)) return { owner, row, mode }
  if (doer.scopes?.publicOnly === true) {
    const otherwise = { ...doer, scopes: null }
    if (isRepositoryVisible(row, otherwise, await permissions.accessMode(otherwise, owner)))
      throw new Forbidden('this token reads what is public only', 'public-only')
  }
  throw absence
}

/** As `findRepository`; Forbidden for who has no admin access to the packages of its owner. */
export async function findOwnRepository(
  services: Services,
  doer: Doer,
  params: { readonly owner: string; readonly repository: string },
): Promise<RepositoryTarget> {
  const target = await findRepository(services, doer, params)
  if (target.mode < ADMIN) throw new Forbidden('you do not have the right to do this', 'user')
  return target
}
