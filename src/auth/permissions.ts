import type { Doer } from './doer.ts'
import type { AccessMode, Memberships } from './memberships.ts'
import { isBlocked, type Owner } from './owner.ts'

export type { AccessMode } from './memberships.ts'

const NONE = 0
const READ = 1
const WRITE = 2
const OWNER = 4

/** Who may do what, from the doer, the owner and the doer's teams (gitea-model.md §10). Runs no SQL when warm. */
export class Permissions {
  readonly #memberships: Memberships
  readonly #requireSignIn: boolean

  constructor(memberships: Memberships, options: { requireSignIn: boolean }) {
    this.#memberships = memberships
    this.#requireSignIn = options.requireSignIn
  }

  /**
   * Access to the owner's packages. A blocked account has none, not even to public owners; a `public-only` token has
   * none on other owners; a job writes what its owner has, and no more. Scopes are not looked at otherwise: routes
   * declare them. On a mirror 4 means site admin; nobody publishes to one.
   */
  async accessMode(doer: Doer, owner: Owner): Promise<AccessMode> {
    const { user } = doer
    if (this.#isShutOut(doer, owner)) return NONE
    if (user === null) return owner.visibility === 'public' ? READ : NONE
    if (user.isAdmin) return OWNER
    // A job writes packages; who sees them is not for it to decide.
    if (user.id === owner.id) return doer.isJob ? WRITE : OWNER
    if (owner.kind === 'user') return owner.visibility === 'private' ? NONE : READ
    if (owner.kind === 'mirror') return isVisibleTo(user, owner) ? READ : NONE
    const membership = (await this.#memberships.of(user.id)).get(owner.id)
    if (membership === undefined) return isVisibleTo(user, owner) ? READ : NONE
    return Math.max(READ, membership.packages) as AccessMode
  }

  /**
   * Whether the doer reads the owner's private packages too: the user himself, members whose teams give at least read
   * access to packages, and site admins, but none of them with a `public-only` token.
   */
  async readsPrivate(doer: Doer, owner: Owner): Promise<boolean> {
    const { user, scopes } = doer
    if (user === null || scopes?.publicOnly === true || this.#isShutOut(doer, owner)) return false
    if (user.isAdmin || user.id === owner.id) return true
    const membership = owner.kind === 'organization' ? (await this.#memberships.of(user.id)).get(owner.id) : undefined
    return membership !== undefined && membership.packages >= READ
  }

  /** Whether everybody, signed in or not, may read the owner's packages, so that shared caches may keep them. */
  isPublic(owner: Owner): boolean {
    return owner.visibility === 'public' && !this.#requireSignIn
  }

  /** Whether the doer may administer the organization: a member of its owner team, or a site admin. */
  async isOrgOwner(doer: Doer, org: Owner): Promise<boolean> {
    if (doer.user === null || org.kind !== 'organization' || this.#isShutOut(doer, org)) return false
    if (doer.user.isAdmin) return true
    return (await this.#memberships.of(doer.user.id)).get(org.id)?.isOwner === true
  }

  /** Whether the doer may know what only members do: he is in one of its teams, or a site admin. */
  async isOrgMember(doer: Doer, org: Owner): Promise<boolean> {
    if (doer.user === null || org.kind !== 'organization' || this.#isShutOut(doer, org)) return false
    return doer.user.isAdmin || (await this.#memberships.of(doer.user.id)).has(org.id)
  }

  /** Whether the doer may know that the owner exists (rest-api.md §4, §7). A private user: only himself and admins. */
  async canSee(doer: Doer, owner: Owner): Promise<boolean> {
    const { user } = doer
    if (this.#isShutOut(doer, owner)) return false
    if (user === null) return owner.visibility === 'public'
    if (user.isAdmin || user.id === owner.id || isVisibleTo(user, owner)) return true
    return owner.kind === 'organization' && (await this.#memberships.of(user.id)).has(owner.id)
  }

  #isShutOut(doer: Doer, owner: Owner): boolean {
    if (doer.user === null) return this.#requireSignIn
    return isBlocked(doer.user) || (doer.scopes?.publicOnly === true && owner.visibility !== 'public')
  }
}

function isVisibleTo(user: Owner, owner: Owner): boolean {
  return owner.visibility === 'public' || (owner.visibility === 'limited' && !user.isRestricted)
}
