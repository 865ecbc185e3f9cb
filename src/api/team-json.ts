import { type Static, type TOptional, Type } from 'typebox'
import type { Doer } from '../auth/authenticator.ts'
import type { Owner } from '../auth/owner.ts'
import { type UnitKey, unitKeys } from '../auth/team-units.ts'
import type { TeamChanges, TeamRow } from '../auth/teams.ts'
import { OrganizationSchema, toOrganizationJson, VisibilitySchema } from '../json/accounts.ts'
import { body, given, optional, text } from './schemas.ts'

/** Gitea's Team (rest-api.md §7). */
export const TeamSchema = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    description: Type.String(),
    organization: Type.Union([OrganizationSchema, Type.Null()]),
    includes_all_repositories: Type.Boolean(),
    permission: Type.Enum(['none', 'read', 'write', 'admin', 'owner']),
    units: Type.Array(Type.String()),
    units_map: Type.Record(Type.String(), Type.String()),
    can_create_org_repo: Type.Boolean(),
    visibility: VisibilitySchema,
  },
  { title: 'Team' },
)

const UnitMode = Type.Enum(['none', 'read', 'write', 'admin'])
const unitModes = Object.fromEntries(unitKeys.map((key) => [key, Type.Optional(UnitMode)])) as {
  [K in UnitKey]: TOptional<typeof UnitMode>
}
const rights = {
  description: optional(text(255)),
  permission: optional(Type.Enum(['', 'none', 'read', 'write', 'admin'])),
  units: optional(Type.Array(Type.Enum([...unitKeys]), { maxItems: 100 })),
  units_map: optional(body(unitModes)),
  includes_all_repositories: optional(Type.Boolean()),
  can_create_org_repo: optional(Type.Boolean()),
  visibility: optional(Type.Enum(['', 'public', 'limited', 'private'])),
}
const name = (minLength: number) => Type.String({ minLength, maxLength: 255, pattern: '^[\\w.-]*$' })

/** The body that makes a team. `owner` is no permission to be had. */
export const CreateTeam = body({ name: name(1), ...rights }, { title: 'CreateTeamOption' })

/** The body that changes a team; what is absent, null or an empty text stays, but for the description. */
export const EditTeam = body({ name: optional(name(0)), ...rights }, { title: 'EditTeamOption' })

/** A team; without its organization in the answers where Gitea leaves it out. */
export function toTeamJson(team: TeamRow, organization: Owner | null, viewer: Doer): Static<typeof TeamSchema> {
  return {
    id: team.id,
    name: team.name,
    description: team.description,
    organization: organization === null ? null : toOrganizationJson(organization, viewer),
    includes_all_repositories: team.includesAllRepositories,
    permission: team.permission,
    units: Object.keys(team.units),
    units_map: { ...team.units },
    can_create_org_repo: team.canCreateOrgRepo,
    visibility: team.visibility,
  }
}

/** What the body asks for. */
export function toTeamChanges(input: Static<typeof EditTeam>): TeamChanges {
  return {
    name: input.name || undefined,
    description: given(input.description),
    permission: input.permission || undefined,
    units: given(input.units),
    unitsMap: given(input.units_map),
    includesAllRepositories: given(input.includes_all_repositories),
    canCreateOrgRepo: given(input.can_create_org_repo),
    visibility: input.visibility || undefined,
  }
}
