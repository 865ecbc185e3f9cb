import type { FastifyRequest } from 'fastify'
import type { Doer } from '../auth/doer.ts'
import type { Owner } from '../auth/owner.ts'
import { Forbidden, NotFound } from '../errors.ts'
import type { Services } from '../services.ts'
import type { Target } from './decorate.ts'

/** Of access modes, see gitea-model.md §10. */
const ADMIN = 3
/** The id of nobody: rows begin with 1. */
const NOBODY = 0

/**
 * Whether the target is a private package that the doer does not read, though he may read the packages of its owner.
 * Runs no SQL when warm.
 */
export async function isHidden(
  { packages, permissions }: Services,
  doer: Doer,
  { owner, type, name }: Target,
): Promise<boolean> {
  if (name === null || owner.kind === 'mirror') return false
  return (await packages.privatePackages.has(owner.id, type, name)) && !(await permissions.readsPrivate(doer, owner))
}

/**
 * The target for a handler whose caller must not know of the package: nothing is found under its owner, so that the
 * answer is, byte for byte, that for a package that does not exist (security.md S4), and no upstream is asked for the name.
 */
export function hide({ owner, type, name }: Target): Target {
  return { owner: Object.freeze({ ...owner, id: NOBODY }), type, name, hiddenOwner: owner }
}

/** Whether everybody may read the package, signed in or not, so that shared caches may keep it (security.md S43). */
export async function isPublicPackage(
  { packages, permissions }: Services,
  owner: Owner,
  type: string,
  name: string,
): Promise<boolean> {
  if (!permissions.isPublic(owner)) return false
  return owner.kind === 'mirror' || !(await packages.privatePackages.has(owner.id, type, name))
}

/**
 * Makes a package of the request's owner and type private, or as visible as its owner, and puts that into the audit log.
 * Forbidden for callers without admin access to the owner's packages, NotFound.
 */
export async function setVisibility(request: FastifyRequest, name: string, isPrivate: boolean): Promise<void> {
  const { doer, target, audit: context } = request
  const { owner, type } = target!
  const { packages, permissions, audit } = request.server.services
  if ((await permissions.accessMode(doer, owner)) < ADMIN) {
    throw new Forbidden('the visibility of packages is for who administers those of their owner', 'user')
  }
  if (isPrivate) checkMayMakePrivate(doer)
  const row = await packages.lookup.findPackage(owner.id, type, name)
  if (row === null) throw new NotFound('package', name)
  await packages.privatePackages.set(row, isPrivate)
  const visibility = isPrivate ? 'private' : 'inherited'
  audit.record(context!.actor, 'package.visibility', { owner, type, name: row.name }, { to: { visibility } })
  // In more words than the route would say it.
  context!.isRecorded = true
}

/** Forbidden for a token that could not see what it makes. */
export function checkMayMakePrivate({ scopes }: Doer): void {
  if (scopes?.publicOnly === true) throw new Forbidden('this token is for what is public only', 'public-only')
}
