import type { FastifyRequest } from 'fastify'
import type { Doer } from '../auth/authenticator.ts'
import type { Owner } from '../auth/owner.ts'
import type { TeamRow } from '../auth/teams.ts'
import { Forbidden, NotFound } from '../errors.ts'
import type { Services } from '../services.ts'

/**
 * Rights in the organization `:org`: to be a `member`; to decide on a `membership`, the member's own `:username` or as
 * an owner. And in that of the team with the id `:team`: to know of the `team`, to see `team-members`, to be a
 * `team-owner`, which is an owner of its organization. Site admins have all of them.
 */
export type OrganizationAccess = 'member' | 'membership' | 'team' | 'team-members' | 'team-owner'

/** The team that a route is about, found once by the guard; the handler asks nobody else (security.md S13, S32). */
export interface TeamTarget {
  readonly row: TeamRow
  readonly org: Owner
}

const rights: readonly string[] = [
  'member',
  'membership',
  'team',
  'team-members',
  'team-owner',
] satisfies OrganizationAccess[]

/** Whether a right is one of these. */
export function isOfOrganization(right: string): right is OrganizationAccess {
  return rights.includes(right)
}

/**
 * Throws what a signed-in caller without the right gets. What he may not know of is not found, as if it did not exist
 * (security.md S4); teams that are hidden from a fellow member are Forbidden, as in Gitea (rest-api.md §7).
 */
export async function checkOrganization(
  services: Services,
  request: FastifyRequest,
  right: OrganizationAccess,
): Promise<void> {
  if (right === 'member' || right === 'membership') return checkMember(services, request, right)
  const { permissions, members } = services
  const { doer } = request
  const team = await findTeam(services, doer, (request.params as { team: string }).team)
  request.team = team
  const { row, org } = team
  if (await permissions.isOrgOwner(doer, org)) return
  const isInOrg = await permissions.isOrgMember(doer, org)
  const isInTeam = isInOrg && (await members.isInTeam(row, doer.user!))
  const knows = isInTeam || row.visibility === 'public' || (isInOrg && row.visibility === 'limited')
  if (!isInOrg && !knows) throw new NotFound('team')
  const may = { team: knows, 'team-members': knows && isInOrg, 'team-owner': false }[right]
  if (!may) throw refusal()
}

async function checkMember(
  { accounts, permissions }: Services,
  { doer, params }: FastifyRequest,
  right: 'member' | 'membership',
): Promise<void> {
  const { org: name, username } = params as { org: string; username?: string }
  const org = await accounts.find(name)
  if (org?.kind !== 'organization') throw new NotFound('organization', name)
  await requireVisible(permissions, doer, org, new NotFound('organization', name))
  const isOwn = right === 'member' || (await accounts.find(username ?? ''))?.id === doer.user!.id
  if (isOwn ? await permissions.isOrgMember(doer, org) : await permissions.isOrgOwner(doer, org)) return
  throw refusal()
}

async function findTeam({ teams, accounts, permissions }: Services, doer: Doer, id: string): Promise<TeamTarget> {
  const row = /^\d{1,15}$/.test(id) ? await teams.find(Number(id)) : null
  const org = row === null ? null : await accounts.findById(row.orgId)
  if (row === null || org === null) throw new NotFound('team')
  await requireVisible(permissions, doer, org, new NotFound('team'))
  return { row, org }
}

/** Forbidden when only the token's `public-only` stands in the way. */
async function requireVisible(
  permissions: Services['permissions'],
  doer: Doer,
  org: Owner,
  absence: NotFound,
): Promise<void> {
  if (await permissions.canSee(doer, org)) return
  if (doer.scopes?.publicOnly === true && (await permissions.canSee({ ...doer, scopes: null }, org))) {
    throw new Forbidden('this token reads public accounts only', 'public-only')
  }
  throw absence
}

function refusal(): Forbidden {
  return new Forbidden('you do not have the right to do this', 'user')
}
